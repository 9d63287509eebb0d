"""What monitoring asks without a key: alive, ready, and figures. The same from every role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from openpay.app.lag import lag_blocks
from openpay.domain.alerts import alert_data
from openpay.domain.time import format_time
from openpay.errors import OpenPayError
from openpay.http.application import HttpSettings, new_application
from openpay.http.figures import metrics
from openpay.http.monitored import ChainState, EndpointStanding, Monitored, price_ages, read, view_age_s

STALE_AFTER_S = 60
"""A chain whose view is older than this is named in the warnings."""
CLOCK_BEHIND_S = 60
"""A server's clock this far behind the newest block is named too."""

_log = structlog.get_logger("openpay.http")


def add_probes(app: web.Application, monitored: Monitored) -> None:
    """Serve `/livez`, `/readyz` and `/metrics`."""
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready(monitored))
    app.router.add_get("/metrics", metrics(monitored))


def monitoring_app(monitored: Monitored) -> web.Application:
    """An application of nothing but these, for a port of its own."""
    app = new_application(HttpSettings())
    add_probes(app, monitored)
    return app


async def live(_request: web.Request) -> web.StreamResponse:
    """200 for as long as the process can answer at all."""
    return web.json_response({"status": "live"})


def ready(monitored: Monitored) -> Handler:
    """200 when requests can be served: the database answers.

    A chain that cannot be read is a warning and not a 503: merchants can still create and look up payments, and taking
    this server out of service would help nobody. Its lag is in the body for whoever alerts on it.
    """

    async def handle(_request: web.Request) -> web.StreamResponse:
        try:
            recorded = await read(monitored)
        except (OpenPayError, OSError) as error:
            _log.warning("database_down", reason=str(error))
            down = {"status": "unavailable", "database": "down", "chains": [], "alerts": [], "warnings": []}
            return web.json_response(down, status=503)
        endpoints = monitored.endpoints()
        body = {
            "status": "ready",
            "database": "up",
            "chains": [
                _chain_json(state, monitored, endpoints.get(state.chain.chain_id, ())) for state in recorded.chains
            ],
            "alerts": [alert_data(alert) for alert in recorded.alerts],
            "warnings": [*monitored.warnings(), *_chain_warnings(recorded.chains, monitored)],
        }
        return web.json_response(body)

    return handle


def _chain_json(state: ChainState, monitored: Monitored, endpoints: Sequence[EndpointStanding]) -> Mapping[str, object]:
    cursor = state.cursor
    return {
        "chain_id": state.chain.chain_id,
        "name": state.chain.name,
        "modes": list(state.modes),
        "block": None if cursor is None else cursor.number,
        "head": None if cursor is None else cursor.seen_head,
        "final_block": None if cursor is None else cursor.final_number,
        "lag_blocks": None if cursor is None else lag_blocks(cursor),
        "lag_s": None if cursor is None else view_age_s(cursor, state.chain, monitored),
        "read_at": None if cursor is None else format_time(cursor.read_at),
        "covered_from": state.covered_from,
        "price_age_s": price_ages(state.chain, monitored),
        "endpoints": [
            {
                "host": endpoint.host,
                "transport": endpoint.transport,
                "state": endpoint.state,
                "latency_ms": None if endpoint.latency_s is None else round(endpoint.latency_s * 1000),
            }
            for endpoint in endpoints
        ],
    }


def _chain_warnings(chains: list[ChainState], monitored: Monitored) -> list[str]:
    now, payments_now = monitored.wall_clock.now(), monitored.clock.now()
    warnings = []
    for state in chains:
        name, cursor = state.chain.name, state.cursor
        if cursor is None:
            warnings.append(f"{name}: no block was read yet; is the watcher running?")
        elif now - cursor.read_at > STALE_AFTER_S:
            warnings.append(f"{name}: no block was read for {now - cursor.read_at} s")
        elif (behind_s := view_age_s(cursor, state.chain, monitored)) > STALE_AFTER_S:
            warnings.append(f"{name}: what was read is {behind_s} s old, {lag_blocks(cursor)} blocks are still to read")
        elif cursor.time - payments_now > CLOCK_BEHIND_S:
            behind = cursor.time - payments_now
            warnings.append(f"this server's clock is {behind} s behind the blocks of {name}: set it right")
        for symbol, age in price_ages(state.chain, monitored).items():
            if age is None:
                warnings.append(f"{name}: {symbol} is not offered, because its feed gives no fresh price")
        for token in state.chain.tokens:
            if monitored.quotes is not None and not monitored.quotes.on_peg(state.chain.chain_id, token):
                warnings.append(f"{name}: {token.symbol} is not offered, because it is off its peg")
    return warnings
