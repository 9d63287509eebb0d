"""What an operator sees from outside: nodes, open alerts and the age of the view, in `/readyz` and `/metrics`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from openpay.api import build_app
from openpay.app.records import Cursor
from openpay.domain.alerts import Alert, AlertKind
from openpay.http.monitored import EndpointStanding, Monitored
from openpay.http.monitoring import monitoring_app
from tests.api.shop import NOW, Away, Shop

NODES = {
    56: [
        EndpointStanding(
            host="first.example:443",
            state="in_service",
            transport="http",
            usable=True,
            latency_s=0.0204,
            faults={"timed_out": 2},
        ),
        EndpointStanding(host="second.example:443", state="aside", transport="http", usable=False, latency_s=None),
    ]
}


async def read_to(shop: Shop, *, number: int, seen_head: int, time: int = NOW, read_at: int = NOW) -> None:
    cursor = Cursor(
        chain_id=56,
        number=number,
        hash=b"\x01" * 32,
        time=time,
        tip_time=time,
        final_number=number - 2,
        final_time=time,
        seen_head=seen_head,
        read_at=read_at,
    )
    async with shop.store.write() as uow:
        await uow.chain.move_cursor(None, cursor)


async def raise_(shop: Shop, kind: AlertKind, subject: str = "") -> None:
    alert = Alert(
        id=f"alt_{kind}_{subject}",
        kind=kind,
        chain_id=56,
        subject=subject,
        detail="a node omitted a log",
        raised_at=NOW,
        seen_at=NOW + 5,
    )
    async with shop.store.write() as uow:
        await uow.alerts.raise_(alert)


@asynccontextmanager
async def with_nodes(shop: Shop) -> AsyncIterator[Shop]:
    deps = replace(shop.deps, endpoints=lambda: NODES, registry=CollectorRegistry())
    async with TestServer(build_app(deps)) as server:
        yield replace(shop, base_url=str(server.make_url("")).rstrip("/"))


async def figures(shop: Shop) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by its name and the values of its labels, in the order of their names."""
    text = (await shop.get("/metrics", key=None)).raw.decode()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_ready_lists_alerts_that_are_not_over(shop: Shop) -> None:
    await raise_(shop, AlertKind.ENDPOINT_LIED, "first.example:443")
    await raise_(shop, AlertKind.FINALITY_STALLED)
    async with shop.store.write() as uow:
        await uow.alerts.clear(AlertKind.FINALITY_STALLED, 56, "", at=NOW + 9)

    assert (await shop.get("/readyz", key=None)).body["alerts"] == [
        {
            "id": "alt_endpoint_lied_first.example:443",
            "kind": "endpoint_lied",
            "severity": "error",
            "chain_id": 56,
            "subject": "first.example:443",
            "detail": "a node omitted a log",
            "runbook": "docs/runbook.md#endpoint_lied",
            "raised_at": "2026-03-26T13:00:00Z",
            "seen_at": "2026-03-26T13:00:05Z",
        }
    ]


async def test_ready_tells_how_each_node_does(shop: Shop) -> None:
    async with with_nodes(shop) as served:
        live, test = (await served.get("/readyz", key=None)).body["chains"]
    assert live["endpoints"] == [
        {"host": "first.example:443", "transport": "http", "state": "in_service", "latency_ms": 20},
        {"host": "second.example:443", "transport": "http", "state": "aside", "latency_ms": None},
    ]
    assert test["endpoints"] == []


async def test_ready_tells_how_old_the_view_is(shop: Shop) -> None:
    await read_to(shop, number=90, seen_head=100, time=NOW - 300)
    body = (await shop.get("/readyz", key=None)).body
    chain = body["chains"][0]
    assert (chain["lag_blocks"], chain["lag_s"], chain["final_block"]) == (10, 300, 88)
    assert "bsc: what was read is 300 s old, 10 blocks are still to read" in body["warnings"]


