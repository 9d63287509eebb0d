"""What monitoring asks without a key: alive, ready, and figures for Prometheus."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from openpay.api.deps import ApiDeps
from openpay.app.records import Cursor
from openpay.domain.chains import Chain
from openpay.domain.time import format_time
from openpay.errors import OpenPayError

STALE_AFTER_S = 60
"""A chain whose cursor did not move for this long is named in the warnings."""
CLOCK_BEHIND_S = 60
"""A server's clock this far behind the newest block is named too."""

_log = structlog.get_logger("openpay.api")


@dataclass(frozen=True, kw_only=True)
class ChainState:
    """One configured chain, which modes use it, and how far it was read. `cursor` None: not at all."""

    chain: Chain
    modes: tuple[str, ...]
    cursor: Cursor | None
    covered_from: int | None

    @property
    def lag_blocks(self) -> int | None:
        return None if self.cursor is None else max(0, self.cursor.seen_head - self.cursor.number)


async def live(_request: web.Request) -> web.StreamResponse:
    """200 for as long as the process can answer at all."""
    return web.json_response({"status": "live"})


def ready(deps: ApiDeps) -> Handler:
    """200 when requests can be served: the database answers.

    A chain that cannot be read is a warning and not a 503: merchants can still create and look up payments, and taking
    this server out of service would help nobody. Its lag is in the body for whoever alerts on it.
    """

    async def handle(_request: web.Request) -> web.StreamResponse:
        try:
            chains = await chain_states(deps)
        except (OpenPayError, OSError) as error:
            _log.warning("database_down", reason=str(error))
            down = {"status": "unavailable", "database": "down", "chains": [], "warnings": []}
            return web.json_response(down, status=503)
        body = {
            "status": "ready",
            "database": "up",
            "chains": [_chain_json(state, deps) for state in chains],
            "warnings": [*deps.warnings(), *_chain_warnings(chains, deps)],
        }
        return web.json_response(body)

    return handle


async def chain_states(deps: ApiDeps) -> list[ChainState]:
    modes: dict[int, list[str]] = {}
    for livemode, chain in deps.chains.items():
        modes.setdefault(chain.chain_id, []).append("live" if livemode else "test")
    states = []
    async with deps.db.read() as uow:
        for chain in {chain.chain_id: chain for chain in deps.chains.values()}.values():
            covered = await uow.chain.covered(chain.chain_id)
            states.append(
                ChainState(
                    chain=chain,
                    modes=tuple(modes[chain.chain_id]),
                    cursor=await uow.chain.cursor(chain.chain_id),
                    covered_from=None if covered is None else covered[0],
                )
            )
    return states


def _chain_json(state: ChainState, deps: ApiDeps) -> Mapping[str, object]:
    cursor = state.cursor
    return {
        "chain_id": state.chain.chain_id,
        "name": state.chain.name,
        "modes": list(state.modes),
        "block": None if cursor is None else cursor.number,
        "head": None if cursor is None else cursor.seen_head,
        "lag_blocks": state.lag_blocks,
        "read_at": None if cursor is None else format_time(cursor.read_at),
        "covered_from": state.covered_from,
        "price_age_s": price_ages(state.chain, deps),
    }


def price_ages(chain: Chain, deps: ApiDeps) -> Mapping[str, int | None]:
    """For each token that a feed prices, how old the round is that a payment would name now; None without one."""
    quotes = {token.symbol: deps.payments.quotes.price(chain.chain_id, token) for token in chain.tokens if token.feed}
    now = deps.clock.now()
    return {symbol: None if quote is None else max(0, now - quote.updated_at) for symbol, quote in quotes.items()}


def _chain_warnings(chains: list[ChainState], deps: ApiDeps) -> list[str]:
    now, payments_now = deps.wall_clock.now(), deps.clock.now()
    warnings = []
    for state in chains:
        name = state.chain.name
        if state.cursor is None:
            warnings.append(f"{name}: no block was read yet; is the watcher running?")
        elif now - state.cursor.read_at > STALE_AFTER_S:
            warnings.append(f"{name}: no block was read for {now - state.cursor.read_at} s")
        elif state.cursor.time - payments_now > CLOCK_BEHIND_S:
            behind = state.cursor.time - payments_now
            warnings.append(f"this server's clock is {behind} s behind the blocks of {name}: set it right")
        for symbol, age in price_ages(state.chain, deps).items():
            if age is None:
                warnings.append(f"{name}: {symbol} is not offered, because its feed gives no fresh price")
        for token in state.chain.tokens:
            if not deps.payments.quotes.on_peg(state.chain.chain_id, token):
                warnings.append(f"{name}: {token.symbol} is not offered, because it is off its peg")
    return warnings


class ApiMetrics:
    """Requests and chain progress in `registry`. One per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "openpay_http_requests", "Requests answered", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram("openpay_http_request_seconds", "Time to answer", ("route",), registry=registry)
        self._block = Gauge("openpay_chain_block", "Last block read", ("chain_id",), registry=registry)
        self._lag = Gauge(
            "openpay_chain_lag_blocks", "Blocks behind the chain's head", ("chain_id",), registry=registry
        )
        self._price_age = Gauge(
            "openpay_price_age_seconds",
            "Age of the round that a payment would name now; NaN without a fresh one",
            ("chain_id", "token"),
            registry=registry,
        )
        self._read_at = Gauge(
            "openpay_chain_read_timestamp_seconds", "When the last block was read", ("chain_id",), registry=registry
        )

    def middleware(self) -> Middleware:
        @web.middleware
        async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
            started = time.perf_counter()
            status = 500
            try:
                response = await handler(request)
                status = response.status
                return response
            except web.HTTPException as answer:
                status = answer.status
                raise
            finally:
                resource = request.match_info.route.resource
                # Unknown paths share one label: a scanner must not fill the memory.
                route = "unknown" if resource is None else resource.canonical
                self._requests.labels(request.method if resource else "any", route, status).inc()
                self._seconds.labels(route).observe(time.perf_counter() - started)

        return measure

    def handler(self, deps: ApiDeps) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def metrics(_request: web.Request) -> web.StreamResponse:
            for state in await chain_states(deps):
                for symbol, age in price_ages(state.chain, deps).items():
                    self._price_age.labels(str(state.chain.chain_id), symbol).set(math.nan if age is None else age)
                if state.cursor is not None:
                    label = str(state.chain.chain_id)
                    self._block.labels(label).set(state.cursor.number)
                    self._lag.labels(label).set(state.lag_blocks or 0)
                    self._read_at.labels(label).set(state.cursor.read_at)
            return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

        return metrics
