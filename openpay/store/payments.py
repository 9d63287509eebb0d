"""Payments in SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    type_coerce,
    update,
)

from openpay.app.records import BalanceRound, Page, PaymentFilter, Vault, Watched
from openpay.domain.payment import (
    WAITING,
    Completion,
    LineItem,
    Offer,
    Payment,
    Settlement,
    SettlementStatus,
    Status,
)
from openpay.domain.terms import Terms
from openpay.errors import ConcurrentChange
from openpay.store.parts import MOST_NAMED, in_parts
from openpay.store.prepared import Prepared, PreparedFor
from openpay.store.sql import Repository
from openpay.store.tables import payments

_PLAIN_COLUMNS = (
    "id",
    "merchant_id",
    "livemode",
    "chain_id",
    "amount_usd",
    "escrow",
    "address",
    "created_at",
    "expires_at",
    "required_confirmations",
    "description",
    "success_url",
    "cancel_url",
    "allow_retry",
    "retry_of",
    "deadline",
    "confirming_since",
    "retracted_at",
    "paid_at",
    "paid_confirmations",
    "ended_at",
    "failure",
    "reversed_at",
    "version",
)
"""Columns whose name and value are the field's own."""


class SqlPayments(Repository):
    async def add(self, payment: Payment) -> None:
        await self._connection.execute(insert(payments), _fixed(payment) | _moving(payment))

    async def get(self, payment_id: str) -> Payment | None:
        row = (await self._connection.execute(select(payments).where(payments.c.id == payment_id))).first()
        return None if row is None else _payment(row)

    async def lock(self, payment_ids: Collection[str]) -> list[Payment]:
        if len(payment_ids) > MOST_NAMED:
            # Asked for in parts, which have to be in the same order.
            rows = await self._among(select(payments.c.id, payments.c.seq), payments.c.id, payment_ids)
            payment_ids = [row.id for row in sorted(rows, key=attrgetter("seq"))]
        return [_payment(row) for row in await _LOCKED.run(self._connection, payment_ids)]

    async def save(self, payment: Payment) -> Payment:
        stored = replace(payment, version=payment.version + 1)
        place = {"old_id": payment.id, "old_version": payment.version}
        if (await _VERSION.run(self._connection, place | _moving(stored))).changed != 1:
            raise ConcurrentChange(f"{payment.id} is no longer at version {payment.version}")
        return stored

    async def page(self, wanted: PaymentFilter) -> Page[Payment]:
        filters: list[ColumnElement[bool]] = []
        if wanted.statuses:
            filters.append(payments.c.status.in_([status.value for status in wanted.statuses]))
        filters.extend(self._metadata_has(name, value) for name, value in wanted.metadata.items())
        rows, has_more = await self._newest_first(
            payments,
            [payments.c.merchant_id == wanted.merchant_id, payments.c.livemode == wanted.livemode],
            filters,
            limit=wanted.limit,
            starting_after=wanted.starting_after,
        )
        return Page(items=tuple(_payment(row) for row in rows), has_more=has_more)

    async def after(self, chain_id: int, seq: int, *, limit: int) -> list[tuple[int, Payment]]:
        query = (
            select(payments)
            .where(payments.c.chain_id == chain_id, payments.c.seq > seq)
            .order_by(payments.c.seq)
            .limit(limit)
        )
        return [(row.seq, _payment(row)) for row in await self._connection.execute(query)]

    async def latest_retry(self, payment_id: str) -> Payment | None:
        query = select(payments).where(payments.c.retry_of == payment_id).order_by(payments.c.seq.desc()).limit(1)
        row = (await self._connection.execute(query)).first()
        return None if row is None else _payment(row)

    async def versions(self, payment_ids: Collection[str]) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for some in in_parts(payment_ids):
            rows = await self._connection.execute(_VERSIONS, {"among": some})
            found |= {row.id: row.version for row in rows}
        return found

    async def ids_by_terms(self, chain_id: int, terms_ids: Collection[bytes]) -> Mapping[bytes, str]:
        query = select(payments.c.terms_id, payments.c.id).where(payments.c.chain_id == chain_id)
        return {row.terms_id: row.id for row in await self._among(query, payments.c.terms_id, terms_ids)}

    async def ids_by_address(self, chain_id: int, addresses: Collection[bytes]) -> Mapping[bytes, str]:
        rows = await _IDS_BY_ADDRESS.run(self._connection, addresses, watching=chain_id)
        return {row.address: row.id for row in rows}

    async def is_deposit_address(self, chain_id: int, address: bytes) -> bool:
        query = select(payments.c.id).where(payments.c.address == address, payments.c.chain_id == chain_id).limit(1)
        return await self._connection.scalar(query) is not None

    async def ids_past_deadline(self, chain_id: int, final_time: int, *, limit: int) -> list[str]:
        place = {"chain_id": chain_id, "final_time": final_time, "most": limit}
        return [row.id for row in (await _IDS_PAST_DEADLINE.run(self._connection, place)).rows]

    async def ids_confirming(self, chain_id: int, *, up_to: int | None = None) -> list[str]:
        place = {"chain_id": chain_id, "up_to": _BEYOND_EVERY_BLOCK if up_to is None else up_to}
        return [row.id for row in (await _IDS_CONFIRMING.run(self._connection, place)).rows]

    async def confirming(self, chain_id: int, *, up_to: int) -> list[Payment]:
        rows = await self._connection.execute(_CONFIRMING, {"chain_id": chain_id, "up_to": up_to})
        return [_payment(row) for row in rows]

    async def awaiting_settlement(self, chain_id: int, limit: int) -> list[Payment]:
        pending = payments.c.settlement_status == SettlementStatus.PENDING.value
        query = select(payments).where(payments.c.chain_id == chain_id, pending).order_by(payments.c.seq).limit(limit)
        return [_payment(row) for row in await self._connection.execute(query)]

    async def of_merchant_unsettled(self, merchant_id: str, livemode: bool) -> list[Payment]:
        query = select(payments).where(
            payments.c.merchant_id == merchant_id,
            payments.c.livemode == livemode,
            _UNSETTLED,
        )
        return [_payment(row) for row in await self._connection.execute(query)]

    async def of_merchant_confirming(self, merchant_id: str, livemode: bool) -> list[Payment]:
        query = select(payments).where(
            payments.c.merchant_id == merchant_id,
            payments.c.livemode == livemode,
            payments.c.status == Status.CONFIRMING.value,
        )
        return [_payment(row) for row in await self._connection.execute(query)]

    async def watched(self, chain_id: int, *, after: int, also: Collection[int]) -> list[Watched]:
        rows = list(await self._connection.execute(_WATCHED_AFTER, {"watching": chain_id, "after": after}))
        for some in in_parts(also):
            rows += await self._connection.execute(_WATCHED_AMONG, {"watching": chain_id, "among": some})
        return sorted((Watched(seq=row.seq, address=row.address) for row in rows), key=attrgetter("seq"))

    async def newest_numbers(self, limit: int) -> list[int]:
        newest = await self._connection.scalar(select(func.max(payments.c.seq))) or 0
        query = select(payments.c.seq).where(payments.c.seq > newest - limit).order_by(payments.c.seq)
        return list(await self._connection.scalars(query))

    def open_addresses(self, chain_id: int) -> AsyncIterator[Sequence[bytes]]:
        return self._addresses(chain_id, payments.c.seq, payments.c.watched_until.is_(None))

    def ended_addresses(self, chain_id: int, *, first: int, last: int | None = None) -> AsyncIterator[Sequence[bytes]]:
        until = payments.c.watched_until
        return self._addresses(chain_id, until, until >= first, *([] if last is None else [until <= last]))

    async def _addresses(
        self, chain_id: int, place: ColumnElement[int], *wanted: ColumnElement[bool]
    ) -> AsyncIterator[Sequence[bytes]]:
        """In parts along `place`, each joined into one text: as rows of their own they take six times as long."""
        conditions = [payments.c.chain_id == chain_id, *wanted]
        joined = select(func.aggregate_strings(func.substr(type_coerce(payments.c.address, Text), 3), ""))
        places = select(place).order_by(place).limit(1)
        first = await self._connection.scalar(places.where(*conditions))
        while first is not None:
            after = await self._connection.scalar(places.where(*conditions, place >= first).offset(_ADDRESSES_AT_ONCE))
            # More of them than fit into one part may share a place.
            after = None if after is None else max(after, first + 1)
            part = [place >= first] if after is None else [place >= first, place < after]
            addresses = bytes.fromhex(await self._connection.scalar(joined.where(*conditions, *part)) or "")
            yield [addresses[at : at + _ADDRESS_BYTES] for at in range(0, len(addresses), _ADDRESS_BYTES)]
            first = after

    async def vaults_awaiting_coin(self, chain_id: int) -> list[Vault]:
        return await self._vaults(_of_chain(chain_id), payments.c.offers_coin, payments.c.watched_until.is_(None))

    async def vaults_after(self, round_: BalanceRound | None, chain_id: int, *, at: int, limit: int) -> list[Vault]:
        until, seq = payments.c.watched_until, payments.c.seq
        found: list[Vault] = []
        if round_ is None or round_.watched_until is None:
            passed = [] if round_ is None else [seq > round_.seq]
            found = await self._vaults(
                _of_chain(chain_id), until.is_(None), not_(payments.c.offers_coin), *passed, limit=limit
            )
            passed = [until >= at]
        else:
            # A round that fell behind goes on with what is watched still.
            beyond = or_(until > round_.watched_until, and_(until == round_.watched_until, seq > round_.seq))
            passed = [until >= max(at, round_.watched_until), beyond]
        if len(found) < limit:
            found += await self._vaults(_of_chain(chain_id), *passed, limit=limit - len(found))
        return found

    async def vaults(self, payment_ids: Collection[str]) -> list[Vault]:
        return [Vault(**row._mapping) for row in await self._among(VAULTS, payments.c.id, payment_ids)]

    async def _vaults(self, *condition: ColumnElement[bool], limit: int | None = None) -> list[Vault]:
        query = VAULTS.where(*condition).order_by(payments.c.watched_until, payments.c.seq).limit(limit)
        return [Vault(**each._mapping) for each in await self._connection.execute(query)]

    def _metadata_has(self, name: str, value: str) -> ColumnElement[bool]:
        """Names are compared as values, never written into a JSON path: they may hold quotes and dots."""
        unfold = func.json_each_text if self._connection.dialect.name == "postgresql" else func.json_each
        entries = unfold(payments.c.metadata).table_valued("key", "value")
        return exists().where(entries.c.key == name, entries.c.value == value)


