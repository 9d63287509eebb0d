"""Who may ask: API keys, missing, wrong, revoked and good ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from openpay.api.authentication import REMEMBER_S, Authenticator, bearer
from openpay.app.merchants import revoke_key
from openpay.app.sealing import Sealer
from openpay.domain.ids import new_api_key
from openpay.errors import Unauthorized
from openpay.store import Store
from tests.api.shop import LIVE, NOW, Shop, open_shop, problem

PROTECTED = [
    ("POST", "/v1/payments"),
    ("GET", "/v1/payments"),
    ("GET", "/v1/payments/pay_000000000000000000000000"),
    ("POST", "/v1/payments/pay_000000000000000000000000/cancel"),
    ("POST", "/v1/payments/pay_000000000000000000000000/refund"),
    ("GET", "/v1/refunds"),
    ("GET", "/v1/refunds/ref_1"),
    ("POST", "/v1/refunds/ref_1/approve"),
    ("POST", "/v1/refunds/ref_1/cancel"),
    ("GET", "/v1/events"),
    ("POST", "/v1/webhooks/configure"),
    ("GET", "/v1/webhooks/endpoints"),
    ("GET", "/v1/webhooks/endpoints/whe_1"),
    ("POST", "/v1/webhooks/endpoints/whe_1"),
    ("DELETE", "/v1/webhooks/endpoints/whe_1"),
    ("GET", "/v1/webhooks/public-key"),
    ("GET", "/v1/webhooks/deliveries"),
    ("POST", "/v1/webhooks/deliveries/del_1/resend"),
    ("POST", "/v1/webhooks/test"),
    ("GET", "/v1/balances"),
    ("POST", "/v1/withdrawals"),
    ("GET", "/v1/withdrawals"),
    ("GET", "/v1/withdrawals/wd_1"),
    ("POST", "/v1/api_keys"),
    ("GET", "/v1/api_keys"),
    ("POST", "/v1/api_keys/key_1/revoke"),
]


def test_every_route_of_merchants_is_named_here(shop: Shop) -> None:
    routes = {
        (route.method, route.resource.canonical)
        for route in shop.app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/v1/") and route.method != "HEAD"
    }
    ids = {"pay_000000000000000000000000", "del_1", "whe_1", "wd_1", "key_1", "ref_1"}
    named = {
        (method, "/".join("{id}" if part in ids else part for part in path.split("/"))) for method, path in PROTECTED
    }
    assert named == routes


async def test_no_route_answers_without_a_key(shop: Shop) -> None:
    for method, path in PROTECTED:
        reply = await shop.call(method, path, key=None)

        problem(reply, 401, "missing_api_key")
        assert reply.headers["WWW-Authenticate"] == 'Bearer realm="openpay"'


def test_key_of_bytes_that_are_no_text_is_a_malformed_authorization() -> None:
    # As aiohttp hands over the header's byte 0xE9.
    request = SimpleNamespace(headers={"Authorization": "Bearer sk_live_\udce9"})

    with pytest.raises(Unauthorized) as caught:
        bearer(cast(web.BaseRequest, request))
    assert caught.value.code == "malformed_authorization"


async def test_malformed_authorization_says_what_it_should_read(shop: Shop) -> None:
    for header in ("", "Bearer", "Bearer ", "Basic c2s6", "sk_live_x", "Bearer a b", "Bearer,x"):
        reply = await shop.get("/v1/payments", key=None, headers={"Authorization": header})

        problem(reply, 401, "malformed_authorization")
        assert "WWW-Authenticate" in reply.headers


async def test_mistyped_and_unknown_keys_are_not_valid(shop: Shop) -> None:
    mistyped = shop.live_key[:-1] + ("a" if shop.live_key[-1] != "a" else "b")

    for key in (mistyped, "x", "sk_live_", "é" * 40, "a" * 5000, new_api_key(livemode=True)):
        problem(await shop.get("/v1/payments", key=key), 401, "invalid_api_key")


async def test_scheme_is_read_in_any_case(shop: Shop) -> None:
    reply = await shop.get("/v1/payments", key=None, headers={"Authorization": f"bearer  {shop.live_key}"})

    assert reply.status == 200


async def test_key_is_created_used_listed_and_revoked(shop: Shop) -> None:
    created = await shop.post("/v1/api_keys")
    assert created.status == 201
    secret = created.body["secret"]
    assert secret.startswith("sk_live_")
    assert (created.body["prefix"], created.body["last4"]) == ("sk_live_", secret[-4:])
    assert (await shop.get("/v1/payments", key=secret)).status == 200

    listed = (await shop.get("/v1/api_keys")).body["data"]
    assert [key["revoked_at"] for key in listed] == [None, None]
    assert secret not in str(listed)

    revoked = await shop.post(f"/v1/api_keys/{created.body['id']}/revoke")
    assert revoked.body["revoked_at"] == "2026-03-26T13:00:00Z"
    detail = problem(await shop.get("/v1/payments", key=secret), 401, "revoked_api_key")
    assert secret[-4:] in detail
    assert secret not in detail
    shop.clock.seconds += 60
    assert (await shop.post(f"/v1/api_keys/{created.body['id']}/revoke")).body == revoked.body


async def test_key_manages_its_own_mode_only(shop: Shop) -> None:
    live_id = (await shop.get("/v1/api_keys")).body["data"][0]["id"]

    assert (await shop.post("/v1/api_keys", key="test")).body["secret"].startswith("sk_test_")
    assert all(not key["livemode"] for key in (await shop.get("/v1/api_keys", key="test")).body["data"])
    problem(await shop.post(f"/v1/api_keys/{live_id}/revoke", key="test"), 404, "api_key_not_found")


async def test_mode_without_a_chain_is_forbidden(store: Store, sealer: Sealer) -> None:
    async with open_shop(store, sealer, chains={True: LIVE}) as shop:
        problem(await shop.pay(key="test"), 403, "mode_not_configured")
        problem(await shop.get("/v1/balances", key="test"), 403, "mode_not_configured")
        problem(await shop.post("/v1/withdrawals", {"token": "USDT"}, key="test"), 403, "mode_not_configured")
        assert (await shop.pay()).status == 201


async def test_key_revoked_elsewhere_stops_working_within_a_second(store: Store, shop: Shop) -> None:
    """Another process, or the command line, revokes it; this one learns of it by asking again."""
    moment = 50.0
    authenticator = Authenticator(store, monotonic=lambda: moment)
    request = make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {shop.live_key}"})
    caller = await authenticator.caller(request)
    async with store.write() as uow:
        await revoke_key(uow, caller.merchant.id, caller.key_id, now=NOW)

    moment += REMEMBER_S - 0.01
    assert (await authenticator.caller(request)).key_id == caller.key_id
    moment += 0.01
    with pytest.raises(Unauthorized):
        await authenticator.caller(request)


async def test_key_revoked_here_stops_working_at_once(shop: Shop) -> None:
    (key,) = (await shop.get("/v1/api_keys")).body["data"]

    assert (await shop.post(f"/v1/api_keys/{key['id']}/revoke")).status == 200
    problem(await shop.get("/v1/api_keys"), 401, "revoked_api_key")
