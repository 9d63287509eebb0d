"""Templates and what they are given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from checkout_web.content.answer import Answer
from checkout_web.content.refunds import ClaimRefused
from checkout_web.content.view import Checkout, QrKind, Selection, is_ended
from checkout_web.drawing.qr import qr_svg
from checkout_web.words.catalogues import load_wordings
from checkout_web.words.figures import spaced, told
from checkout_web.words.language import LANGUAGES, QUERY, Language
from checkout_web.words.script_words import EMBED_WORDS, SCRIPT_WORDS
from checkout_web.words.wording import Wording
from openpay.domain.time import format_time
from openpay.errors import InvariantViolated

TEMPLATES = Path(__file__).parents[1] / "templates"

REFRESH_S = 15
"""How often the page reloads itself where JavaScript is off and there is something to wait for."""
RETURN_AFTER_S = 8
"""How long the success page stays before it goes on to the merchant."""

_WORDS_OF_PARTS = {".html", ".po", ".mo"}
"""The files that parts are drawn from: a page from before an update of them is sent its part again."""


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
    lookup: str
    static: str


@dataclass(frozen=True, kw_only=True)
class Loads:
    """What only the whole document loads. `modules`: names of the scripts it starts with, each below `static`; `theme`:
    the stylesheet of the merchant's colour."""

    modules: tuple[str, ...]
    theme: str | None
    logo: str | None


@dataclass(frozen=True, kw_only=True)
class StatePart:
    """The moving half of the page. Where `tag` is equal, so are `html` and its language."""

    html: str
    title: str
    tag: str

    def message(self, now: int) -> str:
        """The JSON that open pages are sent; `now` in Unix seconds lets them correct their own clock."""
        return json.dumps({"tag": self.tag, "title": self.title, "html": self.html, "now": now}, ensure_ascii=False)


class Pages:
    """Renders documents and state parts. Everything from outside is escaped by Jinja's autoescape."""

    def __init__(self) -> None:
        texts = (path.read_bytes() for path in sorted(TEMPLATES.parent.rglob("*")) if path.suffix in _WORDS_OF_PARTS)
        self._templates = hashlib.sha256(b"\0".join(texts)).hexdigest()
        self._wordings = load_wordings()
        self._environments = {code: _environment(wording) for code, wording in self._wordings.items()}

    def state(
        self, checkout: Checkout, selection: Selection, links: Links, *, claim_refused: ClaimRefused | None = None
    ) -> StatePart:
        """The part that changes while somebody looks, for what that viewer has selected. `claim_refused` is the answer
        to one form, shown until something changes: the tag leaves it out."""
        environment = self._environments[selection.language.code]
        template = environment.get_template(f"parts/{checkout.part}.html")
        words = vars(template.make_module(_state_context(checkout, selection, links)))
        heading = str(words["heading"])
        html = environment.get_template("state.html").render(
            checkout=checkout,
            heading=heading,
            body=words["body"](),
            farewell=words["farewell"]() if "farewell" in words else "",
            links=links,
            claim_refused=claim_refused,
        )
        return StatePart(html=html, title=heading, tag=self.tag(checkout, selection, links))

    def tag(self, checkout: Checkout, selection: Selection, links: Links) -> str:
        """Names what `state` would draw, without drawing it: of all it is drawn from."""
        drawn_from = repr((self._templates, checkout, selection, links))
        return hashlib.sha256(drawn_from.encode()).hexdigest()[:16]

    def page(
        self,
        checkout: Checkout,
        selection: Selection,
        links: Links,
        *,
        loads: Loads,
        now: int,
        stay: bool,
        notice: str | None = None,
        answer: Answer | None = None,
        claim_refused: ClaimRefused | None = None,
    ) -> str:
        """The whole document. `stay` leaves out every reload and onward move that needs no JavaScript; `notice` is an
        English text marked for translation; `answer` is what was found of a transaction; neither that nor
        `claim_refused` is reloaded away."""
        code = selection.language.code
        if claim_refused and not any(
            line.id == claim_refused.refund_id and line.claimable for line in checkout.refunds
        ):
            notice = claim_refused.text  # there is no form left to say it at
            claim_refused = None
        return (
            self._environments[code]
            .get_template("page.html")
            .render(
                checkout=checkout,
                state=self.state(checkout, selection, links, claim_refused=claim_refused),
                languages=_languages(links.page, selection),
                framed_by=selection.embed,
                links=links,
                loads=loads,
                now=now,
                refresh=None if stay or answer or claim_refused else _refresh(checkout, selection, links),
                stay_href=f"{links.page}?{_query(selection, stay='1')}",
                notice=notice and self._wordings[code].gettext(notice),
                answer=answer,
                lookup_action=f"{links.lookup.partition('?')[0]}?{_query(selection)}",
                page_href=f"{links.page}?{_query(selection)}",
            )
        )

    def answer(self, checkout: Checkout, answer: Answer, *, language: Language) -> str:
        """What was found of a transaction, alone."""
        module = self._environments[language.code].get_template("lookup.html").make_module()
        return str(vars(module)["found"](checkout, answer))

    def message(self, title: str, text: str, *, at: str, static: str, language: Language) -> str:
        """A page that only says something: unknown payment, or an error. Both are texts marked for translation; `at` is
        the address to ask for it in another language."""
        say = self._wordings[language.code].gettext
        template = self._environments[language.code].get_template("message.html")
        languages = _languages(at, Selection(language=language))
        return template.render(title=say(title), text=say(text), languages=languages, links={"static": static})

    def with_embed_words(self, script: bytes) -> bytes:
        """The script that shops embed, speaking every language instead of English alone."""
        words = {code: [wording.gettext(text) for text in EMBED_WORDS] for code, wording in self._wordings.items()}
        english, every = (
            f"const WORDS = {json.dumps(each, ensure_ascii=False)};".encode() for each in ({"en": EMBED_WORDS}, words)
        )
        if script.count(english) != 1:
            raise InvariantViolated(f"the embedded script does not hold {english!r} once")
        return script.replace(english, every)


