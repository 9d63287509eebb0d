"""The harness itself: a test that relies on it must be able to fail."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import Browser

from tests.support.anvil import ACCOUNTS, Anvil, RpcError
from tests.support.postgres import PostgresCluster
from tests.support.process import wait_until


def test_chain_finalizes_ten_blocks_behind_its_head(anvil: Anvil) -> None:
    anvil.mine(25)
    assert (anvil.block_number(), int(anvil.block("finalized")["number"], 16)) == (25, 15)


def test_reorg_replaces_blocks_and_drops_their_transactions(anvil: Anvil) -> None:
    anvil.mine(5)
    tx_hash = anvil.send(from_=ACCOUNTS[0].address, to=ACCOUNTS[1].address, value=1)
    anvil.receipt(tx_hash)
    before = anvil.block(5)["hash"], anvil.block(6)["hash"]
    anvil.reorg(1)
    assert not anvil.is_mined(tx_hash)
    assert anvil.block(5)["hash"] == before[0]
    assert anvil.block(6)["hash"] != before[1]


def test_reorg_places_given_transactions_into_the_new_branch(anvil: Anvil) -> None:
    anvil.mine(3)
    transfer = {"from": ACCOUNTS[0].address, "to": ACCOUNTS[1].address, "value": "0x1"}
    anvil.reorg(2, [(transfer, 1)])
    assert (len(anvil.block(2)["transactions"]), len(anvil.block(3)["transactions"])) == (0, 1)


def test_time_moves_only_when_told(anvil: Anvil) -> None:
    before = anvil.timestamp()
    anvil.increase_time(3600)
    assert 3600 <= anvil.timestamp() - before < 3660


def test_node_error_keeps_its_code(anvil: Anvil) -> None:
    with pytest.raises(RpcError) as caught:
        anvil.rpc("eth_noSuchMethod")
    assert caught.value.code == -32601


def test_chain_starts_with_options_of_its_own(start_anvil: Callable[..., Anvil]) -> None:
    assert int(start_anvil("--chain-id", "97").rpc("eth_chainId"), 16) == 97


def test_killed_run_leaves_no_process_behind() -> None:
    script = (
        "import os\nfrom tests.support.anvil import Anvil\n"
        "print(Anvil.start().port, flush=True)\nos.kill(os.getpid(), 9)"
    )
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert run.returncode == -signal.SIGKILL
    wait_until(lambda: not _listens(int(run.stdout)), timeout_s=60, what="the killed run's anvil has ended")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_dropped_database_disconnects_its_users(postgres_cluster: PostgresCluster) -> None:
    name = postgres_cluster.create_database()
    connection = await asyncpg.connect(
        host="127.0.0.1", port=postgres_cluster.port, user="openpay", database=name, ssl=False
    )
    postgres_cluster.drop_database(name)
    with pytest.raises(asyncpg.PostgresError):
        await connection.execute("SELECT 1")


async def test_browser_renders_a_page(browser: Browser) -> None:
    page = await browser.new_page()
    await page.set_content("<title>Pay</title>")
    assert await page.title() == "Pay"
