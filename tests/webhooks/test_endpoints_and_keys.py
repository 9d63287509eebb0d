"""Configuring endpoints, signing keys, and how secrets rest in the database."""

from __future__ import annotations

import asyncio
import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from openpay.app.merchants import Caller
from openpay.app.records import WebhookEndpoint
from openpay.app.sealing import Sealer
from openpay.app.webhooks import configure, ensure_signing_key, jwks, public_key, rotate_signing_key, secret_context
from openpay.domain.events import EventType
from openpay.errors import ConfigurationError, Invalid, NotFound
from openpay.store import Store
from tests.webhooks.conftest import Clock, Shop, open_shop

# --- endpoints -------------------------------------------------------------------------------------------------------


async def test_secret_is_shown_the_first_time_only(shop: Shop) -> None:
    endpoint, secret = await shop.configure("https://shop.example/hook")
    assert secret is not None
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert secret.encode() not in endpoint.sealed_secret
    assert shop.sealer.open(endpoint.sealed_secret, secret_context(endpoint.id)) == secret.encode()
    again, nothing = await shop.configure("https://shop.example/hook", ["payment.completed"])
    assert nothing is None
    assert (again.id, again.sealed_secret) == (endpoint.id, endpoint.sealed_secret)
    assert (endpoint.events, again.events) == ((), (EventType.COMPLETED,))


@pytest.mark.parametrize("events", [["payment.unknown"], ["payment.completed", ""], ["PAYMENT.COMPLETED"], []])
async def test_unknown_event_names_are_refused(shop: Shop, events: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        await shop.configure("https://shop.example/hook", events)
    assert (refused.value.code, refused.value.param) == ("invalid_events", "events")


async def test_events_named_twice_count_once(shop: Shop) -> None:
    endpoint, _ = await shop.configure("https://shop.example/hook", ["payment.failed", "payment.failed"])
    assert endpoint.events == (EventType.FAILED,)


async def test_hundred_endpoints_fit_and_modes_do_not_meet(shop: Shop) -> None:
    for number in range(100):
        await shop.configure(f"https://shop.example/{number}")
    test_mode = Caller(merchant=shop.caller.merchant, livemode=False, key_id="key_of_a_test")
    async with shop.db.write() as uow:
        _, secret = await configure(
            uow, test_mode, "https://shop.example/0", None, sealer=shop.sealer, now=shop.clock.now()
        )
        assert secret is not None
        assert len(await uow.webhooks.endpoints(shop.caller.merchant.id, True)) == 100
        assert len(await uow.webhooks.endpoints(shop.caller.merchant.id, False)) == 1


async def test_two_processes_configuring_one_url_at_once_make_one_endpoint(shop: Shop) -> None:
    results: list[tuple[WebhookEndpoint, str | None]] = await asyncio.gather(
        *(shop.configure("https://shop.example/hook") for _ in range(5))
    )
    assert len({endpoint.id for endpoint, _ in results}) == 1
    assert sum(secret is not None for _, secret in results) == 1


# --- signing keys ----------------------------------------------------------------------------------------------------


async def test_public_key_is_a_der_key_that_other_libraries_read(shop: Shop) -> None:
    async with shop.db.read() as uow:
        answer = await public_key(uow, shop.caller, now=shop.clock.now())
    assert {name: answer[name] for name in ("algorithm", "format")} == {"algorithm": "ED25519", "format": "base64"}
    assert set(answer) == {"public_key", "algorithm", "format"}
    key = load_der_public_key(base64.b64decode(answer["public_key"]))
    assert isinstance(key, Ed25519PublicKey)
    assert key.public_bytes(Encoding.Raw, PublicFormat.Raw) == await shop.public_key()
    assert key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == base64.b64decode(answer["public_key"])


async def test_each_merchant_and_mode_has_its_own_key(shop: Shop, store: Store, sealer: Sealer, clock: Clock) -> None:
    other = await open_shop(store, sealer, clock)
    async with store.write() as uow:
        keys = [
            await ensure_signing_key(uow, owner.caller.merchant.id, livemode, sealer=sealer, now=clock.now())
            for owner in (shop, other)
            for livemode in (True, False)
        ]
        again = await ensure_signing_key(uow, shop.caller.merchant.id, True, sealer=sealer, now=clock.now())
    assert len({key.public_key for key in keys}) == 4
    assert again == keys[0]


async def test_jwks_names_both_modes_and_announces_a_new_key_before_it_takes_over(shop: Shop, clock: Clock) -> None:
    merchant_id = shop.caller.merchant.id
    async with shop.db.write() as uow:
        test_key = await ensure_signing_key(uow, merchant_id, False, sealer=shop.sealer, now=clock.now())
        old = await ensure_signing_key(uow, merchant_id, True, sealer=shop.sealer, now=clock.now())
        new = await rotate_signing_key(uow, merchant_id, True, sealer=shop.sealer, now=clock.now(), overlap_s=60)
        during = await jwks(uow, merchant_id, now=clock.now())
        after = await jwks(uow, merchant_id, now=clock.now() + 61)
    keys = {entry["kid"]: entry for entry in during["keys"]}  # type: ignore[attr-defined]
    assert keys.keys() == {test_key.id, old.id, new.id}
    assert keys[new.id] == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": base64.urlsafe_b64encode(new.public_key).rstrip(b"=").decode(),
        "kid": new.id,
        "use": "sig",
        "alg": "EdDSA",
        "livemode": True,
    }
    assert keys[test_key.id]["livemode"] is False
    assert {entry["kid"] for entry in after["keys"]} == {test_key.id, new.id}  # type: ignore[attr-defined]


