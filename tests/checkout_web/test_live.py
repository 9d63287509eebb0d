"""Open pages hear of changes, at one read for all of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, make_mocked_request

from checkout_web.content.reader import Loaded, load, present_now
from checkout_web.content.view import Checkout, Part
from checkout_web.deps import Deps
from checkout_web.drawing.pages import StatePart
from checkout_web.live.hub import MOST_LOOKS, LiveHub, Viewer
from checkout_web.live.pulse import Basis, Network, Pulse, pulse
from checkout_web.live.streams import HEARTBEAT_S, STUCK_S
from openpay.app.merchants import change_page
from openpay.app.ports import UnitOfWork
from openpay.domain.payment import Payment
from openpay.errors import InvariantViolated, RateLimited
from openpay.store import Store
from tests.checkout_web.scenes import WHOLE, Shop

Client = TestClient[web.Request, web.Application]
Connect = Callable[[web.Application], Awaitable[Client]]

NEVER_S = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Event:
    name: str
    id: str | None
    data: Any


@asynccontextmanager
async def stream(client: Client, payment: Payment, query: str = "", **headers: str) -> AsyncIterator[ClientResponse]:
    answer = await client.get(f"/checkout/{payment.id}/events{query}", headers=headers)
    try:
        yield answer
    finally:
        answer.close()


async def next_event(answer: ClientResponse) -> Event:
    """The next event of a stream, comments left out (HTML Standard, server-sent events)."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(60):
        while True:
            line = (await answer.content.readline()).decode().rstrip("\r\n")
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields and not line:
                return Event(name=fields["event"], id=fields.get("id"), data=json.loads(fields["data"]))


async def test_a_page_is_sent_its_state_and_then_every_change(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    async with stream(client, payment) as events:
        assert events.content_type == "text/event-stream"
        first = await next_event(events)
        assert first.name == "state"
        assert first.id == first.data["tag"]
        assert 'data-part="waiting"' in first.data["html"]
        await shop.pay(payment)
        assert 'data-part="confirming"' in (await next_event(events)).data["html"]
        await shop.mine()
        assert "2</span> of 12 confirmations" in (await next_event(events)).data["html"]
        await shop.confirm(payment)
        while 'data-part="paid"' not in (await next_event(events)).data["html"]:
            pass


async def test_changes_by_another_process_are_seen_without_a_signal(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=0.05))
    payment = await shop.create()
    async with stream(client, payment) as events:
        await next_event(events)
        async with shop.store.write() as uow:
            await shop.service.cancel(uow, payment.id)
        assert 'data-part="canceled"' in (await next_event(events)).data["html"]


async def test_the_deadline_passing_is_a_change(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=0.05))
    payment = await shop.create()
    async with stream(client, payment) as events:
        await next_event(events)
        shop.clock.seconds = payment.deadline + 1
        assert 'data-part="closing"' in (await next_event(events)).data["html"]


async def test_the_age_of_the_view_is_told_as_it_grows_and_when_it_is_over(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=0.05))
    payment = await shop.create()
    async with stream(client, payment) as events:
        assert "Catching up" not in (await next_event(events)).data["html"]
        for waited_s, words in ((60, "about 60 seconds"), (120, "about 3 minutes")):
            shop.clock.seconds += waited_s
            assert f"Catching up with the network: {words} behind." in (await next_event(events)).data["html"]
        await shop.mine()
        assert "Catching up" not in (await next_event(events)).data["html"]


async def test_each_viewer_sees_the_token_it_chose(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application())
    payment = await shop.create()
    async with stream(client, payment, "?token=USDC&qr=address") as events:
        html = (await next_event(events)).data["html"]
    assert 'id="token-USDC" href=' in html
    assert "QR code with the address only" in html


@pytest.mark.parametrize("how", ["Last-Event-ID", "tag"])
async def test_a_page_that_reconnects_is_not_sent_what_it_shows(shop: Shop, aiohttp_client: Connect, how: str) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    async with stream(client, payment) as events:
        tag = (await next_event(events)).id
    assert tag is not None
    again = stream(client, payment, f"?tag={tag}") if how == "tag" else stream(client, payment, **{how: tag})
    async with again as events:
        assert (await next_event(events)).name == "alive"
        await shop.pay(payment)
        while (event := await next_event(events)).name == "alive":
            pass  # a heartbeat, on a slow machine
        assert 'data-part="confirming"' in event.data["html"]
    async with stream(client, payment, **{"Last-Event-ID": tag}) as events:
        assert 'data-part="confirming"' in (await next_event(events)).data["html"]


