"""BNB that arrives from inside a contract (many exchanges and smart wallets send it so) and leaves no log.

A vault's balance says what the logs cannot: everything that ever came in is what is still there plus what the escrow
moved out. What came in and is neither a plain transaction nor recorded before arrived from inside a contract.

Invariant: for every address and block read, internal deposits on record = balance + outflows - direct deposits, all up
to and including that block. It is computed anew from these sums each time, so reading a block twice adds nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import structlog

from openpay.app.ports import Database, UnitOfWork
from openpay.app.records import Block, EscrowLog
from openpay.chain import reads
from openpay.chain.artifacts import load_artifact
from openpay.chain.blocks import read_bytes
from openpay.chain.errors import BadAnswer
from openpay.chain.pool import Pool
from openpay.chain.rpc import Endpoint
from openpay.domain.chains import Chain
from openpay.domain.deposit import Deposit, Source
from openpay.errors import ChainUnavailable

ADDRESSES_PER_CALL = 700
"""A node treats the answer as new contract code, at most 24,576 bytes: 766 balances."""
_WORD = 32
_OUTFLOWS = frozenset({"Settled", "Swept", "Refunded", "Rescued"})
"""Escrow events that move money out of a payment's vault."""

_log = structlog.get_logger(__name__)


class InternalTransfers:
    """Finds BNB that no log shows, for the open payments of a chain that accept BNB."""

    def __init__(self, chain: Chain, pool: Pool, db: Database) -> None:
        self._chain = chain
        self._pool = pool
        self._db = db
        self._token = chain.token_at(None)

    async def find(self, block: Block, deposits: Sequence[Deposit], escrow_logs: Sequence[EscrowLog]) -> list[Deposit]:
        """The internal deposits seen at `block`, each dated there.

        `deposits` and `escrow_logs` are those found but not committed yet, up to and including `block`. A node that no
        longer has the block's state is no reason to stop: a later block's balance shows the same money.
        """
        if self._token is None:
            return []
        async with self._db.read() as uow:
            payable = dict(await uow.payments.ids_payable_in(self._chain.chain_id, self._token.symbol))
            if not payable:
                return []
        try:
            balances = await self._balances(block, payable)
            async with self._db.read() as uow:
                unexplained = await self._unexplained(uow, balances, deposits, escrow_logs)
            return [
                self._deposit(block, payment_id, units)
                for payment_id, units in unexplained.items()
                if await self._confirmed(block, payable[payment_id], balances[payment_id])
            ]
        except ChainUnavailable as error:
            _log.warning("balances not read", block=block.number, reason=str(error))
            return []

    async def _balances(self, block: Block, payable: Mapping[str, bytes]) -> dict[str, int]:
        """Wei by payment id, in as few calls as possible."""
        ids, addresses = list(payable), list(payable.values())
        balances: list[int] = []
        for start in range(0, len(ids), ADDRESSES_PER_CALL):
            balances += await self._pool.ask(
                partial(read_balances, addresses=addresses[start : start + ADDRESSES_PER_CALL], block_hash=block.hash)
            )
        return dict(zip(ids, balances, strict=True))

    async def _unexplained(
        self,
        uow: UnitOfWork,
        balances: Mapping[str, int],
        deposits: Iterable[Deposit],
        escrow_logs: Sequence[EscrowLog],
    ) -> dict[str, int]:
        """Units by payment id that came in and are not on record. Most vaults are empty, and ask for nothing."""
        terms = await uow.payments.ids_by_terms(
            self._chain.chain_id, {log.terms_id for log in escrow_logs if log.terms_id is not None}
        )
        moved_out: dict[str, int] = defaultdict(int)
        for log in escrow_logs:
            payment_id = terms.get(log.terms_id) if log.terms_id is not None else None
            if payment_id is not None and payment_id in balances:
                moved_out[payment_id] += self._outflow(log)
        suspects = [payment_id for payment_id, balance in balances.items() if balance or payment_id in moved_out]
        if not suspects:
            return {}
        recorded, logs = await uow.deposits.of(suspects), await uow.chain.escrow_logs_of(suspects)
        fresh: dict[str, list[Deposit]] = defaultdict(list)
        for deposit in deposits:
            fresh[deposit.payment_id].append(deposit)
        unexplained = {}
        for payment_id in suspects:
            came_in = sum(
                deposit.units
                for deposit in (*recorded.get(payment_id, ()), *fresh[payment_id])
                if self._token is not None and deposit.token == self._token.symbol
            )
            went_out = moved_out[payment_id] + sum(self._outflow(log) for log in logs.get(payment_id, ()))
            if balances[payment_id] + went_out > came_in:
                unexplained[payment_id] = balances[payment_id] + went_out - came_in
        return unexplained

    def _outflow(self, log: EscrowLog) -> int:
        is_native = self._token is not None and log.token == self._token.symbol
        return log.units if is_native and log.name in _OUTFLOWS else 0

    async def _confirmed(self, block: Block, address: bytes, balance: int) -> bool:
        """Whether two hosts report this balance at this block (one, where only one is configured)."""
        words = await self._pool.ask_hosts(partial(read_balances, addresses=[address], block_hash=block.hash))
        confirmed = sum(word == [balance] for word in words.values()) >= min(2, len(words))
        if not confirmed:
            _log.warning("balance not confirmed by a second host", block=block.number, address=address.hex())
        return confirmed

    def _deposit(self, block: Block, payment_id: str, units: int) -> Deposit:
        return Deposit(
            payment_id=payment_id,
            token=self._token.symbol if self._token is not None else "",
            units=units,
            source=Source.INTERNAL,
            position=0,
            tx_hash=None,
            sender=None,
            sender_nonce=None,
            payer=None,
            block_number=block.number,
            block_hash=block.hash,
            block_time=block.time,
        )


async def read_balances(endpoint: Endpoint, *, addresses: Sequence[bytes], block_hash: bytes) -> list[int]:
    """Wei of each address at a block, in one `eth_call` without a contract. Raises `BadAnswer` for another length."""
    data = load_artifact("BalanceReader").bytecode + _encode_addresses(addresses)
    answer = read_bytes(await endpoint.call(reads.eth_call(to=None, data=data, at=block_hash)))
    words = [int.from_bytes(answer[at : at + _WORD], "big") for at in range(0, len(answer), _WORD)]
    if len(answer) % _WORD or words[:2] != [_WORD, len(addresses)] or len(words) != len(addresses) + 2:
        raise BadAnswer(endpoint.name, f"{len(answer)} bytes instead of {len(addresses)} balances")
    return words[2:]


def _encode_addresses(addresses: Sequence[bytes]) -> bytes:
    """`abi.encode(address[])`: offset, length, then a word each."""
    head = _WORD.to_bytes(_WORD, "big") + len(addresses).to_bytes(_WORD, "big")
    return head + b"".join(address.rjust(_WORD, b"\0") for address in addresses)
