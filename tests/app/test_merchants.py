"""Merchants and the keys they are known by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openpay.app.merchants import authenticate, change_merchant, change_page, create_merchant, issue_key, revoke_key
from openpay.domain.branding import Logo, LogoType
from openpay.domain.ids import new_api_key
from openpay.errors import Invalid, NotFound, Unauthorized
from tests.app.worlds import World
from tests.support.pictures import picture


async def refusal(world: World, secret: str) -> str:
    async with world.store.read() as uow:
        with pytest.raises(Unauthorized) as refused:
            await authenticate(uow, secret)
    return refused.value.code


async def test_key_is_shown_once_and_stored_only_as_its_hash(world: World) -> None:
    async with world.store.write() as uow:
        key, secret = await issue_key(uow, world.merchant.id, livemode=True, now=5)
    assert (key.prefix, key.last4) == ("sk_live_", secret[-4:])
    assert secret not in repr(await world.rows())
    assert secret[8:-4] not in repr(await world.rows())


@pytest.mark.parametrize("livemode", [True, False])
async def test_each_of_several_keys_names_merchant_and_mode(world: World, livemode: bool) -> None:
    async with world.store.write() as uow:
        keys = [await issue_key(uow, world.merchant.id, livemode=livemode, now=5) for _ in range(2)]
    for key, secret in keys:
        async with world.store.read() as uow:
            caller = await authenticate(uow, secret)
        assert (caller.merchant, caller.livemode, caller.key_id) == (world.merchant, livemode, key.id)


@pytest.mark.parametrize(
    "secret", ["", "sk_live_", "sk_live_' OR 1=1", "sk_live_" + "a" * 38, "Bearer", "sk_live_" + "é" * 38, "\0"]
)
async def test_malformed_key_is_refused(world: World, secret: str) -> None:
    assert await refusal(world, secret) == "invalid_api_key"


async def test_wellformed_key_of_nobody_is_refused(world: World) -> None:
    assert await refusal(world, new_api_key(livemode=True)) == "invalid_api_key"


async def test_revoked_key_is_refused_at_once_and_others_go_on(world: World) -> None:
    async with world.store.write() as uow:
        key, secret = await issue_key(uow, world.merchant.id, livemode=True, now=5)
        _, other = await issue_key(uow, world.merchant.id, livemode=True, now=5)
    for _ in range(2):
        async with world.store.write() as uow:
            assert (await revoke_key(uow, world.merchant.id, key.id, now=9)).revoked_at == 9
    assert await refusal(world, secret) == "revoked_api_key"
    async with world.store.read() as uow:
        assert await authenticate(uow, other)


async def test_key_of_another_merchant_cannot_be_revoked(world: World) -> None:
    async with world.store.write() as uow:
        key, secret = await issue_key(uow, world.merchant.id, livemode=True, now=5)
        with pytest.raises(NotFound):
            await revoke_key(uow, "mer_other", key.id, now=9)
    async with world.store.read() as uow:
        assert await authenticate(uow, secret)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"address": bytes(20)}, "address"),
        ({"slippage_bps": 501}, "slippage_bps"),
        ({"underpayment_bps": -1}, "underpayment_bps"),
    ],
)
async def test_impossible_merchant_is_refused(world: World, fields: dict[str, object], param: str) -> None:
    asked = {"name": "Shop", "address": bytes([1]) * 20, "now": 5} | fields
    async with world.store.write() as uow:
        with pytest.raises(Invalid) as refused:
            await create_merchant(uow, **asked)  # type: ignore[arg-type]
    assert refused.value.param == param


async def test_logo_colour_and_sites_of_a_page_are_kept_and_other_changes_leave_them(world: World) -> None:
    logo = picture("WEBP", (64, 32))
    async with world.store.write() as uow:
        changed = await change_page(
            uow, world.merchant.id, accent="#00FF00", logo=logo, embed_origins=["https://a.example:443"]
        )
        await change_merchant(uow, world.merchant.id, name="Renamed")
    async with world.store.read() as uow:
        found = await uow.merchants.get(world.merchant.id)
        kept = await uow.merchants.logo(Logo(content=logo, type=LogoType.WEBP).hash)
    assert found is not None
    assert found == replace(changed, name="Renamed")
    assert (found.accent, found.embed_origins) == ("#00ff00", ("https://a.example",))
    assert kept == Logo(content=logo, type=LogoType.WEBP)
    assert (found.logo_hash, found.logo_type) == (kept.hash, LogoType.WEBP)


async def test_each_thing_about_a_page_can_be_taken_back_alone(world: World) -> None:
    async with world.store.write() as uow:
        full = await change_page(
            uow, world.merchant.id, accent="#00ff00", logo=picture("JPEG"), embed_origins=["https://a.example"]
        )
        assert full.logo_hash is not None
        assert await uow.merchants.logo(full.logo_hash) is not None
        assert (await change_page(uow, world.merchant.id, accent=None)).logo_type is LogoType.JPEG
        assert (await change_page(uow, world.merchant.id, logo=None)).logo_hash is None
        assert await uow.merchants.logo(full.logo_hash) is None
        bare = await change_page(uow, world.merchant.id, embed_origins=[])
        assert bare == world.merchant == await uow.merchants.get(world.merchant.id)


async def test_refused_logo_leaves_the_page_as_it_was(world: World) -> None:
    with pytest.raises(Invalid):
        async with world.store.write() as uow:
            await change_page(uow, world.merchant.id, accent="#00ff00", logo=b"<svg/>")
    async with world.store.write() as uow:
        assert await uow.merchants.get(world.merchant.id) == world.merchant
        with pytest.raises(NotFound):
            await change_page(uow, "mer_other", accent="#00ff00")


async def test_merchants_settings_can_be_changed_within_the_same_limits(world: World) -> None:
    async with world.store.write() as uow:
        changed = await change_merchant(uow, world.merchant.id, underpayment_bps=500)
        assert await uow.merchants.get(world.merchant.id) == changed
        with pytest.raises(Invalid):
            await change_merchant(uow, world.merchant.id, underpayment_bps=501)
        with pytest.raises(NotFound):
            await change_merchant(uow, "mer_other", name="Other")
