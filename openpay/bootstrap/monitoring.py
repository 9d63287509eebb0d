"""What an operator sees of a process: its figures on a port, and where its alerts go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import web

from openpay.bootstrap.installation import Installation
from openpay.chain.pool import Pool
from openpay.errors import ConfigurationError
from openpay.http.monitoring import EndpointStanding, Monitored, monitoring_app

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def alerting(installation: Installation) -> AsyncIterator[None]:
    """Keep this process's alerts, and deliver everybody's, until the end of the block: the last words included."""
    settings = installation.settings
    async with AsyncExitStack() as stack:
        if settings.alert_webhook_url is not None:
            from openpay.webhooks.notifier import Notifier

            secret = settings.alert_webhook_secret
            notifier = Notifier(
                installation.store,
                url=settings.alert_webhook_url.get_secret_value(),
                secret=None if secret is None else secret.get_secret_value(),
                signals=installation.signals,
            )
            await stack.enter_async_context(notifier.running())
        await stack.enter_async_context(installation.alarms.kept())
        yield


def endpoint_standings(installation: Installation) -> dict[int, list[EndpointStanding]]:
    """How this process finds the nodes, by chain."""
    return {chain_id: _standings(pool) for chain_id, pool in installation.pools.items()}


def _standings(pool: Pool) -> list[EndpointStanding]:
    return []


async def serve_monitoring(installation: Installation, stop: asyncio.Event) -> None:
    """Serve `/metrics`, `/livez` and `/readyz` alone, where OPENPAY_METRICS_PORT says. Raises `ConfigurationError`."""
    settings = installation.settings
    monitored = Monitored(
        db=installation.store,
        chains=installation.chains,
        clock=installation.clock,
        wall_clock=installation.wall,
        registry=installation.registry,
        warnings=installation.warnings,
        endpoints=lambda: endpoint_standings(installation),
    )
    runner = web.AppRunner(monitoring_app(monitored), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.metrics_host, settings.metrics_port).start()
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {settings.metrics_host}:{settings.metrics_port} ({error}): set OPENPAY_METRICS_HOST "
                "and OPENPAY_METRICS_PORT"
            ) from error
        host, port = runner.addresses[0][:2]
        _log.info("monitoring", url=f"http://{host}:{port}/metrics")
        await stop.wait()
    finally:
        await runner.cleanup()
