"""Tells a page opened for a person from a machine's look at the link."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SPECULATIVE_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
"""Set by browsers and mail programs that fetch a link before, or without, anybody following it."""

_NOT_SHOWN = re.compile(r"prefetch|prerender|preview", re.IGNORECASE)

_PREVIEW_BOT = re.compile(
    r"(?<!cu)bot\b|(?<!cu)bot[/;) -]"  # Slackbot, Twitterbot, Googlebot ...; CUBOT is a maker of telephones
    r"|crawler|spider|slurp|scraper|preview|externalhit|embedly|iframely|unfurl"
    r"|whatsapp/|skypeuri|vkshare|facebookcatalog|cardyb|mastodon/|synapse|google-pagerenderer|mediapartners"
    r"|google-inspectiontool|ia_archiver|linkcheck|safelinks|barracuda|proofpoint|mimecast|bitrix link",
    re.IGNORECASE,
)


def opened_by_a_person(method: str, headers: Mapping[str, str]) -> bool:
    """Whether this request is a browser showing the page to somebody.

    `headers` must look names up without regard to case. Nothing about money depends on the answer: it only moves a
    payment from initiated to pending, so that the merchant sees the customer got there.
    """
    if method != "GET":
        return False
    if not _accepts_html(headers.get("Accept", "")):
        return False
    if any(_NOT_SHOWN.search(headers.get(name, "")) for name in _SPECULATIVE_HEADERS):
        return False
    # Browsers that send Fetch Metadata say outright whether this is a navigation (W3C Fetch Metadata).
    if headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
        return False
    return _PREVIEW_BOT.search(headers.get("User-Agent", "")) is None


def _accepts_html(accept: str) -> bool:
    """Whether text/html is named with a weight above zero (RFC 9110, 12.5.1); `*/*` alone is a program's."""
    for media_range in accept.split(","):
        name, *parameters = (part.strip().lower() for part in media_range.split(";"))
        if name == "text/html":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False
