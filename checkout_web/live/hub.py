"""Tells open pages that their payment changed: one read of the database and one drawing for all viewers of a page.

An open page costs this process a connection, and a place here; what it shows is held once for all who see the same.
Pages are sent the newest content, never more often than there is any, and what was skipped in between is not missed.
"""

from __future__ import annotations

import asyncio
import pickle
import zlib
from collections import Counter, OrderedDict
from collections.abc import Awaitable
from dataclasses import replace
from typing import Protocol

import structlog

from checkout_web.content.reader import Loaded, load, present_now
from checkout_web.content.view import Checkout
from checkout_web.deps import Deps
from checkout_web.drawing.pages import StatePart
from checkout_web.live.pulse import Basis, Network, Pulse, pulse
from checkout_web.live.streams import Event, Heart, Stream
from openpay.errors import RateLimited

LEAST_PAUSE_S = 0.05
"""Between two readings, however many hints come: each new payment of a busy shop is one."""
KEPT_DRAWINGS = 64
"""Drawn parts kept for the next viewer of the same: about 10 kB each, and needed again within seconds or never."""
MOST_LOOKS = 100
"""Ways in which one payment's pages are shown here. Languages, tokens and QR codes make fewer; a stranger's invented
addresses make any number, each drawn anew with every change."""
SLICE = 200
"""Streams written to before others have their turn."""
LEAST_SHOWN = 20
"""Payments shown anew between two readings, however many hints come: a tenth of a second, and never none."""
NOTED_AT_ONCE = 1_000
"""Payments compared before others have their turn: some milliseconds."""

_log = structlog.get_logger(__name__)


class Look(Protocol):
    """How a page shows its payment: the choices of its viewer. Equal where the drawn parts are."""

    def tag(self, checkout: Checkout) -> str:
        """Different for different parts, without drawing them."""

    def draw(self, checkout: Checkout) -> StatePart:
        """The part itself."""

    def __hash__(self) -> int: ...


class _Watched:
    """A payment somebody is looking at: packed, since it is needed again only when what it looks like changes. The
    cursor is not: every block changes it, for all payments of its chain at once."""

    __slots__ = ("_cursor", "_packed", "_pulse", "basis", "shown")

    def __init__(self, loaded: Loaded, network: Network, *, now: int) -> None:
        self.shown: dict[Look, _Shown] = {}
        self._pulse: Pulse | None = None
        self.take(loaded)
        self.look_at(network, now=now)

    def take(self, loaded: Loaded) -> None:
        """Show this from now on."""
        self.basis = Basis.of(loaded.view.payment)
        packed = replace(loaded, view=replace(loaded.view, cursor=None))
        self._packed = zlib.compress(pickle.dumps(packed), level=1)

    def look_at(self, network: Network, *, now: int) -> bool:
        """Take over how far the network was read; whether that, or the time, changes what is shown."""
        before, self._pulse = self._pulse, pulse(self.basis, network, now=now)
        self._cursor = network.cursor
        return self._pulse != before

    @property
    def loaded(self) -> Loaded:
        """As it was packed, by this process, and the network as it is now."""
        loaded: Loaded = pickle.loads(zlib.decompress(self._packed))  # noqa: S301
        return replace(loaded, view=replace(loaded.view, cursor=self._cursor))


class _Shown:
    """A payment as some of its viewers see it."""

    __slots__ = ("look", "tag", "viewers", "watched")

    def __init__(self, watched: _Watched, look: Look, tag: str) -> None:
        self.watched, self.look, self.tag = watched, look, tag
        self.viewers: set[Viewer] = set()


class Viewer(Stream):
    """One open page's end of the hub. `client`: the address it is counted by."""

    __slots__ = ("_hub", "client", "shown")

    def __init__(self, hub: LiveHub, shown: _Shown, client: str) -> None:
        super().__init__()
        self._hub = hub
        self.shown = shown
        self.client = client

    def on_end(self) -> None:
        self._hub.leave(self)


