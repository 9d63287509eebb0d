"""Merchants and their API keys."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from openpay.app.ports import UnitOfWork
from openpay.app.records import ApiKey, Merchant
from openpay.domain.address import ZERO_ADDRESS
from openpay.domain.branding import parse_accent, read_logo
from openpay.domain.ids import is_api_key, new_api_key, new_id
from openpay.domain.origins import parse_embed_origins
from openpay.domain.refunds import RefundPolicy
from openpay.domain.terms import MAX_BPS
from openpay.errors import Invalid, NotFound, Unauthorized

MAX_NAME = 100
MAX_REFUND_WINDOW_S = 30 * 86_400
"""30 days: the customer's money must not be kept for ever."""
PREFIX_LENGTH = len("sk_live_")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whose request this is: a merchant, in one mode, by one of its keys."""

    merchant: Merchant
    livemode: bool
    key_id: str


async def create_merchant(
    uow: UnitOfWork, *, name: str, address: bytes, now: int, slippage_bps: int = 100, underpayment_bps: int = 0
) -> Merchant:
    """Store a new merchant. Raises `Invalid` for an empty name, the zero address, or a tolerance above 500 bps."""
    merchant = _checked(
        Merchant(
            id=new_id("mer"),
            name=name.strip(),
            address=address,
            created_at=now,
            slippage_bps=slippage_bps,
            underpayment_bps=underpayment_bps,
        )
    )
    await uow.merchants.add(merchant)
    return merchant


async def change_merchant(
    uow: UnitOfWork,
    merchant_id: str,
    *,
    name: str | None = None,
    slippage_bps: int | None = None,
    underpayment_bps: int | None = None,
    refund_policy: RefundPolicy | None = None,
    refund_window_s: int | None = None,
) -> Merchant:
    """Change what is given. Tolerances apply to new payments, the policy to new refunds, the window (in seconds) to
    refunds that are looked at from now on. Raises `NotFound`, `Invalid`."""
    merchant = await _found(uow, merchant_id)
    changed = _checked(
        replace(
            merchant,
            name=merchant.name if name is None else name.strip(),
            slippage_bps=merchant.slippage_bps if slippage_bps is None else slippage_bps,
            underpayment_bps=merchant.underpayment_bps if underpayment_bps is None else underpayment_bps,
            refund_policy=merchant.refund_policy if refund_policy is None else refund_policy,
            refund_window_s=merchant.refund_window_s if refund_window_s is None else refund_window_s,
        )
    )
    await uow.merchants.save(changed)
    return changed


class Keep(Enum):
    """Leave a value as it is, where None means to have none."""

    KEEP = "keep"


async def change_page(
    uow: UnitOfWork,
    merchant_id: str,
    *,
    accent: str | Keep | None = Keep.KEEP,
    logo: bytes | Keep | None = Keep.KEEP,
    embed_origins: Sequence[str] | Keep = Keep.KEEP,
) -> Merchant:
    """Change how the merchant's checkout page looks and which sites may embed it, from the next view on.

    Raises `NotFound`, `Invalid` (`invalid_accent`, `invalid_logo`, `invalid_origin`).
    """
    merchant = await _found(uow, merchant_id)
    if not isinstance(accent, Keep):
        merchant = replace(merchant, accent=None if accent is None else parse_accent(accent))
    if not isinstance(embed_origins, Keep):
        merchant = replace(merchant, embed_origins=parse_embed_origins(embed_origins))
    await uow.merchants.save(merchant)
    if not isinstance(logo, Keep):
        picture = None if logo is None else read_logo(logo)
        await uow.merchants.set_logo(merchant_id, picture)
        merchant = replace(
            merchant,
            logo_type=None if picture is None else picture.type,
            logo_hash=None if picture is None else picture.hash,
        )
    return merchant


async def _found(uow: UnitOfWork, merchant_id: str) -> Merchant:
    merchant = await uow.merchants.get(merchant_id)
    if merchant is None:
        raise NotFound(f"no merchant {merchant_id}", code="merchant_not_found")
    return merchant


def _checked(merchant: Merchant) -> Merchant:
    if not 1 <= len(merchant.name) <= MAX_NAME:
        raise Invalid(f"a merchant's name has 1 to {MAX_NAME} characters", code="invalid_name", param="name")
    if merchant.address == ZERO_ADDRESS:
        raise Invalid("the zero address belongs to nobody", code="invalid_address", param="address")
    for param, value in (("slippage_bps", merchant.slippage_bps), ("underpayment_bps", merchant.underpayment_bps)):
        if not 0 <= value <= MAX_BPS:
            raise Invalid(f"{param} is {value}; the escrow accepts 0 to {MAX_BPS}", code="invalid_bps", param=param)
    if not 0 <= merchant.refund_window_s <= MAX_REFUND_WINDOW_S:
        raise Invalid(
            f"refund_window_s is {merchant.refund_window_s}; it may be 0 to {MAX_REFUND_WINDOW_S}",
            code="invalid_refund_window",
            param="refund_window_s",
        )
    return merchant


async def issue_key(uow: UnitOfWork, merchant_id: str, *, livemode: bool, now: int) -> tuple[ApiKey, str]:
    """Make a key. The second value is the secret itself: it is shown now and can never be read again."""
    secret = new_api_key(livemode=livemode)
    key = ApiKey(
        id=new_id("key"),
        merchant_id=merchant_id,
        livemode=livemode,
        key_hash=hash_key(secret),
        prefix=secret[:PREFIX_LENGTH],
        last4=secret[-4:],
        created_at=now,
    )
    await uow.merchants.add_key(key)
    return key, secret


async def revoke_key(uow: UnitOfWork, merchant_id: str, key_id: str, *, now: int) -> ApiKey:
    """Revoke a key at once; doing it again changes nothing. Raises `NotFound`."""
    key = await uow.merchants.revoke_key(merchant_id, key_id, now=now)
    if key is None:
        raise NotFound(f"no API key {key_id}", code="api_key_not_found")
    return key


async def authenticate(uow: UnitOfWork, secret: str) -> Caller:
    """Whose key this is. Raises `Unauthorized` (`invalid_api_key`, `revoked_api_key`)."""
    if not is_api_key(secret):
        raise Unauthorized(
            "this is not an API key: one has the form sk_live_… or sk_test_… and is checked for typing errors",
            code="invalid_api_key",
        )
    found = await uow.merchants.key_by_hash(hash_key(secret))
    if found is None:
        raise Unauthorized("no such API key", code="invalid_api_key")
    key, merchant = found
    if key.revoked_at is not None:
        raise Unauthorized(f"the API key {key.prefix}…{key.last4} was revoked", code="revoked_api_key")
    return Caller(merchant=merchant, livemode=key.livemode, key_id=key.id)


def hash_key(secret: str) -> bytes:
    """SHA-256 is enough here: the secret has 190 random bits, so there is no guessing to slow down."""
    return hashlib.sha256(secret.encode()).digest()
