"""What every handler of the page needs: a payment as read, the page's addresses, and documents made of both."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from aiohttp import hdrs, web
from yarl import URL

from checkout_web.content.answer import Answer
from checkout_web.content.reader import Loaded, load, present_now
from checkout_web.content.refunds import ClaimRefused
from checkout_web.content.view import Checkout, Part, QrKind, Selection
from checkout_web.deps import Deps
from checkout_web.drawing.accent import theme
from checkout_web.drawing.assets import load_assets
from checkout_web.drawing.pages import Links, Loads, Pages, StatePart
from checkout_web.edge.limits import Limits
from checkout_web.edge.security import allowed_embedder, content_security_policy, embedder_asked, is_same_origin
from checkout_web.live.hub import LiveHub
from checkout_web.words.language import QUERY, Language, choose_language
from openpay.errors import Forbidden, NotFound

FRAMED: web.ResponseKey[bool] = web.ResponseKey("openpay.framed", bool)
"""In an answer: a site's frame may show it, so that nothing else in its headers forbids that."""


LEAVING = "leaving"
"""In a page's address: its reader has just canceled, and wants to be back in the shop."""

LONGEST_WAY_BACK = 2_048
"""Characters of the shop's address as a header holds it: proxies refuse answers with much more than 4 kB of headers
(nginx by default), and a letter beyond ASCII takes up to twelve. The page has the same address as a link."""


@dataclass(frozen=True, kw_only=True)
class PageLook:
    """One way to show a payment. Equal for all who see the same, so that they share what is drawn."""

    pages: Pages
    selection: Selection
    links: Links

    def tag(self, checkout: Checkout) -> str:
        return self.pages.tag(checkout, self.selection, self.links)

    def draw(self, checkout: Checkout) -> StatePart:
        """The moving part."""
        return self.pages.state(checkout, self.selection, self.links)


_FORMS = frozenset({"cancel", "retry", "claim", "lookup"})
"""Sent by the browser itself: their addresses carry the chosen language. Scripts add it to theirs (words.js)."""


