"""Payments from the API call to the merchant's wallet, over HTTP and the chain alone."""

from __future__ import annotations

import os
import signal

import pytest

from tests.e2e.dev import Dev
from tests.e2e.installation import UNIT
from tests.e2e.shop import Shop
from tests.support.process import wait_until


@pytest.fixture
def dev(busy_dev: Dev) -> Dev:
    return busy_dev


@pytest.mark.parametrize("token", ["USDT", "USDC", "BNB"])
def test_payment_in_each_token_ends_in_the_merchants_wallet(dev: Dev, listening: Shop, token: str) -> None:
    payment = dev.create()
    assert (payment["status"], payment["accepted_tokens"]) == ("initiated", ["USDT", "USDC", "BNB"])
    tx_hash = dev.pay(payment, token)
    paid = dev.until(payment, "paid")
    assert (paid["token"], paid["tx_hash"], paid["amount"]) == (token, tx_hash, "25.00")
    settled = dev.until_settled(payment)["settlement"]
    assert settled is not None

    merchant = dev.facts["merchant"]["address"]
    before = dev.balance(token, merchant)
    dev.api.withdrawals.create(token=token)
    units = int(settled["amount_units"] or 0)
    assert units > 0
    wait_until(lambda: dev.balance(token, merchant) - before == units, timeout_s=60, what="the money is withdrawn")
    wait_until(lambda: "settled" in listening.events(payment["id"]), timeout_s=60, what="told that it is settled")
    assert listening.events(payment["id"]) == ["confirming", "completed", "settled"]


def test_page_opened_by_a_person_and_three_transfers_of_which_the_last_is_more_than_due(
    dev: Dev, listening: Shop
) -> None:
    payment = dev.create("USDT")
    dev.pay(payment, "USDT", 10 * UNIT)
    partly = dev.until(payment, "pending")
    (offer,) = partly["deposit"]["amounts"]
    assert (offer["received_units"], offer["remaining_units"]) == (str(10 * UNIT), str(15 * UNIT))
    dev.pay(payment, "USDT", 5 * UNIT)
    completing = dev.pay(payment, "USDT", 11 * UNIT)
    assert dev.until(payment, "paid")["tx_hash"] == completing
    settlement = dev.until_settled(payment)["settlement"]
    assert settlement is not None
    # The merchant gets the excess too, while the payment stays what was asked for.
    assert settlement["amount_units"] == str(26 * UNIT)
    wait_until(lambda: listening.ids("payment.completed", payment["id"]) != set(), timeout_s=60, what="webhook")
    assert {"underpaid", "confirming", "completed"} <= set(listening.events(payment["id"]))


def test_reorg_takes_a_payment_back_to_pending_and_another_transfer_pays_it_once(dev: Dev, listening: Shop) -> None:
    payment = dev.create("USDT")
    lost = dev.pay(payment, "USDT")
    dev.until(payment, "confirming")
    _reorg_away(dev, lost)
    pending = dev.until(payment, "pending")
    assert (pending["tx_hash"], pending["confirmations"]) == (None, None)
    assert pending["deposit"]["amounts"][0]["received_units"] == "0"
    again = dev.pay(payment, "USDT")
    assert dev.until(payment, "paid")["tx_hash"] == again
    dev.until_settled(payment)
    wait_until(lambda: listening.ids("payment.completed", payment["id"]) != set(), timeout_s=60, what="webhook")
    assert len(listening.ids("payment.completed", payment["id"])) == 1


def test_partly_paid_payment_expires_by_chain_time_and_what_comes_later_is_reported(dev: Dev, listening: Shop) -> None:
    payment = dev.create("USDT")
    dev.pay(payment, "USDT", 5 * UNIT)
    dev.until(payment, "pending")
    dev.node.increase_time(1801)
    dev.until(payment, "expired")
    dev.pay(payment, "USDT", 20 * UNIT)

    def told() -> bool:
        return {"expired", "late_deposit"} <= set(listening.events(payment["id"]))

    wait_until(told, timeout_s=60, what="the merchant is told of the late deposit")
    assert dev.now(payment)["status"] == "expired"
    assert listening.ids("payment.completed", payment["id"]) == set()
    # The price feed and every clock moved along: the next customer can pay, in BNB too.
    fresh = dev.create("BNB")
    assert fresh["created_at"] >= payment["expires_at"]
    dev.pay(fresh, "BNB")
    dev.until(fresh, "paid")


def test_node_that_hangs_delays_a_payment_while_the_api_answers(dev: Dev, listening: Shop) -> None:
    payment = dev.create("USDC")
    dev.pay(payment, "USDC")
    dev.until(payment, "confirming")
    (node,) = dev.children()
    os.kill(node, signal.SIGSTOP)
    try:
        held = dev.until(payment, "confirming")
        assert dev.create("USDT")["status"] == "initiated"
        assert dev.now(payment)["status"] == held["status"]
    finally:
        os.kill(node, signal.SIGCONT)
    dev.until(payment, "paid")
    wait_until(lambda: listening.ids("payment.completed", payment["id"]) != set(), timeout_s=60, what="webhook")


def _reorg_away(dev: Dev, tx_hash: str) -> None:
    """Replace the chain from this transaction's block on."""
    wait_until(lambda: dev.node.is_mined(tx_hash), timeout_s=60, what="mined")
    mined = int(dev.node.receipt(tx_hash)["blockNumber"], 16)
    while dev.node.is_mined(tx_hash):  # again where a block was mined meanwhile, so that this went not deep enough
        dev.node.reorg(dev.node.block_number() - mined + 1)
