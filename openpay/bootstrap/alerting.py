"""Alerts of a process and of an installation: kept, delivered, listed, and tried out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from openpay.app.alerts import record_cleared
from openpay.bootstrap.installation import Installation
from openpay.config import Settings
from openpay.domain.alert_board import key_of
from openpay.domain.alerts import Alert, in_words, trial
from openpay.domain.ids import new_id
from openpay.domain.time import format_time
from openpay.errors import ConfigurationError, NotFound
from openpay.store import Store, schema

MOST_LISTED = 1_000


@asynccontextmanager
async def alerting(installation: Installation) -> AsyncIterator[None]:
    """Keep this process's alerts, and deliver everybody's, until the end of the block: the last words included."""
    settings = installation.settings
    async with AsyncExitStack() as stack:
        if settings.alert_webhook_url is not None:
            from openpay.webhooks.notifier import Notifier

            notifier = Notifier(
                installation.store,
                url=settings.alert_webhook_url.get_secret_value(),
                secret=_secret(settings),
                signals=installation.signals,
            )
            await stack.enter_async_context(notifier.running())
        await stack.enter_async_context(installation.alarms.kept())
        yield


async def recorded_alerts(settings: Settings, *, over_too: bool) -> list[Alert]:
    """The newest first. Raises `ConfigurationError` for a database of another version."""
    async with _opened(settings) as store, store.read() as uow:
        return await uow.alerts.newest(MOST_LISTED) if over_too else (await uow.alerts.open())[::-1]


async def end_alert(settings: Settings, alert_id: str) -> Alert:
    """End an open alert by hand, such as one about a chain that is no longer configured. What still holds is raised
    again by whoever sees it. Raises `NotFound`."""
    now = int(time.time())
    async with _opened(settings) as store, store.write() as uow:
        for alert in await uow.alerts.open():
            if alert.id == alert_id:
                await record_cleared(uow, key_of(alert), at=now, now=now, notify=settings.alert_webhook_url is not None)
                return replace(alert, cleared_at=now)
    raise NotFound(f"no open alert {alert_id}: see openpay alerts", code="alert_not_found")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Store]:
    await schema.check(settings.database_url)
    store = Store.open(settings.database_url)
    try:
        yield store
    finally:
        await store.close()


def describe_alert(alert: Alert) -> str:
    """A line: which, since when, until when, and what."""
    since, until = format_time(alert.raised_at), ""
    if alert.cleared_at is not None:
        until = f" to {format_time(alert.cleared_at)}"
    return f"{alert.id}  {since}{until}  {alert.kind.severity}  {in_words(alert)}  [{alert.kind.runbook}]"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the receiver of alerts said to a test."""

    taken: bool
    words: str


async def send_test(settings: Settings) -> Answer:
    """Send `alert.test`, once. Raises `ConfigurationError` where there is nowhere to send it."""
    from openpay.webhooks.sender import Sender
    from openpay.webhooks.signing import identified_headers

    if settings.alert_webhook_url is None:
        raise ConfigurationError("OPENPAY_ALERT_WEBHOOK_URL is not set: alerts are sent nowhere")
    now, event_id = int(time.time()), new_id("evt")
    body = trial(event_id=event_id, now=now)
    headers = identified_headers(body, event_id=event_id, timestamp=now, secret=_secret(settings))
    async with Sender(anywhere=True) as sender:
        reply = await sender.send(settings.alert_webhook_url.get_secret_value(), body, headers)
    if reply.status is None:
        return Answer(taken=False, words=f"not taken: {reply.error}")
    return Answer(
        taken=reply.succeeded,
        words=f"{'taken' if reply.succeeded else 'not taken'}: answered {reply.status} in {reply.latency_ms} ms",
    )


def _secret(settings: Settings) -> str | None:
    return None if settings.alert_webhook_secret is None else settings.alert_webhook_secret.get_secret_value()
