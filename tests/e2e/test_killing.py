"""The whole program killed without warning (SIGKILL), and started again: everything happens, and happens once."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.dev import Dev, is_running, start
from tests.e2e.shop import Shop
from tests.support.process import wait_until

ENDPOINTS = ("/a", "/b")


def kill(dev: Dev) -> None:
    """End it without warning. Its node notices by itself, and keeps what it has."""
    (node,) = dev.children()
    assert dev.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not is_running(node), timeout_s=60, what="the node has ended")
    (dev.state_dir / "dev.json").unlink()  # which it could not do itself; the next one would, but later than we look


def mined(dev: Dev, tx_hash: str) -> None:
    """Wait until it is in a block: what only waits for one, this node forgets when it ends."""
    wait_until(lambda: dev.node.is_mined(tx_hash), timeout_s=60, what=f"{tx_hash} is mined")


def configure(dev: Dev, shop: Shop) -> None:
    shop.public_key = dev.api.webhooks.public_key()["public_key"]
    for endpoint in ENDPOINTS:
        dev.api.webhooks.configure(shop.url + endpoint)


def paid_once(dev: Dev, shop: Shop, *payment_ids: str) -> None:
    """Each payment is paid, its money moved by one settlement, and each endpoint told of one completion."""
    for payment_id in payment_ids:
        payment = dev.api.payments.retrieve(payment_id)
        dev.until_settled(payment)
        for endpoint in ENDPOINTS:
            wait_until(
                lambda payment_id=payment_id, endpoint=endpoint: (
                    shop.ids(  # type: ignore[misc]
                        "payment.completed", payment_id, endpoint=endpoint
                    )
                    != set()
                ),
                timeout_s=60,
                what=f"{endpoint} is told of {payment_id}",
            )
            assert len(shop.ids("payment.completed", payment_id, endpoint=endpoint)) == 1
            assert len(shop.ids("payment.settled", payment_id, endpoint=endpoint)) <= 1
        assert dev.api.payments.retrieve(payment_id)["status"] == "paid"
    logs = dev.settled_logs()
    assert len(logs) == len(set(logs)) == len(payment_ids)
    assert shop.refused == []


def test_killed_before_and_after_each_step_of_a_payment(tmp_path: Path, shop: Shop) -> None:
    state = tmp_path / "state"
    dev = start(state)
    configure(dev, shop)
    settling, confirming, sent, waiting = (dev.create() for _ in range(4))
    dev.pay(settling, "BNB")
    dev.until(settling, "confirming")
    dev.node.mine(6)
    dev.pay(confirming, "USDC")
    dev.until(confirming, "confirming")
    # `paid` and its settlement are two steps of two roles: this is between them, or a moment after.
    dev.until(settling, "paid")
    mined(dev, dev.pay(sent, "USDT"))
    kill(dev)

    dev = start(state)
    try:
        dev.pay(waiting, "USDT")
        paid_once(dev, shop, *(each["id"] for each in (settling, confirming, sent, waiting)))
    finally:
        dev.end()


@pytest.mark.nightly
def test_killed_at_random_moments(tmp_path: Path, shop: Shop) -> None:
    state = tmp_path / "state"
    chance = random.Random(20260326)
    payments = []
    dev = start(state)
    configure(dev, shop)
    for token in ("USDT", "BNB"):
        payment = dev.create()
        payments.append(payment["id"])
        mined(dev, dev.pay(payment, token))
        time.sleep(chance.uniform(0, 4))
        kill(dev)
        dev = start(state)
    try:
        paid_once(dev, shop, *payments)
    finally:
        dev.end()
