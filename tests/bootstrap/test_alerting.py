"""A process that ends because it must says so: in the database, and to the operator."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from aiohttp import ClientSession
from typer.testing import CliRunner, Result

from openpay import cli
from openpay.app.alerts import record_cleared, record_raised
from openpay.bootstrap import roles
from openpay.bootstrap.alerting import send_test
from openpay.bootstrap.doctor import Verdict, check_alerts
from openpay.bootstrap.installation import Installation, installed
from openpay.bootstrap.monitoring import standings_of
from openpay.bootstrap.role import Role
from openpay.chain.pool import EndpointState
from openpay.chain.standing import Place
from openpay.chain.transport import TransportKind
from openpay.config import Settings, given_settings
from openpay.domain.alert_board import Key
from openpay.domain.alerts import Alert, AlertKind
from openpay.domain.chains import Chain
from openpay.errors import ReorgBelowFinality
from tests.domain.builders import START
from tests.support.pager import Pager
from tests.support.process import free_port

PATIENCE_S = 60
NOBODY = "http://127.0.0.1:1"


def settings(database_url: str, **more: object) -> Settings:
    return given_settings(
        database_url=database_url,
        live_chain="bsc",
        live_escrow="0x" + "22" * 20,
        live_rpc_urls=(NOBODY,),
        operator_address="0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        secret="a passphrase of some length",
        **more,
    )


async def alerts_of(installation: Installation) -> Sequence[Alert]:
    async with installation.store.read() as uow:
        return await uow.alerts.newest(10)


async def test_watcher_that_must_stop_is_told_before_the_process_ends(
    database_url: str, pager: Pager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch(_installation: Installation, _chain: Chain, _stop: asyncio.Event) -> None:
        raise ReorgBelowFinality("block 7 is another one now: run `openpay rewind`")

    monkeypatch.setattr(roles, "_watch", watch)
    async with installed(settings(database_url, alert_webhook_url=pager.url)) as installation:
        with pytest.raises(ExceptionGroup):
            await roles.run(installation, [Role.WATCHER], asyncio.Event())
        (alert,) = await alerts_of(installation)
    assert (alert.kind, alert.chain_id, alert.cleared_at) == ("watcher_stopped", 56, None)
    assert alert.detail == "the watcher failed for good: block 7 is another one now: run `openpay rewind`"
    (event,) = pager.received
    assert (event["event"], event["data"]["id"]) == ("alert.raised", alert.id)  # type: ignore[index]


async def test_watcher_that_ends_with_another_part_is_told_too(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(*_: object) -> None:
        raise ReorgBelowFinality("the port is taken")

    monkeypatch.setattr(roles, "_serve", serve)
    async with installed(settings(sqlite_url)) as installation:
        with pytest.raises(ExceptionGroup):
            await roles.run(installation, [Role.API, Role.WATCHER], asyncio.Event())
        (alert,) = await alerts_of(installation)
    assert alert.detail == "the api failed for good: the port is taken"


async def test_process_that_is_told_to_stop_raises_nothing(sqlite_url: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    async with installed(settings(sqlite_url)) as installation:
        await roles.run(installation, [Role.WATCHER], stop)
        assert "watcher_stopped" not in [alert.kind for alert in await alerts_of(installation)]


async def test_next_watcher_ends_the_alert(sqlite_url: str, pager: Pager, monkeypatch: pytest.MonkeyPatch) -> None:
    async with installed(settings(sqlite_url)) as installation:
        installation.alarms.stopped(56, "out of memory")
        await installation.alarms.keep()
    stop = asyncio.Event()
    monkeypatch.setattr("watcher.follower.Follower.step", _idle)
    monkeypatch.setattr("openpay.domain.alert_board.SETTLED_S", 0)
    async with installed(settings(sqlite_url, alert_webhook_url=pager.url)) as installation:
        running = asyncio.create_task(roles.run(installation, [Role.WATCHER], stop))
        async with asyncio.timeout(PATIENCE_S):
            while (await alerts_of(installation))[0].cleared_at is None:
                await asyncio.sleep(0.01)
        stop.set()
        await running
    # It was raised before there was anywhere to send it: the next process told of it, then of its end.
    assert [event["event"] for event in pager.received] in (
        ["alert.raised", "alert.cleared"],
        ["alert.cleared"],
    )


async def _idle(_follower: object) -> bool:
    return False


async def test_watcher_alone_serves_its_figures(sqlite_url: str) -> None:
    port, stop = free_port(), asyncio.Event()
    async with installed(settings(sqlite_url, metrics_port=port)) as installation, ClientSession() as session:
        running = asyncio.create_task(roles.run(installation, [Role.WATCHER], stop))
        async with asyncio.timeout(PATIENCE_S):
            while not (text := await _text(session, f"http://127.0.0.1:{port}/metrics")):
                await asyncio.sleep(0.02)
        stop.set()
        await running
    assert 'openpay_watcher_blocks_total{chain_id="56"} 0.0' in text
    assert 'openpay_alerts_open{chain_id="56",kind="watcher_stopped"} 0.0' in text
    assert 'openpay_endpoint_up{chain_id="56",endpoint="127.0.0.1:1",transport="http"}' in text


async def _text(session: ClientSession, url: str) -> str:
    try:
        async with session.get(url) as response:
            text = await response.text()
    except OSError:
        return ""
    return text if "openpay_watcher" in text else ""


def test_faults_of_endpoints_are_told_by_name() -> None:
    lied = EndpointState(
        endpoint="liar.example:443",
        transport=TransportKind.HTTP,
        place=Place.LOW_TRUST,
        latency_s=0.02,
        calls_per_s=None,
        faults={"ProofFailed": 2, "TimedOut": 1},
    )
    (standing,) = standings_of([lied])
    assert (standing.state, standing.usable) == ("low_trust", False)
    assert standing.faults == {"proof_failed": 2, "timed_out": 1}


# --- the operator's command ------------------------------------------------------------------------------------------


@pytest.fixture
def openpay(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `openpay alerts` on a database that holds an open alert and one that is over."""
    monkeypatch.chdir(tmp_path)
    nothing = {f"OPENPAY_{name}".upper(): None for name in Settings.model_fields}

    async def prepare() -> None:
        async with installed(settings(sqlite_url)) as installation, installation.store.write() as uow:
            for kind, detail in ((AlertKind.FINALITY_STALLED, "no news"), (AlertKind.NO_SECOND_HOST, "one answers")):
                await record_raised(uow, Key(kind, 56, ""), detail, at=START, now=START, notify=False)
            await record_cleared(
                uow, Key(AlertKind.NO_SECOND_HOST, 56, ""), at=START + 60, now=START + 60, notify=False
            )

    asyncio.run(prepare())

    def run(*arguments: str, **env: str) -> Result:
        known = {**nothing, "OPENPAY_DATABASE_URL": sqlite_url, **env}
        return CliRunner(env=known).invoke(cli.app, ["alerts", *arguments], catch_exceptions=False)

    return run


