"""Idempotency-Key: the same request twice is done once."""

from __future__ import annotations

import asyncio

import pytest

from openpay.app.idempotency import claim_for, parse_key
from openpay.app.merchants import Caller
from openpay.app.sealing import Sealer
from openpay.errors import Malformed
from openpay.store import Store
from tests.api.shop import Shop, add_merchant, open_shop, problem

KEY = {"Idempotency-Key": "order-1042"}


async def payments(shop: Shop, key: str = "live") -> int:
    return len((await shop.get("/v1/payments", params={"limit": "100"}, key=key)).body["data"])


async def test_repeated_request_gets_the_first_answer_byte_for_byte(shop: Shop) -> None:
    first = await shop.pay(headers=KEY)
    await shop.post(f"/v1/payments/{first.body['id']}/cancel")

    again = await shop.pay(headers=KEY)

    assert (again.status, again.raw) == (201, first.raw)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await payments(shop) == 1


async def test_same_key_with_another_body_is_a_mismatch(shop: Shop) -> None:
    await shop.pay(headers=KEY)

    problem(await shop.pay(headers=KEY, amount="26.00"), 409, "idempotency_mismatch", param="Idempotency-Key")
    assert await payments(shop) == 1


async def test_same_key_on_another_path_is_a_mismatch(shop: Shop) -> None:
    payment_id = (await shop.pay(headers=KEY)).body["id"]

    reply = await shop.post(f"/v1/payments/{payment_id}/cancel", headers=KEY)

    problem(reply, 409, "idempotency_mismatch", param="Idempotency-Key")


async def test_other_order_of_fields_is_the_same_request(shop: Shop) -> None:
    first = await shop.post("/v1/payments", {"amount": "25", "currency": "USD"}, headers=KEY)
    again = await shop.post("/v1/payments", {"currency": "USD", "amount": "25"}, headers=KEY)

    assert again.raw == first.raw


async def test_twice_at_once_makes_one_payment(shop: Shop) -> None:
    replies = await asyncio.gather(*(shop.pay(headers=KEY) for _ in range(8)))

    assert {reply.status for reply in replies} == {201}
    assert len({reply.raw for reply in replies}) == 1
    assert sum("Idempotency-Replayed" in reply.headers for reply in replies) == 7
    assert await payments(shop) == 1


async def test_key_still_in_use_elsewhere_after_two_seconds_is_in_progress(postgres_url: str, sealer: Sealer) -> None:
    """Another process holds it. (On SQLite all writers are in one queue, and a busy queue is a 503.)"""
    store = Store.open(postgres_url)
    async with open_shop(store, sealer) as shop, store.write() as elsewhere:
        caller = Caller(merchant=shop.merchant, livemode=True, key_id="key_1")
        claim = claim_for(caller, KEY["Idempotency-Key"], method="POST", path="/v1/payments", body={})
        await elsewhere.idempotency.claim(claim.key_hash, fingerprint=claim.fingerprint, now=shop.clock.now())

        problem(await shop.pay(headers=KEY), 409, "idempotency_in_progress")
        assert (await shop.pay(headers={"Idempotency-Key": "another"})).status == 201
    await store.close()


async def test_failed_request_leaves_the_key_free(shop: Shop) -> None:
    """Nothing was done, so there is nothing to repeat: the mended request may use the same key."""
    problem(await shop.pay(headers=KEY, amount="0"), 422, "invalid_amount", param="amount")

    assert (await shop.pay(headers=KEY)).status == 201


async def test_keys_of_merchants_and_modes_are_apart(shop: Shop) -> None:
    _, stranger, _ = await add_merchant(shop.store, b"\xbb" * 20)

    ids = {(await shop.pay(headers=KEY, key=key)).body["id"] for key in ("live", "test", stranger)}

    assert len(ids) == 3


async def test_key_is_free_again_after_24_hours(shop: Shop) -> None:
    first = await shop.pay(headers=KEY)
    shop.clock.seconds += 86_399
    assert (await shop.pay(headers=KEY)).raw == first.raw

    shop.clock.seconds += 1
    second = await shop.pay(headers=KEY, amount="26.00")

    assert second.status == 201
    assert second.body["id"] != first.body["id"]


async def test_secret_is_repeated_but_not_stored_readably(shop: Shop) -> None:
    created = await shop.post("/v1/api_keys", headers=KEY)
    again = await shop.post("/v1/api_keys", headers=KEY)

    assert again.raw == created.raw
    claim_row = await stored_answers(shop)
    assert claim_row
    assert all(created.body["secret"].encode() not in body for body in claim_row)


async def stored_answers(shop: Shop) -> list[bytes]:
    from sqlalchemy import select

    from openpay.store.tables import idempotency_keys

    async with shop.store.read() as uow:
        return list(await uow.connection.scalars(select(idempotency_keys.c.body)))


async def test_repeated_withdrawal_gets_its_answer_though_the_treasury_is_empty_by_then(shop: Shop) -> None:
    assert shop.treasuries.units is not None
    shop.treasuries.units["USDT"] = 5
    first = await shop.post("/v1/withdrawals", {"token": "USDT"}, headers=KEY)
    shop.treasuries.units["USDT"] = 0

    again = await shop.post("/v1/withdrawals", {"token": "USDT"}, headers=KEY)

    assert (first.status, again.status, again.raw) == (201, 201, first.raw)
    assert len((await shop.get("/v1/withdrawals")).body["data"]) == 1


# --- the header ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("a", "a"),
        ('"a"', "a"),
        ('"with space"', "with space"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ("x" * 255, "x" * 255),
        ('"' + "x" * 255 + '"', "x" * 255),
        ('"' + r"\"" * 255 + '"', '"' * 255),
    ],
)
def test_key_is_read_bare_and_as_structured_field_string(header: str, key: str) -> None:
    assert parse_key(header) == key


@pytest.mark.parametrize(
    "header",
    ["", '""', "with space", '"', '"a', 'a"', "é", "x" * 256, '"' + "x" * 256 + '"', r'"\x"', "a\tb", '"a";b', "a\x7f"],
)
def test_key_outside_of_its_form_is_refused(header: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_key(header)

    assert refused.value.code == "invalid_idempotency_key"


async def test_bad_key_is_a_problem(shop: Shop) -> None:
    reply = await shop.pay(headers={"Idempotency-Key": "x" * 256})

    problem(reply, 400, "invalid_idempotency_key", param="Idempotency-Key")
    assert await payments(shop) == 0