async def test_metrics_tell_of_chain_nodes_and_alerts(shop: Shop) -> None:
    await read_to(shop, number=90, seen_head=100, time=NOW - 300)
    await raise_(shop, AlertKind.ENDPOINT_LIED, "first.example:443")
    await raise_(shop, AlertKind.ENDPOINT_LIED, "second.example:443")
    async with with_nodes(shop) as served:
        seen = await figures(served)
    expected = {
        ("openpay_database_up", ()): 1,
        ("openpay_chain_block", ("56",)): 90,
        ("openpay_chain_head", ("56",)): 100,
        ("openpay_chain_final_block", ("56",)): 88,
        ("openpay_chain_lag_blocks", ("56",)): 10,
        ("openpay_chain_lag_seconds", ("56",)): 300,
        ("openpay_alerts_open", ("56", "endpoint_lied")): 2,
        ("openpay_alerts_open", ("56", "finality_stalled")): 0,
        ("openpay_alerts_open", ("97", "endpoint_lied")): 0,
        ("openpay_endpoint_up", ("56", "first.example:443", "http")): 1,
        ("openpay_endpoint_up", ("56", "second.example:443", "http")): 0,
        ("openpay_endpoint_latency_seconds", ("56", "first.example:443", "http")): 0.0204,
        ("openpay_endpoint_faults_total", ("56", "first.example:443", "timed_out", "http")): 2,
    }
    assert {key: seen.get(key) for key in expected} == expected


async def test_urls_of_one_host_make_one_figure(shop: Shop) -> None:
    """Prometheus refuses everything that a process tells when one figure is told twice."""
    first = EndpointStanding(
        host="a:443", transport="http", state="aside", usable=False, latency_s=0.5, faults={"timed_out": 2}
    )
    second = replace(first, state="in_service", usable=True, latency_s=0.25)
    deps = replace(shop.deps, endpoints=lambda: {56: [first, second]}, registry=CollectorRegistry())
    async with TestServer(build_app(deps)) as server:
        served = replace(shop, base_url=str(server.make_url("")).rstrip("/"))
        lines = (await served.get("/metrics", key=None)).raw.decode().splitlines()
        seen = await figures(served)
    assert len([line for line in lines if line.startswith("openpay_endpoint_up{")]) == 1
    where = ("56", "a:443")
    assert seen["openpay_endpoint_up", (*where, "http")] == 1
    assert seen["openpay_endpoint_latency_seconds", (*where, "http")] == 0.25
    assert seen["openpay_endpoint_faults_total", (*where, "timed_out", "http")] == 4


async def test_any_process_serves_them_on_a_port_of_its_own(shop: Shop) -> None:
    """Without prices, which only the API looks after."""
    registry = CollectorRegistry()
    Counter("openpay_example", "Something this process counts", registry=registry).inc()
    monitored = Monitored(
        db=shop.store, chains=shop.deps.chains, clock=shop.clock, wall_clock=shop.clock, registry=registry
    )
    async with TestServer(monitoring_app(monitored)) as server, ClientSession() as session:
        for path in ("/livez", "/readyz", "/metrics"):
            async with session.get(server.make_url(path)) as response:
                assert response.status == 200
                text = await response.text()
        assert "openpay_example_total 1.0" in text
        assert "openpay_price_age_seconds{" not in text
        async with session.get(server.make_url("/v1/payments")) as response:
            assert response.status == 404


async def test_what_a_process_counts_is_told_without_a_database_too(shop: Shop) -> None:
    async with TestServer(build_app(replace(shop.deps, db=Away(), registry=CollectorRegistry()))) as server:
        seen = await figures(replace(shop, base_url=str(server.make_url("")).rstrip("/")))
    assert seen["openpay_database_up", ()] == 0
    assert not any(name.startswith(("openpay_chain", "openpay_alerts")) for name, _ in seen)


@pytest.mark.parametrize("kind", AlertKind)
async def test_every_kind_of_alert_fits_the_documented_answer(shop: Shop, kind: AlertKind) -> None:
    from openpay.api.health import ReadyShape

    await raise_(shop, kind)
    (alert,) = ReadyShape.model_validate((await shop.get("/readyz", key=None)).body).alerts
    assert alert.kind == kind
