"""Creating, reading, listing and canceling payments."""

from __future__ import annotations

import json

from openpay.domain.deposit import Deposit, Source
from openpay.domain.terms import Terms
from openpay.domain.vaults import vault_address
from tests.api.shop import LIVE, NOW, Shop, add_merchant, problem

ORDER = {
    "amount": "25",
    "currency": "USD",
    "accepted_tokens": ["USDT", "USDC", "BNB"],
    "description": "Order #1042",
    "metadata": {"order_id": "1042"},
}


async def test_created_payment_is_answered_in_the_documented_form_and_order(shop: Shop) -> None:
    reply = await shop.post("/v1/payments", ORDER)

    assert reply.status == 201
    payment = reply.body
    assert list(payment) == [
        "id", "status", "amount", "currency", "checkout_url", "expires_at", "created_at", "accepted_tokens",
        "description", "metadata", "livemode", "deposit", "token", "tx_hash", "confirmations",
        "required_confirmations", "paid_at", "settlement", "refunds", "unavailable_tokens", "retry_of", "reversed_at",
    ]  # fmt: skip
    deposit = payment.pop("deposit")
    payment_id = payment.pop("id")
    assert payment == {
        "status": "initiated",
        "amount": "25.00",
        "currency": "USD",
        "checkout_url": f"https://pay.example/checkout/{payment_id}",
        "expires_at": "2026-03-26T13:30:00Z",
        "created_at": "2026-03-26T13:00:00Z",
        "accepted_tokens": ["USDT", "USDC", "BNB"],
        "description": "Order #1042",
        "metadata": {"order_id": "1042"},
        "livemode": True,
        "token": None,
        "tx_hash": None,
        "confirmations": None,
        "required_confirmations": 12,
        "paid_at": None,
        "settlement": None,
        "refunds": [],
        "unavailable_tokens": [],
        "retry_of": None,
        "reversed_at": None,
    }
    assert payment_id.startswith("pay_")
    assert len(payment_id) == 28
    assert list(deposit) == ["chain_id", "address", "escrow", "terms", "amounts"]
    assert deposit["chain_id"] == 56
    usdt, usdc, bnb = deposit["amounts"]
    assert usdt == {
        "token": "USDT",
        "contract": "0x55d398326f99059fF775485246999027B3197955",
        "decimals": 18,
        "amount": "25.00",
        "amount_units": "25000000000000000000",
        "received_units": "0",
        "remaining_units": "25000000000000000000",
        "uri": "ethereum:0x55d398326f99059fF775485246999027B3197955@56/transfer"
        f"?address={deposit['address']}&uint256=25000000000000000000",
    }
    assert usdc["amount_units"] == "25000000000000000000"
    # 25 / 600, rounded up at the last of 18 places.
    assert (bnb["contract"], bnb["amount_units"]) == (None, "41666666666666667")
    assert bnb["uri"] == f"ethereum:{deposit['address']}@56?value=41666666666666667"


async def test_terms_in_the_answer_lead_to_the_deposit_address(shop: Shop) -> None:
    deposit = (await shop.pay()).body["deposit"]

    terms = deposit["terms"]
    assert list(terms) == [
        "merchant", "operator", "usd", "slippageBps", "underpaymentBps", "quotedAt", "expiry", "round", "assets",
        "paymentId",
    ]  # fmt: skip
    # Above 2^53, where readers of JSON in JavaScript would lose digits.
    assert terms["round"] == str(2**65 + 7)
    rebuilt = Terms(
        merchant=bytes.fromhex(terms["merchant"][2:]),
        operator=bytes.fromhex(terms["operator"][2:]),
        usd=int(terms["usd"]),
        slippage_bps=terms["slippageBps"],
        underpayment_bps=terms["underpaymentBps"],
        quoted_at=terms["quotedAt"],
        expiry=terms["expiry"],
        round=int(terms["round"]),
        assets=terms["assets"],
        payment_key=bytes.fromhex(terms["paymentId"][2:]),
    )
    assert deposit["address"].lower() == "0x" + vault_address(LIVE.escrow, rebuilt.id()).hex()


async def test_payment_is_read_back_as_it_was_created(shop: Shop) -> None:
    created = await shop.post("/v1/payments", ORDER)

    read = await shop.get(f"/v1/payments/{created.body['id']}")

    assert read.status == 200
    assert read.raw == created.raw


