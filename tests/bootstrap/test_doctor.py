"""`openpay doctor` on a local chain: quiet when all is well, and each fault named with what to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openpay import cli, console
from openpay.app.records import OperatorTransaction, TransactionStatus
from openpay.bootstrap.doctor import Finding, Verdict, check_public_url, examine
from openpay.chain.pool import connect
from openpay.chain.spec import save_chain
from openpay.config import Settings, given_settings
from openpay.devnet.deployment import Deployment, deploy
from openpay.domain.address import to_checksum
from openpay.domain.chains import Chain
from openpay.store import Store
from tests.support.anvil import Anvil

PUBLIC_URL = "https://pay.example"


@pytest.fixture
async def deployment(anvil: Anvil) -> AsyncIterator[Deployment]:
    async with connect([anvil.rpc_url], chain_id=31337) as pool:
        yield await deploy(pool, chain_id=31337)


def settings(anvil: Anvil, deployment: Deployment, url: str, directory: Path, chain: Chain | None = None) -> Settings:
    path = directory / "local.json"
    save_chain(chain or deployment.chain, path)
    return given_settings(
        database_url=url,
        public_url=PUBLIC_URL,
        live_chain=str(path),
        live_rpc_urls=anvil.rpc_url,
        operator_address=to_checksum(deployment.operator.address),
    )


async def findings(settings_: Settings) -> dict[str, Finding]:
    """By subject, without the chain's id."""
    return {each.subject.removeprefix("chain 31337, "): each async for each in examine(settings_)}


def faults(found: dict[str, Finding]) -> list[str]:
    return [subject for subject, finding in found.items() if finding.verdict is Verdict.FAIL]


async def test_installation_that_is_right_has_nothing_to_mend(
    anvil: Anvil, deployment: Deployment, sqlite_url: str, tmp_path: Path
) -> None:
    found = await findings(settings(anvil, deployment, sqlite_url, tmp_path))
    assert list(found) == [
        "public URL", "alerts", "database", f"node 127.0.0.1:{anvil.port}", "nodes", "escrow",
        "USDT in the escrow", "USDT contract", "USDC in the escrow", "USDC contract",
        "BNB in the escrow", "BNB feed", "operator", "gas",
    ]  # fmt: skip
    assert faults(found) == []
    assert [subject for subject, finding in found.items() if finding.verdict is Verdict.WARN] == ["alerts", "nodes"]
    assert "BNB / USD, 8 decimals" in found["BNB feed"].words


async def test_address_without_an_escrow_is_named(
    anvil: Anvil, deployment: Deployment, sqlite_url: str, tmp_path: Path
) -> None:
    wrong = replace(deployment.chain, escrow=b"\x22" * 20)
    found = await findings(settings(anvil, deployment, sqlite_url, tmp_path, wrong))
    assert faults(found) == ["escrow"]
    assert to_checksum(b"\x22" * 20) in found["escrow"].words


async def test_contract_that_is_no_escrow_lists_nothing(
    anvil: Anvil, deployment: Deployment, sqlite_url: str, tmp_path: Path
) -> None:
    wrong = replace(deployment.chain, escrow=deployment.tokens["USDT"])
    found = await findings(settings(anvil, deployment, sqlite_url, tmp_path, wrong))
    assert faults(found) == ["USDT in the escrow", "USDC in the escrow", "BNB in the escrow"]


@pytest.mark.parametrize(
    ("index", "change", "at_fault", "words"),
    [
        (0, {"decimals": 6}, ["USDT in the escrow", "USDT contract"], "has 18 decimals, the chain file says 6"),
        (0, {"symbol": "DAI"}, [], "calls itself 'USDT'"),
        (0, {"contract": b"\x33" * 20}, ["USDT in the escrow", "USDT contract"], "instead of a text"),
        (1, {"asset_index": 7}, ["USDC in the escrow"], "reverts"),
        (2, {"max_feed_age_s": 60}, ["BNB in the escrow"], "age of a price 86400, not 60"),
        (2, {"symbol": "ETH"}, ["ETH feed"], "'BNB / USD', not ETH / USD"),
        (2, {"feed": b"\x44" * 20}, ["BNB in the escrow", "BNB feed"], "instead of a number"),
    ],
)
async def test_token_that_differs_from_the_chain_is_named(
    anvil: Anvil,
    deployment: Deployment,
    sqlite_url: str,
    tmp_path: Path,
    index: int,
    change: dict[str, object],
    at_fault: list[str],
    words: str,
) -> None:
    tokens = list(deployment.chain.tokens)
    tokens[index] = replace(tokens[index], **change)  # type: ignore[arg-type]
    wrong = replace(deployment.chain, tokens=tuple(tokens))
    found = await findings(settings(anvil, deployment, sqlite_url, tmp_path, wrong))
    assert faults(found) == at_fault
    assert any(words in finding.words for finding in found.values()), [str(each) for each in found.values()]