@cache
def _environment(wording: Wording) -> Environment:
    """Templates that speak one language, compiled once by a process."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    # What the extension adds to an environment, unknown to its type.
    environment.install_gettext_callables(wording.gettext, wording.ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {
        "count": wording.count,
        "figure": wording.figure,
        "iso": format_time,
        "isolated": wording.isolated,
        "joined": wording.joined,
        "money": wording.money,
        "roughly": wording.roughly,
        "spaced": spaced,
        "told": told,
        "utc": wording.utc,
    }
    environment.globals |= {
        "language": wording.language,
        "qr_svg": qr_svg,
        "return_after_s": RETURN_AFTER_S,
        "script_words": _data_block(wording.script_words(SCRIPT_WORDS)),
    }
    return environment


def _data_block(content: object) -> Markup:
    """JSON to stand in a `<script type="application/json">`, which `<` could end (HTML Standard, 4.12.1.3)."""
    return Markup(json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))  # noqa: S704


def _state_context(checkout: Checkout, selection: Selection, links: Links) -> dict[str, object]:
    choice = checkout.choice(selection)

    def href(*, token: str | None = None, qr: str | None = None) -> str:
        """This page with another token or QR code."""
        chosen = replace(selection, token=token or choice.token, qr=QrKind(qr) if qr else selection.qr)
        return f"{links.page}?{_query(chosen)}"

    return {"checkout": checkout, "choice": choice, "qr": selection.qr, "links": links, "href": href}


def _languages(page: str, selection: Selection) -> tuple[tuple[Language, str], ...]:
    """Every language with the address of the page, as selected, in it."""
    return tuple(
        (language, f"{page}?{_query(replace(selection, lang=language.code))}") for language in LANGUAGES.values()
    )


def _query(selection: Selection, **more: str) -> str:
    query: Mapping[str, str | None] = {
        "token": selection.token,
        "qr": selection.qr,
        QUERY: selection.lang,
        "embed": selection.embed,
        **more,
    }
    return urlencode({name: value for name, value in query.items() if value is not None})


def _refresh(checkout: Checkout, selection: Selection, links: Links) -> str | None:
    """The content of the meta refresh: reload while waiting, go on when paid, otherwise stay."""
    if not is_ended(checkout):
        return f"{REFRESH_S};url={links.page}?{_query(selection)}"
    if checkout.goes_on and selection.embed is None:
        return f"{RETURN_AFTER_S};url={checkout.success_url}"
    return None
