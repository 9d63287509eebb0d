"""Templates and what they are given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from checkout_web.qr import qr_svg
from checkout_web.view import Checkout, QrKind, Selection, is_ended
from openpay.domain.time import format_time

TEMPLATES = Path(__file__).parent / "templates"

REFRESH_S = 15
"""How often the page reloads itself where JavaScript is off and there is something to wait for."""
RETURN_AFTER_S = 8
"""How long the success page stays before it goes on to the merchant."""


@dataclass(frozen=True, kw_only=True)
class Links:
    """Addresses of this payment's page and of the site's static files, as the application is mounted."""

    page: str
    state: str
    events: str
    cancel: str
    retry: str
    claim: str
    claim_message: str
    static: str


@dataclass(frozen=True, kw_only=True)
class StatePart:
    """The moving half of the page. `tag` is equal exactly when `html` is."""

    html: str
    title: str
    tag: str

    def message(self, now: int) -> str:
        """The JSON that open pages are sent; `now` in Unix seconds lets them correct their own clock."""
        return json.dumps({"tag": self.tag, "title": self.title, "html": self.html, "now": now}, ensure_ascii=False)


class Pages:
    """Renders documents and state parts. Everything from outside is escaped by Jinja's autoescape."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "utc": _utc,
            "iso": format_time,
            "roughly": _roughly,
            "joined": _joined,
        }
        self._environment.globals |= {"qr_svg": qr_svg, "return_after_s": RETURN_AFTER_S}

    def state(self, checkout: Checkout, selection: Selection, links: Links) -> StatePart:
        """The part that changes while somebody looks, for what that viewer has selected."""
        template = self._environment.get_template(f"parts/{checkout.part}.html")
        words = vars(template.make_module(_state_context(checkout, selection, links)))
        heading = str(words["heading"])
        html = self._environment.get_template("state.html").render(
            checkout=checkout, heading=heading, body=words["body"](), links=links
        )
        tag = hashlib.sha256(html.encode()).hexdigest()[:16]
        return StatePart(html=html, title=heading, tag=tag)

    def page(
        self,
        checkout: Checkout,
        selection: Selection,
        links: Links,
        *,
        now: int,
        stay: bool,
        notice: str | None = None,
    ) -> str:
        """The whole document. `stay` leaves out every reload and onward move that needs no JavaScript."""
        return self._environment.get_template("page.html").render(
            checkout=checkout,
            state=self.state(checkout, selection, links),
            selection=selection,
            links=links,
            now=now,
            refresh=None if stay else _refresh(checkout, selection, links),
            stay_href=f"{links.page}?{_query(selection, stay='1')}",
            notice=notice,
        )

    def message(self, title: str, text: str, *, static: str) -> str:
        """A page that only says something: unknown payment, or an error."""
        return self._environment.get_template("message.html").render(title=title, text=text, links={"static": static})


def _state_context(checkout: Checkout, selection: Selection, links: Links) -> dict[str, object]:
    choice = checkout.choice(selection)

    def href(*, token: str | None = None, qr: str | None = None) -> str:
        """This page with another token or QR code."""
        chosen = Selection(token=token or choice.token, qr=QrKind(qr) if qr else selection.qr)
        return f"{links.page}?{_query(chosen)}"

    return {"checkout": checkout, "choice": choice, "qr": selection.qr, "links": links, "href": href}


def _query(selection: Selection, **more: str) -> str:
    query: Mapping[str, str | None] = {"token": selection.token, "qr": selection.qr, **more}
    return urlencode({name: value for name, value in query.items() if value is not None})


def _refresh(checkout: Checkout, selection: Selection, links: Links) -> str | None:
    """The content of the meta refresh: reload while waiting, go on when paid, otherwise stay."""
    if not is_ended(checkout):
        return f"{REFRESH_S};url={links.page}?{_query(selection)}"
    if checkout.goes_on:
        return f"{RETURN_AFTER_S};url={checkout.success_url}"
    return None


def _utc(seconds: int) -> str:
    """Unix seconds as `26 March 2026, 13:30 UTC`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _roughly(seconds: int) -> str:
    """A wait in words that promise no more than they know."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {-(-seconds // 10) * 10} seconds"
    if seconds <= 90 * 60:
        return f"about {-(-seconds // 60)} minutes"
    hours = -(-seconds // 3_600)
    return f"about {hours} hours" if hours <= 48 else f"about {-(-hours // 24)} days"


def _joined(items: list[str] | tuple[str, ...]) -> str:
    """`USDT, USDC and BNB`."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last