@pytest.mark.parametrize("query", ["", "?lang=tr", "?token=USDC&qr=address", "?embed=https://shop.example&lang=ar"])
async def test_page_and_stream_agree_on_what_the_page_shows(shop: Shop, aiohttp_client: Connect, query: str) -> None:
    async with shop.store.write() as uow:
        await change_page(uow, shop.merchant.id, accent="#aa3300", embed_origins=("https://shop.example",))
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    document = await (await client.get(f"/checkout/{payment.id}{query}")).text()
    (tag,) = re.findall(r'data-tag="([0-9a-f]+)"', document)
    state = await client.get(f"/checkout/{payment.id}/state{query}", headers={"If-None-Match": f'W/"x", W/"{tag}"'})
    assert state.status == 304
    async with stream(client, payment, f"{query or '?'}&tag={tag}") as events:
        assert (await next_event(events)).name == "alive"


async def test_an_unknown_payment_has_no_events(aiohttp_client: Connect, shop: Shop) -> None:
    client = await aiohttp_client(shop.application())
    assert (await client.get("/checkout/pay_000000000000000000000000/events")).status == 404


async def test_streams_above_the_limit_are_refused_and_their_pages_may_poll(
    shop: Shop, aiohttp_client: Connect
) -> None:
    client = await aiohttp_client(shop.application(max_viewers=1))
    payment = await shop.create()
    async with stream(client, payment) as first:
        await next_event(first)
        async with stream(client, payment) as second:
            assert second.status == 429
            assert second.headers["Retry-After"] == "10"
        assert (await client.get(f"/checkout/{payment.id}/state")).status == 200


async def test_open_streams_end_when_the_server_stops(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=NEVER_S))
    payment = await shop.create()
    async with stream(client, payment) as events:
        await next_event(events)
        async with asyncio.timeout(60):
            await client.server.close()
            assert await events.content.read() == b""


# --- the hub -----------------------------------------------------------------------------------------------------


class CountingStore:
    """A database that counts its reading transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0
        self.write = store.write

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        self.reads += 1
        async with self._store.read() as uow:
            yield uow


@pytest.fixture
def counting(shop: Shop) -> CountingStore:
    return CountingStore(shop.store)


@pytest.fixture
def hub(shop: Shop, counting: CountingStore) -> LiveHub:
    return LiveHub(Deps(db=counting, payments=shop.service, signals=shop.signals, max_viewers=200))


@dataclass(frozen=True)
class CountedLook:
    """A look that counts how often it is drawn."""

    token: str = "USDT"
    drawn: list[str] = field(default_factory=list, compare=False)

    def tag(self, checkout: Checkout) -> str:
        return f"{checkout.part}-{checkout.confirmations}-{self.token}"

    def draw(self, checkout: Checkout) -> StatePart:
        self.drawn.append(self.token)
        return StatePart(html=checkout.part, title="", tag=self.tag(checkout))


class Line(asyncio.Transport):
    """A connection that keeps what is written; `unread` of it was not taken by the reader."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unread = 0
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


def greeted(hub: LiveHub, viewer: Viewer, seen: str | None = None) -> Line:
    """Open the stream on a line of its own, and let the hub say its first word."""
    line = Line()
    request = make_mocked_request("GET", "/", transport=line)
    viewer.open(request, seen=seen)
    hub.greet(viewer)
    return line


async def loaded(shop: Shop, payment: Payment) -> Loaded:
    deps = Deps(db=shop.store, payments=shop.service, signals=shop.signals)
    async with shop.store.read() as uow:
        found = await load(deps, uow, payment.id)
    assert found is not None
    return found


async def test_a_hundred_viewers_cost_one_read_and_one_drawing(
    shop: Shop, counting: CountingStore, hub: LiveHub
) -> None:
    payment, look = await shop.create(), CountedLook()
    with ExitStack() as open_pages:
        viewers = [open_pages.enter_context(hub.watch(await loaded(shop, payment), look)) for _ in range(100)]
        lines = [greeted(hub, viewer) for viewer in viewers]
        assert look.drawn == ["USDT"]
        await shop.pay(payment, WHOLE)
        await hub.refresh()
        assert counting.reads == 1
        assert look.drawn == ["USDT"] * 2
        assert all(b'"html": "underpaid"' in line.written[-1] for line in lines)


