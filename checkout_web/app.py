"""The hosted page as an aiohttp application, to be mounted below one from `openpay.http.new_application`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from checkout_web.deps import Deps
from checkout_web.edge.compression import compress_texts
from checkout_web.edge.security import BASE_HEADERS, FILE_HEADERS, NO_FRAMES
from checkout_web.handlers.acting import Acting
from checkout_web.handlers.embedding import SCRIPT, Embedding
from checkout_web.handlers.files import Files
from checkout_web.handlers.looking import Looking
from checkout_web.handlers.viewing import Viewing
from checkout_web.site import FRAMED, Site, html_response, language_of
from checkout_web.words.marking import N_
from openpay.errors import CallerError, OpenPayError, RateLimited
from openpay.http.problems import status_of

_PAYMENT = "/{payment_id:[^/]{1,100}}"

_FILES = frozenset({"static", "theme", "logo", "script"})

_log = structlog.get_logger("checkout_web")


def build_app(deps: Deps) -> web.Application:
    """Build the sub-application. Its paths start at the payment's id: mount it at `/checkout`."""
    site = Site(deps)
    viewing, acting, files = Viewing(site), Acting(site), Files(site)
    looking = Looking(site)
    app = web.Application(middlewares=[compress_texts, _friendly_errors(site), _gate(site)])
    app.add_routes(
        [
            web.get("/static/{version}/{name}", files.static, name="static"),
            web.get("/theme/{version}/{accent}.css", files.theme, name="theme"),
            web.get("/logo/{hash:[0-9a-f]{16}}", files.logo, name="logo"),
            web.get(f"/{SCRIPT}", Embedding(site).script, name="script"),
            web.get(_PAYMENT, viewing.page, name="page"),
            web.get(_PAYMENT + "/state", viewing.state, name="state"),
            web.get(_PAYMENT + "/events", viewing.events, name="events", allow_head=False),
            web.post(_PAYMENT + "/cancel", acting.cancel, name="cancel"),
            web.post(_PAYMENT + "/retry", acting.retry, name="retry"),
            web.post(_PAYMENT + "/claim", acting.claim, name="claim"),
            web.get(_PAYMENT + "/claim", looking.back),
            web.get(_PAYMENT + "/claim-message", acting.claim_message, name="claim_message"),
            web.post(_PAYMENT + "/transactions", acting.report_transaction, name="transactions"),
            web.post(_PAYMENT + "/lookup", looking.look_up, name="lookup"),
            web.get(_PAYMENT + "/lookup", looking.back),
        ]
    )

    async def run_hub(app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(site.hub.run(), name="checkout hub")
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def close_hub(app: web.Application) -> None:
        # Event streams end before the server waits for its connections.
        site.hub.close()

    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(run_hub)
    app.on_shutdown.append(close_hub)
    return app


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    if request.match_info.route.name in _FILES:
        for name, value in FILE_HEADERS.items():
            response.headers.setdefault(name, value)  # openpay.js is for other sites
        return
    # Over what the application above chose for its own answers.
    response.headers.update(BASE_HEADERS if response.get(FRAMED) else {**BASE_HEADERS, **NO_FRAMES})


def _gate(site: Site) -> Middleware:
    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Before anything is read: forms of other sites are refused, and each client's requests counted."""
        if request.method == hdrs.METH_POST and request.match_info.route.name is not None:
            site.refuse_strangers(request)
        site.limits.take(request)
        return await handler(request)

    return gate


def _friendly_errors(site: Site) -> Middleware:
    @web.middleware
    async def friendly_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors as pages for people; programs get the problem documents of the application above."""
        retry_after: dict[str, str] = {}
        try:
            return await handler(request)
        except (CallerError, web.HTTPException) as error:
            status = error.status if isinstance(error, web.HTTPException) else status_of(error)
            if status < 400 or not _is_for_a_person(request):
                raise
            title, text = _WORDS.get(status, _WORDS[400])
            if isinstance(error, RateLimited):
                retry_after = {hdrs.RETRY_AFTER: str(error.retry_after_s)}
        except Exception as error:
            if not _is_for_a_person(request):
                raise
            _log.exception("page_failed", path=request.path)
            status = status_of(error) if isinstance(error, OpenPayError) else 500
            title, text = _WORDS[500]
        language, _ = language_of(request)
        at = site.page_address(request).partition("?")[0] if "payment_id" in request.match_info else request.path
        html = site.pages.message(title, text, at=at, static=site.static_base(request), language=language)
        response = html_response(html, language=language, status=status)
        response.headers.update(retry_after)
        return response

    return friendly_errors


_WORDS: Mapping[int, tuple[str, str]] = {
    400: (
        N_("This did not work"),
        N_("The request could not be understood. Go back to the shop and open the payment again."),
    ),
    403: (
        N_("This did not work"),
        N_("For your safety this can only be done from the payment’s own page. Open it again and repeat."),
    ),
    404: (
        N_("There is no such payment"),
        N_(
            "The link may be incomplete. Copy all of it, or go back to the shop and start the payment again. "
            "Do not send money to an address you had from elsewhere."
        ),
    ),
    429: (N_("One moment, please"), N_("This page was asked for too often. Wait a little and reload it.")),
    500: (
        N_("Something broke on our side"),
        N_(
            "Money you have sent is not lost: it is recorded on the network, and this page will show it. "
            "Reload the page in a minute."
        ),
    ),
}


def _is_for_a_person(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    name = None if resource is None else resource.name
    return name in {"page", "cancel", "retry", "claim", "lookup"} or (
        name is None and "text/html" in request.headers.get(hdrs.ACCEPT, "")
    )
