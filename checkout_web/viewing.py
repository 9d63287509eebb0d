"""Looking at a payment: the document, its moving part for polling, and the same as a stream."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import hdrs, web
from aiohttp_sse import sse_response

from checkout_web.opening import opened_by_a_person
from checkout_web.reader import present_now
from checkout_web.site import Site
from openpay.domain.payment import Status

HEARTBEAT_S = 15.0
"""An event stream without news says so this often: pages that hear less turn to polling."""


class Viewing:
    """Handlers that read. Only the first view by a person changes anything: the payment is no longer just initiated."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, request: web.Request) -> web.Response:
        """The whole document; opened by a person, it moves the payment from initiated to pending."""
        loaded = await self._site.load(request)
        if loaded.view.payment.status is Status.INITIATED and opened_by_a_person(request.method, request.headers):
            async with self._site.deps.db.write() as uow:
                await self._site.deps.payments.open(uow, loaded.view.payment.id)
            self._site.deps.signals.notify("payments", "events")
            loaded = await self._site.load(request)
        return self._site.page_response(request, loaded)

    async def state(self, request: web.Request) -> web.Response:
        """The moving part as JSON, for pages that poll: 304 while nothing changed."""
        loaded = await self._site.load(request)
        part = self._site.state_part(request, present_now(self._site.deps, loaded))
        etag = f'"{part.tag}"'
        headers = {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "no-cache"}
        # Compared weakly: a compressed answer carried the same tag with W/ before it.
        asked = (candidate.strip() for candidate in request.headers.get(hdrs.IF_NONE_MATCH, "").split(","))
        if etag in (candidate.removeprefix("W/") for candidate in asked):
            return web.Response(status=304, headers=headers)
        body = part.message(self._site.deps.payments.clock.now())
        return web.Response(text=body, content_type="application/json", headers=headers)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The moving part as server-sent events, each with the part's tag as its id.

        A page that connects (again) names what it shows, by `Last-Event-ID` or `?tag=`, and is sent only what differs.
        """
        loaded = await self._site.load(request)
        seen = request.headers.get("Last-Event-ID") or request.query.get("tag")
        with self._site.hub.watch(loaded) as viewer:
            async with sse_response(request) as stream:
                with suppress(ConnectionResetError):
                    while stream.is_connected() and not self._site.hub.closed:
                        part, now = (
                            self._site.state_part(request, viewer.checkout),
                            self._site.deps.payments.clock.now(),
                        )
                        if part.tag != seen:
                            await stream.send(part.message(now), id=part.tag, event="state")
                            seen = part.tag
                        else:
                            await stream.send(str(now), event="alive")
                        await viewer.wait(HEARTBEAT_S)
        return stream
