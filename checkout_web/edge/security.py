"""What browsers are allowed to do with the page, and whose forms are obeyed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

BASE_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: browsers then send `Origin: null` with the page's own forms, which could not be told from
    # a stranger's. Other hosts are told nothing either way.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex, nofollow",
}

FILE_HEADERS: Mapping[str, str] = {
    name: BASE_HEADERS[name] for name in ("X-Content-Type-Options", "Cross-Origin-Resource-Policy")
}
"""Of what a page loads: the others speak of documents, and there are two dozen files in a first view."""

_LONGEST_ORIGIN = 300

_SAFE_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


NO_FRAMES: Mapping[str, str] = {"X-Frame-Options": "DENY"}
"""Of every answer but a page in an allowed site's frame: this header knows no origins, only the policy does."""


def content_security_policy(*, embedder: str | None = None) -> str:
    """The policy of one page: own files only, nothing inline, and in nobody's frame but `embedder`'s, an origin as
    `allowed_embedder` answers it.

    Browsers apply `form-action` to what a form is redirected to as well, and it cannot name every host that a shop may
    have (with an underscore, or beyond ASCII): the page's forms are answered by redirects to the page itself.
    """
    framed_by = embedder or "'none'"
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {framed_by}",
        )
    )


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an http(s) URL as CSP writes them; None where that could break out of the header."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None  # an address holds whatever somebody wrote there
    origin = f"{parts.scheme.lower()}://{parts.netloc}"
    return origin if _SAFE_ORIGIN.fullmatch(origin) else None


def allowed_embedder(asked: str | None, allowed: Sequence[str]) -> str | None:
    """The origin that may show the page in its frame; None for nobody.

    `asked` is what the address says, and only chooses: the answer is the merchant's own entry, equal to the letter. A
    subdomain, another port or scheme, or anything that could say more in a header is no entry.
    """
    return next((origin for origin in allowed if origin == asked and origin_of(origin) == origin), None)


def embedder_asked(query: Mapping[str, str]) -> str | None:
    """The origin that `?embed=` names, for addresses to carry it on; nobody has allowed it yet."""
    asked = query.get("embed", "")
    return asked if len(asked) <= _LONGEST_ORIGIN and asked and origin_of(asked) == asked else None


def is_same_origin(headers: Mapping[str, str], *, own_hosts: frozenset[str]) -> bool:
    """Whether a POST comes from this site's own page.

    `Sec-Fetch-Site` decides where the browser sends it (W3C Fetch Metadata). Elsewhere - plain http, older browsers -
    the host of `Origin` must be one of `own_hosts` (`host[:port]`, lower case). A request with neither is no
    browser's form, and refused.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    try:
        origin = urlsplit(headers.get("Origin", ""))
    except ValueError:
        return False  # no browser sends what is not a URL
    return origin.netloc.lower() in own_hosts - {""}
