"""What monitoring asks without a key: alive, ready, and figures for Prometheus. The same from every role.

Figures that are in the database are read when they are asked for: any process can tell them, whichever makes them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from openpay.app.lag import lag_blocks, lag_s
from openpay.app.ports import Clock, Database, Quotes
from openpay.app.records import Cursor
from openpay.domain.alerts import Alert, AlertKind
from openpay.domain.chains import Chain
from openpay.domain.time import format_time
from openpay.errors import OpenPayError
from openpay.http.application import HttpSettings, new_application

STALE_AFTER_S = 60
"""A chain whose view is older than this is named in the warnings."""
CLOCK_BEHIND_S = 60
"""A server's clock this far behind the newest block is named too."""

_log = structlog.get_logger("openpay.http")


@dataclass(frozen=True, kw_only=True)
class EndpointStanding:
    """A node as this process has found it. `faults` counts them by name since the start."""

    host: str
    """host:port, never the URL, which may hold a key."""
    transport: str
    state: str
    usable: bool
    latency_s: float | None
    faults: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Monitored:
    """What there is to tell. `quotes` None: this process looks after no prices. `endpoints` by chain id.

    `clock` is the time of payments, `wall_clock` the server's own.
    """

    db: Database
    chains: Mapping[bool, Chain]
    clock: Clock
    wall_clock: Clock
    quotes: Quotes | None = None
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    warnings: Callable[[], Sequence[str]] = tuple
    endpoints: Callable[[], Mapping[int, Sequence[EndpointStanding]]] = dict


