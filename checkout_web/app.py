"""The hosted page as an aiohttp application, to be mounted below one from `openpay.http.new_application`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from aiohttp_sse import sse_response

from checkout_web.assets import load_assets
from checkout_web.deps import Deps
from checkout_web.live import LiveHub
from checkout_web.opening import opened_by_a_person
from checkout_web.pages import Links, Pages, StatePart
from checkout_web.reader import Loaded, load, present_now
from checkout_web.security import BASE_HEADERS, content_security_policy, is_same_origin
from checkout_web.view import Checkout, QrKind, Selection
from openpay.chain.messages import recover_signer
from openpay.domain.address import to_checksum
from openpay.domain.payment import Status
from openpay.domain.refunds import Refund
from openpay.errors import CallerError, Conflict, Forbidden, Invalid, NotFound, OpenPayError
from openpay.http.bodies import read_json_object
from openpay.http.problems import status_of
from openpay.http.rates import RateLimit, RateLimiter

HEARTBEAT_S = 15.0
"""An event stream without news says so this often: pages that hear less turn to polling."""

REPORTS = RateLimit(requests=10, window_s=60)
"""Transactions a page may report for one payment: a customer's few tries, not a stranger's flood."""

CLAIMS = RateLimit(requests=10, window_s=60)
"""Addresses that may be named for one payment's refunds: each writes to the database."""

_CLAIM_FIELDS = ("refund", "destination", "signature")

_TX_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_PAYMENT = "/{payment_id:[^/]{1,100}}"

_log = structlog.get_logger("checkout_web")


def build_app(deps: Deps) -> web.Application:
    """Build the sub-application. Its paths start at the payment's id: mount it at `/checkout`."""
    handlers = _Handlers(deps)
    app = web.Application(middlewares=[handlers.friendly_errors])
    app.add_routes(
        [
            web.get("/static/{version}/{name}", handlers.static, name="static"),
            web.get(_PAYMENT, handlers.page, name="page"),
            web.get(_PAYMENT + "/state", handlers.state, name="state"),
            web.get(_PAYMENT + "/events", handlers.events, name="events", allow_head=False),
            web.post(_PAYMENT + "/cancel", handlers.cancel, name="cancel"),
            web.post(_PAYMENT + "/retry", handlers.retry, name="retry"),
            web.post(_PAYMENT + "/claim", handlers.claim, name="claim"),
            web.get(_PAYMENT + "/claim-message", handlers.claim_message, name="claim_message"),
            web.post(_PAYMENT + "/transactions", handlers.report_transaction, name="transactions"),
        ]
    )
    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(handlers.run_hub)
    app.on_shutdown.append(handlers.close_hub)
    return app


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(BASE_HEADERS)