async def test_rotation_without_overlap_retires_a_leaked_key_at_once(shop: Shop, clock: Clock) -> None:
    now, merchant_id = clock.now(), shop.caller.merchant.id
    async with shop.db.write() as uow:
        await rotate_signing_key(uow, merchant_id, True, sealer=shop.sealer, now=now)
        leaked = await rotate_signing_key(uow, merchant_id, True, sealer=shop.sealer, now=now)
        fresh = await rotate_signing_key(uow, merchant_id, True, sealer=shop.sealer, now=now, overlap_s=0)
        answer = await jwks(uow, merchant_id, now=now)
    assert [entry["kid"] for entry in answer["keys"]] == [fresh.id]  # type: ignore[attr-defined]
    assert fresh.id != leaked.id


async def test_jwks_of_an_unknown_merchant_is_not_found(shop: Shop, clock: Clock) -> None:
    with pytest.raises(NotFound, match="mer_nobody"):
        async with shop.db.read() as uow:
            await jwks(uow, "mer_nobody", now=clock.now())


async def test_merchant_without_a_key_is_told_how_to_get_one(shop: Shop, clock: Clock) -> None:
    test_mode = Caller(merchant=shop.caller.merchant, livemode=False, key_id="key_of_a_test")
    with pytest.raises(NotFound, match="configure a webhook endpoint"):
        async with shop.db.read() as uow:
            await public_key(uow, test_mode, now=clock.now())


# --- sealing ---------------------------------------------------------------------------------------------------------


def test_sealed_value_opens_in_another_process_under_the_same_passphrase(sealer: Sealer) -> None:
    sealed = sealer.seal(b"private", "signing_key:1")
    assert b"private" not in sealed
    assert Sealer("a passphrase for tests").open(sealed, "signing_key:1") == b"private"


def test_sealed_value_opens_only_unaltered_in_its_place_and_under_its_passphrase(sealer: Sealer) -> None:
    sealed = sealer.seal(b"private", "signing_key:1")
    altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for attempt, context in ((sealed, "signing_key:2"), (altered, "signing_key:1"), (sealed[:20], "signing_key:1")):
        with pytest.raises(ConfigurationError):
            sealer.open(attempt, context)
    with pytest.raises(ConfigurationError, match="version"):
        sealer.open(b"\x02" + sealed[1:], "signing_key:1")
    with pytest.raises(ConfigurationError, match="OPENPAY_SECRET"):
        Sealer("another passphrase").open(sealed, "signing_key:1")


def test_sealing_twice_gives_different_bytes_under_one_salt(sealer: Sealer) -> None:
    first, second = sealer.seal(b"same", "a"), sealer.seal(b"same", "a")
    assert first != second
    assert first[:17] == second[:17]


def test_process_that_opened_a_value_seals_under_the_same_salt(sealer: Sealer) -> None:
    first = sealer.seal(b"private", "a")
    newcomer = Sealer("a passphrase for tests")
    newcomer.open(first, "a")
    assert newcomer.seal(b"more", "b")[:17] == first[:17]