class Site:
    """The page's parts, put together once for the application. Attributes are for its handlers only."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
        self.pages = Pages()
        self.assets = load_assets(Path(__file__).parent / "static")
        self._modules = self.assets.modules("checkout.js")
        self.hub = LiveHub(deps)
        self.limits = Limits()

    async def load(self, request: web.Request) -> Loaded:
        """The payment that the address names. Raises `NotFound`."""
        payment_id = request.match_info["payment_id"]
        async with self.deps.db.read() as uow:
            loaded = await load(self.deps, uow, payment_id)
        if loaded is None:
            raise NotFound(f"no payment {payment_id[:40]!r}", code="payment_not_found")
        return loaded

    def links(self, request: web.Request, selection: Selection) -> Links:
        """Where this payment's page and its parts are, as the application is mounted."""
        carried = {QUERY: selection.lang, "embed": selection.embed}
        urls = {
            name: str(_url(request, name, carried if name in _FORMS else {}))
            for name in ("page", "state", "events", "cancel", "retry", "claim", "claim_message", "lookup")
        }
        return Links(**urls, static=self.static_base(request))

    def page_address(self, request: web.Request, payment_id: str | None = None, *, leaving: bool = False) -> str:
        """Where to send the customer after something was done: this payment's page or another's, in his language.
        `leaving`: once canceled, that page leads on to the shop, unless it is in the shop's frame."""
        _, lang = language_of(request)
        carried = {QUERY: lang, "embed": embedder_asked(request.query), LEAVING: "1" if leaving else None}
        return str(_url(request, "page", carried, payment_id))

    @staticmethod
    def see(address: str) -> web.Response:
        """Something was done: its page is to be looked at."""
        return web.Response(status=303, headers={hdrs.LOCATION: address})

    def loads(self, request: web.Request, checkout: Checkout) -> Loads:
        """What this payment's document loads besides the files that every page has."""
        router, accent = request.app.router, checkout.accent
        return Loads(
            modules=self._modules,
            theme=None
            if accent is None
            else str(router["theme"].url_for(version=theme(accent).version, accent=accent[1:])),
            logo=None if checkout.logo is None else str(router["logo"].url_for(hash=checkout.logo)),
        )

    def static_base(self, request: web.Request) -> str:
        """The address below which the static files are."""
        url = request.app.router["static"].url_for(version=self.assets.version, name="")
        return str(url).rstrip("/")

    def page_response(
        self,
        request: web.Request,
        loaded: Loaded,
        *,
        status: int = 200,
        notice: str | None = None,
        answer: Answer | None = None,
        claim_refused: ClaimRefused | None = None,
    ) -> web.Response:
        """The whole document; `notice` is said above everything else, `answer` and `claim_refused` where something was
        asked for."""
        checkout, selection = present_now(self.deps, loaded), selection_of(request, loaded)
        html = self.pages.page(
            checkout,
            selection,
            self.links(request, selection),
            loads=self.loads(request, checkout),
            now=self.deps.payments.clock.now(),
            stay="stay" in request.query,
            notice=notice,
            answer=answer,
            claim_refused=claim_refused,
        )
        response = html_response(html, language=selection.language, status=status, embedder=selection.embed)
        if LEAVING in request.query and checkout.part is Part.CANCELED and checkout.cancel_url and not selection.embed:
            # Not by the form's own redirect, which its policy keeps here; at once, so that there is nothing to stop.
            way_back = quote(checkout.cancel_url, safe=string.punctuation)
            if len(way_back) <= LONGEST_WAY_BACK:
                response.headers["Refresh"] = f"0;url={way_back}"
        return response

    def look(self, request: web.Request, loaded: Loaded) -> PageLook:
        """How the page of this request shows its payment: what the address selects."""
        selection = selection_of(request, loaded)
        return PageLook(pages=self.pages, selection=selection, links=self.links(request, selection))

    def answer_response(self, request: web.Request, loaded: Loaded, answer: Answer, *, status: int) -> web.Response:
        """What was found of a transaction, for the page's script."""
        checkout, (language, _) = present_now(self.deps, loaded), language_of(request)
        html = self.pages.answer(checkout, answer, language=language)
        return web.json_response({"html": html}, status=status, headers={hdrs.CACHE_CONTROL: "no-store"})

    def refuse_strangers(self, request: web.Request) -> None:
        """Raises `Forbidden` unless the page itself sent this."""
        own = {request.host.lower(), urlsplit(self.deps.public_url or "").netloc.lower()}
        if not is_same_origin(request.headers, own_hosts=frozenset(own)):
            raise Forbidden("This can only be done from the payment's own page.", code="cross_origin")


def _url(request: web.Request, name: str, query: Mapping[str, str | None], payment_id: str | None = None) -> URL:
    """Of this payment or another, carrying on what of `query` is there."""
    url = request.app.router[name].url_for(payment_id=payment_id or request.match_info["payment_id"])
    return url.with_query({key: value for key, value in query.items() if value is not None})


def selection_of(request: web.Request, loaded: Loaded) -> Selection:
    """What the address and the browser choose. Unknown values choose nothing, and are not repeated by the page."""
    kind, token = request.query.get("qr", ""), request.query.get("token")
    language, lang = language_of(request)
    return Selection(
        token=token if any(offer.token == token for offer in loaded.view.payment.offers) else None,
        qr=QrKind(kind) if kind in set(QrKind) else QrKind.TRANSFER,
        language=language,
        lang=lang,
        embed=allowed_embedder(request.query.get("embed"), loaded.merchant.embed_origins),
    )


def language_of(request: web.Request) -> tuple[Language, str | None]:
    """The language to answer in, and its code where the address asks for it."""
    return choose_language(request.query, request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))


def html_response(
    html: str,
    *,
    language: Language,
    status: int = 200,
    embedder: str | None = None,
) -> web.Response:
    """A document that may load and do only what its policy names, and is never kept.

    `embedder`: the one site that may show it in a frame, as `allowed_embedder` answers it.
    """
    response = web.Response(
        text=html,
        status=status,
        content_type="text/html",
        headers={
            "Content-Security-Policy": content_security_policy(embedder=embedder),
            hdrs.CACHE_CONTROL: "no-store",
            hdrs.CONTENT_LANGUAGE: language.tag,
            hdrs.VARY: hdrs.ACCEPT_LANGUAGE,
        },
    )
    response[FRAMED] = embedder is not None
    return response
