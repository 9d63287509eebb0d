"""Alerts and what the operator is to be told of them, in SQL."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, delete, func, select, update

from openpay.domain.alerts import Alert, AlertKind, Notice, NoticeType
from openpay.store.sql import Repository, due
from openpay.store.tables import alert_notices, alerts

_OPEN = alerts.c.cleared_at.is_(None)
_KNOWN = alerts.c.kind.in_([kind.value for kind in AlertKind])
"""A newer version beside this one may raise kinds that this one has no name for."""
_UNTAKEN = alert_notices.c.next_attempt_at.is_not(None)


class SqlAlerts(Repository):
    async def open(self, chain_id: int | None = None) -> list[Alert]:
        mine = [] if chain_id is None else [alerts.c.chain_id == chain_id]
        query = select(alerts).where(_OPEN, _KNOWN, *mine).order_by(alerts.c.seq)
        return [_alert(row) for row in await self._connection.execute(query)]

    async def newest(self, limit: int) -> list[Alert]:
        query = select(alerts).where(_KNOWN).order_by(alerts.c.seq.desc()).limit(limit)
        return [_alert(row) for row in await self._connection.execute(query)]

    async def raise_(self, alert: Alert) -> Alert | None:
        if await self._insert_new(alerts, [asdict(alert) | {"kind": alert.kind.value}]):
            return alert
        await self.refresh(alert.kind, alert.chain_id, alert.subject, detail=alert.detail, seen_at=alert.seen_at)
        return None

    async def refresh(self, kind: AlertKind, chain_id: int, subject: str, *, detail: str, seen_at: int) -> None:
        await self._connection.execute(
            update(alerts).where(_OPEN, *_about(kind, chain_id, subject)).values(detail=detail, seen_at=seen_at)
        )

    async def clear(self, kind: AlertKind, chain_id: int, subject: str, *, at: int) -> Alert | None:
        query = update(alerts).where(_OPEN, *_about(kind, chain_id, subject)).values(cleared_at=at).returning(*alerts.c)
        row = (await self._connection.execute(query)).first()
        return None if row is None else _alert(row)

    async def untold(self) -> list[Alert]:
        """Open ones that no notice was ever written of, oldest first."""
        query = select(alerts).where(_OPEN, _KNOWN, alerts.c.id.not_in(select(alert_notices.c.alert_id)))
        return [_alert(row) for row in await self._connection.execute(query.order_by(alerts.c.seq))]

    async def forget_cleared_before(self, at: int) -> None:
        old = select(alerts.c.id).where(alerts.c.cleared_at < at)
        await self._connection.execute(delete(alert_notices).where(alert_notices.c.alert_id.in_(old)))
        await self._connection.execute(delete(alerts).where(alerts.c.cleared_at < at))

    # --- notices ---------------------------------------------------------------------------------------------------

    async def add_notice(self, notice: Notice) -> None:
        row = asdict(notice) | {"type": notice.type.value, "next_attempt_at": notice.created_at}
        await self._insert_new(alert_notices, [row])

    async def next_notice_at(self) -> int | None:
        due_at = func.coalesce(alert_notices.c.claimed_until, alert_notices.c.next_attempt_at)
        return await self._connection.scalar(select(func.min(due_at)).where(_UNTAKEN))

    async def claim_notices(self, *, now: int, lease_s: int, limit: int) -> list[Notice]:
        earlier = alert_notices.alias()
        # "Over" must not arrive before "raised": the receiver would be left with an alert that never ends.
        its_turn = ~(
            select(earlier.c.seq)
            .where(
                earlier.c.alert_id == alert_notices.c.alert_id,
                earlier.c.seq < alert_notices.c.seq,
                earlier.c.next_attempt_at.is_not(None),
            )
            .exists()
        )
        query = select(alert_notices).where(due(alert_notices, now), its_turn).limit(limit)
        return [_notice(row) for row in await self._claim(alert_notices, query, until=now + lease_s)]

    async def record_notice(self, notice: Notice, *, next_attempt_at: int | None) -> None:
        """Store what an attempt made of it; the claim ends. None: it was taken."""
        await self._connection.execute(
            update(alert_notices)
            .where(alert_notices.c.id == notice.id)
            .values(attempts=notice.attempts, next_attempt_at=next_attempt_at, claimed_until=None)
        )


def _about(kind: AlertKind, chain_id: int, subject: str) -> tuple[Any, ...]:
    return (alerts.c.kind == kind.value, alerts.c.chain_id == chain_id, alerts.c.subject == subject)


def _alert(row: Row[Any]) -> Alert:
    values = dict(row._mapping)
    del values["seq"]
    return Alert(**values | {"kind": AlertKind(values["kind"])})


def _notice(row: Row[Any]) -> Notice:
    return Notice(
        id=row.id,
        alert_id=row.alert_id,
        type=NoticeType(row.type),
        created_at=row.created_at,
        body=row.body,
        attempts=row.attempts,
    )
