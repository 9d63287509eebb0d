"""Looking at a payment: the document, its moving part for polling, and the same as a stream."""

from __future__ import annotations

from aiohttp import hdrs, web

from checkout_web.content.reader import present_now
from checkout_web.edge.compression import has_current
from checkout_web.edge.limits import client_of
from checkout_web.edge.opening import opened_by_a_person
from checkout_web.live.streams import HEADERS as STREAM_HEADERS
from checkout_web.site import Site
from openpay.domain.payment import Status

_TAG_LENGTH = 16


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
        checkout, look = present_now(self._site.deps, loaded), self._site.look(request, loaded)
        etag = f'"{look.tag(checkout)}"'
        now = self._site.deps.payments.clock.now()
        # Also beside 304, which carries nothing else: a page whose own clock jumped corrects its countdown by it.
        headers = {
            "Openpay-Now": str(now),
            hdrs.ETAG: etag,
            hdrs.CACHE_CONTROL: "no-cache",
            hdrs.VARY: hdrs.ACCEPT_LANGUAGE,
        }
        if has_current(request, etag):
            return web.Response(status=304, headers=headers)
        body = look.draw(checkout).message(now)
        return web.Response(text=body, content_type="application/json", headers=headers)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The moving part as server-sent events, each with the part's tag as its id.

        A page that connects (again) names what it shows, by `Last-Event-ID` or `?tag=`, and is sent only what differs.
        """
        client = client_of(request)
        self._site.hub.admit(client)
        # No longer than tags are: it is kept for as long as the page is open.
        seen = (request.headers.get("Last-Event-ID") or request.query.get("tag", ""))[:_TAG_LENGTH]
        response = web.StreamResponse(headers=STREAM_HEADERS)
        response.force_close()  # the connection is the stream's from now on
        loaded = await self._site.load(request)
        with self._site.hub.watch(loaded, self._site.look(request, loaded), client=client) as viewer:
            try:
                await response.prepare(request)
            except ConnectionResetError:
                return response  # the reader left before the first word: nobody's error
            viewer.open(request, seen=seen)
            self._site.hub.greet(viewer)
            viewer.take_over(request)
        return response