_ADDRESSES_AT_ONCE = 20_000
"""Read together: about 1 MB of text."""
_ADDRESS_BYTES = 20

_BEYOND_EVERY_BLOCK = 2**62

# What every block asks.
# In one order for everybody, so that two transactions cannot wait for each other.
_LOCKED = PreparedFor(select(payments).order_by(payments.c.seq).with_for_update(of=payments), payments.c.id)
_VERSION = Prepared(
    update(payments).where(payments.c.id == bindparam("old_id"), payments.c.version == bindparam("old_version"))
)
_IDS_PAST_DEADLINE = Prepared(
    select(payments.c.id)
    .where(
        payments.c.chain_id == bindparam("chain_id"),
        payments.c.status.in_([status.value for status in WAITING]),
        payments.c.deadline < bindparam("final_time"),
    )
    .order_by(payments.c.deadline, payments.c.seq)
    .limit(bindparam("most"))
)
_ARE_CONFIRMED_SO_FAR = (
    payments.c.chain_id == bindparam("chain_id"),
    payments.c.status == Status.CONFIRMING.value,
    cast(payments.c.completion["block_number"].as_string(), BigInteger) <= bindparam("up_to"),
)
_IDS_CONFIRMING = Prepared(select(payments.c.id).where(*_ARE_CONFIRMED_SO_FAR))
_CONFIRMING = select(payments).where(*_ARE_CONFIRMED_SO_FAR)
VAULTS = select(
    payments.c.seq,
    payments.c.id.label("payment_id"),
    payments.c.address,
    payments.c.ended_at,
    payments.c.watched_until,
)
_WATCHED = select(
    payments.c.seq, case((payments.c.chain_id == bindparam("watching"), payments.c.address)).label("address")
)
_WATCHED_AFTER = _WATCHED.where(payments.c.seq > bindparam("after"))
_WATCHED_AMONG = _WATCHED.where(payments.c.seq.in_(bindparam("among", expanding=True)))
_VERSIONS = select(payments.c.id, payments.c.version).where(payments.c.id.in_(bindparam("among", expanding=True)))
_IDS_BY_ADDRESS = PreparedFor(
    select(payments.c.address, payments.c.id).where(payments.c.chain_id == bindparam("watching")),
    payments.c.address,
    is_brief=True,
)