async def test_tokens_are_all_accepted_where_none_is_named(shop: Shop) -> None:
    assert (await shop.pay()).body["accepted_tokens"] == ["USDT", "USDC", "BNB"]


async def test_bnb_without_fresh_price_is_left_out_and_named(shop: Shop) -> None:
    shop.quotes.bnb = None

    payment = (await shop.pay()).body

    assert payment["accepted_tokens"] == ["USDT", "USDC"]
    assert payment["unavailable_tokens"] == ["BNB"]


async def test_only_bnb_without_fresh_price_is_refused(shop: Shop) -> None:
    shop.quotes.bnb = None

    problem(await shop.pay(accepted_tokens=["BNB"]), 422, "token_unavailable", param="accepted_tokens")


async def test_partial_deposit_shows_what_was_received_and_what_remains(shop: Shop) -> None:
    payment_id = (await shop.pay(accepted_tokens=["USDT"])).body["id"]
    await deposit(shop, payment_id, units=10 * 10**18)

    amount = (await shop.get(f"/v1/payments/{payment_id}")).body["deposit"]["amounts"][0]

    assert amount["amount_units"] == str(25 * 10**18)
    assert amount["received_units"] == str(10 * 10**18)
    assert amount["remaining_units"] == str(15 * 10**18)
    assert amount["uri"].endswith(f"uint256={15 * 10**18}")


async def deposit(shop: Shop, payment_id: str, *, units: int) -> None:
    async with shop.store.write() as uow:
        await uow.deposits.add(
            [
                Deposit(
                    payment_id=payment_id,
                    token="USDT",
                    units=units,
                    source=Source.LOG,
                    position=0,
                    tx_hash=b"\x01" * 32,
                    sender=b"\x02" * 20,
                    sender_nonce=0,
                    payer=b"\x02" * 20,
                    block_number=100,
                    block_hash=b"\x03" * 32,
                    block_time=NOW + 5,
                )
            ]
        )


async def test_description_keeps_html_emoji_and_right_to_left_text_as_they_are(shop: Shop) -> None:
    for text in (
        "Order <script>alert(1)</script>",
        "Tea 🍵 & cake 🍰",
        "שלום \u202eRTL\u202c مرحبا",
        "two\nlines",
        "x" * 500,
    ):
        created = await shop.pay(description=text)

        assert created.status == 201
        assert created.body["description"] == text
        assert (await shop.get(f"/v1/payments/{created.body['id']}")).body["description"] == text


async def test_fullest_metadata_is_kept(shop: Shop) -> None:
    metadata = {f"{'n' * 38}{i:02}": "é" * 500 for i in range(50)}

    created = await shop.pay(metadata=metadata)

    assert created.status == 201
    assert created.body["metadata"] == metadata


# --- whose it is -----------------------------------------------------------------------------------------------------


async def test_another_merchants_payment_does_not_exist(shop: Shop) -> None:
    _, stranger, _ = await add_merchant(shop.store, b"\xbb" * 20)
    payment_id = (await shop.pay()).body["id"]

    problem(await shop.get(f"/v1/payments/{payment_id}", key=stranger), 404, "payment_not_found")
    problem(await shop.post(f"/v1/payments/{payment_id}/cancel", key=stranger), 404, "payment_not_found")
    assert (await shop.get("/v1/payments", key=stranger)).body == {"data": [], "has_more": False}


async def test_live_and_test_payments_never_meet(shop: Shop) -> None:
    payment = (await shop.pay(key="test")).body

    assert payment["livemode"] is False
    assert payment["deposit"]["chain_id"] == 97
    problem(await shop.get(f"/v1/payments/{payment['id']}"), 404, "payment_not_found")
    assert (await shop.get("/v1/payments")).body["data"] == []


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_list_is_newest_first_and_followed_by_cursor(shop: Shop) -> None:
    ids = [(await shop.pay()).body["id"] for _ in range(5)]

    first = (await shop.get("/v1/payments", params={"limit": "2"})).body
    second = (await shop.get("/v1/payments", params={"limit": "2", "starting_after": first["data"][-1]["id"]})).body
    third = (await shop.get("/v1/payments", params={"limit": "2", "starting_after": second["data"][-1]["id"]})).body

    listed = [payment["id"] for page in (first, second, third) for payment in page["data"]]
    assert listed == ids[::-1]
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]