async def test_each_way_to_look_is_drawn_once(shop: Shop, hub: LiveHub) -> None:
    payment = await shop.create()
    looks = [CountedLook(token=token) for token in ("USDT", "USDC")]
    with ExitStack() as open_pages:
        for look in looks * 10:
            greeted(hub, open_pages.enter_context(hub.watch(await loaded(shop, payment), look)))
        await shop.pay(payment, WHOLE)
        await hub.refresh()
    assert [len(look.drawn) for look in looks] == [2, 2]


async def test_a_page_that_shows_the_newest_costs_no_drawing(shop: Shop, hub: LiveHub) -> None:
    payment, look = await loaded(shop, await shop.create()), CountedLook()
    with hub.watch(payment, look) as viewer:
        line = greeted(hub, viewer, seen="waiting-0-USDT")
    assert look.drawn == []
    assert b"event: alive" in line.written[0]


async def test_nothing_is_read_while_nobody_looks(shop: Shop, counting: CountingStore, hub: LiveHub) -> None:
    payment = await shop.create()
    with hub.watch(await loaded(shop, payment), CountedLook()):
        pass
    await hub.refresh()
    assert counting.reads == 0


async def test_payment_that_cannot_be_shown_is_not_watched(shop: Shop, counting: CountingStore, hub: LiveHub) -> None:
    class Broken(CountedLook):
        def tag(self, checkout: Checkout) -> str:
            raise InvariantViolated("a token that nobody lists")

    payment = await loaded(shop, await shop.create())
    with pytest.raises(InvariantViolated), hub.watch(payment, Broken()):
        pass
    await hub.refresh()
    assert (hub.viewers, counting.reads) == (0, 0)


async def test_viewers_hear_of_changes_only(shop: Shop, hub: LiveHub) -> None:
    payment, other = await shop.create(), await shop.create()
    with hub.watch(await loaded(shop, payment), CountedLook()) as viewer:
        line = greeted(hub, viewer)
        await shop.pay(other)
        await hub.refresh()
        assert len(line.written) == 1
        await shop.pay(payment)
        await hub.refresh()
        assert len(line.written) == 2


async def test_reader_that_does_not_read_is_sent_the_newest_once_it_does(shop: Shop, hub: LiveHub) -> None:
    payment = await shop.create()
    with hub.watch(await loaded(shop, payment), CountedLook()) as viewer:
        line = greeted(hub, viewer)
        line.unread = 5_000
        for _ in range(3):
            await shop.pay(payment, WHOLE)
            await hub.refresh()
        assert len(line.written) == 1, "nothing is piled up for a reader that is behind"
        hub.heart.tick(turn=-1, now=0.0)
        assert len(line.written) == 1
        line.unread = 0
        hub.heart.tick(turn=-1, now=1.0)
        assert len(line.written) == 2
        assert b'"html": "underpaid"' in line.written[-1]
        hub.heart.tick(turn=-1, now=2.0)
        assert len(line.written) == 2


async def test_reader_that_takes_nothing_for_long_is_cut_off(shop: Shop, hub: LiveHub) -> None:
    with hub.watch(await loaded(shop, await shop.create()), CountedLook()) as viewer:
        line = greeted(hub, viewer)
        line.unread = 5_000
        hub.heart.tick(turn=0, now=100.0)
        hub.heart.tick(turn=0, now=100.0 + STUCK_S - 1)
        assert not line.is_closing()
        hub.heart.tick(turn=0, now=100.0 + STUCK_S)
        assert line.is_closing()
        assert viewer.has_ended


async def test_reader_that_is_slow_but_reads_is_not_cut_off(shop: Shop, hub: LiveHub) -> None:
    with hub.watch(await loaded(shop, await shop.create()), CountedLook()) as viewer:
        line = greeted(hub, viewer)
        for now in range(0, 600, 10):
            line.unread = 5_000 if now % 20 else 0
            hub.heart.tick(turn=0, now=float(now))
        assert not line.is_closing()


async def test_stream_whose_reader_left_ends_within_a_second(shop: Shop, hub: LiveHub) -> None:
    with hub.watch(await loaded(shop, await shop.create()), CountedLook()) as viewer:
        greeted(hub, viewer).closed = True
        hub.heart.tick(turn=-1, now=0.0)
        assert viewer.has_ended


async def test_each_stream_is_told_once_in_a_round_that_it_is_alive(shop: Shop, hub: LiveHub) -> None:
    payment = await loaded(shop, await shop.create())
    with ExitStack() as open_pages:
        viewers = [open_pages.enter_context(hub.watch(payment, CountedLook())) for _ in range(2 * HEARTBEAT_S)]
        lines = [greeted(hub, viewer) for viewer in viewers]
        for turn in range(HEARTBEAT_S):
            hub.heart.tick(turn, now=float(turn))
            assert sum(len(line.written) - 1 for line in lines) == 2 * (turn + 1), "spread evenly over the seconds"
        assert {len(line.written) for line in lines} == {2}


