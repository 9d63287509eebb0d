"""Webhook endpoints, deliveries and keys over HTTP."""

from __future__ import annotations

import base64
from typing import Any

from nacl.signing import VerifyKey

from tests.api.shop import Shop, add_merchant, problem

URL = "https://shop.example/hooks"


async def test_endpoint_is_configured_and_its_secret_shown_once(shop: Shop) -> None:
    first = await shop.post("/v1/webhooks/configure", {"url": URL, "events": ["payment.completed"]})
    again = await shop.post("/v1/webhooks/configure", {"url": URL})

    assert list(first.body) == ["id", "url", "events", "active", "secret"]
    assert first.body["secret"].startswith("whsec_")
    assert (first.body["url"], first.body["events"], first.body["active"]) == (URL, ["payment.completed"], True)
    assert (again.body["id"], again.body["secret"]) == (first.body["id"], None)
    assert "payment.completed" in again.body["events"]
    assert len(again.body["events"]) > 5
    (listed,) = (await shop.get("/v1/webhooks/endpoints")).body["data"]
    assert (listed["id"], listed["livemode"]) == (first.body["id"], True)
    assert "secret" not in listed


async def test_endpoints_belong_to_one_mode(shop: Shop) -> None:
    await shop.post("/v1/webhooks/configure", {"url": URL})

    assert (await shop.get("/v1/webhooks/endpoints", key="test")).body["data"] == []


async def test_bad_endpoint_is_refused(shop: Shop) -> None:
    for body, code, param in (
        ({}, "missing_field", "url"),
        ({"url": "http://shop.example/hooks"}, "invalid_url", "url"),
        ({"url": "https://127.0.0.1/hooks"}, "invalid_url", "url"),
        ({"url": "nonsense"}, "invalid_url", "url"),
        ({"url": 5}, "invalid_url", "url"),
        ({"url": URL, "events": []}, "invalid_events", "events"),
        ({"url": URL, "events": ["payment.done"]}, "invalid_events", "events"),
        ({"url": URL, "events": "payment.completed"}, "invalid_events", "events"),
        ({"url": URL, "secret": "x"}, "unknown_field", "secret"),
    ):
        problem(await shop.post("/v1/webhooks/configure", body), 422, code, param=param)
    assert (await shop.get("/v1/webhooks/endpoints")).body["data"] == []


async def configured(shop: Shop, url: str = URL, **options: Any) -> str:
    """The id of an endpoint."""
    return str((await shop.post("/v1/webhooks/configure", {"url": url, **options})).body["id"])


async def test_endpoint_is_retrieved_as_it_is_listed(shop: Shop) -> None:
    endpoint_id = await configured(shop)

    (listed,) = (await shop.get("/v1/webhooks/endpoints")).body["data"]
    assert (await shop.get(f"/v1/webhooks/endpoints/{endpoint_id}")).body == listed


async def test_endpoint_moves_and_changes_its_events_and_keeps_its_id(shop: Shop) -> None:
    path = f"/v1/webhooks/endpoints/{await configured(shop)}"

    moved = await shop.post(path, {"url": "https://shop.example/moved"})
    fewer = await shop.post(path, {"events": ["payment.completed", "payment.failed"]})
    everything = await shop.post(path, {"events": ["*"]})

    assert (moved.status, moved.body["url"]) == (200, "https://shop.example/moved")
    assert (fewer.body["url"], fewer.body["events"]) == (moved.body["url"], ["payment.completed", "payment.failed"])
    assert everything.body == moved.body == (await shop.post(path, {})).body == (await shop.get(path)).body


async def test_endpoint_is_disabled_and_enabled_any_number_of_times(shop: Shop) -> None:
    path = f"/v1/webhooks/endpoints/{await configured(shop)}"

    off, off_again = [(await shop.post(path, {"disabled": True})).body for _ in range(2)]
    problem(await shop.post("/v1/webhooks/test"), 409, "no_webhook_endpoint")
    on, on_again = [(await shop.post(path, {"disabled": False})).body for _ in range(2)]

    assert (off["active"], off["disabled_reason"]) == (False, "you disabled it")
    assert (on["active"], on["disabled_reason"]) == (True, None)
    assert (off, on) == (off_again, on_again)
    assert (await shop.post("/v1/webhooks/test")).status == 202


