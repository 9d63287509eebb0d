"""docs/operations.md, the runbook and the rules for Prometheus say what the code does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from openpay.api.monitoring import RequestMetrics
from openpay.app.alerts import INHERITED_S, KEPT_S, LAGS_AFTER_S, LAGS_SEEN_S
from openpay.chain.pool import UNREADABLE_AFTER_S
from openpay.chain.standing import PROOFS_FOR_TRUST
from openpay.config import Settings
from openpay.domain.alert_board import SETTLED_S
from openpay.domain.alerts import AlertKind, NoticeType
from openpay.domain.retry import LATER_NOTICE_DELAY_S, LONGEST_NOTICE_DELAY_S, NOTICE_DELAYS_S
from openpay.http.monitored import EndpointStanding, Monitored
from openpay.http.monitoring import monitoring_app
from tests.app.worlds import CHAIN, World
from watcher.metrics import WatcherMetrics

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "docs" / "prometheus-rules.yml").read_text())["groups"][0]["rules"]

FIGURE = re.compile(r"^\| `(openpay_\w+)` \| (\w+) \| ([\w, ]*)\|", re.MULTILINE)
NODE = EndpointStanding(
    host="a:443", transport="http", state="aside", usable=False, latency_s=0.1, faults={"proof_failed": 1}
)


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Each figure's type and labels."""
    return {name: (kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in FIGURE.findall(OPERATIONS)}


async def told(world: World) -> dict[str, tuple[str, frozenset[str]]]:
    """The same of what a process tells that has every part."""
    registry = CollectorRegistry()
    WatcherMetrics(registry).of(CHAIN.chain_id)
    monitored = Monitored(
        db=world.store,
        chains={True: CHAIN},
        clock=world.clock,
        wall_clock=world.clock,
        quotes=world.quotes,
        registry=registry,
        endpoints=lambda: {CHAIN.chain_id: [NODE]},
    )
    app = monitoring_app(monitored)
    app.middlewares.insert(0, RequestMetrics(registry).middleware())
    async with TestServer(app) as server, ClientSession() as session:
        for _ in range(2):  # the first is in the figures of the second
            async with session.get(server.make_url("/metrics")) as response:
                text = await response.text()
    return {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            frozenset(name for sample in family.samples for name in sample.labels) - {"le"},
        )
        for family in text_string_to_metric_families(text)
        if not family.name.endswith("_created")
    }


@pytest.fixture
async def world(sqlite_url: str) -> AsyncIterator[World]:
    opened = await World.opened(sqlite_url)
    yield opened
    await opened.close()


async def test_every_figure_is_documented_with_its_type_and_labels_and_no_other(world: World) -> None:
    await world.mine(1)
    assert await told(world) == documented()


@pytest.mark.parametrize("kind", AlertKind)
def test_every_alert_has_a_section_that_says_what_it_means_and_what_to_do(kind: AlertKind) -> None:
    page, _, anchor = kind.runbook.partition("#")
    assert (ROOT / page).is_file()
    section = re.search(rf"^## {re.escape(anchor)}\n(.*?)(?=^#|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert section is not None
    assert section[1].index("**It means**") < section[1].index("**Do**") < section[1].index("\n1. ")


def test_runbook_has_no_section_of_an_alert_that_does_not_exist() -> None:
    sections = set(re.findall(r"^## ([a-z]+(?:_[a-z]+)+)$", RUNBOOK, re.MULTILINE))
    assert sections == {kind.value for kind in AlertKind}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_rules_use_figures_that_there_are_and_lead_to_the_runbook(rule: dict[str, Any]) -> None:
    used = set(re.findall(r"openpay_\w+", rule["expr"]))
    assert used
    assert {name.removesuffix("_bucket") for name in used} <= set(documented())
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (ROOT / page).is_file()
    sections = {words.replace(" ", "-") for words in re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)}
    assert anchor in sections or anchor == "{{ $labels.kind }}"


def test_settings_and_events_are_those_of_the_code() -> None:
    settings = re.findall(r"^\| `OPENPAY_(\w+)` \| (\S+) \|", OPERATIONS, re.MULTILINE)
    defaults = {name: Settings.model_fields[name.lower()].default for name, _ in settings}
    assert {name: "none" if default is None else f"`{default}`" for name, default in defaults.items()} == dict(settings)
    assert set(re.findall(r"alert\.[a-z]+", OPERATIONS)) == {kind.value for kind in NoticeType}


def test_times_are_those_of_the_code() -> None:
    assert (NOTICE_DELAYS_S, LATER_NOTICE_DELAY_S, LONGEST_NOTICE_DELAY_S) == ((5, 15, 60, 300), 900, 3_600)
    assert "after 5 s,\n15 s, 1 min, 5 min, then every 15 minutes" in OPERATIONS
    assert "within an hour" in OPERATIONS
    assert (INHERITED_S, KEPT_S) == (600, 90 * 86_400)
    assert "followed the chain for ten minutes" in OPERATIONS
    assert f"over for {SETTLED_S}\nseconds" in OPERATIONS
    assert "forgotten after 90 days" in OPERATIONS
    assert (LAGS_AFTER_S, LAGS_SEEN_S, UNREADABLE_AFTER_S, PROOFS_FOR_TRUST) == (120, 60, 30, 20)
    for words in ("more than two minutes old, and has been for a minute", "for half a minute", "twenty of its answers"):
        assert words in RUNBOOK