async def test_list_has_ten_unless_told(shop: Shop) -> None:
    for _ in range(11):
        await shop.pay()

    page = (await shop.get("/v1/payments")).body

    assert len(page["data"]) == 10
    assert page["has_more"] is True


async def test_list_filters_by_status_repeated_or_with_commas(shop: Shop) -> None:
    kept = (await shop.pay()).body["id"]
    canceled = (await shop.pay()).body["id"]
    await shop.post(f"/v1/payments/{canceled}/cancel")

    async def ids(query: str) -> list[str]:
        return [payment["id"] for payment in (await shop.get(f"/v1/payments?{query}")).body["data"]]

    assert await ids("status=canceled") == [canceled]
    assert await ids("status=canceled,initiated") == [canceled, kept]
    assert await ids("status=canceled&status=initiated") == [canceled, kept]
    assert await ids("status=paid") == []


async def test_list_goes_on_after_a_payment_that_left_the_filter(shop: Shop) -> None:
    ids = [(await shop.pay()).body["id"] for _ in range(3)]
    await shop.post(f"/v1/payments/{ids[2]}/cancel")

    page = (await shop.get(f"/v1/payments?status=initiated&starting_after={ids[2]}")).body

    assert [payment["id"] for payment in page["data"]] == [ids[1], ids[0]]


async def test_list_filters_by_metadata_whatever_the_name(shop: Shop) -> None:
    for name in ("order_id", "a.b", 'quo"te', "it's", "back\\slash", "[0]", "$", "ключ", "with space"):
        wanted = (await shop.pay(metadata={name: "1042", "other": "x"})).body["id"]
        await shop.pay(metadata={name: "1043"})

        page = (await shop.get("/v1/payments", params={f"metadata[{name}]": "1042"})).body

        assert [payment["id"] for payment in page["data"]] == [wanted]


async def test_list_filters_by_metadata_value_as_text(shop: Shop) -> None:
    """A value that looks like a number or a JSON word is still the text that was sent."""
    for value in ("1", "1.0", "true", "null", "", "%"):
        await shop.pay(metadata={"v": value})

    for value in ("1", "1.0", "true", "null", "", "%"):
        page = (await shop.get("/v1/payments", params={"metadata[v]": value})).body
        assert [payment["metadata"]["v"] for payment in page["data"]] == [value]


# --- canceling -------------------------------------------------------------------------------------------------------


async def test_cancel_ends_an_untouched_payment_and_may_be_repeated(shop: Shop) -> None:
    payment_id = (await shop.pay()).body["id"]

    first = await shop.post(f"/v1/payments/{payment_id}/cancel")
    again = await shop.post(f"/v1/payments/{payment_id}/cancel", {})

    assert (first.status, first.body["status"]) == (200, "canceled")
    assert (again.status, again.body) == (200, first.body)
    assert first.body["deposit"]["amounts"][0]["uri"] is None


async def test_cancel_is_refused_once_money_arrived(shop: Shop) -> None:
    payment_id = (await shop.pay()).body["id"]
    await deposit(shop, payment_id, units=1)

    problem(await shop.post(f"/v1/payments/{payment_id}/cancel"), 409, "payment_has_deposits")


async def test_cancel_takes_no_fields(shop: Shop) -> None:
    payment_id = (await shop.pay()).body["id"]

    reply = await shop.post(f"/v1/payments/{payment_id}/cancel", {"reason": "none"})

    problem(reply, 422, "unknown_field", param="reason")


# --- events ----------------------------------------------------------------------------------------------------------


async def test_events_tell_what_happened_newest_first(shop: Shop) -> None:
    first, second = [(await shop.pay()).body["id"] for _ in range(2)]
    await shop.post(f"/v1/payments/{first}/cancel")
    await shop.post(f"/v1/payments/{second}/cancel")

    page = (await shop.get("/v1/events")).body
    of_first = (await shop.get("/v1/events", params={"payment_id": first})).body

    assert [event["payment_id"] for event in page["data"]] == [second, first]
    (event,) = of_first["data"]
    assert event["type"] == "payment.canceled"
    assert event["body"]["payment_id"] == first
    assert json.dumps(event["body"]).startswith('{"event": "payment.canceled"')
    after = (await shop.get("/v1/events", params={"starting_after": page["data"][0]["id"]})).body
    assert [event["payment_id"] for event in after["data"]] == [first]