async def test_bad_change_of_an_endpoint_is_refused_and_changes_nothing(shop: Shop) -> None:
    path = f"/v1/webhooks/endpoints/{await configured(shop)}"
    await configured(shop, "https://shop.example/other")
    before = (await shop.get(path)).body

    for body, code, param in (
        ({"url": "http://shop.example/hooks"}, "invalid_url", "url"),
        ({"events": ["payment.failed"], "url": "https://10.0.0.1/"}, "invalid_url", "url"),
        ({"events": []}, "invalid_events", "events"),
        ({"events": ["*", "payment.failed"]}, "invalid_events", "events"),
        ({"disabled": "yes"}, "invalid_disabled", "disabled"),
        ({"active": False}, "unknown_field", "active"),
    ):
        problem(await shop.post(path, body), 422, code, param=param)
    problem(await shop.post(path, {"url": "https://shop.example/other"}), 409, "endpoint_exists", param="url")
    assert (await shop.get(path)).body == before


async def test_deleted_endpoint_is_gone_however_often_it_is_deleted(shop: Shop) -> None:
    endpoint_id = await configured(shop)
    path = f"/v1/webhooks/endpoints/{endpoint_id}"

    for _ in range(2):
        gone = await shop.call("DELETE", path)
        assert (gone.status, gone.body) == (200, {"id": endpoint_id, "deleted": True})

    assert (await shop.get("/v1/webhooks/endpoints")).body["data"] == []
    problem(await shop.get(path), 404, "endpoint_not_found")
    problem(await shop.post(path, {"disabled": False}), 404, "endpoint_not_found")
    problem(await shop.call("DELETE", "/v1/webhooks/endpoints/whe_never"), 404, "endpoint_not_found")


async def test_url_of_a_deleted_endpoint_makes_a_new_one_with_a_new_secret(shop: Shop) -> None:
    first = (await shop.post("/v1/webhooks/configure", {"url": URL})).body
    await shop.call("DELETE", f"/v1/webhooks/endpoints/{first['id']}")

    second = (await shop.post("/v1/webhooks/configure", {"url": URL})).body

    assert second["id"] != first["id"]
    assert second["secret"].startswith("whsec_")
    assert second["secret"] != first["secret"]
    await shop.call("DELETE", f"/v1/webhooks/endpoints/{first['id']}")  # again, which is not the new one's end
    assert [each["id"] for each in (await shop.get("/v1/webhooks/endpoints")).body["data"]] == [second["id"]]


async def test_events_and_deliveries_of_a_deleted_endpoint_stay_readable_and_are_not_sent_again(shop: Shop) -> None:
    endpoint_id = await configured(shop)
    event_id = (await shop.post("/v1/webhooks/test")).body["event_id"]
    await shop.call("DELETE", f"/v1/webhooks/endpoints/{endpoint_id}")

    (delivery,) = (await shop.get("/v1/webhooks/deliveries")).body["data"]
    assert (delivery["event_id"], delivery["url"], delivery["endpoint_id"]) == (event_id, URL, endpoint_id)
    assert (delivery["state"], delivery["next_attempt_at"]) == ("failed", None)
    assert [event["id"] for event in (await shop.get("/v1/events")).body["data"]] == [event_id]
    problem(await shop.post(f"/v1/webhooks/deliveries/{delivery['id']}/resend"), 409, "endpoint_deleted")
    problem(await shop.post("/v1/webhooks/test"), 409, "no_webhook_endpoint")


async def test_endpoints_of_others_and_of_the_other_mode_cannot_be_seen_changed_or_deleted(shop: Shop) -> None:
    _, stranger, _ = await add_merchant(shop.store, b"\xbb" * 20)
    path = f"/v1/webhooks/endpoints/{await configured(shop)}"

    for key in (stranger, "test"):
        for reply in (
            await shop.get(path, key=key),
            await shop.post(path, {"disabled": True}, key=key),
            await shop.call("DELETE", path, key=key),
        ):
            problem(reply, 404, "endpoint_not_found")
    assert (await shop.get(path)).body["active"] is True
    await shop.call("DELETE", path)
    problem(await shop.call("DELETE", path, key=stranger), 404, "endpoint_not_found")