def test_command_lists_what_is_wrong_now(openpay: Callable[..., Result]) -> None:
    listed = openpay()
    assert listed.exit_code == 1
    alert_id, _, rest = listed.stdout.partition("  ")
    assert re.fullmatch(r"alt_[0-9A-Za-z]{24}", alert_id)
    assert rest == (
        "2026-03-26T13:00:00Z  error  finality_stalled on chain 56: no news  [docs/runbook.md#finality_stalled]\n"
    )


def test_command_lists_what_is_over_when_asked(openpay: Callable[..., Result]) -> None:
    over, _ = openpay("--all").stdout.splitlines()
    assert over.partition("  ")[2] == (
        "2026-03-26T13:00:00Z to 2026-03-26T13:01:00Z  error  over: no_second_host on chain 56: one answers  "
        "[docs/runbook.md#no_second_host]"
    )


def test_command_ends_an_alert_that_nothing_else_will_end(openpay: Callable[..., Result]) -> None:
    alert_id = openpay().stdout.split()[0]
    ended = openpay("--end", alert_id)
    assert (ended.exit_code, "over: finality_stalled" in ended.stdout) == (0, True)
    assert (openpay().exit_code, openpay().stdout) == (0, "")
    again = openpay("--end", alert_id)
    assert (again.exit_code, "no open alert" in again.output) == (1, True)


def test_command_tries_the_receiver_out(openpay: Callable[..., Result]) -> None:
    nowhere = openpay("--test")
    assert (nowhere.exit_code, "OPENPAY_ALERT_WEBHOOK_URL is not set" in nowhere.output) == (2, True)
    dead = openpay("--test", OPENPAY_ALERT_WEBHOOK_URL="http://127.0.0.1:1/hook")
    assert (dead.exit_code, dead.stdout.startswith("not taken: ")) == (1, True)


async def test_answer_to_the_test_is_told(pager: Pager) -> None:
    answer = await send_test(given_settings(alert_webhook_url=pager.url))
    assert answer.taken
    assert answer.words.startswith("taken: answered 204 in ")
    assert [event["event"] for event in pager.received] == ["alert.test"]


@pytest.mark.parametrize(
    ("more", "verdict", "words"),
    [
        ({}, Verdict.WARN, "set OPENPAY_ALERT_WEBHOOK_URL"),
        ({"alert_webhook_url": "https://pager.example/T0K3N"}, Verdict.OK, "sent to pager.example, unsigned"),
    ],
)
def test_doctor_says_whether_anybody_would_be_told(more: dict[str, object], verdict: Verdict, words: str) -> None:
    finding = check_alerts(given_settings(**more))
    assert finding.verdict is verdict
    assert words in finding.words
    assert "T0K3N" not in finding.words
