"""Events, and their way to the endpoints that want them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Set
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from openpay.app.records import Delivery, DeliveryAttempt, DeliveryState, DueDelivery, Page, WebhookEndpoint
from openpay.domain.events import Event, EventType
from openpay.domain.ids import new_id
from openpay.errors import ConcurrentChange
from openpay.store.prepared import Prepared
from openpay.store.sql import Repository, due
from openpay.store.tables import deliveries, delivery_attempts, events, webhook_endpoints


class SqlEvents(Repository):
    async def add(self, event: Event) -> bool:
        if not await self._insert_new(events, [asdict(event) | {"type": event.type.value}]):
            return False
        endpoints = await SqlWebhooks(self._connection).endpoints(event.merchant_id, event.livemode)
        wanting = (each for each in endpoints if each.active and (not each.events or event.type in each.events))
        rows = [_delivery_row(_new_delivery(event, endpoint.id, now=event.created_at)) for endpoint in wanting]
        if rows:
            await self._insert_all_new(deliveries, rows)
        return True

    async def told(self, payment_id: str) -> Set[tuple[EventType, str]]:
        query = select(events.c.type, events.c.subject).where(
            events.c.payment_id == payment_id, events.c.subject.is_not(None)
        )
        return {(EventType(row.type), row.subject) for row in await self._connection.execute(query)}

    async def page(
        self, merchant_id: str, livemode: bool, *, limit: int, starting_after: str | None, payment_id: str | None
    ) -> Page[Event]:
        conditions = [events.c.merchant_id == merchant_id, events.c.livemode == livemode]
        if payment_id is not None:
            conditions.append(events.c.payment_id == payment_id)
        rows, has_more = await self._newest_first(events, conditions, limit=limit, starting_after=starting_after)
        return Page(items=tuple(_event(row) for row in rows), has_more=has_more)


_ENDPOINTS = Prepared(
    select(webhook_endpoints)
    .where(
        webhook_endpoints.c.merchant_id == bindparam("merchant_id"),
        webhook_endpoints.c.livemode == bindparam("livemode"),
        webhook_endpoints.c.deleted_at.is_(None),
    )
    .order_by(webhook_endpoints.c.created_at, webhook_endpoints.c.id)
)


class SqlWebhooks(Repository):
    async def endpoints(self, merchant_id: str, livemode: bool) -> list[WebhookEndpoint]:
        place = {"merchant_id": merchant_id, "livemode": livemode}
        return [_endpoint(row) for row in (await _ENDPOINTS.run(self._connection, place)).rows]

    async def endpoint(self, endpoint_id: str) -> WebhookEndpoint | None:
        return await self._endpoint(select(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id))

    async def endpoint_to_change(self, endpoint_id: str) -> WebhookEndpoint | None:
        # As an UPDATE locks it: new deliveries refer to the row and do not have to wait.
        query = select(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id).with_for_update(key_share=True)
        return await self._endpoint(query)

    async def _endpoint(self, query: Select[Any]) -> WebhookEndpoint | None:
        row = (await self._connection.execute(query)).first()
        return None if row is None else _endpoint(row)

    async def urls(self, endpoint_ids: Collection[str]) -> Mapping[str, str]:
        query = select(webhook_endpoints.c.id, webhook_endpoints.c.url)
        return {row.id: row.url for row in await self._among(query, webhook_endpoints.c.id, endpoint_ids)}

    async def add_endpoint(self, endpoint: WebhookEndpoint) -> bool:
        return await self._insert_new(webhook_endpoints, [_endpoint_row(endpoint)]) == 1

    async def save_endpoint(self, endpoint: WebhookEndpoint) -> None:
        change = update(webhook_endpoints).where(webhook_endpoints.c.id == endpoint.id).values(_endpoint_row(endpoint))
        try:
            await self._connection.execute(change)
        except IntegrityError as error:
            raise ConcurrentChange("another endpoint took this URL at the same time") from error

    async def fail_pending(self, endpoint_id: str) -> None:
        await self._connection.execute(
            update(deliveries)
            .where(deliveries.c.endpoint_id == endpoint_id, deliveries.c.state == DeliveryState.PENDING.value)
            .values(state=DeliveryState.FAILED.value, next_attempt_at=None)
        )

    async def claim(self, *, now: int, lease_s: int, limit: int, per_endpoint: int) -> list[DueDelivery]:
        # The first few of each endpoint, so that a long queue for one cannot hide the others. What is being sent is
        # counted in the same statement: between two, another process's claims could turn from due to neither.
        sending = (
            select(deliveries.c.endpoint_id, func.count().label("number"))
            .where(deliveries.c.state == DeliveryState.PENDING.value, deliveries.c.claimed_until > now)
            .group_by(deliveries.c.endpoint_id)
            .subquery()
        )
        is_due = and_(deliveries.c.state == DeliveryState.PENDING.value, due(deliveries, now))
        place = func.row_number().over(
            partition_by=deliveries.c.endpoint_id, order_by=(deliveries.c.next_attempt_at, deliveries.c.seq)
        )
        ranked = select(deliveries.c.seq, deliveries.c.endpoint_id, place.label("place")).where(is_due).subquery()
        candidates = (
            select(ranked.c.seq)
            .outerjoin(sending, sending.c.endpoint_id == ranked.c.endpoint_id)
            .where(ranked.c.place <= per_endpoint - func.coalesce(sending.c.number, 0))
            .order_by(ranked.c.place, ranked.c.seq)
            .limit(limit)
        )
        chosen = list(await self._connection.scalars(candidates))
        if not chosen:
            return []
        # Asked again whether it is due: another process may have claimed some in between.
        query = (
            select(deliveries, *(_as(events, "event")))
            .add_columns(*_as(webhook_endpoints, "endpoint"))
            .join(events, events.c.id == deliveries.c.event_id)
            .join(webhook_endpoints, webhook_endpoints.c.id == deliveries.c.endpoint_id)
            .where(deliveries.c.seq.in_(chosen), is_due)
        )
        return [
            DueDelivery(delivery=_delivery(row), event=_event(row, "event_"), endpoint=_endpoint(row, "endpoint_"))
            for row in await self._claim(deliveries, query, until=now + lease_s)
        ]

    async def record(self, delivery: Delivery, attempt: DeliveryAttempt) -> bool:
        if not await self._insert_new(delivery_attempts, [asdict(attempt)]):
            return False
        await self._connection.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery.id)
            .values(
                state=delivery.state.value,
                attempts=delivery.attempts,
                next_attempt_at=delivery.next_attempt_at,
                claimed_until=None,
            )
        )
        return True

    async def deliver_again(self, delivery_id: str, *, now: int) -> None:
        await self._connection.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery_id)
            .values(state=DeliveryState.PENDING.value, next_attempt_at=now, first_attempt_at=now)
        )

    async def add_delivery(self, event: Event, endpoint_id: str, *, now: int) -> Delivery:
        delivery = _new_delivery(event, endpoint_id, now=now)
        await self._connection.execute(insert(deliveries), _delivery_row(delivery))
        return delivery

    async def delivery(self, delivery_id: str) -> Delivery | None:
        row = (await self._connection.execute(_WITH_EVENT.where(deliveries.c.id == delivery_id))).first()
        return None if row is None else _delivery(row)

    async def attempts(self, delivery_ids: Collection[str]) -> Mapping[str, list[DeliveryAttempt]]:
        found: dict[str, list[DeliveryAttempt]] = defaultdict(list)
        query = select(delivery_attempts).where(delivery_attempts.c.delivery_id.in_(delivery_ids))
        for row in await self._connection.execute(query.order_by(delivery_attempts.c.number)):
            found[row.delivery_id].append(DeliveryAttempt(**row._mapping))
        return found

    async def deliveries(
        self, merchant_id: str, livemode: bool, *, limit: int, starting_after: str | None
    ) -> Page[Delivery]:
        rows, has_more = await self._newest_first(
            deliveries,
            [deliveries.c.merchant_id == merchant_id, deliveries.c.livemode == livemode],
            limit=limit,
            starting_after=starting_after,
            columns=_WITH_EVENT,
        )
        return Page(items=tuple(_delivery(row) for row in rows), has_more=has_more)

    async def next_due_at(self) -> int | None:
        query = select(func.min(func.coalesce(deliveries.c.claimed_until, deliveries.c.next_attempt_at))).where(
            deliveries.c.state == DeliveryState.PENDING.value
        )
        due: int | None = await self._connection.scalar(query)
        return due


def _as(table: Any, prefix: str) -> list[Any]:
    return [
        column.label(f"{prefix}_{column.name}") for column in table.c if f"{prefix}_{column.name}" != f"{prefix}_id"
    ]


_WITH_EVENT = select(deliveries, events.c.type.label("event_type"), events.c.payment_id.label("event_payment_id")).join(
    events, events.c.id == deliveries.c.event_id
)


def _new_delivery(event: Event, endpoint_id: str, *, now: int) -> Delivery:
    return Delivery(
        id=new_id("del"),
        event_id=event.id,
        endpoint_id=endpoint_id,
        merchant_id=event.merchant_id,
        livemode=event.livemode,
        state=DeliveryState.PENDING,
        attempts=0,
        created_at=now,
        first_attempt_at=now,
        next_attempt_at=now,
        event_type=event.type,
        payment_id=event.payment_id,
    )


def _delivery_row(delivery: Delivery) -> dict[str, Any]:
    values = asdict(delivery) | {"state": delivery.state.value}
    del values["event_type"], values["payment_id"]  # columns of the event
    return values


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        event_id=row.event_id,
        endpoint_id=row.endpoint_id,
        merchant_id=row.merchant_id,
        livemode=row.livemode,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        created_at=row.created_at,
        first_attempt_at=row.first_attempt_at,
        next_attempt_at=row.next_attempt_at,
        event_type=EventType(row.event_type),
        payment_id=row.event_payment_id,
    )


def _event(row: Row[Any], prefix: str = "") -> Event:
    names = ("id", "merchant_id", "livemode", "payment_id", "subject", "created_at", "body")
    values: dict[str, Any] = {name: getattr(row, prefix + name) for name in names}
    return Event(type=EventType(getattr(row, f"{prefix}type")), **values)


def _endpoint(row: Row[Any], prefix: str = "") -> WebhookEndpoint:
    names = (
        "id",
        "merchant_id",
        "livemode",
        "url",
        "sealed_secret",
        "created_at",
        "active",
        "disabled_reason",
        "failing_since",
        "deleted_at",
    )
    values: dict[str, Any] = {name: getattr(row, prefix + name) for name in names}
    return WebhookEndpoint(events=tuple(EventType(name) for name in getattr(row, f"{prefix}events")), **values)


def _endpoint_row(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return asdict(endpoint) | {"events": [event.value for event in endpoint.events]}