@dataclass(frozen=True, kw_only=True)
class ChainState:
    """One configured chain, which modes use it, and how far it was read. `cursor` None: not at all."""

    chain: Chain
    modes: tuple[str, ...]
    cursor: Cursor | None
    covered_from: int | None


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the database says at one moment."""

    chains: list[ChainState]
    alerts: list[Alert]


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
            "alerts": [_alert_json(alert) for alert in recorded.alerts],
            "warnings": [*monitored.warnings(), *_chain_warnings(recorded.chains, monitored)],
        }
        return web.json_response(body)

    return handle


async def read(monitored: Monitored) -> Recorded:
    """Raises `DatabaseBusy`."""
    modes: dict[int, list[str]] = {}
    for livemode, chain in monitored.chains.items():
        modes.setdefault(chain.chain_id, []).append("live" if livemode else "test")
    states = []
    async with monitored.db.read() as uow:
        for chain in {chain.chain_id: chain for chain in monitored.chains.values()}.values():
            covered = await uow.chain.covered(chain.chain_id)
            states.append(
                ChainState(
                    chain=chain,
                    modes=tuple(modes[chain.chain_id]),
                    cursor=await uow.chain.cursor(chain.chain_id),
                    covered_from=None if covered is None else covered[0],
                )
            )
        return Recorded(chains=states, alerts=await uow.alerts.open())


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
        "lag_s": None if cursor is None else _lag_s(cursor, state.chain, monitored),
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


def _alert_json(alert: Alert) -> Mapping[str, object]:
    return {
        "id": alert.id,
        "kind": alert.kind.value,
        "severity": alert.kind.severity.value,
        "chain_id": alert.chain_id,
        "subject": alert.subject,
        "detail": alert.detail,
        "runbook": alert.kind.runbook,
        "raised_at": format_time(alert.raised_at),
        "seen_at": format_time(alert.seen_at),
    }


def _lag_s(cursor: Cursor, chain: Chain, monitored: Monitored) -> int:
    return lag_s(cursor, chain, now=monitored.clock.now(), wall_now=monitored.wall_clock.now())


def price_ages(chain: Chain, monitored: Monitored) -> Mapping[str, int | None]:
    """For each token that a feed prices, how old the round is that a payment would name now; None without one."""
    if monitored.quotes is None:
        return {}
    quotes = {token.symbol: monitored.quotes.price(chain.chain_id, token) for token in chain.tokens if token.feed}
    now = monitored.clock.now()
    return {symbol: None if quote is None else max(0, now - quote.updated_at) for symbol, quote in quotes.items()}


def _chain_warnings(chains: list[ChainState], monitored: Monitored) -> list[str]:
    now, payments_now = monitored.wall_clock.now(), monitored.clock.now()
    warnings = []
    for state in chains:
        name, cursor = state.chain.name, state.cursor
        if cursor is None:
            warnings.append(f"{name}: no block was read yet; is the watcher running?")
        elif now - cursor.read_at > STALE_AFTER_S:
            warnings.append(f"{name}: no block was read for {now - cursor.read_at} s")
        elif (behind_s := _lag_s(cursor, state.chain, monitored)) > STALE_AFTER_S:
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


# --- figures -------------------------------------------------------------------------------------------------------


def metrics(monitored: Monitored) -> Handler:
    """What this process counted, and what the database says now. Without a database, the first alone."""

    async def handle(_request: web.Request) -> web.StreamResponse:
        up = GaugeMetricFamily("openpay_database_up", "Whether the database answers")
        families: list[Metric] = [up, *_endpoint_figures(monitored)]
        try:
            recorded = await read(monitored)
        except (OpenPayError, OSError) as error:
            _log.warning("database_down", reason=str(error))
            up.add_metric((), 0)
        else:
            up.add_metric((), 1)
            families += [*_chain_figures(recorded.chains, monitored), _alert_figures(recorded, monitored)]
        body = generate_latest(monitored.registry) + generate_latest(_Snapshot(families))
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return handle


@dataclass(frozen=True)
class _Snapshot(Collector):
    """Figures as they are at this moment, in the form that a registry has."""

    families: Sequence[Metric]

    def collect(self) -> Iterator[Metric]:
        return iter(self.families)


def _chain_figures(chains: Sequence[ChainState], monitored: Monitored) -> list[Metric]:
    figures = {
        name: GaugeMetricFamily(name, text, labels=("chain_id",))
        for name, text in (
            ("openpay_chain_block", "Last block read: the cursor"),
            ("openpay_chain_head", "Newest block the watcher knew of when it read that one"),
            ("openpay_chain_final_block", "Last block read that is final"),
            ("openpay_chain_lag_blocks", "Blocks known of and not read"),
            ("openpay_chain_lag_seconds", "How old the view of the chain is"),
            ("openpay_chain_read_timestamp_seconds", "When the last block was read"),
        )
    }
    ages = GaugeMetricFamily(
        "openpay_price_age_seconds",
        "Age of the round that a payment would name now; NaN without a fresh one",
        labels=("chain_id", "token"),
    )
    for state in chains:
        label = str(state.chain.chain_id)
        for symbol, age in price_ages(state.chain, monitored).items():
            ages.add_metric((label, symbol), math.nan if age is None else age)
        cursor = state.cursor
        if cursor is None:
            continue
        values = (
            cursor.number,
            cursor.seen_head,
            math.nan if cursor.final_number is None else cursor.final_number,
            lag_blocks(cursor),
            _lag_s(cursor, state.chain, monitored),
            cursor.read_at,
        )
        for figure, value in zip(figures.values(), values, strict=True):
            figure.add_metric((label,), value)
    return [*figures.values(), ages]


def _alert_figures(recorded: Recorded, monitored: Monitored) -> Metric:
    """Every kind of every chain, also where it is 0: an alert that ends must not look like a figure that is missing."""
    family = GaugeMetricFamily("openpay_alerts_open", "Alerts that are not over", labels=("kind", "chain_id"))
    chain_ids = {chain.chain_id for chain in monitored.chains.values()} | {alert.chain_id for alert in recorded.alerts}
    for chain_id in sorted(chain_ids):
        for kind in AlertKind:
            count = sum(alert.kind is kind and alert.chain_id == chain_id for alert in recorded.alerts)
            family.add_metric((kind.value, str(chain_id)), count)
    return family


def _endpoint_figures(monitored: Monitored) -> list[Metric]:
    labels = ("chain_id", "endpoint", "transport")
    up = GaugeMetricFamily("openpay_endpoint_up", "Whether this process uses the endpoint now", labels=labels)
    latency = GaugeMetricFamily("openpay_endpoint_latency_seconds", "Time it takes to answer, lately", labels=labels)
    faults = CounterMetricFamily(
        "openpay_endpoint_faults", "Answers missing or wrong, by what was wrong", labels=(*labels, "fault")
    )
    alike: dict[tuple[str, str, str], list[EndpointStanding]] = defaultdict(list)
    for chain_id, endpoints in monitored.endpoints().items():
        for endpoint in endpoints:
            # Several URLs of one host, with different keys in them, have one name: a figure may be told once only.
            alike[str(chain_id), endpoint.host, endpoint.transport].append(endpoint)
    for where, endpoints in alike.items():
        up.add_metric(where, any(endpoint.usable for endpoint in endpoints))
        latencies = [endpoint.latency_s for endpoint in endpoints if endpoint.latency_s is not None]
        if latencies:
            latency.add_metric(where, min(latencies))
        counts: Counter[str] = Counter()
        for endpoint in endpoints:
            counts.update(endpoint.faults)
        for fault, count in counts.items():
            faults.add_metric((*where, fault), count)
    return [up, latency, faults]
