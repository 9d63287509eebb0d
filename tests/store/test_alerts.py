"""One open alert of a kind about one thing, whoever raises it; notices are claimed once, and in order."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace

from sqlalchemy import insert

from openpay.domain.alerts import Alert, AlertKind, Notice, notice_of
from openpay.store import Store
from openpay.store.tables import alerts
from tests.app.worlds import World
from tests.domain.builders import START

LIED = Alert(
    id="alt_1",
    kind=AlertKind.ENDPOINT_LIED,
    chain_id=56,
    subject="first.example:443",
    detail="block 7 is not proven",
    raised_at=START,
    seen_at=START,
)


async def raise_(store: Store, alert: Alert) -> Alert | None:
    async with store.write() as uow:
        return await uow.alerts.raise_(alert)


async def clear(store: Store, alert: Alert, *, at: int) -> Alert | None:
    async with store.write() as uow:
        return await uow.alerts.clear(alert.kind, alert.chain_id, alert.subject, at=at)


async def open_alerts(store: Store, chain_id: int | None = None) -> list[Alert]:
    async with store.read() as uow:
        return await uow.alerts.open(chain_id)


async def test_alert_raised_again_is_the_same_with_news(world: World) -> None:
    assert await raise_(world.store, LIED) == LIED
    again = replace(LIED, id="alt_2", detail="block 8 is not proven", raised_at=START + 9, seen_at=START + 9)
    assert await raise_(world.store, again) is None
    assert await open_alerts(world.store) == [replace(LIED, detail=again.detail, seen_at=START + 9)]


async def test_refreshing_what_was_ended_raises_nothing(world: World) -> None:
    await raise_(world.store, LIED)
    async with world.store.write() as uow:
        await uow.alerts.refresh(LIED.kind, 56, LIED.subject, detail="news", seen_at=START + 30)
    assert await open_alerts(world.store) == [replace(LIED, detail="news", seen_at=START + 30)]
    await clear(world.store, LIED, at=START + 31)
    async with world.store.write() as uow:
        await uow.alerts.refresh(LIED.kind, 56, LIED.subject, detail="news", seen_at=START + 60)
    assert await open_alerts(world.store) == []


async def test_alerts_differ_by_kind_chain_and_subject(world: World) -> None:
    others = [
        replace(LIED, id="alt_2", subject="second.example:443"),
        replace(LIED, id="alt_3", chain_id=97),
        replace(LIED, id="alt_4", kind=AlertKind.CHAIN_UNREADABLE),
    ]
    for alert in (LIED, *others):
        assert await raise_(world.store, alert) == alert
    assert await open_alerts(world.store) == [LIED, *others]
    assert await open_alerts(world.store, 97) == [others[1]]


async def test_what_is_over_can_be_raised_anew(world: World) -> None:
    await raise_(world.store, LIED)
    assert await clear(world.store, LIED, at=START + 5) == replace(LIED, cleared_at=START + 5)
    assert await clear(world.store, LIED, at=START + 6) is None
    anew = replace(LIED, id="alt_2", raised_at=START + 7, seen_at=START + 7)
    assert await raise_(world.store, anew) == anew
    assert await open_alerts(world.store) == [anew]
    async with world.store.read() as uow:
        assert await uow.alerts.newest(10) == [anew, replace(LIED, cleared_at=START + 5)]
        assert await uow.alerts.newest(1) == [anew]


async def test_two_processes_that_see_the_same_raise_one_alert(postgres_world: World) -> None:
    same = [replace(LIED, id=f"alt_{number}") for number in range(8)]
    stored = await asyncio.gather(*(raise_(postgres_world.store, alert) for alert in same))
    assert len([alert for alert in stored if alert is not None]) == 1
    assert len(await open_alerts(postgres_world.store)) == 1


async def test_ended_alerts_are_forgotten_with_their_notices(world: World) -> None:
    kept = replace(LIED, id="alt_2", subject="kept")
    for alert in (LIED, kept):
        await raise_(world.store, alert)
        await add_notice(world.store, alert)
    await clear(world.store, LIED, at=START + 5)
    async with world.store.write() as uow:
        await uow.alerts.forget_cleared_before(START + 5)
        assert len(await uow.alerts.newest(10)) == 2
        await uow.alerts.forget_cleared_before(START + 6)
        assert await uow.alerts.newest(10) == [kept]
    assert [notice.alert_id for notice in await claim(world.store)] == [kept.id]


async def test_kind_of_another_version_is_left_to_it(world: World) -> None:
    await raise_(world.store, LIED)
    async with world.store.write() as uow:
        await uow.connection.execute(
            insert(alerts), asdict(LIED) | {"id": "alt_2", "kind": "of_a_later_version", "subject": ""}
        )
        assert await uow.alerts.open() == await uow.alerts.newest(10) == await uow.alerts.untold() == [LIED]


# --- notices -----------------------------------------------------------------------------------------------------


async def add_notice(store: Store, alert: Alert, *, number: int = 1) -> Notice:
    notice = notice_of(alert, event_id=f"evt_{alert.id}_{number}", now=START)
    async with store.write() as uow:
        await uow.alerts.add_notice(notice)
    return notice


async def claim(store: Store, *, now: int = START, limit: int = 10) -> list[Notice]:
    async with store.write() as uow:
        return await uow.alerts.claim_notices(now=now, lease_s=20, limit=limit)


async def record(store: Store, notice: Notice, *, next_attempt_at: int | None) -> None:
    async with store.write() as uow:
        await uow.alerts.record_notice(replace(notice, attempts=1), next_attempt_at=next_attempt_at)


async def next_at(store: Store) -> int | None:
    async with store.read() as uow:
        return await uow.alerts.next_notice_at()


async def test_claimed_notice_is_nobody_elses_until_the_claim_lapses(world: World) -> None:
    await raise_(world.store, LIED)
    notice = await add_notice(world.store, LIED)
    assert await claim(world.store) == [notice]
    assert await claim(world.store, now=START + 19) == []
    assert await next_at(world.store) == START + 20
    assert await claim(world.store, now=START + 20) == [notice]


async def test_notice_is_due_until_it_is_taken(world: World) -> None:
    await raise_(world.store, LIED)
    notice = await add_notice(world.store, LIED)
    await claim(world.store)
    await record(world.store, notice, next_attempt_at=START + 5)
    assert await next_at(world.store) == START + 5
    assert await claim(world.store, now=START + 4) == []
    assert await claim(world.store, now=START + 5) == [replace(notice, attempts=1)]
    await record(world.store, notice, next_attempt_at=None)
    assert await next_at(world.store) is None
    assert await claim(world.store, now=START + 1_000) == []


async def test_later_notice_of_an_alert_waits_for_the_earlier_one(world: World) -> None:
    other = replace(LIED, id="alt_2", subject="other")
    for alert in (LIED, other):
        await raise_(world.store, alert)
    raised, over = await add_notice(world.store, LIED), await add_notice(world.store, LIED, number=2)
    elsewhere = await add_notice(world.store, other)
    assert await claim(world.store) == [raised, elsewhere]
    await record(world.store, raised, next_attempt_at=START + 300)
    assert await claim(world.store, now=START + 100) == [elsewhere]
    await record(world.store, raised, next_attempt_at=None)
    assert over in await claim(world.store, now=START + 100)


async def test_notice_written_twice_is_one(world: World) -> None:
    await raise_(world.store, LIED)
    await add_notice(world.store, LIED)
    await add_notice(world.store, LIED)
    assert len(await claim(world.store)) == 1


async def test_open_alerts_without_a_notice_are_found(world: World) -> None:
    other = replace(LIED, id="alt_2", subject="other")
    ended = replace(LIED, id="alt_3", subject="ended")
    for alert in (LIED, other, ended):
        await raise_(world.store, alert)
    await add_notice(world.store, LIED)
    await clear(world.store, ended, at=START + 1)
    async with world.store.read() as uow:
        assert await uow.alerts.untold() == [other]