class _Handlers:
    """One method for each route: parse, use case, render."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._pages = Pages()
        self._assets = load_assets(Path(__file__).parent / "static")
        self._hub = LiveHub(deps)
        self._reports = RateLimiter("transactions", REPORTS)
        self._claims = RateLimiter("claims", CLAIMS)

    # --- the page ------------------------------------------------------------------------------------------------

    async def page(self, request: web.Request) -> web.Response:
        """The whole document; opened by a person, it moves the payment from initiated to pending."""
        loaded = await self._load(request)
        if loaded.view.payment.status is Status.INITIATED and opened_by_a_person(request.method, request.headers):
            async with self._deps.db.write() as uow:
                await self._deps.payments.open(uow, loaded.view.payment.id)
            self._deps.signals.notify("payments", "events")
            loaded = await self._load(request)
        return self._page_response(request, loaded)

    def _page_response(
        self, request: web.Request, loaded: Loaded, *, status: int = 200, notice: str | None = None
    ) -> web.Response:
        checkout = present_now(self._deps, loaded)
        html = self._pages.page(
            checkout,
            selection_of(request.query),
            self._links(request),
            now=self._deps.payments.clock.now(),
            stay="stay" in request.query,
            notice=notice,
        )
        return _html(html, status=status, form_target=checkout.cancel_url if checkout.can_cancel else None)

    async def state(self, request: web.Request) -> web.Response:
        """The moving part as JSON, for pages that poll: 304 while nothing changed."""
        loaded = await self._load(request)
        part = self._state_part(request, present_now(self._deps, loaded))
        etag = f'"{part.tag}"'
        headers = {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "no-cache"}
        if etag in (candidate.strip() for candidate in request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")):
            return web.Response(status=304, headers=headers)
        body = part.message(self._deps.payments.clock.now())
        return web.Response(text=body, content_type="application/json", headers=headers)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The moving part as server-sent events, each with the part's tag as its id.

        A page that connects (again) names what it shows, by `Last-Event-ID` or `?tag=`, and is sent only what differs.
        """
        loaded = await self._load(request)
        seen = request.headers.get("Last-Event-ID") or request.query.get("tag")
        with self._hub.watch(loaded) as viewer:
            async with sse_response(request) as stream:
                with suppress(ConnectionResetError):
                    while stream.is_connected() and not self._hub.closed:
                        part, now = self._state_part(request, viewer.checkout), self._deps.payments.clock.now()
                        if part.tag != seen:
                            await stream.send(part.message(now), id=part.tag, event="state")
                            seen = part.tag
                        else:
                            await stream.send(str(now), event="alive")
                        await viewer.wait(HEARTBEAT_S)
        return stream

    def _state_part(self, request: web.Request, checkout: Checkout) -> StatePart:
        return self._pages.state(checkout, selection_of(request.query), self._links(request))

    # --- what the customer does ----------------------------------------------------------------------------------

    async def cancel(self, request: web.Request) -> web.Response:
        """Call the payment off, and go back to the shop. Shows why where that is no longer possible."""
        self._refuse_strangers(request)
        payment_id = request.match_info["payment_id"]
        try:
            async with self._deps.db.write() as uow:
                await self._deps.payments.cancel(uow, payment_id)
        except Conflict:
            notice = "This payment can no longer be canceled. This is where it stands."
            return self._page_response(request, await self._load(request), status=409, notice=notice)
        self._deps.signals.notify("payments", "events")
        checkout = present_now(self._deps, await self._load(request))
        location = checkout.cancel_url or self._links(request).page
        return web.Response(status=303, headers={hdrs.LOCATION: location})

    async def retry(self, request: web.Request) -> web.Response:
        """Start a new payment for the same order, and go to its page. Shows why where that is not possible."""
        self._refuse_strangers(request)
        payment_id = request.match_info["payment_id"]
        try:
            async with self._deps.db.write() as uow:
                retried = await self._deps.payments.retry(uow, payment_id)
        except (Conflict, Invalid) as refusal:
            status, notice = _RETRY_REFUSED[type(refusal)]
            return self._page_response(request, await self._load(request), status=status, notice=notice)
        self._deps.signals.notify("payments")
        page = request.app.router["page"].url_for(payment_id=retried.id)
        return web.Response(status=303, headers={hdrs.LOCATION: str(page)})

    async def report_transaction(self, request: web.Request) -> web.Response:
        """The wallet on the page sent a transaction: look for it by its hash, even if it fails on the chain."""
        self._refuse_strangers(request)
        loaded = await self._load(request)
        self._reports.take(request, loaded.view.payment.id)
        body = await read_json_object(request, optional=False)
        tx_hash = body.get("tx_hash")
        if not isinstance(tx_hash, str) or not _TX_HASH.fullmatch(tx_hash) or len(body) != 1:
            raise Invalid(
                'send {"tx_hash": "0x…"}: 0x and 64 hex digits, nothing else', code="invalid_tx_hash", param="tx_hash"
            )
        async with self._deps.db.write() as uow:
            await self._deps.payments.report_transaction(uow, loaded.view.payment.id, bytes.fromhex(tx_hash[2:]))
        return web.json_response({"tx_hash": tx_hash.lower()}, status=202)

    async def claim(self, request: web.Request) -> web.Response:
        """An address for a refund: signed by the wallet that paid it goes out by itself, else the merchant decides."""
        self._refuse_strangers(request)
        loaded = await self._load(request)
        payment = loaded.view.payment
        self._claims.take(request, payment.id)
        form = await request.post()
        refund_id, destination, signature = (str(form.get(name, "")).strip() for name in _CLAIM_FIELDS)
        self._refund(loaded, refund_id)  # anything else, such as a NUL, is no question for the database
        try:
            signer = None
            if signature:
                # Any well-formed signature recovers somebody; whose it has to be is the use case's to judge.
                signer = recover_signer(self._claim_text(loaded, refund_id, destination), signature)
                if signer is None:
                    raise Invalid("this is not a signature", code="invalid_signature", param="signature")
            async with self._deps.db.write() as uow:
                await self._deps.refunds.claim(uow, payment.id, refund_id, destination, signer=signer)
        except (Conflict, Forbidden, Invalid) as refusal:
            notice = _CLAIM_REFUSED.get(refusal.code, _CLAIM_REFUSED["invalid_state"])
            return self._page_response(request, await self._load(request), status=status_of(refusal), notice=notice)
        self._deps.signals.notify("payments", "operations")
        return web.Response(status=303, headers={hdrs.LOCATION: self._links(request).page})

    async def claim_message(self, request: web.Request) -> web.Response:
        """The text that the wallet signs, and whose signature counts."""
        loaded = await self._load(request)
        refund_id, destination = (request.query.get(name, "") for name in _CLAIM_FIELDS[:2])
        text = self._claim_text(loaded, refund_id, destination)
        sender = self._refund(loaded, refund_id).sender
        return web.json_response({"message": text, "sender": None if sender is None else to_checksum(sender)})

    def _claim_text(self, loaded: Loaded, refund_id: str, destination: str) -> str:
        return self._deps.refunds.message(loaded.view.payment, self._refund(loaded, refund_id), destination)

    @staticmethod
    def _refund(loaded: Loaded, refund_id: str) -> Refund:
        for refund in loaded.view.refunds:
            if refund.id == refund_id:
                return refund
        raise NotFound(f"no refund {refund_id[:60]!r}", code="refund_not_found")

    def _refuse_strangers(self, request: web.Request) -> None:
        own = {request.host.lower(), urlsplit(self._deps.public_url or "").netloc.lower()}
        if not is_same_origin(request.headers, own_hosts=frozenset(own)):
            raise Forbidden("This can only be done from the payment's own page.", code="cross_origin")

    # --- what all of them need -----------------------------------------------------------------------------------

    async def static(self, request: web.Request) -> web.Response:
        """A static file. For ever under its current version; a page from before an update gets today's, uncached."""
        asset = self._assets.files.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        current = request.match_info["version"] == self._assets.version
        cache = "public, max-age=31536000, immutable" if current else "no-cache"
        return web.Response(
            body=asset.body, content_type=asset.content_type, charset="utf-8", headers={hdrs.CACHE_CONTROL: cache}
        )

    async def run_hub(self, app: web.Application) -> AsyncIterator[None]:
        """Keep the hub running between the application's start and end."""
        task = asyncio.create_task(self._hub.run(), name="checkout hub")
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def close_hub(self, app: web.Application) -> None:
        """Let event streams end before the server waits for its connections."""
        self._hub.close()

    @web.middleware
    async def friendly_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors as pages for people; programs get the problem documents of the application above."""
        try:
            return await handler(request)
        except (CallerError, web.HTTPException) as error:
            status = error.status if isinstance(error, web.HTTPException) else status_of(error)
            if status < 400 or not _is_for_a_person(request):
                raise
            title, text = _WORDS.get(status, _WORDS[400])
        except Exception as error:
            if not _is_for_a_person(request):
                raise
            _log.exception("page_failed", path=request.path)
            status = status_of(error) if isinstance(error, OpenPayError) else 500
            title, text = _WORDS[500]
        return _html(self._pages.message(title, text, static=self._static_base(request)), status=status)

    async def _load(self, request: web.Request) -> Loaded:
        payment_id = request.match_info["payment_id"]
        async with self._deps.db.read() as uow:
            loaded = await load(self._deps, uow, payment_id)
        if loaded is None:
            raise NotFound(f"no payment {payment_id[:40]!r}", code="payment_not_found")
        return loaded

    def _links(self, request: web.Request) -> Links:
        payment_id = request.match_info["payment_id"]
        urls = {
            name: str(request.app.router[name].url_for(payment_id=payment_id))
            for name in ("page", "state", "events", "cancel", "retry", "claim", "claim_message")
        }
        return Links(**urls, static=self._static_base(request))

    def _static_base(self, request: web.Request) -> str:
        url = request.app.router["static"].url_for(version=self._assets.version, name="")
        return str(url).rstrip("/")


_WORDS: Mapping[int, tuple[str, str]] = {
    400: ("This did not work", "The request could not be understood. Go back to the shop and open the payment again."),
    403: (
        "This did not work",
        "For your safety this can only be done from the payment's own page. Open it again and repeat.",
    ),
    404: (
        "There is no such payment",
        "The link may be incomplete. Copy all of it, or go back to the shop and start the payment again. "
        "Do not send money to an address you had from elsewhere.",
    ),
    429: ("One moment, please", "This page was asked for too often. Wait a little and reload it."),
    500: (
        "Something broke on our side",
        "Money you have sent is not lost: it is recorded on the network, and this page will show it. "
        "Reload the page in a minute.",
    ),
}


_RETRY_REFUSED: Mapping[type[CallerError], tuple[int, str]] = {
    Conflict: (409, "This payment cannot be tried again. Start again in the shop."),
    Invalid: (422, "There is no fresh price for this payment's tokens at the moment. Try again in a minute."),
}


_CLAIM_REFUSED: Mapping[str, str] = {
    "invalid_address": "This is not an address, or a character of it is mistyped. Copy it from your wallet.",
    "invalid_destination": "Money sent to this address would be lost. Take one from your own wallet.",
    "invalid_signature": "The wallet’s answer is not a signature. Nothing was changed.",
    "not_the_sender": "This was signed by another wallet than the one that paid. Nothing was changed.",
    "already_claimed": "The wallet that paid has already said where it should go.",
    "invalid_state": "This refund can no longer be changed. This is where it stands.",
}


def selection_of(query: Mapping[str, str]) -> Selection:
    """What `?token=` and `?qr=` choose; unknown values choose nothing."""
    kind = query.get("qr", "")
    return Selection(token=query.get("token"), qr=QrKind(kind) if kind in set(QrKind) else QrKind.TRANSFER)


def _is_for_a_person(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    name = None if resource is None else resource.name
    return name in {"page", "cancel", "retry", "claim"} or (
        name is None and "text/html" in request.headers.get(hdrs.ACCEPT, "")
    )


def _html(html: str, *, status: int = 200, form_target: str | None = None) -> web.Response:
    return web.Response(
        text=html,
        status=status,
        content_type="text/html",
        headers={
            "Content-Security-Policy": content_security_policy(form_target=form_target),
            hdrs.CACHE_CONTROL: "no-store",
        },
    )
