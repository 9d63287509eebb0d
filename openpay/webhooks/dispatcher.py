"""The outbox's other end: takes due deliveries, sends each, records what came of it.

A delivery is claimed for `LEASE_S` seconds and committed before it is sent, and the attempt is recorded in a second
transaction. A process that dies in between leaves a claim that lapses, and the delivery is sent again under the same
`webhook-id`: at least once, and never by two processes at a time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog
from aiohttp.abc import AbstractResolver

from openpay.app.ports import Database
from openpay.app.records import DeliveryAttempt, DueDelivery, SigningKey
from openpay.app.sealing import Sealer
from openpay.app.signals import Signals
from openpay.app.webhooks import disable, live_keys, secret_context, signing_key_context
from openpay.errors import FatalError, InvariantViolated, RetryableError
from openpay.webhooks.outcome import Reply, delivery_after, endpoint_after
from openpay.webhooks.sender import TIMEOUT_S, Sender
from openpay.webhooks.signing import Signer, signed_headers

LEASE_S = 20
"""How long a claim holds: twice the time limit of a request, so that it cannot lapse during one. Not longer, because
the claims of a killed process keep others from the same endpoint until they lapse."""
PER_ENDPOINT = 4
"""Requests in flight to one endpoint, over all processes. The others of the endpoint wait; other endpoints do not."""
MAX_IN_FLIGHT = 500
"""Requests in flight in this process: 125 endpoints may hang before anybody else waits."""
BATCH = 100
"""Deliveries claimed in one transaction."""
POLL_S = 1.0
"""How often the queue is looked at without a hint. Times are whole seconds, so more often would find nothing more."""

log = structlog.get_logger(__name__)


class Dispatcher:
    """Delivers webhooks until told to stop. Any number may run on one database."""

    def __init__(
        self,
        db: Database,
        *,
        sealer: Sealer,
        signals: Signals,
        allow_insecure: bool = False,
        wall_now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        timeout_s: float = TIMEOUT_S,
        poll_s: float = POLL_S,
        per_endpoint: int = PER_ENDPOINT,
        max_in_flight: int = MAX_IN_FLIGHT,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """`allow_insecure` lets http and loopback through; `jitter` gives numbers in [0, 1)."""
        self._db = db
        self._sealer = sealer
        self._signals = signals
        self._wall_now = wall_now
        self._jitter = jitter
        self._timeout_s = timeout_s
        self._poll_s = poll_s
        self._per_endpoint = per_endpoint
        self._max_in_flight = max_in_flight
        self._sender = Sender(allow_insecure=allow_insecure, timeout_s=timeout_s, wall_now=wall_now, resolver=resolver)
        self._sending: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._fatal: BaseException | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then finish what is being sent, and return.

        Raises `FatalError` when stored keys cannot be opened.
        """
        async with self._sender:
            listeners = (asyncio.create_task(self._relay_hints()), asyncio.create_task(self._relay_stop(stop)))
            try:
                while not stop.is_set() and self._fatal is None:
                    self._wake.clear()
                    if not await self._start_due():
                        with suppress(TimeoutError):
                            await asyncio.wait_for(self._wake.wait(), self._poll_s)
            finally:
                for listener in listeners:
                    listener.cancel()
                if self._sending:
                    await asyncio.wait(self._sending)
        if self._fatal is not None:
            raise self._fatal

    async def _relay_hints(self) -> None:
        while True:
            if await self._signals.wait("events", timeout_s=60):
                self._wake.set()

    async def _relay_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _start_due(self) -> bool:
        """Claim a batch and start sending it. Whether there may be more at once."""
        limit = min(BATCH, self._max_in_flight - len(self._sending))
        if limit <= 0:
            return False
        now = int(self._wall_now())
        try:
            claimed = await self._claim(limit, now=now)
        except RetryableError as error:
            log.warning("webhooks_cannot_be_claimed", error=str(error))
            return False
        for due, keys in claimed:
            task = asyncio.create_task(self._deliver(due, keys, claimed_at=now), name=f"deliver {due.delivery.id}")
            self._sending.add(task)
            task.add_done_callback(self._finished)
        return len(claimed) == limit

    async def _claim(self, limit: int, *, now: int) -> list[tuple[DueDelivery, Sequence[SigningKey]]]:
        async with self._db.read() as uow:
            due_at = await uow.webhooks.next_due_at()
        if due_at is None or due_at > now:  # the usual case: no need to take the writers' lock
            return []
        async with self._db.write() as uow:
            claimed = await uow.webhooks.claim(now=now, lease_s=LEASE_S, limit=limit, per_endpoint=self._per_endpoint)
        async with self._db.read() as uow:
            owners = {(due.event.merchant_id, due.event.livemode) for due in claimed}
            keys = {owner: live_keys(await uow.merchants.signing_keys(*owner), now=now) for owner in owners}
        return [(due, keys[due.event.merchant_id, due.event.livemode]) for due in claimed]

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._wake.set()  # its endpoint has room again
        error = None if task.cancelled() else task.exception()
        if isinstance(error, FatalError):
            self._fatal = error
        elif isinstance(error, RetryableError):
            log.warning("webhook_attempt_not_recorded", task=task.get_name(), error=str(error))
        elif error is not None:
            log.error("webhook_delivery_broke", task=task.get_name(), exc_info=error)

    async def _deliver(self, due: DueDelivery, keys: Sequence[SigningKey], *, claimed_at: int) -> None:
        if not due.endpoint.active:
            await self._give_up(due.endpoint.id)
            return
        now = int(self._wall_now())
        if now + self._timeout_s >= claimed_at + LEASE_S:
            return  # this process stood still for so long that the claim could lapse during the request
        headers = signed_headers(
            due.event.body,
            event_id=due.event.id,
            timestamp=now,
            signers=self._signers(due, keys),
            secret=self._sealer.open(due.endpoint.sealed_secret, secret_context(due.endpoint.id)).decode(),
        )
        reply = await self._sender.send(due.endpoint.url, due.event.body, headers)
        await self._record(due, reply, at=now)

    async def _give_up(self, endpoint_id: str) -> None:
        """For events that were written in the moment in which their endpoint was disabled or deleted."""
        async with self._db.write() as uow:
            endpoint = await uow.webhooks.endpoint_to_change(endpoint_id)
            if endpoint is None or not endpoint.active:  # else enabled since the claim, which lapses
                await uow.webhooks.fail_pending(endpoint_id)

    def _signers(self, due: DueDelivery, keys: Sequence[SigningKey]) -> list[Signer]:
        if not keys:
            raise InvariantViolated(f"merchant {due.event.merchant_id} has an endpoint and no signing key")
        return [
            Signer(key_id=key.id, seed=self._sealer.open(key.sealed_private_key, signing_key_context(key.id)))
            for key in keys
        ]

    async def _record(self, due: DueDelivery, reply: Reply, *, at: int) -> None:
        now = int(self._wall_now())
        async with self._db.write() as uow:
            # Read again: it may have been changed, disabled or deleted while we were sending.
            endpoint = await uow.webhooks.endpoint_to_change(due.endpoint.id) or due.endpoint
            # What one server answers says nothing of another that has the endpoint by now, not even that it is gone.
            is_same = endpoint.url == due.endpoint.url
            delivery = delivery_after(
                due.delivery,
                reply,
                endpoint_active=endpoint.active,
                endpoint_moved=not is_same,
                now=now,
                jitter=self._jitter(),
            )
            attempt = DeliveryAttempt(
                delivery_id=delivery.id,
                number=delivery.attempts,
                at=at,
                status=reply.status,
                latency_ms=reply.latency_ms,
                error=reply.error,
                answer=reply.text,
            )
            if not await uow.webhooks.record(delivery, attempt):
                return
            after, why_disabled = endpoint_after(endpoint, reply, now=now) if is_same else (endpoint, None)
            if why_disabled is not None and endpoint.active:
                await disable(uow, after, reason=why_disabled, now=now)
            elif after != endpoint:
                await uow.webhooks.save_endpoint(after)
        log.info(
            "webhook_attempt",
            delivery=delivery.id,
            event_type=due.event.type.value,
            endpoint=due.endpoint.id,
            attempt=delivery.attempts,
            status=reply.status,
            error=reply.error,
            latency_ms=reply.latency_ms,
            state=delivery.state.value,
        )
        if why_disabled is not None:
            log.warning("webhook_endpoint_disabled", endpoint=due.endpoint.id, reason=why_disabled)
            self._signals.notify("events")