_UNSETTLED = payments.c.settlement_status.in_([SettlementStatus.PENDING.value, SettlementStatus.SUBMITTED.value])


def _of_chain(chain_id: int) -> ColumnElement[bool]:
    return payments.c.chain_id == chain_id


def _fixed(payment: Payment) -> dict[str, Any]:
    return {
        **{name: getattr(payment, name) for name in _PLAIN_COLUMNS},
        "offers": [_offer_json(offer) for offer in payment.offers],
        "offers_coin": any(offer.contract is None for offer in payment.offers),
        "unavailable_tokens": list(payment.unavailable_tokens),
        "terms": _terms_json(payment.terms),
        "terms_id": payment.terms.id(),
        "metadata": dict(payment.metadata),
        "line_items": [asdict(item) for item in payment.line_items],
    }


def _moving(payment: Payment) -> dict[str, Any]:
    settlement = payment.settlement
    return {
        "status": payment.status.value,
        "deadline": payment.deadline,
        "completion": None if payment.completion is None else _completion_json(payment.completion),
        "confirming_since": payment.confirming_since,
        "retracted_at": payment.retracted_at,
        "paid_at": payment.paid_at,
        "paid_confirmations": payment.paid_confirmations,
        "ended_at": payment.ended_at,
        "watched_until": payment.watched_until,
        "failure": payment.failure,
        "reversed_at": payment.reversed_at,
        "settlement_status": None if settlement is None else settlement.status.value,
        "settlement_tx_hash": None if settlement is None else settlement.tx_hash,
        "settlement_units": None if settlement is None else settlement.units,
        "settled_at": None if settlement is None else settlement.settled_at,
        "version": payment.version,
    }


