"""Balances and withdrawals over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openpay.domain.address import to_checksum
from openpay.domain.deposit import Deposit, Source
from openpay.domain.payment import Completion, Settlement, SettlementStatus, Status
from tests.api.shop import NOW, Shop, add_merchant, problem


async def make_paid(shop: Shop, *, units: int, settlement: SettlementStatus) -> None:
    """A payment of 25 USDT that received `units`."""
    await receive(
        shop,
        units,
        status=Status.PAID,
        paid_at=NOW + 60,
        ended_at=NOW + 60,
        paid_confirmations=12,
        settlement=Settlement(status=settlement),
    )


async def receive(shop: Shop, units: int, *, reverted: bool = False, **changes: Any) -> None:
    """A payment of 25 USDT that received `units`, and `changes` to what moves in it."""
    payment_id = (await shop.pay(accepted_tokens=["USDT"])).body["id"]
    async with shop.store.write() as uow:
        (payment,) = await uow.payments.lock([payment_id])
        completion = Completion(
            token="USDT", tx_hash=b"\x01" * 32, block_number=7, block_hash=b"\x02" * 32, reverted=reverted
        )
        await uow.payments.save(replace(payment, completion=completion, **changes))
        await uow.deposits.add(
            [
                Deposit(
                    payment_id=payment_id,
                    token=token,
                    units=amount,
                    source=Source.LOG,
                    position=position,
                    tx_hash=b"\x01" * 32,
                    sender=None,
                    sender_nonce=None,
                    payer=None,
                    block_number=7,
                    block_hash=b"\x02" * 32,
                    block_time=NOW + 5,
                )
                # The last is a token that was not accepted: settling does not move it.
                for position, (token, amount) in enumerate([("USDT", units - 1), ("USDT", 1), ("USDC", 99)])
            ]
        )


async def test_balances_tell_what_is_in_the_treasury_and_what_is_on_its_way(shop: Shop) -> None:
    shop.treasuries.units = {"USDT": 5 * 10**17}
    await make_paid(shop, units=25 * 10**18, settlement=SettlementStatus.PENDING)
    await make_paid(shop, units=30 * 10**18, settlement=SettlementStatus.SUBMITTED)
    await make_paid(shop, units=70 * 10**18, settlement=SettlementStatus.SETTLED)

    balances = (await shop.get("/v1/balances")).body

    assert balances["has_more"] is False
    assert balances["data"][0] == {
        "token": "USDT",
        "contract": "0x55d398326f99059fF775485246999027B3197955",
        "decimals": 18,
        "available": "0.50",
        "available_units": str(5 * 10**17),
        "pending": "55.00",
        "pending_units": str(55 * 10**18),
        "confirming": "0.00",
        "confirming_units": "0",
        "usd": {"available": "0.50", "pending": "55.00", "confirming": "0.00"},
    }
    assert [(b["token"], b["available"], b["pending"]) for b in balances["data"][1:]] == [
        ("USDC", "0.00", "0.00"),
        ("BNB", "0.00", "0.00"),
    ]
    assert (await shop.get("/v1/balances", key="test")).body["data"][0]["pending"] == "0.00"


async def test_money_that_is_being_confirmed_is_told_apart(shop: Shop) -> None:
    await receive(shop, 26 * 10**18, status=Status.CONFIRMING, confirming_since=NOW)
    await receive(shop, 9 * 10**18, status=Status.CONFIRMING, confirming_since=NOW, reverted=True)

    usdt = (await shop.get("/v1/balances")).body["data"][0]

    assert (usdt["pending"], usdt["confirming"], usdt["confirming_units"]) == ("0.00", "26.00", str(26 * 10**18))
    assert usdt["usd"] == {"available": "0.00", "pending": "0.00", "confirming": "26.00"}


async def test_worth_is_rounded_down_at_the_fresh_price_and_unknown_without_one(shop: Shop) -> None:
    shop.treasuries.units = {"BNB": 10**18 // 3, "USDT": 1_999_999_999_999}

    usdt, _, bnb = (await shop.get("/v1/balances")).body["data"]
    assert bnb["usd"]["available"] == "199.999999"
    assert usdt["usd"]["available"] == "0.000001"

    shop.quotes.bnb = None
    usdt, _, bnb = (await shop.get("/v1/balances")).body["data"]
    assert (bnb["available_units"], bnb["usd"]) == (str(10**18 // 3), None)
    assert usdt["usd"]["available"] == "0.000001"


async def test_paid_payment_shows_its_settlement(shop: Shop) -> None:
    await make_paid(shop, units=25 * 10**18, settlement=SettlementStatus.PENDING)

    (payment,) = (await shop.get("/v1/payments", params={"status": "paid"})).body["data"]

    assert payment["settlement"] == {"status": "pending", "tx_hash": None, "amount_units": None, "settled_at": None}
    assert (payment["token"], payment["tx_hash"]) == ("USDT", "0x" + "01" * 32)
    assert (payment["confirmations"], payment["paid_at"]) == (12, "2026-03-26T13:01:00Z")


async def test_unreachable_chain_is_unavailable_and_tells_nothing_of_its_nodes(shop: Shop) -> None:
    shop.treasuries.units = None

    for reply in (await shop.get("/v1/balances"), await shop.post("/v1/withdrawals", {"token": "USDT"})):
        problem(reply, 503, "chain_unavailable")
        assert reply.headers["Retry-After"] == "2"
        assert b"node" not in reply.raw
        assert b"secret" not in reply.raw


async def test_withdrawal_is_recorded_for_the_settler(shop: Shop) -> None:
    shop.treasuries.units = {"USDT": 5 * 10**17}

    created = await shop.post("/v1/withdrawals", {"token": "USDT"})

    assert created.status == 201
    withdrawal_id = created.body["id"]
    assert created.body == {
        "id": withdrawal_id,
        "status": "pending",
        "token": "USDT",
        "amount": None,
        "amount_units": None,
        "address": to_checksum(b"\xaa" * 20),
        "tx_hash": None,
        "failure": None,
        "livemode": True,
        "created_at": "2026-03-26T13:00:00Z",
        "completed_at": None,
    }
    assert (await shop.get(f"/v1/withdrawals/{withdrawal_id}")).raw == created.raw
    assert (await shop.get("/v1/withdrawals")).body == {"data": [created.body], "has_more": False}
    async with shop.store.read() as uow:
        (open_one,) = await uow.operations.open_withdrawals(56, 10)
    assert open_one.id == withdrawal_id


async def test_empty_treasury_has_nothing_to_withdraw(shop: Shop) -> None:
    problem(await shop.post("/v1/withdrawals", {"token": "USDT"}), 422, "nothing_to_withdraw", param="token")


async def test_withdrawal_names_one_known_token(shop: Shop) -> None:
    for body, code, param in (
        ({}, "missing_field", "token"),
        ({"token": "DOGE"}, "invalid_token", "token"),
        ({"token": 5}, "invalid_token", "token"),
        ({"token": "USDT", "to": "0x0"}, "unknown_field", "to"),
    ):
        problem(await shop.post("/v1/withdrawals", body), 422, code, param=param)


async def test_withdrawals_of_others_do_not_exist(shop: Shop) -> None:
    _, stranger, _ = await add_merchant(shop.store, b"\xbb" * 20)
    shop.treasuries.units = {"USDT": 1}
    withdrawal_id = (await shop.post("/v1/withdrawals", {"token": "USDT"})).body["id"]

    for key in (stranger, "test"):
        problem(await shop.get(f"/v1/withdrawals/{withdrawal_id}", key=key), 404, "withdrawal_not_found")
        assert (await shop.get("/v1/withdrawals", key=key)).body["data"] == []
    problem(await shop.get("/v1/withdrawals/wd_0"), 404, "withdrawal_not_found")
