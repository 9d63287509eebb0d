"""The alarm of a process: what it raises outlives it, and is told once, however often and by whomever it is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import msgspec
import pytest

from openpay.app.alerts import (
    INHERITED_S,
    LAGS_AFTER_S,
    LAGS_SEEN_S,
    Alarms,
    record_cleared,
    tell_untold,
)
from openpay.app.ports import Database
from openpay.app.signals import Signals
from openpay.domain.alert_board import REFRESH_S, SETTLED_S, Key
from openpay.domain.alerts import Alert, AlertKind
from openpay.store.store import DatabaseBusy
from tests.app.worlds import CHAIN, FakeClock, World
from tests.domain.builders import START

STALLED = AlertKind.FINALITY_STALLED
LIED = AlertKind.ENDPOINT_LIED


@dataclass
class Office:
    """An installation's database, and the clocks that all its processes share."""

    world: World
    wall: FakeClock = field(default_factory=FakeClock)
    clock: FakeClock = field(default_factory=FakeClock)
    """The time of payments; it stands still."""

    def process(self, *, notify: bool = True, db: Database | None = None) -> Alarms:
        return Alarms(
            db or self.world.store, [CHAIN], clock=self.clock, wall=self.wall, signals=Signals(), notify=notify
        )

    async def alerts(self) -> list[Alert]:
        """All that were ever recorded, oldest first."""
        async with self.world.store.read() as uow:
            return list(reversed(await uow.alerts.newest(100)))

    async def standing(self) -> list[AlertKind]:
        return [alert.kind for alert in await self.alerts() if alert.cleared_at is None]

    async def notices(self) -> list[dict[str, object]]:
        """What the operator is sent, in order; each is taken at once."""
        bodies = []
        async with self.world.store.write() as uow:
            while claimed := await uow.alerts.claim_notices(now=self.wall.now(), lease_s=20, limit=100):
                for notice in claimed:
                    bodies.append(msgspec.json.decode(notice.body))
                    await uow.alerts.record_notice(notice, next_attempt_at=None)
        return bodies

    async def told(self) -> list[str]:
        return [str(body["event"]) for body in await self.notices()]

    async def settle(self, alarms: Alarms) -> None:
        """What is over has been over for long enough."""
        await alarms.keep()
        self.wall.seconds += SETTLED_S
        await alarms.keep()

    async def read_block(self, number: int) -> None:
        """The watcher commits a block, now."""
        self.world.clock.seconds = self.wall.now()
        await self.world.mine(number)


@pytest.fixture
def office(world: World) -> Office:
    return Office(world)


@contextmanager
def watching_now(office: Office) -> Iterator[Alarms]:
    """A process that watches the chain."""
    alarms = office.process()
    with alarms.watching(CHAIN.chain_id):
        yield alarms


@asynccontextmanager
async def watching(office: Office, **options: object) -> AsyncIterator[Alarms]:
    """A process that watches the chain, and ends without a word."""
    alarms = office.process(**options)  # type: ignore[arg-type]
    with alarms.watching(CHAIN.chain_id):
        await alarms.keep()
        yield alarms


async def test_alert_is_recorded_and_told_once_however_often_it_is_raised(office: Office) -> None:
    async with watching(office) as alarms:
        for second in range(3):
            office.wall.seconds = START + second
            alarms.raise_(STALLED, 56, detail=f"for {second} s")
            await alarms.keep()
        (alert,) = await office.alerts()
        assert (alert.kind, alert.chain_id, alert.raised_at, alert.cleared_at) == (STALLED, 56, START, None)
        assert await office.told() == ["alert.raised"]


async def test_detail_is_brought_up_to_date_while_it_lasts(office: Office) -> None:
    async with watching(office) as alarms:
        alarms.raise_(STALLED, 56, detail="for 0 s")
        await alarms.keep()
        office.wall.seconds = START + REFRESH_S
        alarms.raise_(STALLED, 56, detail="for 30 s")
        await alarms.keep()
        (alert,) = await office.alerts()
        assert (alert.detail, alert.raised_at, alert.seen_at) == ("for 30 s", START, START + REFRESH_S)


