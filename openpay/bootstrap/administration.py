"""What an operator does to merchants and keys from the command line: one transaction each, on the configured database.

Every function raises `CallerError` for what it is asked wrongly, and `ConfigurationError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from openpay.app import merchants, schedules, webhooks
from openpay.app.clock import SystemClock
from openpay.app.merchants import Keep
from openpay.app.ports import UnitOfWork
from openpay.app.records import ApiKey, Merchant, SigningKey, WithdrawalSchedule
from openpay.app.sealing import Sealer
from openpay.app.webhooks import ROTATION_OVERLAP_S, ensure_signing_key
from openpay.config import Settings
from openpay.domain.address import parse_address
from openpay.domain.chains import Chain
from openpay.domain.refunds import RefundPolicy
from openpay.errors import ConcurrentChange, ConfigurationError, NotFound
from openpay.store import Store, schema


async def add_merchant(
    settings: Settings, *, name: str, address: str, slippage_bps: int, underpayment_bps: int
) -> Merchant:
    """A new merchant, with its webhook signing keys for both modes."""
    now = SystemClock().now()
    async with _transaction(settings) as uow:
        merchant = await merchants.create_merchant(
            uow,
            name=name,
            address=parse_address(address),
            now=now,
            slippage_bps=slippage_bps,
            underpayment_bps=underpayment_bps,
        )
        sealer = Sealer(settings.require_secret())
        for livemode in (True, False):
            await ensure_signing_key(uow, merchant.id, livemode, sealer=sealer, now=now)
        return merchant


async def all_merchants(settings: Settings) -> list[Merchant]:
    async with _transaction(settings) as uow:
        return await uow.merchants.all()


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A merchant as it is after a change; in words, when money is now withdrawn by itself, where that was changed."""

    merchant: Merchant
    withdrawals: str | None


async def change_merchant(
    settings: Settings,
    merchant_id: str,
    *,
    name: str | None,
    slippage_bps: int | None,
    underpayment_bps: int | None,
    refund_policy: RefundPolicy | None,
    refund_window_s: int | None,
    accent: str | Keep | None,
    logo: bytes | Keep | None,
    embed_origins: Sequence[str] | Keep,
    livemode: bool,
    withdraw_above: Sequence[str],
    withdraw_daily: str | None,
) -> Changed:
    """Change all that is given, or nothing. None leaves a value as it was, but where `Keep` does.

    Withdrawals are those of `livemode`: `USDT=100` and `03:00` change them, `USDT=off` and `off` end them.
    """
    chain = _chain_of(settings, livemode) if withdraw_above or withdraw_daily is not None else None
    async with _transaction(settings) as uow:
        await merchants.change_merchant(
            uow,
            merchant_id,
            name=name,
            slippage_bps=slippage_bps,
            underpayment_bps=underpayment_bps,
            refund_policy=refund_policy,
            refund_window_s=refund_window_s,
        )
        merchant = await merchants.change_page(uow, merchant_id, accent=accent, logo=logo, embed_origins=embed_origins)
        withdrawals = None
        if chain is not None:
            withdrawals = await _change_schedule(uow, chain, merchant_id, livemode, withdraw_above, withdraw_daily)
        return Changed(merchant=merchant, withdrawals=withdrawals)


def _chain_of(settings: Settings, livemode: bool) -> Chain:
    from openpay.bootstrap.installation import configured_chains

    chain = configured_chains(settings).get(livemode)
    if chain is None:
        raise ConfigurationError(f"no chain is configured for {'live' if livemode else 'test'} mode")
    return chain


async def _change_schedule(
    uow: UnitOfWork, chain: Chain, merchant_id: str, livemode: bool, above: Sequence[str], daily: str | None
) -> str:
    schedule = await uow.operations.schedule(merchant_id, livemode) or WithdrawalSchedule(
        merchant_id=merchant_id, livemode=livemode
    )
    for token, units in [schedules.parse_threshold(text, chain) for text in above]:
        schedule = schedules.with_threshold(schedule, token, units)
    if daily is not None:
        schedule = schedules.with_daily(schedule, schedules.parse_daily(daily), now=SystemClock().now())
    if not await uow.operations.save_schedule(schedule):
        raise ConcurrentChange("a scheduled withdrawal was just recorded: set it again")
    return schedules.describe(schedule, chain)


async def add_key(settings: Settings, merchant_id: str, *, livemode: bool) -> str:
    """The secret of a new key, which nobody can look up later."""
    async with _transaction(settings) as uow:
        await _require_merchant(uow, merchant_id)
        _, secret = await merchants.issue_key(uow, merchant_id, livemode=livemode, now=SystemClock().now())
        return secret


async def all_keys(settings: Settings, merchant_id: str) -> list[ApiKey]:
    async with _transaction(settings) as uow:
        await _require_merchant(uow, merchant_id)
        return await uow.merchants.keys(merchant_id)


async def revoke_key(settings: Settings, merchant_id: str, key_id: str) -> ApiKey:
    """The key, revoked now or before."""
    async with _transaction(settings) as uow:
        return await merchants.revoke_key(uow, merchant_id, key_id, now=SystemClock().now())


async def rotate_signing_key(settings: Settings, merchant_id: str, *, livemode: bool, leaked: bool) -> SigningKey:
    """A new key that signs the merchant's webhooks: it takes over in a week, or now where the present one `leaked`."""
    overlap_s = 0 if leaked else ROTATION_OVERLAP_S
    async with _transaction(settings) as uow:
        await _require_merchant(uow, merchant_id)
        sealer = Sealer(settings.require_secret())
        return await webhooks.rotate_signing_key(
            uow, merchant_id, livemode, sealer=sealer, now=SystemClock().now(), overlap_s=overlap_s
        )


@asynccontextmanager
async def _transaction(settings: Settings) -> AsyncIterator[UnitOfWork]:
    await schema.check(settings.database_url)
    store = Store.open(settings.database_url)
    try:
        async with store.write() as uow:
            yield uow
    finally:
        await store.close()


async def _require_merchant(uow: UnitOfWork, merchant_id: str) -> None:
    if await uow.merchants.get(merchant_id) is None:
        raise NotFound(f"no merchant {merchant_id}: see openpay merchants list", code="merchant_not_found")
