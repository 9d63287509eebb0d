"""The Python SDK against the real API: what its types promise is what is answered."""

from __future__ import annotations

import asyncio
from typing import Any, get_type_hints

import pytest

from openpay import client as sdk
from openpay.client import AsyncOpenPay, OpenPay, calls
from tests.api.shop import Shop


def fields(of: Any) -> set[str]:
    return set(get_type_hints(of))


async def test_answers_have_exactly_the_fields_of_their_types(shop: Shop) -> None:
    shop.treasuries.units = {"USDT": 10**18}
    async with AsyncOpenPay(shop.live_key, shop.base_url) as client:
        payment = await client.payments.create(amount="25", metadata={"order_id": "1042"}, accepted_tokens=["USDT"])
        assert payment.keys() == fields(sdk.Payment)
        assert payment["deposit"].keys() == fields(sdk.DepositAddress)
        assert payment["deposit"]["amounts"][0].keys() == fields(sdk.TokenAmount)
        assert await client.payments.retrieve(payment["id"]) == payment
        assert (await client.payments.cancel(payment["id"]))["status"] == "canceled"

        endpoint = await client.webhooks.configure("https://shop.example/hook", ["payment.canceled"])
        assert endpoint.keys() == fields(sdk.ConfiguredEndpoint)
        (listed,) = await client.webhooks.endpoints()
        assert listed.keys() == fields(sdk.WebhookEndpoint)
        assert await client.webhooks.retrieve(endpoint["id"]) == listed
        moved = await client.webhooks.update(endpoint["id"], url="https://shop.example/moved", events=("*",))
        assert (moved["url"], len(moved["events"]) > 5) == ("https://shop.example/moved", True)
        assert (await client.webhooks.public_key()).keys() == fields(sdk.PublicKey)
        await client.webhooks.test()
        (delivery,) = [delivery async for delivery in client.webhooks.deliveries()]
        assert delivery.keys() == fields(sdk.Delivery)
        assert (await client.webhooks.resend(delivery["id"]))["state"] == "pending"
        for _ in range(2):
            assert (await client.webhooks.delete(endpoint["id"])).keys() == fields(sdk.DeletedEndpoint)
        assert await client.webhooks.endpoints() == []

        balances = await client.balances()
        assert [balance["token"] for balance in balances] == ["USDT", "USDC", "BNB"]
        assert balances[0].keys() == fields(sdk.Balance)
        withdrawal = await client.withdrawals.create(token="USDT")
        assert withdrawal.keys() == fields(sdk.Withdrawal)
        assert await client.withdrawals.retrieve(withdrawal["id"]) == withdrawal
        assert [found["id"] async for found in client.withdrawals.list()] == [withdrawal["id"]]


async def test_blocking_client_lists_over_pages_and_filters(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAGE_SIZE", 2)

    def work() -> tuple[list[str], list[str]]:
        client = OpenPay(shop.live_key, shop.base_url)
        made = [client.payments.create(amount="1.00", metadata={"n": str(n)})["id"] for n in range(5)]
        assert [found["id"] for found in client.payments.list(metadata={"n": "3"})] == [made[3]]
        assert list(client.payments.list(status="paid")) == []
        return made, [found["id"] for found in client.payments.list()]

    made, listed = await asyncio.to_thread(work)
    assert listed == made[::-1]


async def test_refusals_are_typed_and_carry_code_and_field(shop: Shop) -> None:
    async with AsyncOpenPay(shop.live_key, shop.base_url) as client:
        with pytest.raises(sdk.Invalid) as invalid:
            await client.payments.create(amount="-1")
        assert (invalid.value.code, invalid.value.param) == ("invalid_amount", "amount")
        assert invalid.value.request_id
        with pytest.raises(sdk.NotFound):
            await client.payments.retrieve("pay_" + "0" * 24)
        with pytest.raises(sdk.Invalid) as invalid:
            await client.webhooks.configure("http://10.0.0.1/")
        assert (invalid.value.code, invalid.value.param) == ("invalid_url", "url")
    async with AsyncOpenPay("sk_live_wrong", shop.base_url) as client:
        with pytest.raises(sdk.AuthenticationFailed):
            await client.balances()
