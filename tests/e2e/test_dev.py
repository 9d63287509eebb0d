"""`openpay dev` as a program: its file, its signals, its directory, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import stat
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from openpay.client import OpenPay
from tests.e2e.dev import Dev, is_running, launch, running, start
from tests.support.anvil import Anvil
from tests.support.process import stop, wait_until


def test_file_for_scripts_has_exactly_the_documented_fields(dev: Dev) -> None:
    assert list(dev.facts) == [
        "api_url", "rpc_urls", "chain_id", "api_key", "test_api_key", "merchant", "contracts", "customer",
        "webhook_public_key",
    ]  # fmt: skip
    assert list(dev.facts["merchant"]) == ["id", "address", "private_key"]
    assert list(dev.facts["contracts"]) == ["escrow", "tokens", "feeds"]
    assert list(dev.facts["contracts"]["tokens"]) == ["USDT", "USDC"]
    assert list(dev.facts["contracts"]["feeds"]) == ["BNB/USD"]
    assert list(dev.facts["customer"]) == ["address", "private_key"]
    assert dev.facts["chain_id"] == 31337 == int(dev.node.rpc("eth_chainId"), 16)


def test_file_for_scripts_holds_keys_and_is_readable_by_its_owner_alone(dev: Dev) -> None:
    assert stat.S_IMODE((dev.state_dir / "dev.json").stat().st_mode) == 0o600


def test_both_keys_use_the_local_chain(dev: Dev) -> None:
    test_mode = OpenPay(dev.facts["test_api_key"], dev.facts["api_url"])
    payment = test_mode.payments.create(amount="1.00", currency="USD")
    assert (payment["livemode"], payment["deposit"]["chain_id"]) == (False, 31337)
    assert dev.create()["livemode"] is True


def test_customer_holds_a_million_of_each_token_and_a_thousand_bnb(dev: Dev) -> None:
    address = dev.facts["customer"]["address"]
    assert min(dev.balance("USDT", address), dev.balance("USDC", address)) >= 1_000_000 * 10**18
    assert dev.balance("BNB", address) >= 1_000 * 10**18


def test_webhook_key_of_the_file_is_the_merchants(dev: Dev) -> None:
    assert dev.api.webhooks.public_key()["public_key"] == dev.facts["webhook_public_key"]


def test_it_says_where_it_runs_and_how_to_go_on(dev: Dev) -> None:
    said = dev.log.read_text()
    for expected in (
        dev.facts["api_url"],
        f"{dev.facts['api_url']}/demo",
        dev.facts["rpc_urls"][0],
        dev.facts["api_key"],
        "dev.json",
        "Ctrl-C",
    ):
        assert expected in said
    assert len(said.splitlines()) < 15, said
    assert dev.facts["merchant"]["private_key"] not in said


def test_signal_during_start_up_stops_it_cleanly(tmp_path: Path) -> None:
    state = tmp_path / "state"
    process, log = launch(state)
    wait_until((state / "chain" / "anvil.log").exists, timeout_s=60, what="the node starts")
    stop(process, signal.SIGINT, timeout_s=60)
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert not (state / "dev.json").exists()


@pytest.mark.nightly
def test_stopped_and_started_again_it_goes_on_where_it_was(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = start(state)
    (node,) = first.children()
    waiting = first.create()
    first.pay(waiting, "USDT", 10 * 10**18)
    first.until(waiting, "pending")
    height = first.node.block_number()
    assert first.end(signal.SIGINT) == 0
    assert not is_running(node)
    assert not (state / "dev.json").exists()

    with running(state) as second:
        fixed = ("api_key", "test_api_key", "merchant", "contracts", "customer", "webhook_public_key")
        assert {name: second.facts[name] for name in fixed} == {name: first.facts[name] for name in fixed}
        assert second.node.block_number() >= height
        assert second.now(waiting)["deposit"]["amounts"][0]["received_units"] == str(10 * 10**18)
        second.pay(waiting, "USDT", 15 * 10**18)
        second.until(waiting, "paid")
        (node,) = second.children()
        assert second.end(signal.SIGTERM) == 0
        assert not is_running(node)

    with running(state, "--reset") as fresh:
        assert fresh.facts["api_key"] != first.facts["api_key"]
        assert list(fresh.api.payments.list()) == []


@pytest.mark.nightly
def test_payments_of_before_a_restart_complete_after_it_in_every_token(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = start(state)
    paid_before = {token: first.create(token) for token in ("USDT", "BNB")}
    paid_after = {token: first.create(token) for token in ("USDT", "BNB")}
    for token, payment in paid_before.items():
        tx_hash = first.pay(payment, token)
        wait_until(lambda tx_hash=tx_hash: first.node.is_mined(tx_hash), timeout_s=60, what="it is mined")  # type: ignore[misc]
    assert first.end() == 0

    with running(state) as second:
        paid_new = {token: second.create(token) for token in ("USDT", "BNB")}  # BNB needs a price
        for token, payment in (*paid_after.items(), *paid_new.items()):
            second.pay(payment, token)
        payments = [payment for group in (paid_before, paid_after, paid_new) for payment in group.values()]
        for payment in payments:
            second.until_settled(payment)
        assert len(second.settled_logs()) == len(payments)


@pytest.mark.nightly
def test_reorg_after_a_restart_takes_a_payment_back_and_it_is_paid_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert start(state).end() == 0
    with running(state) as dev:
        payment = dev.create("BNB")
        dev.pay(payment, "BNB")
        dev.until(payment, "confirming")
        dev.node.rpc("anvil_reorg", 9, [])
        dev.until(payment, "pending")
        dev.pay(payment, "BNB")
        dev.until_settled(payment)


@pytest.mark.nightly
def test_chain_file_cut_short_by_a_kill_costs_no_payment(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = start(state, "--block-time", "0.5")
    payment = first.create("USDT")
    tx_hash = first.pay(payment, "USDT")
    copy = state / "chain" / "chain.json.previous"
    wait_until(lambda: copy.exists() and tx_hash in copy.read_text(), timeout_s=60, what="it is in the copy")
    (node,) = first.children()
    os.kill(node, signal.SIGSTOP)  # else it would end in order, and write its file once more
    first.end(signal.SIGKILL)
    os.kill(node, signal.SIGKILL)
    wait_until(lambda: not is_running(node), timeout_s=60, what="the node has ended")
    chain = state / "chain" / "chain.json"
    os.truncate(chain, chain.stat().st_size // 2)
    (state / "dev.json").unlink()

    with running(state, "--block-time", "0.5") as second:
        assert "goes back to its last copy" in second.log.read_text()
        second.until_settled(payment)


@pytest.mark.nightly
def test_running_node_is_used_through_two_endpoints_and_left_running(
    start_anvil: Callable[..., Anvil], tmp_path: Path
) -> None:
    chain = start_anvil("--block-time", "0.15")
    urls = [chain.rpc_url, f"http://localhost:{chain.port}"]
    with running(tmp_path / "state", "--rpc-url", urls[0], "--rpc-url", urls[1], "--confirmations", "14") as dev:
        assert dev.facts["rpc_urls"] == urls
        assert not (dev.state_dir / "chain").exists()
        payment = dev.create("BNB")
        assert payment["required_confirmations"] == 14
        dev.pay(payment, "BNB")
        assert dev.until(payment, "paid")["confirmations"] == 14
    assert chain.block_number() > 0


def test_its_figures_tell_of_chain_and_node(dev: Dev) -> None:
    """One process with all roles: its API tells what its watcher counts."""
    with urllib.request.urlopen(f"{dev.facts['api_url']}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    samples = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
    assert samples["openpay_watcher_blocks_total"].value > 0
    assert samples["openpay_watcher_commit_seconds_count"].value > 0
    assert samples["openpay_chain_head"].value >= samples["openpay_chain_block"].value > 0
    assert samples["openpay_endpoint_up"].value == 1
    assert samples["openpay_endpoint_latency_seconds"].value > 0
    with urllib.request.urlopen(f"{dev.facts['api_url']}/readyz", timeout=30) as answer:
        ready = json.load(answer)
    assert ready["alerts"] == []
    assert [endpoint["state"] for endpoint in ready["chains"][0]["endpoints"]] == ["in_service"]
