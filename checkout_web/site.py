"""What every handler of the page needs: a payment as read, the page's addresses, and documents made of both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from checkout_web.accent import theme
from checkout_web.answer import Answer
from checkout_web.assets import load_assets
from checkout_web.deps import Deps
from checkout_web.live import LiveHub
from checkout_web.pages import Links, Loads, Pages, StatePart
from checkout_web.reader import Loaded, load, present_now
from checkout_web.security import content_security_policy, is_same_origin
from checkout_web.view import Checkout, QrKind, Selection
from openpay.errors import Forbidden, NotFound


class Site:
    """The page's parts, put together once for the application. Attributes are for its handlers only."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
        self.pages = Pages()
        self.assets = load_assets(Path(__file__).parent / "static")
        self._modules = self.assets.modules("checkout.js")
        self.hub = LiveHub(deps)

    async def load(self, request: web.Request) -> Loaded:
        """The payment that the address names. Raises `NotFound`."""
        payment_id = request.match_info["payment_id"]
        async with self.deps.db.read() as uow:
            loaded = await load(self.deps, uow, payment_id)
        if loaded is None:
            raise NotFound(f"no payment {payment_id[:40]!r}", code="payment_not_found")
        return loaded

    def links(self, request: web.Request) -> Links:
        """Where this payment's page and its parts are, as the application is mounted."""
        payment_id = request.match_info["payment_id"]
        urls = {
            name: str(request.app.router[name].url_for(payment_id=payment_id))
            for name in ("page", "state", "events", "cancel", "retry", "claim", "claim_message", "lookup")
        }
        return Links(**urls, static=self.static_base(request))

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
    ) -> web.Response:
        """The whole document; `notice` is said above everything else, `answer` where it was asked for."""
        checkout = present_now(self.deps, loaded)
        html = self.pages.page(
            checkout,
            selection_of(request.query),
            self.links(request),
            loads=self.loads(request, checkout),
            now=self.deps.payments.clock.now(),
            stay="stay" in request.query,
            notice=notice,
            answer=answer,
        )
        return html_response(html, status=status, form_target=checkout.cancel_url if checkout.can_cancel else None)

    def state_part(self, request: web.Request, checkout: Checkout) -> StatePart:
        """The moving part, for what the address selects."""
        return self.pages.state(checkout, selection_of(request.query), self.links(request))

    def answer_response(self, request: web.Request, loaded: Loaded, answer: Answer, *, status: int) -> web.Response:
        """What was found of a transaction, for the page's script."""
        checkout, language = present_now(self.deps, loaded), selection_of(request.query).language
        html = self.pages.answer(checkout, answer, language=language)
        return web.json_response({"html": html}, status=status, headers={hdrs.CACHE_CONTROL: "no-store"})

    def refuse_strangers(self, request: web.Request) -> None:
        """Raises `Forbidden` unless the page itself sent this."""
        own = {request.host.lower(), urlsplit(self.deps.public_url or "").netloc.lower()}
        if not is_same_origin(request.headers, own_hosts=frozenset(own)):
            raise Forbidden("This can only be done from the payment's own page.", code="cross_origin")


def selection_of(query: Mapping[str, str]) -> Selection:
    """What `?token=` and `?qr=` choose; unknown values choose nothing."""
    kind = query.get("qr", "")
    return Selection(token=query.get("token"), qr=QrKind(kind) if kind in set(QrKind) else QrKind.TRANSFER)


def html_response(html: str, *, status: int = 200, form_target: str | None = None) -> web.Response:
    """A document that may load and do only what its policy names, and is never kept."""
    return web.Response(
        text=html,
        status=status,
        content_type="text/html",
        headers={
            "Content-Security-Policy": content_security_policy(form_target=form_target),
            hdrs.CACHE_CONTROL: "no-store",
        },
    )
