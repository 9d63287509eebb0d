"""Money that did not pay, and money that did, on its way back to the customer: over HTTP and the chain alone."""

from __future__ import annotations

import pytest

from openpay.chain.signing import Signer
from openpay.client import Refund
from tests.e2e.dev import Dev
from tests.e2e.installation import UNIT
from tests.e2e.shop import Shop
from tests.support.process import wait_until

THERE = "0x52908400098527886E0F7030069857D2E4169EE7"


@pytest.fixture
def dev(busy_dev: Dev) -> Dev:
    return busy_dev


def until_refund(dev: Dev, payment_id: str, status: str) -> Refund:
    """Wait until the payment's only refund has this status."""

    def reached() -> bool:
        refunds = dev.api.payments.retrieve(payment_id)["refunds"]
        return [refund["status"] for refund in refunds] == [status]

    wait_until(reached, timeout_s=60, what=f"the refund is {status}")
    (refund,) = dev.api.payments.retrieve(payment_id)["refunds"]
    return refund


@pytest.mark.parametrize("token", ["USDT", "BNB"])
def test_partial_payment_that_expired_comes_back_by_itself(dev: Dev, listening: Shop, token: str) -> None:
    payment = dev.create(token)
    units = int(payment["deposit"]["amounts"][0]["amount_units"]) // 2
    dev.pay(payment, token, units)
    dev.until(payment, "pending")
    before = dev.balance(token, dev.facts["customer"]["address"])
    dev.node.increase_time(1801)
    dev.until(payment, "expired")
    scheduled = until_refund(dev, payment["id"], "scheduled")
    assert (scheduled["mode"], scheduled["destination"]) == ("automatic", dev.facts["customer"]["address"])

    dev.node.increase_time(3600)
    done = until_refund(dev, payment["id"], "succeeded")

    assert dev.balance(token, dev.facts["customer"]["address"]) == before + units
    assert dev.balance(token, payment["deposit"]["address"]) == 0
    wait_until(lambda: "refunded" in listening.events(payment["id"]), timeout_s=60, what="told of the refund")
    assert (done["amount_units"], done["failure"]) == (str(units), None)


def test_merchant_pays_back_a_settled_payment_with_its_own_wallet(dev: Dev, listening: Shop) -> None:
    payment = dev.create("USDT")
    dev.pay(payment, "USDT")
    dev.until(payment, "paid")
    dev.until_settled(payment)

    (refund,) = dev.api.payments.refund(payment["id"], amount="10", destination=THERE)
    prepared = refund["transaction"]
    assert refund["status"] == "requires_signature"
    assert prepared is not None
    merchant = dev.facts["merchant"]
    dev.node.rpc("anvil_setBalance", merchant["address"], hex(UNIT))
    signed = Signer(bytes.fromhex(merchant["private_key"][2:])).sign(
        chain_id=prepared["chain_id"],
        nonce=int(dev.node.rpc("eth_getTransactionCount", merchant["address"], "latest"), 16),
        to=bytes.fromhex(prepared["to"][2:]),
        gas=200_000,
        gas_price=2 * 10**10,
        data=bytes.fromhex(prepared["data"][2:]),
        value=int(prepared["value"]),
    )
    dev.node.rpc("eth_sendRawTransaction", "0x" + signed.raw.hex())

    done = until_refund(dev, payment["id"], "succeeded")
    assert done["tx_hash"] == "0x" + signed.hash.hex()
    assert dev.balance("USDT", THERE) == 10 * UNIT
    wait_until(lambda: "refunded" in listening.events(payment["id"]), timeout_s=60, what="told of the refund")