async def test_cleared_alert_is_recorded_and_told(office: Office) -> None:
    async with watching(office) as alarms:
        alarms.raise_(LIED, 56, subject="first.example:443", detail="block 7 is not proven")
        await alarms.keep()
        office.wall.seconds = START + 9
        alarms.clear(LIED, 56, subject="first.example:443")
        await office.settle(alarms)
        (alert,) = await office.alerts()
        raised, cleared = await office.notices()
    assert alert.cleared_at == START + 9
    assert raised == {
        "event": "alert.raised",
        "event_id": raised["event_id"],
        "created_at": "2026-03-26T13:00:00Z",
        "text": "endpoint_lied on chain 56 (first.example:443): block 7 is not proven",
        "data": {
            "id": alert.id,
            "kind": "endpoint_lied",
            "severity": "error",
            "chain_id": 56,
            "subject": "first.example:443",
            "detail": "block 7 is not proven",
            "runbook": "docs/runbook.md#endpoint_lied",
            "raised_at": "2026-03-26T13:00:00Z",
            "seen_at": "2026-03-26T13:00:00Z",
            "cleared_at": None,
        },
    }
    assert (cleared["event"], cleared["text"]) == ("alert.cleared", f"over: {raised['text']}")
    assert cleared["data"] == {**raised["data"], "cleared_at": "2026-03-26T13:00:09Z"}  # type: ignore[dict-item]
    assert cleared["event_id"] != raised["event_id"]


async def test_clearing_what_was_not_raised_does_nothing(office: Office) -> None:
    async with watching(office) as alarms:
        alarms.clear(STALLED, 56)
        await office.settle(alarms)
    assert await office.alerts() == []


async def test_what_comes_back_is_a_new_alert(office: Office) -> None:
    async with watching(office) as alarms:
        for _ in range(2):
            alarms.raise_(STALLED, 56, detail="no news")
            await alarms.keep()
            alarms.clear(STALLED, 56)
            await office.settle(alarms)
    assert len(await office.alerts()) == 2
    assert Counter(await office.told()) == {"alert.raised": 2, "alert.cleared": 2}


async def test_without_a_receiver_nothing_piles_up_for_one(office: Office) -> None:
    async with watching(office, notify=False) as alarms:
        alarms.raise_(STALLED, 56, detail="no news")
        await alarms.keep()
    assert await office.standing() == [STALLED]
    assert await office.notices() == []


async def test_open_alerts_are_told_once_there_is_a_receiver(office: Office) -> None:
    async with watching(office, notify=False) as alarms:
        alarms.raise_(STALLED, 56, detail="no news")
        alarms.raise_(LIED, 56, subject="over", detail="over")
        await alarms.keep()
        alarms.clear(LIED, 56, subject="over")
        await office.settle(alarms)
    for _ in range(2):
        async with office.world.store.write() as uow:
            await tell_untold(uow, now=START)
    assert await office.told() == ["alert.raised"]


async def test_process_that_does_not_watch_neither_raises_nor_clears(office: Office) -> None:
    bystander = office.process()
    bystander.raise_(STALLED, 56, detail="from here")
    await bystander.keep()
    assert await office.alerts() == []
    async with watching(office) as alarms:
        alarms.raise_(STALLED, 56, detail="no news")
        await alarms.keep()
        bystander.clear(STALLED, 56)
        await bystander.keep()
    assert await office.standing() == [STALLED]


async def test_end_of_the_watcher_is_recorded_on_the_way_out(office: Office) -> None:
    alarms = office.process()
    async with alarms.kept():
        alarms.stopped(56, "1 / 0")
    assert await office.standing() == [AlertKind.WATCHER_STOPPED]
    assert await office.told() == ["alert.raised"]


async def test_next_watcher_clears_the_alert_about_the_last_ones_end(office: Office) -> None:
    office.process().stopped(56, "1 / 0")
    async with office.process().kept():
        pass  # nothing of the sort is known to this process
    first = office.process()
    first.stopped(56, "1 / 0")
    await first.keep()
    async with watching(office) as alarms:
        alarms.clear(AlertKind.WATCHER_STOPPED, 56)
        await office.settle(alarms)
    assert await office.standing() == []


async def test_what_the_next_watcher_finds_to_be_over_at_its_start_is_over(office: Office) -> None:
    """Its parts say so once, and may be quicker than it reads what is on record."""
    async with watching(office) as alarms:
        alarms.raise_(STALLED, 56, detail="no news")
        await alarms.keep()
    with watching_now(office) as alarms:
        alarms.clear(STALLED, 56)
        await office.settle(alarms)
        assert await office.standing() == []


async def test_alert_raised_again_by_the_next_process_is_the_same_one(office: Office) -> None:
    for _ in range(3):  # a crash loop
        async with watching(office) as alarms:
            alarms.raise_(STALLED, 56, detail="no news")
            await alarms.keep()
    assert len(await office.alerts()) == 1
    assert await office.told() == ["alert.raised"]