async def test_old_price_is_a_warning(anvil: Anvil, deployment: Deployment, sqlite_url: str, tmp_path: Path) -> None:
    anvil.increase_time(86_401)
    found = await findings(settings(anvil, deployment, sqlite_url, tmp_path))
    assert found["BNB feed"].verdict is Verdict.WARN
    assert "not on offer" in found["BNB feed"].words


@pytest.mark.parametrize(("settlements", "verdict"), [(0, "FAIL"), (50, "warn"), (1_000, "ok")])
async def test_operator_is_asked_for_as_much_as_settlements_cost_today(
    anvil: Anvil, deployment: Deployment, sqlite_url: str, tmp_path: Path, settlements: int, verdict: str
) -> None:
    # A chain of its own price: what nodes ask, and a quarter more, as the settler pays.
    price = int(anvil.rpc("eth_gasPrice"), 16)
    wei = (settlements * 122_600 + 61_300) * (price + price // 4)
    anvil.rpc("anvil_setBalance", "0x" + deployment.operator.address.hex(), hex(wei))
    found = await findings(settings(anvil, deployment, sqlite_url, tmp_path))
    assert found["operator"].verdict == verdict
    assert f"enough for {settlements} settlements" in found["operator"].words


@pytest.mark.parametrize(
    ("spent_bnb", "verdict", "words"), [(7, "ok", "about 999 days"), (700, "warn", "about 9 days")]
)
async def test_days_of_gas_left_follow_from_what_the_last_week_cost(
    anvil: Anvil,
    deployment: Deployment,
    sqlite_url: str,
    tmp_path: Path,
    spent_bnb: int,
    verdict: str,
    words: str,
) -> None:
    operator = deployment.operator.address
    anvil.rpc("anvil_setBalance", to_checksum(operator), hex(9_999 * 10**17))
    store = Store.open(sqlite_url)
    async with store.write() as uow:
        await uow.operations.add_transaction(
            OperatorTransaction(
                id="otx_1",
                chain_id=31337,
                kind="settle",
                subjects=("pay_1",),
                sender=operator,
                nonce=0,
                tx_hash=bytes(32),
                raw=b"",
                gas=200_000,
                gas_price=10**9,
                status=TransactionStatus.MINED,
                created_at=int(time.time()),
                ended_at=int(time.time()) - 3_600,
                fee_wei=spent_bnb * 10**18,
            )
        )
    await store.close()

    gas = (await findings(settings(anvil, deployment, sqlite_url, tmp_path)))["gas"]

    assert (gas.verdict.value, words in gas.words) == (verdict, True), gas.words


async def test_node_that_is_down_ends_the_chains_examination(
    anvil: Anvil, deployment: Deployment, sqlite_url: str, tmp_path: Path
) -> None:
    anvil.stop()
    found = await findings(settings(anvil, deployment, sqlite_url, tmp_path))
    assert list(found) == ["public URL", "alerts", "database", f"node 127.0.0.1:{anvil.port}"]
    assert faults(found) == [f"node 127.0.0.1:{anvil.port}"]


async def test_node_of_another_chain_is_named(
    start_anvil: Callable[..., Anvil], anvil: Anvil, deployment: Deployment, sqlite_url: str, tmp_path: Path
) -> None:
    other = start_anvil("--chain-id", "97")
    found = await findings(settings(other, deployment, sqlite_url, tmp_path))
    assert "serves chain 97" in found[f"node 127.0.0.1:{other.port}"].words


async def test_missing_setting_is_a_finding_beside_the_others(tmp_path: Path) -> None:
    found = await findings(given_settings(database_url=f"sqlite:///{tmp_path}/none.db", public_url=PUBLIC_URL))
    assert faults(found) == ["database", "settings"]
    assert "openpay migrate" in found["database"].words
    assert "OPENPAY_OPERATOR_ADDRESS" in found["settings"].words


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("https://pay.example", "ok"),
        ("https://pay.example/shop", "ok"),
        (None, "warn"),
        ("http://localhost:8080", "warn"),
        ("http://pay.example", "FAIL"),
        ("https://", "FAIL"),
        ("https://pay.example?a=b", "FAIL"),
        ("https://user:hush@pay.example", "FAIL"),
    ],
)
def test_public_url_is_where_customers_can_go(url: str | None, verdict: str) -> None:
    assert check_public_url(given_settings(public_url=url)).verdict == verdict


async def test_command_prints_a_line_for_each_check_and_fails_with_any(
    anvil: Anvil, deployment: Deployment, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "log_to_stderr", lambda _level: None)
    right = settings(anvil, deployment, sqlite_url, tmp_path)
    for chosen, status in ((right, 0), (right.model_copy(update={"public_url": "http://pay.example"}), 1)):
        monkeypatch.setattr(console, "read_settings", lambda chosen=chosen: chosen)
        result = await asyncio.to_thread(CliRunner().invoke, cli.app, ["doctor"])
        assert result.exit_code == status, result.output
        assert len(result.stdout.splitlines()) == 14
        assert all(line.startswith(("ok    ", "warn  ", "FAIL  ")) for line in result.stdout.splitlines())
