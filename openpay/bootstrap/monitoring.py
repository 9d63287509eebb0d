"""What an operator sees of a process on a port of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

import structlog

from openpay.bootstrap.installation import Installation
from openpay.bootstrap.listening import listening
from openpay.chain.pool import EndpointState
from openpay.chain.standing import Place
from openpay.http.monitored import EndpointStanding, Monitored
from openpay.http.monitoring import monitoring_app

_log = structlog.get_logger(__name__)


def endpoint_standings(installation: Installation) -> dict[int, list[EndpointStanding]]:
    """How this process finds the nodes, by chain."""
    return {chain_id: standings_of(pool.states()) for chain_id, pool in installation.pools.items()}


def standings_of(states: Iterable[EndpointState]) -> list[EndpointStanding]:
    """What monitoring is told of endpoints: usable are those that are asked like any other."""
    return [
        EndpointStanding(
            host=state.endpoint,
            transport=state.transport.value,
            state=state.place.value,
            usable=state.place is Place.IN_SERVICE,
            latency_s=state.latency_s,
            faults={_words(fault): count for fault, count in state.faults.items()},
        )
        for state in states
    ]


def _words(class_name: str) -> str:
    """`ProofFailed` as `proof_failed`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


async def serve_monitoring(installation: Installation, port: int, stop: asyncio.Event) -> None:
    """Serve `/metrics`, `/livez` and `/readyz` alone until `stop` is set. Raises `ConfigurationError`."""
    monitored = Monitored(
        db=installation.store,
        chains=installation.chains,
        clock=installation.clock,
        wall_clock=installation.wall,
        registry=installation.registry,
        warnings=installation.warnings,
        endpoints=lambda: endpoint_standings(installation),
    )
    host = installation.settings.metrics_host
    named = "OPENPAY_METRICS_HOST and OPENPAY_METRICS_PORT"
    async with listening(monitoring_app(monitored), host, port, settings=named) as url:
        _log.info("monitoring", url=f"{url}/metrics")
        await stop.wait()
