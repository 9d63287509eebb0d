"""Merchants and their keys in SQL."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, insert, select, update

from openpay.app.records import ApiKey, Merchant, SigningKey
from openpay.domain.branding import Logo, LogoType
from openpay.domain.refunds import RefundPolicy
from openpay.store.sql import Repository
from openpay.store.tables import api_keys, merchants, signing_keys

_COLUMNS = [column for column in merchants.c if column is not merchants.c.logo]
"""Every request of the API reads its merchant: not the picture."""


class SqlMerchants(Repository):
    async def add(self, merchant: Merchant) -> None:
        await self._connection.execute(insert(merchants), _row(merchant))

    async def get(self, merchant_id: str) -> Merchant | None:
        row = (await self._connection.execute(select(*_COLUMNS).where(merchants.c.id == merchant_id))).first()
        return None if row is None else _merchant(row)

    async def all(self) -> list[Merchant]:
        query = select(*_COLUMNS).order_by(merchants.c.created_at, merchants.c.id)
        return [_merchant(row) for row in await self._connection.execute(query)]

    async def save(self, merchant: Merchant) -> None:
        await self._connection.execute(update(merchants).where(merchants.c.id == merchant.id).values(_row(merchant)))

    async def logo(self, logo_hash: str) -> Logo | None:
        query = select(merchants.c.logo, merchants.c.logo_type).where(merchants.c.logo_hash == logo_hash).limit(1)
        row = (await self._connection.execute(query)).first()
        return None if row is None else Logo(content=row.logo, type=LogoType(row.logo_type))

    async def set_logo(self, merchant_id: str, logo: Logo | None) -> None:
        values = (
            {"logo": None, "logo_type": None, "logo_hash": None}
            if logo is None
            else {"logo": logo.content, "logo_type": logo.type.value, "logo_hash": logo.hash}
        )
        await self._connection.execute(update(merchants).where(merchants.c.id == merchant_id).values(values))

    async def add_key(self, key: ApiKey) -> None:
        await self._connection.execute(insert(api_keys), asdict(key))

    async def key_by_hash(self, key_hash: bytes) -> tuple[ApiKey, Merchant] | None:
        owner = [column.label(f"owner_{column.name}") for column in _COLUMNS]
        query = (
            select(api_keys, *owner)
            .join(merchants, merchants.c.id == api_keys.c.merchant_id)
            .where(api_keys.c.key_hash == key_hash)
        )
        row = (await self._connection.execute(query)).first()
        if row is None:
            return None
        return _key(row), _merchant(row, "owner_")

    async def keys(self, merchant_id: str) -> list[ApiKey]:
        query = select(api_keys).where(api_keys.c.merchant_id == merchant_id)
        rows = await self._connection.execute(query.order_by(api_keys.c.created_at, api_keys.c.id))
        return [_key(row) for row in rows]

    async def revoke_key(self, merchant_id: str, key_id: str, *, now: int) -> ApiKey | None:
        mine = (api_keys.c.id == key_id, api_keys.c.merchant_id == merchant_id)
        await self._connection.execute(
            update(api_keys).where(*mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=now)
        )
        row = (await self._connection.execute(select(api_keys).where(*mine))).first()
        return None if row is None else _key(row)

    async def add_signing_key(self, key: SigningKey) -> None:
        await self._connection.execute(insert(signing_keys), asdict(key))

    async def retire_signing_key(self, key_id: str, *, now: int) -> None:
        await self._connection.execute(update(signing_keys).where(signing_keys.c.id == key_id).values(retired_at=now))

    async def signing_keys(self, merchant_id: str, livemode: bool | None = None) -> list[SigningKey]:
        query = select(signing_keys).where(signing_keys.c.merchant_id == merchant_id)
        if livemode is not None:
            query = query.where(signing_keys.c.livemode == livemode)
        query = query.order_by(signing_keys.c.created_at.desc(), signing_keys.c.id)
        return [SigningKey(**row._mapping) for row in await self._connection.execute(query)]


def _row(merchant: Merchant) -> dict[str, Any]:
    """Without the logo, whose three columns only `set_logo` writes."""
    values = asdict(merchant) | {
        "refund_policy": merchant.refund_policy.value,
        "embed_origins": list(merchant.embed_origins),
    }
    del values["logo_type"], values["logo_hash"]
    return values


def _merchant(row: Row[Any], prefix: str = "") -> Merchant:
    """From a row of merchants, or of a join in which their columns are named with `prefix`."""
    values = {column.name: getattr(row, f"{prefix}{column.name}") for column in _COLUMNS}
    return Merchant(
        **values
        | {
            "refund_policy": RefundPolicy(values["refund_policy"]),
            "logo_type": None if values["logo_type"] is None else LogoType(values["logo_type"]),
            "embed_origins": tuple(values["embed_origins"]),
        }
    )


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(**{column.name: getattr(row, column.name) for column in api_keys.c})