async def test_page_that_cannot_be_drawn_silences_no_other(shop: Shop, hub: LiveHub) -> None:
    class Broken(CountedLook):
        def draw(self, checkout: Checkout) -> StatePart:
            raise InvariantViolated("a state without words")

    payment = await loaded(shop, await shop.create())
    checkout = present_now(Deps(db=shop.store, payments=shop.service, signals=shop.signals), payment)
    broken, sound = Broken(token="USDC"), CountedLook()
    with hub.watch(payment, broken) as unlucky, hub.watch(payment, sound) as other:
        line = greeted(hub, other, seen=sound.tag(checkout))
        greeted(hub, unlucky, seen=broken.tag(checkout))
        unlucky.tag = "older"
        for turn in range(HEARTBEAT_S):
            hub.heart.tick(turn, now=float(turn))
        assert len(line.written) == 2
        assert unlucky.has_ended, "its page connects again, and asks if that fails"
    assert hub.viewers == 0


async def test_a_place_is_free_again_when_its_page_is_closed(shop: Shop) -> None:
    hub = LiveHub(Deps(db=shop.store, payments=shop.service, signals=shop.signals, max_viewers=1))
    payment = await loaded(shop, await shop.create())
    with hub.watch(payment, CountedLook()), pytest.raises(RateLimited), hub.watch(payment, CountedLook()):
        pass
    with hub.watch(payment, CountedLook()):
        pass


async def test_invented_addresses_make_no_end_of_drawings(shop: Shop, hub: LiveHub) -> None:
    payment = await loaded(shop, await shop.create())
    with ExitStack() as open_pages:
        for number in range(MOST_LOOKS):
            open_pages.enter_context(hub.watch(payment, CountedLook(token=f"invented-{number}")))
        with pytest.raises(RateLimited), hub.watch(payment, CountedLook(token="one-more")):
            pass
        open_pages.enter_context(hub.watch(payment, CountedLook(token="invented-0")))  # drawn anyway
        other = await loaded(shop, await shop.create())
        open_pages.enter_context(hub.watch(other, CountedLook(token="one-more")))
        assert hub.viewers == MOST_LOOKS + 2


async def test_what_a_page_says_it_shows_is_kept_no_longer_than_a_tag(shop: Shop, aiohttp_client: Connect) -> None:
    application = shop.application(tick_s=NEVER_S)
    client = await aiohttp_client(application)
    payment = await shop.create()
    async with stream(client, payment) as events:
        tag = (await next_event(events)).id
        assert tag is not None
    async with stream(client, payment, **{"Last-Event-ID": tag + "x" * 4_000}) as events:
        assert (await next_event(events)).name == "alive"  # cut, it is that tag


@pytest.mark.parametrize("part", list(Part))
async def test_nothing_but_version_and_pulse_changes_a_page(shop: Shop, part: Part) -> None:
    """Other blocks, other times: content is equal wherever the pulse is."""
    seen = await loaded(shop, await shop.scene(part))
    payment, began = seen.view.payment, shop.clock.seconds
    deps = Deps(db=shop.store, payments=shop.service, signals=shop.signals)
    by_pulse: dict[Pulse, Checkout] = {}
    for later_s in (0, 1, 29, 31, 45, 200, 201, 4_000, 90_000):
        for blocks in (0, 1, 2, 7, 30):
            shop.clock.seconds = began + later_s
            cursor = seen.view.cursor
            assert cursor is not None
            cursor = replace(cursor, number=cursor.number + blocks, seen_head=cursor.seen_head + blocks)
            now = pulse(
                Basis.of(payment),
                Network.now(shop.service, livemode=payment.livemode, cursor=cursor),
                now=shop.clock.now(),
            )
            content = present_now(deps, replace(seen, view=replace(seen.view, cursor=cursor)))
            assert by_pulse.setdefault(now, content) == content
    assert len(by_pulse) > 1


async def test_a_failing_read_is_tried_again(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(tick_s=0.05))
    payment = await shop.create()
    view = type(shop.service).views
    failures = iter([RuntimeError("the database went away")])

    async def failing(*arguments: Any) -> Any:
        for error in failures:
            raise error
        return await view(*arguments)

    async with stream(client, payment) as events:
        await next_event(events)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(shop.service), "views", failing)
            await shop.pay(payment)
            assert 'data-part="confirming"' in (await next_event(events)).data["html"]
