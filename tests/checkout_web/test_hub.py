"""The hub of live pages: what it reads, draws and says, and to whom."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pytest
from aiohttp.test_utils import make_mocked_request

from checkout_web.content.reader import present_now
from checkout_web.content.view import Checkout, Part
from checkout_web.deps import Deps
from checkout_web.drawing.pages import StatePart
from checkout_web.live.hub import MOST_LOOKS, LiveHub, Viewer
from checkout_web.live.pulse import Basis, Network, Pulse, pulse
from checkout_web.live.streams import HEARTBEAT_S, STUCK_S
from openpay.errors import InvariantViolated, RateLimited
from tests.checkout_web.hubs import CountingStore, Line, loaded
from tests.checkout_web.scenes import WHOLE, Shop


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


def greeted(hub: LiveHub, viewer: Viewer, seen: str | None = None) -> Line:
    """Open the stream on a line of its own, and let the hub say its first word."""
    line = Line()
    request = make_mocked_request("GET", "/", transport=line)
    viewer.open(request, seen=seen)
    hub.greet(viewer)
    return line


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
