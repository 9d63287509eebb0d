"""Refunds over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_type_hints

from openpay.app.follow import BlockFacts, commit_blocks
from openpay.app.records import Block, EscrowLog
from openpay.client import AsyncOpenPay, Refund
from openpay.domain.address import to_checksum
from openpay.domain.assessment import Accepted
from openpay.domain.deposit import Deposit, Source
from openpay.domain.keccak import keccak
from openpay.domain.payment import Payment
from openpay.domain.refunds import RefundStatus
from tests.api.shop import LIVE, NOW, Shop, add_merchant, problem

CUSTOMER = "0x52908400098527886E0F7030069857D2E4169EE7"
SENDER = bytes([5]) * 20
WHOLE = 10**18


def block_hash(number: int) -> bytes:
    return keccak(f"block {number}".encode())


async def mine(shop: Shop, number: int, *, time: int, deposits: Any = (), logs: Any = (), answers: Any = None) -> None:
    """Commit a block, final at once."""
    block = Block(chain_id=56, number=number, hash=block_hash(number), parent_hash=block_hash(number - 1), time=time)
    facts = BlockFacts(block=block, deposits=tuple(deposits), escrow_logs=tuple(logs))
    await commit_blocks(
        shop.store,
        [facts],
        final_number=number,
        seen_head=number,
        answers=answers or {},
        wall_now=time,
        tokens=LIVE.tokens,
    )


def deposit(payment_id: str, units: int, *, number: int = 1, nonce: int = 9_000) -> Deposit:
    return Deposit(
        payment_id=payment_id,
        token="USDT",
        units=units,
        source=Source.LOG,
        position=0,
        tx_hash=keccak(b"deposit"),
        sender=SENDER,
        sender_nonce=nonce,
        payer=SENDER,
        block_number=number,
        block_hash=block_hash(number),
        block_time=NOW + 5,
    )


async def expired_with(shop: Shop, units: int = 10 * WHOLE, **changes: Any) -> dict[str, Any]:
    """A payment of 25 USDT that got less, and expired."""
    payment_id = (await shop.pay(accepted_tokens=["USDT"])).body["id"]
    await mine(shop, 1, time=NOW + 5, deposits=[deposit(payment_id, units, **changes)])
    await mine(shop, 2, time=NOW + 2_000)
    body: dict[str, Any] = (await shop.get(f"/v1/payments/{payment_id}")).body
    assert body["status"] == "expired"
    return body


async def settled(shop: Shop) -> str:
    """A payment of 25 USDT whose money is in the treasury."""
    payment_id: str = (await shop.pay(accepted_tokens=["USDT"])).body["id"]
    async with shop.store.read() as uow:
        payment = await uow.payments.get(payment_id)
    assert payment is not None
    await mine(shop, 1, time=NOW + 5, deposits=[deposit(payment_id, 25 * WHOLE)], answers={payment_id: Accepted()})
    await mine(shop, 2, time=NOW + 6, answers={payment_id: Accepted()})
    await mine(shop, 3, time=NOW + 9, logs=[escrow_log("Settled", payment, number=3, terms_id=payment.terms.id())])
    return payment_id


def escrow_log(name: str, payment: Payment, *, number: int, units: int = 25 * WHOLE, **changes: Any) -> EscrowLog:
    log = EscrowLog(
        chain_id=56,
        name=name,
        payment_id=None,
        terms_id=None,
        account=payment.terms.merchant,
        token="USDT",
        units=units,
        tx_hash=keccak(name.encode()),
        log_index=0,
        block_number=number,
        block_hash=block_hash(number),
        block_time=NOW + 3 * number,
    )
    return replace(log, **changes)


async def test_payment_shows_its_refunds_with_all_their_fields(shop: Shop) -> None:
    payment = await expired_with(shop)

    (refund,) = payment["refunds"]

    assert list(refund) == [
        "id", "payment_id", "status", "reason", "mode", "token", "amount", "amount_units", "destination", "named_by",
        "available_at", "tx_hash", "failure", "transaction", "livemode", "created_at", "completed_at",
    ]  # fmt: skip
    assert refund | {"id": "ref"} == {
        "id": "ref",
        "payment_id": payment["id"],
        "status": "awaiting_claim",
        "reason": "partial",
        "mode": "claim",
        "token": "USDT",
        "amount": "10.00",
        "amount_units": "10000000000000000000",
        "destination": None,
        "named_by": None,
        "available_at": "2026-03-26T14:00:05Z",
        "tx_hash": None,
        "failure": None,
        "transaction": None,
        "livemode": True,
        "created_at": "2026-03-26T13:33:20Z",
        "completed_at": None,
    }
    assert (await shop.get(f"/v1/refunds/{refund['id']}")).body == refund
    assert (await shop.get("/v1/refunds")).body == {"data": [refund], "has_more": False}
    assert (await shop.get("/v1/refunds", params={"status": "scheduled"})).body["data"] == []


async def test_merchant_approves_where_a_refund_goes(shop: Shop) -> None:
    (refund,) = (await expired_with(shop))["refunds"]
    path = f"/v1/refunds/{refund['id']}/approve"
    problem(await shop.post(path, {}), 422, "missing_field", param="destination")
    problem(await shop.post(path, {"destination": "0x" + "00" * 20}), 422, "invalid_destination", param="destination")
    problem(await shop.post(path, {"destination": CUSTOMER[:-1] + "e"}), 422, "invalid_address", param="destination")

    approved = await shop.post(path, {"destination": CUSTOMER})

    assert approved.status == 200
    assert (approved.body["status"], approved.body["destination"], approved.body["named_by"]) == (
        "scheduled",
        CUSTOMER,
        "merchant",
    )
    assert approved.body["available_at"] == "2026-03-26T13:30:01Z", "the merchant need not wait for the window"


async def test_refund_without_an_amount_is_all_that_is_left(shop: Shop) -> None:
    payment = await expired_with(shop)

    reply = await shop.post(f"/v1/payments/{payment['id']}/refund", {"destination": CUSTOMER})

    assert reply.status == 201
    (refund,) = reply.body["data"]
    assert (refund["id"], refund["status"], refund["amount"]) == (payment["refunds"][0]["id"], "scheduled", "10.00")


async def test_part_of_it_leaves_the_rest_to_the_sender(shop: Shop) -> None:
    payment = await expired_with(shop)
    path = f"/v1/payments/{payment['id']}/refund"
    for amount in ("10.01", "0", "-1", "1e3", "1.0000000000000000001"):
        problem(
            await shop.post(path, {"amount": amount, "destination": CUSTOMER}), 422, "invalid_amount", param="amount"
        )
    problem(await shop.post(path, {"token": "USDC", "destination": CUSTOMER}), 422, "invalid_token", param="token")

    (part,) = (await shop.post(path, {"amount": "4", "destination": CUSTOMER})).body["data"]

    rest, again = (await shop.get(f"/v1/payments/{payment['id']}")).body["refunds"]
    assert (part["amount"], part["reason"], part["status"]) == ("4.00", "merchant", "scheduled")
    assert (again, rest["amount"], rest["status"]) == (part, "6.00", "awaiting_claim")


async def test_parts_together_never_exceed_what_is_there(shop: Shop) -> None:
    payment = await expired_with(shop)
    path = f"/v1/payments/{payment['id']}/refund"
    first = {"amount": "4", "destination": CUSTOMER}
    assert (await shop.post(path, first)).status == 201

    too_much = await shop.post(path, {"amount": "8", "destination": CUSTOMER})

    assert "at most 6.00" in problem(too_much, 422, "invalid_amount", param="amount")


async def test_later_request_for_all_leaves_an_earlier_part_its_address(shop: Shop) -> None:
    payment = await expired_with(shop)
    path = f"/v1/payments/{payment['id']}/refund"
    elsewhere = to_checksum(SENDER)
    await shop.post(path, {"amount": "4", "destination": CUSTOMER})

    made = (await shop.post(path, {"destination": elsewhere})).body["data"]

    assert [(refund["amount"], refund["destination"]) for refund in made] == [("6.00", elsewhere)]
    again = (await shop.get(f"/v1/payments/{payment['id']}")).body["refunds"]
    assert {(refund["amount"], refund["destination"]) for refund in again} == {
        ("4.00", CUSTOMER),
        ("6.00", elsewhere),
    }


async def test_same_request_twice_refunds_once(shop: Shop) -> None:
    payment = await expired_with(shop)
    wanted = {"amount": "4", "destination": CUSTOMER}
    path, key = f"/v1/payments/{payment['id']}/refund", {"Idempotency-Key": "refund-1"}

    first, second = [await shop.call("POST", path, body=wanted, headers=key) for _ in range(2)]

    assert first.raw == second.raw
    assert len((await shop.get(f"/v1/payments/{payment['id']}")).body["refunds"]) == 2


async def test_open_payment_cannot_be_refunded(shop: Shop) -> None:
    payment_id = (await shop.pay()).body["id"]

    problem(await shop.post(f"/v1/payments/{payment_id}/refund", {"destination": CUSTOMER}), 409, "invalid_state")


async def test_payment_without_money_has_nothing_to_refund(shop: Shop) -> None:
    payment_id = (await shop.pay()).body["id"]
    await shop.post(f"/v1/payments/{payment_id}/cancel")

    problem(await shop.post(f"/v1/payments/{payment_id}/refund", {"destination": CUSTOMER}), 422, "nothing_to_refund")


async def test_settled_money_comes_from_the_treasury_by_the_merchants_own_signature(shop: Shop) -> None:
    payment_id = await settled(shop)
    path = f"/v1/payments/{payment_id}/refund"
    wanted = {"amount": "10", "destination": CUSTOMER}
    problem(await shop.post(path, wanted), 422, "treasury_too_low", param="amount")
    shop.treasuries.units = {"USDT": 25 * WHOLE}

    (refund,) = (await shop.post(path, wanted)).body["data"]

    assert refund["status"] == "requires_signature"
    to = bytes.fromhex(CUSTOMER[2:]).rjust(32, b"\0").hex()
    contract = bytes.fromhex("55d398326f99059ff775485246999027b3197955").rjust(32, b"\0").hex()
    selector = keccak(b"withdraw(address,uint256,address)")[:4].hex()
    assert refund["transaction"] == {
        "chain_id": 56,
        "to": to_checksum(LIVE.escrow),
        "data": f"0x{selector}{contract}{(10 * WHOLE).to_bytes(32, 'big').hex()}{to}",
        "value": "0",
    }

    async with shop.store.read() as uow:
        payment = await uow.payments.get(payment_id)
    assert payment is not None
    receiver = bytes.fromhex(CUSTOMER[2:])
    other = escrow_log("Withdrawn", payment, number=4, units=10 * WHOLE, receiver=SENDER)
    await mine(shop, 4, time=NOW + 12, logs=[other])
    assert (await shop.get(f"/v1/refunds/{refund['id']}")).body["status"] == "requires_signature"
    log = escrow_log("Withdrawn", payment, number=5, units=10 * WHOLE, receiver=receiver)
    await mine(shop, 5, time=NOW + 15, logs=[log])

    done = (await shop.get(f"/v1/refunds/{refund['id']}")).body
    assert (done["status"], done["transaction"], done["tx_hash"]) == ("succeeded", None, "0x" + log.tx_hash.hex())
    told = [each["body"] for each in (await shop.get("/v1/events")).body["data"] if each["type"] == "payment.refunded"]
    assert [each["data"]["refund_id"] for each in told] == [refund["id"]]


async def test_no_more_than_was_received_is_promised_from_the_treasury(shop: Shop) -> None:
    path = f"/v1/payments/{await settled(shop)}/refund"
    shop.treasuries.units = {"USDT": 100 * WHOLE}

    assert (await shop.post(path, {"amount": "20", "destination": CUSTOMER})).status == 201
    problem(await shop.post(path, {"amount": "5.01", "destination": CUSTOMER}), 422, "invalid_amount", param="amount")
    assert (await shop.post(path, {"destination": CUSTOMER})).body["data"][0]["amount"] == "5.00"
    problem(await shop.post(path, {"destination": CUSTOMER}), 422, "nothing_to_refund")


async def test_what_the_merchant_will_not_sign_may_be_asked_for_again(shop: Shop) -> None:
    payment_id = await settled(shop)
    path = f"/v1/payments/{payment_id}/refund"
    shop.treasuries.units = {"USDT": 25 * WHOLE}
    (wrong,) = (await shop.post(path, {"destination": CUSTOMER})).body["data"]
    problem(await shop.post(path, {"destination": to_checksum(SENDER)}), 422, "nothing_to_refund")

    canceled = await shop.post(f"/v1/refunds/{wrong['id']}/cancel")

    assert (canceled.status, canceled.body["status"], canceled.body["transaction"]) == (200, "canceled", None)
    problem(await shop.post(f"/v1/refunds/{wrong['id']}/cancel"), 409, "invalid_state")
    (right,) = (await shop.post(path, {"destination": to_checksum(SENDER)})).body["data"]
    assert (right["amount"], right["status"]) == ("25.00", "requires_signature")
    # Signed after all: it pays nothing that anybody still asks for.
    async with shop.store.read() as uow:
        payment = await uow.payments.get(payment_id)
    assert payment is not None
    log = escrow_log("Withdrawn", payment, number=4, units=25 * WHOLE, receiver=bytes.fromhex(CUSTOMER[2:]))
    await mine(shop, 4, time=NOW + 12, logs=[log])
    refunds = (await shop.get(f"/v1/payments/{payment_id}")).body["refunds"]
    assert {each["id"]: each["status"] for each in refunds} == {
        wrong["id"]: "canceled",
        right["id"]: "requires_signature",
    }


async def test_refund_that_the_operator_sends_cannot_be_canceled(shop: Shop) -> None:
    payment = await expired_with(shop)
    (refund,) = (await shop.get(f"/v1/payments/{payment['id']}")).body["refunds"]
    problem(await shop.post(f"/v1/refunds/{refund['id']}/cancel"), 409, "invalid_state")


async def test_refunds_of_others_do_not_exist(shop: Shop) -> None:
    payment = await expired_with(shop)
    refund_id = payment["refunds"][0]["id"]
    _, other, _ = await add_merchant(shop.store, bytes([0xA2]) * 20)

    for key in ("test", other):
        problem(await shop.call("GET", f"/v1/refunds/{refund_id}", key=key), 404, "refund_not_found")
        approve = await shop.call("POST", f"/v1/refunds/{refund_id}/approve", key=key, body={"destination": CUSTOMER})
        problem(approve, 404, "refund_not_found")
        assert (await shop.call("GET", "/v1/refunds", key=key)).body["data"] == []
        whole = await shop.call("POST", f"/v1/payments/{payment['id']}/refund", key=key, body={})
        problem(whole, 404, "payment_not_found")


async def test_every_status_can_be_asked_for(shop: Shop) -> None:
    for status in RefundStatus:
        assert (await shop.get("/v1/refunds", params={"status": status.value})).status == 200
    problem(await shop.get("/v1/refunds", params={"status": "lost"}), 422, "invalid_status", param="status.0")


async def test_python_client_reads_and_approves_refunds(shop: Shop) -> None:
    payment = await expired_with(shop)
    async with AsyncOpenPay(shop.live_key, shop.base_url) as client:
        (listed,) = [refund async for refund in client.refunds.list(status="awaiting_claim,dust")]
        assert listed.keys() == get_type_hints(Refund).keys()
        assert await client.refunds.retrieve(listed["id"]) == listed
        (part,) = await client.payments.refund(payment["id"], amount="4", destination=CUSTOMER)
        assert part["status"] == "scheduled"
        assert (await client.refunds.approve(listed["id"], CUSTOMER))["amount"] == "6.00"
