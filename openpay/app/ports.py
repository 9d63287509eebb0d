"""What the use cases need from outside, as protocols. `openpay.store` and `openpay.chain` implement them.

A unit of work is one database transaction. `Database.write()` commits when its block ends without an error, and
nothing inside it may wait for the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from openpay.app.mending import Rescans, Rewinds
from openpay.app.records import PriceQuote
from openpay.app.repositories import (
    Alerts,
    Attempts,
    ChainRecord,
    Deposits,
    Events,
    ExcessMoney,
    Idempotency,
    Merchants,
    Operations,
    Payments,
    Refunds,
    VaultLooks,
    Webhooks,
)
from openpay.domain.chains import Token
from openpay.domain.custody import EscrowState
from openpay.domain.finding import SeenTransaction


class Clock(Protocol):
    """The time by which payments are created: Unix seconds."""

    def now(self) -> int: ...


class Quotes(Protocol):
    """Prices kept fresh off the request path; asking never waits."""

    def price(self, chain_id: int, token: Token) -> PriceQuote | None:
        """The newest round read at a finalized block; None when there is no fresh one."""

    def on_peg(self, chain_id: int, token: Token) -> bool:
        """Whether a stablecoin may be offered. True where its chain names no peg feed."""


class Balances(Protocol):
    """Reads of the merchant's money on the chain."""

    async def treasury_units(self, chain_id: int, merchant: bytes) -> Mapping[str, int]:
        """What the merchant's treasury holds of each listed token. Raises `ChainUnavailable`."""


class Holdings(Protocol):
    """Reads of what the chain itself holds, at one block: a hash, or a number where no hash is kept."""

    async def states(
        self, chain_id: int, escrow: bytes, terms_ids: Sequence[bytes], *, block: bytes | int
    ) -> list[EscrowState]:
        """What the escrow knows of each id. Raises `ChainUnavailable`."""

    async def units(
        self, chain_id: int, accounts: Sequence[bytes], contracts: Sequence[bytes | None], *, block: bytes | int
    ) -> list[Mapping[bytes | None, int]]:
        """What each account holds of each token, None being the chain's own coin. Raises `ChainUnavailable`."""


class Transactions(Protocol):
    """Single transactions as the chain's nodes show them: for words only, proven by nothing."""

    async def seen(self, chain_id: int, tx_hash: bytes) -> SeenTransaction | None:
        """None when no node knows it. Raises `ChainUnavailable`."""


class UnitOfWork(Protocol):
    """One database transaction and its repositories."""

    @property
    def payments(self) -> Payments: ...
    @property
    def deposits(self) -> Deposits: ...
    @property
    def refunds(self) -> Refunds: ...
    @property
    def excess(self) -> ExcessMoney: ...
    @property
    def attempts(self) -> Attempts: ...
    @property
    def chain(self) -> ChainRecord: ...
    @property
    def rewinds(self) -> Rewinds: ...
    @property
    def rescans(self) -> Rescans: ...
    @property
    def events(self) -> Events: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def merchants(self) -> Merchants: ...
    @property
    def idempotency(self) -> Idempotency: ...
    @property
    def operations(self) -> Operations: ...
    @property
    def alerts(self) -> Alerts: ...
    @property
    def vault_looks(self) -> VaultLooks: ...


class Database(Protocol):
    """Opens units of work. On SQLite writers queue (`BEGIN IMMEDIATE`); on PostgreSQL rows are locked."""

    def read(self) -> AbstractAsyncContextManager[UnitOfWork]: ...
    def write(self) -> AbstractAsyncContextManager[UnitOfWork]: ...