async def test_public_key_is_there_before_any_endpoint_and_differs_by_merchant_and_mode(shop: Shop) -> None:
    _, stranger, _ = await add_merchant(shop.store, b"\xbb" * 20)

    keys = [(await shop.get("/v1/webhooks/public-key", key=key)).body for key in ("live", "test", stranger)]

    assert all((key["algorithm"], key["format"]) == ("ED25519", "base64") for key in keys)
    assert len({key["public_key"] for key in keys}) == 3
    assert (await shop.get("/v1/webhooks/public-key")).body == keys[0]
    # SubjectPublicKeyInfo: twelve bytes of structure, then the key.
    der = base64.b64decode(keys[0]["public_key"])
    assert len(der) == 44
    VerifyKey(der[12:])


async def test_jwks_names_the_merchants_keys_without_asking_for_one(shop: Shop) -> None:
    der = base64.b64decode((await shop.get("/v1/webhooks/public-key")).body["public_key"])

    reply = await shop.get(f"/jwks/{shop.merchant.id}.json", key=None)

    (key,) = reply.body["keys"]
    assert base64.urlsafe_b64decode(key["x"] + "=") == der[12:]
    assert (key["kty"], key["crv"], key["livemode"]) == ("OKP", "Ed25519", True)


async def test_jwks_of_nobody_is_not_found(shop: Shop) -> None:
    for merchant_id in ("mer_1", "%00", "é"):
        assert (await shop.get(f"/jwks/{merchant_id}.json", key=None)).status == 404


async def test_test_event_is_queued_listed_and_sent_again(shop: Shop) -> None:
    problem(await shop.post("/v1/webhooks/test"), 409, "no_webhook_endpoint")
    await shop.post("/v1/webhooks/configure", {"url": URL, "events": ["payment.completed"]})

    sent = await shop.post("/v1/webhooks/test")

    assert (sent.status, sent.body["event"]) == (202, "webhook.test")
    (delivery,) = (await shop.get("/v1/webhooks/deliveries")).body["data"]
    assert (delivery["event_id"], delivery["state"], delivery["url"]) == (sent.body["event_id"], "pending", URL)
    again = await shop.post(f"/v1/webhooks/deliveries/{delivery['id']}/resend")
    assert (again.status, again.body["id"]) == (200, delivery["id"])


async def test_deliveries_of_others_cannot_be_seen_or_sent_again(shop: Shop) -> None:
    _, stranger, _ = await add_merchant(shop.store, b"\xbb" * 20)
    await shop.post("/v1/webhooks/configure", {"url": URL})
    await shop.post("/v1/webhooks/test")
    delivery_id = (await shop.get("/v1/webhooks/deliveries")).body["data"][0]["id"]

    for key in (stranger, "test"):
        assert (await shop.get("/v1/webhooks/deliveries", key=key)).body["data"] == []
        reply = await shop.post(f"/v1/webhooks/deliveries/{delivery_id}/resend", key=key)
        problem(reply, 404, "delivery_not_found")


async def test_deliveries_are_paged(shop: Shop) -> None:
    await shop.post("/v1/webhooks/configure", {"url": URL})
    for _ in range(3):
        await shop.post("/v1/webhooks/test")

    first = (await shop.get("/v1/webhooks/deliveries", params={"limit": "2"})).body
    rest = (await shop.get("/v1/webhooks/deliveries", params={"starting_after": first["data"][-1]["id"]})).body

    assert (len(first["data"]), first["has_more"], len(rest["data"]), rest["has_more"]) == (2, True, 1, False)
    reply = await shop.get("/v1/webhooks/deliveries", params={"starting_after": "del_none"})
    problem(reply, 422, "invalid_starting_after", param="starting_after")