class LiveHub:
    """Watches the payments that have viewers. `run` must be running for `watch` to be of use."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._watched: dict[str, _Watched] = {}
        self._unshown: dict[str, None] = {}
        """Payments whose content changed by the network's or the clock's doing, not drawn again yet, oldest first."""
        self.heart: Heart[Viewer] = Heart(self._beat)
        self._of_client: Counter[str] = Counter()
        self._drawings: OrderedDict[tuple[str, Look], StatePart] = OrderedDict()
        self._occupied = asyncio.Event()
        self._closed = False

    @property
    def viewers(self) -> int:
        """Open pages."""
        return len(self.heart)

    def admit(self, client: str) -> None:
        """Raises `RateLimited` while this process, or this client, has as many open pages as it may."""
        if self.viewers >= self._deps.max_viewers or self._of_client[client] >= self._deps.max_viewers_per_client:
            raise RateLimited("Too many open pages here; ask again for the state instead.", retry_after_s=10)

    def watch(self, loaded: Loaded, look: Look, *, client: str = "") -> Viewer:
        """Join the viewers of a payment just loaded, until the viewer ends. Raises `RateLimited` as `admit` does, and
        when the payment is shown in too many ways.

        The viewer hears nothing until its stream was opened; then `greet` says the first word.
        """
        self.admit(client)
        viewer = Viewer(self, self._shown(loaded, look), client)
        viewer.shown.viewers.add(viewer)
        self._of_client[client] += 1
        self.heart.add(viewer)
        self._occupied.set()
        return viewer

    def _shown(self, loaded: Loaded, look: Look) -> _Shown:
        payment = loaded.view.payment
        watched = self._watched.get(payment.id)
        if watched is None:
            network = Network.now(self._deps.payments, livemode=payment.livemode, cursor=loaded.view.cursor)
            watched = _Watched(loaded, network, now=self._deps.payments.clock.now())
        shown = watched.shown.get(look)
        if shown is None:
            if len(watched.shown) >= MOST_LOOKS:
                raise RateLimited("Too many kinds of this page are open; ask for the state instead.", retry_after_s=10)
            tag = look.tag(present_now(self._deps, watched.loaded))
            shown = watched.shown[look] = _Shown(watched, look, tag)
            self._watched[payment.id] = watched  # only now: what cannot be shown is not watched
        return shown

    def leave(self, viewer: Viewer) -> None:
        """For a viewer that ended."""
        self.heart.discard(viewer)
        self._of_client[viewer.client] -= 1
        if not self._of_client[viewer.client]:
            del self._of_client[viewer.client]
        shown = viewer.shown
        watched = shown.watched
        shown.viewers.discard(viewer)
        if not shown.viewers:
            del watched.shown[shown.look]
        if not watched.shown:
            payment_id = watched.basis.payment_id
            del self._watched[payment_id]
            self._unshown.pop(payment_id, None)
        if not self._watched:
            self._occupied.clear()

    def greet(self, viewer: Viewer) -> None:
        """The first word on an opened stream: the content, unless the page shows it already."""
        if self._closed:
            viewer.end()
        else:
            self._beat(viewer)

    def _beat(self, viewer: Viewer) -> None:
        """Say what there is to say: mostly that nothing happened, else what its reader was too slow for."""
        shown = viewer.shown
        if viewer.tag == shown.tag:
            viewer.send(Event.of(name="alive", data=str(self._deps.payments.clock.now())))
        else:
            viewer.send(self._event(shown))

    def close(self) -> None:
        """Let every stream end, so that the process can stop; pages connect again elsewhere."""
        self._closed = True
        self.heart.end_all()

    async def run(self) -> None:
        """Look for changes once per tick, and at once when told of one, for as long as anybody is looking."""
        beating = asyncio.create_task(self.heart.run(), name="checkout heartbeat")
        hint = self._next_hint()
        try:
            while True:
                await self._occupied.wait()
                shown = 0
                while self._unshown and (shown < LEAST_SHOWN or not hint.done()):
                    await self._logged(self._show(next(iter(self._unshown))))
                    await asyncio.sleep(0)
                    shown += 1
                await hint
                # Listening again before reading: a change during the read is not slept through.
                hint = self._next_hint()
                await self._logged(self.refresh())
                await asyncio.sleep(LEAST_PAUSE_S)
        finally:
            hint.cancel()
            beating.cancel()

    def _next_hint(self) -> asyncio.Task[bool]:
        return asyncio.create_task(self._deps.signals.wait("payments", timeout_s=self._deps.tick_s))

    @staticmethod
    async def _logged(work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001  # whatever it was: pages keep what they show, and the next tick tries again
            _log.exception("open checkout pages could not be refreshed")

    async def refresh(self) -> None:
        """Read what changed and show it: one transaction, whatever the number of viewers.

        Payments that changed come first. What the network or the clock changed, perhaps on every page at once, is only
        noted: drawing thousands of pages takes a while, and the next payment is not to wait for it.
        """
        if not self._watched:
            return
        watching = dict(self._watched)
        chain_ids = {watched.basis.chain_id for watched in watching.values()}
        async with self._deps.db.read() as uow:
            cursors = {chain_id: await uow.chain.cursor(chain_id) for chain_id in chain_ids}
            versions = await uow.payments.versions(watching.keys())
            changed = {
                payment_id: await load(self._deps, uow, payment_id)
                for payment_id, watched in watching.items()
                if versions.get(payment_id) != watched.basis.version
            }
        networks: dict[tuple[int, bool], Network] = {}
        for count, (payment_id, watched) in enumerate(watching.items(), start=1):
            basis, newer = watched.basis, changed.get(payment_id)
            place = basis.chain_id, basis.livemode
            network = networks.get(place)
            if network is None:
                cursor = cursors[basis.chain_id]
                network = networks[place] = Network.now(self._deps.payments, livemode=basis.livemode, cursor=cursor)
            if newer is not None:
                watched.take(newer)
            # Cheap, since it is done for every page with every block.
            if watched.look_at(network, now=self._deps.payments.clock.now()) or newer is not None:
                self._unshown[payment_id] = None
            if count % NOTED_AT_ONCE == 0:
                await asyncio.sleep(0)
        for payment_id in changed:
            await self._show(payment_id)

    async def _show(self, payment_id: str) -> None:
        """Present a payment as it is now, and send the new content to all who do not have it."""
        self._unshown.pop(payment_id, None)
        watched = self._watched.get(payment_id)
        if watched is None:
            return
        checkout = present_now(self._deps, watched.loaded)
        for shown in tuple(watched.shown.values()):
            tag = shown.look.tag(checkout)
            if tag == shown.tag:
                continue
            shown.tag = tag
            event = self._event(shown)
            for count, viewer in enumerate(tuple(shown.viewers), start=1):
                viewer.send(event)
                if count % SLICE == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)  # each drawing takes milliseconds

    def _event(self, shown: _Shown) -> Event:
        """The content as an event, drawn once for all who see the same."""
        key = shown.watched.basis.payment_id, shown.look
        part = self._drawings.pop(key, None)
        if part is None or part.tag != shown.tag:
            part = shown.look.draw(present_now(self._deps, shown.watched.loaded))
        self._drawings[key] = part
        if len(self._drawings) > KEPT_DRAWINGS:
            self._drawings.popitem(last=False)
        return Event.of(name="state", tag=part.tag, data=part.message(self._deps.payments.clock.now()))