@pytest.mark.parametrize("seen_again", [False, True])
async def test_inherited_alert_is_over_once_the_chain_was_followed_without_it(office: Office, seen_again: bool) -> None:
    async with watching(office) as alarms:
        alarms.raise_(STALLED, 56, detail="no news")
        await alarms.keep()
    async with watching(office) as alarms:
        if seen_again:
            alarms.raise_(STALLED, 56, detail="still none")
        office.wall.seconds = START + INHERITED_S - 1
        await office.read_block(1)
        await alarms.keep()
        assert await office.standing() == [STALLED]
        office.wall.seconds += 1
        await alarms.keep()  # time alone proves nothing: a chain that cannot be read is not followed
        assert STALLED in await office.standing()
        await office.read_block(2)
        await office.settle(alarms)
        assert (STALLED in await office.standing()) is seen_again


async def test_alert_of_an_earlier_term_of_the_same_process_is_inherited_too(office: Office) -> None:
    alarms = office.process()
    with alarms.watching(56):
        alarms.raise_(STALLED, 56, detail="no news")
        await alarms.keep()
    with alarms.watching(56):
        office.wall.seconds = START + INHERITED_S
        await office.read_block(1)
        await office.settle(alarms)
    assert STALLED not in await office.standing()


async def test_what_a_database_that_is_away_did_not_hear_is_recorded_later(office: Office) -> None:
    @dataclass
    class Away:
        """A database whose writers find it locked."""

        is_away: bool = True

        def read(self) -> object:
            return office.world.store.read()

        @asynccontextmanager
        async def write(self) -> AsyncIterator[object]:
            if self.is_away:
                raise DatabaseBusy("locked")
            async with office.world.store.write() as uow:
                yield uow

    away = Away()
    async with AsyncExitStack() as stack:
        alarms = office.process(db=away)  # type: ignore[arg-type]
        stack.enter_context(alarms.watching(56))
        alarms.raise_(STALLED, 56, detail="no news")
        with pytest.raises(DatabaseBusy):
            await alarms.keep()
        away.is_away = False
        office.wall.seconds = START + 3_600
        await alarms.keep()
    (alert,) = await office.alerts()
    assert alert.raised_at == START


async def test_alert_that_a_failing_second_process_raised_is_over_for_the_one_that_watches(office: Office) -> None:
    with watching_now(office) as alarms:
        await alarms.keep()
        second = office.process()
        second.stopped(56, "the api failed for good: the port is taken")
        await second.keep()
        assert await office.standing() == [AlertKind.WATCHER_STOPPED]
        await alarms.keep()
        alarms.clear(AlertKind.WATCHER_STOPPED, 56)  # as it does with every step
        await office.settle(alarms)
    assert await office.standing() == []


async def test_alert_that_was_ended_elsewhere_can_be_raised_anew(office: Office) -> None:
    with watching_now(office) as alarms:
        alarms.raise_(STALLED, 56, detail="no news")
        await alarms.keep()
        async with office.world.store.write() as uow:
            await record_cleared(uow, Key(STALLED, 56, ""), at=START + 1, now=START + 1, notify=True)
        await alarms.keep()
        assert await office.standing() == []
        alarms.raise_(STALLED, 56, detail="no news")
        await alarms.keep()
    assert await office.standing() == [STALLED]


# --- the view lags -----------------------------------------------------------------------------------------------


async def test_view_that_stays_old_raises_an_alert_from_any_process(office: Office) -> None:
    await office.read_block(1)
    bystander = office.process()
    office.wall.seconds = START + LAGS_AFTER_S + 1
    await bystander.keep()
    assert await office.standing() == []  # it may be about to catch up
    office.wall.seconds += LAGS_SEEN_S
    await bystander.keep()
    (alert,) = await office.alerts()
    assert alert.kind is AlertKind.VIEW_LAGS
    assert "181 s old" in alert.detail


async def test_view_that_caught_up_is_told_by_another_process_than_raised_it(office: Office) -> None:
    await office.read_block(1)
    crashed = office.process()
    for waited_s in (LAGS_AFTER_S + 1, LAGS_AFTER_S + LAGS_SEEN_S + 1):
        office.wall.seconds = START + waited_s
        await crashed.keep()
    assert await office.standing() == [AlertKind.VIEW_LAGS]
    await office.read_block(2)
    await office.settle(office.process())
    assert await office.standing() == []