def _payment(row: Row[Any]) -> Payment:
    return Payment(
        **{name: getattr(row, name) for name in _PLAIN_COLUMNS},
        offers=tuple(_offer(offer) for offer in row.offers),
        unavailable_tokens=tuple(row.unavailable_tokens),
        terms=_terms(row.terms),
        metadata=row.metadata,
        line_items=tuple(LineItem(**item) for item in row.line_items),
        status=Status(row.status),
        completion=None if row.completion is None else _completion(row.completion),
        settlement=None
        if row.settlement_status is None
        else Settlement(
            status=SettlementStatus(row.settlement_status),
            tx_hash=row.settlement_tx_hash,
            units=row.settlement_units,
            settled_at=row.settled_at,
        ),
    )


# JSON has no bytes, and its readers lose integers above 2^53: both are written as text.


def _offer_json(offer: Offer) -> dict[str, Any]:
    return {
        "token": offer.token,
        "asset_index": offer.asset_index,
        "contract": None if offer.contract is None else offer.contract.hex(),
        "decimals": offer.decimals,
        "full_units": str(offer.full_units),
        "min_units": str(offer.min_units),
    }


def _offer(stored: Mapping[str, Any]) -> Offer:
    return Offer(
        token=stored["token"],
        asset_index=stored["asset_index"],
        contract=None if stored["contract"] is None else bytes.fromhex(stored["contract"]),
        decimals=stored["decimals"],
        full_units=int(stored["full_units"]),
        min_units=int(stored["min_units"]),
    )


_TERMS_BYTES: Sequence[str] = ("merchant", "operator", "payment_key")


def _terms_json(terms: Terms) -> dict[str, str]:
    return {name: value.hex() if isinstance(value, bytes) else str(value) for name, value in asdict(terms).items()}


def _terms(stored: Mapping[str, str]) -> Terms:
    values: dict[str, Any] = {
        name: bytes.fromhex(value) if name in _TERMS_BYTES else int(value) for name, value in stored.items()
    }
    return Terms(**values)


def _completion_json(completion: Completion) -> dict[str, Any]:
    return {
        "token": completion.token,
        "tx_hash": None if completion.tx_hash is None else completion.tx_hash.hex(),
        "block_number": completion.block_number,
        "block_hash": completion.block_hash.hex(),
        "reverted": completion.reverted,
    }


def _completion(stored: Mapping[str, Any]) -> Completion:
    return Completion(
        token=stored["token"],
        tx_hash=None if stored["tx_hash"] is None else bytes.fromhex(stored["tx_hash"]),
        block_number=stored["block_number"],
        block_hash=bytes.fromhex(stored["block_hash"]),
        reverted=stored["reverted"],
    )
