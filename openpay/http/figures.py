"""Figures for Prometheus: what this process counted, and what the database says now.

What is in the database is read when it is asked for: any process can tell it, whichever makes it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from openpay.app.lag import lag_blocks
from openpay.domain.alerts import AlertKind
from openpay.errors import OpenPayError
from openpay.http.monitored import ChainState, EndpointStanding, Monitored, Recorded, price_ages, read, view_age_s

_log = structlog.get_logger("openpay.http")


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
            view_age_s(cursor, state.chain, monitored),
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
