"""What vaults and treasuries hold, read from the chain: balances of many accounts and what the escrow says of ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.errors import JsonRpcError
from openpay.chain.escrow import split_words
from openpay.chain.escrow_abi import WORD, address_word, due_data, selector
from openpay.chain.pool import Pool
from openpay.chain.reads import BlockName
from openpay.chain.rpc import Call, Endpoint
from openpay.domain.address import ZERO_ADDRESS
from openpay.domain.custody import EscrowState
from openpay.domain.terms import Terms

CALLS_PER_REQUEST = 100
"""As many as public nodes take in one batch."""


class ChainHoldings:
    """`ports.Holdings` over the pools of all chains."""

    def __init__(self, pools: Mapping[int, Pool]) -> None:
        self._pools = pools

    async def states(
        self, chain_id: int, escrow: bytes, terms_ids: Sequence[bytes], *, block: bytes | int
    ) -> list[EscrowState]:
        return await read_states(self._pools[chain_id], escrow, terms_ids, at=block)

    async def units(
        self, chain_id: int, accounts: Sequence[bytes], contracts: Sequence[bytes | None], *, block: bytes | int
    ) -> list[Mapping[bytes | None, int]]:
        return await read_units(self._pools[chain_id], accounts, contracts, at=block)


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A way to pay that the escrow lists at `index`. `contract` None is the chain's own coin."""

    index: int
    contract: bytes | None
    decimals: int


async def read_assets(pool: Pool, escrow: bytes, *, at: BlockName) -> list[Asset]:
    """Everything the escrow ever listed. Raises `ChainUnavailable`, also where there is no escrow."""
    (count,) = await _words(pool, [(escrow, selector("assetCount"))], at=at)
    calls = [(escrow, selector("assetAt") + index.to_bytes(WORD, "big")) for index in range(count[0])]
    found = []
    for index, (contract, _, decimals, _, _) in enumerate(await _words(pool, calls, at=at, count=5)):
        token = contract.to_bytes(20, "big")
        found.append(Asset(index=index, contract=None if token == ZERO_ADDRESS else token, decimals=decimals))
    return found


async def read_states(pool: Pool, escrow: bytes, terms_ids: Sequence[bytes], *, at: BlockName) -> list[EscrowState]:
    """What the escrow knows of each id. Raises `ChainUnavailable`."""
    answers = await _words(pool, [(escrow, selector("stateOf") + terms_id) for terms_id in terms_ids], at=at)
    return [EscrowState(state) for (state,) in answers]


async def read_units(
    pool: Pool, accounts: Sequence[bytes], contracts: Sequence[bytes | None], *, at: BlockName
) -> list[Mapping[bytes | None, int]]:
    """What each account holds of each token (None: the chain's own coin), in base units. Raises `ChainUnavailable`."""
    by_contract: dict[bytes | None, list[int]] = {}
    for contract in contracts:
        if contract is None:
            by_contract[None] = await _coin_units(pool, accounts, at=at)
            continue
        head = selector("balanceOf", "TestToken")  # of every BEP-20 token
        answers = await _words(pool, [(contract, head + address_word(account)) for account in accounts], at=at)
        by_contract[contract] = [units for (units,) in answers]
    return [{contract: units[place] for contract, units in by_contract.items()} for place in range(len(accounts))]


async def read_min_units(pool: Pool, escrow: bytes, terms: Terms, asset_index: int, *, at: BlockName) -> int | None:
    """The least that settles these terms in an asset; None when the escrow cannot say. Raises `ChainUnavailable`."""
    try:
        ((_, least),) = await _words(pool, [(escrow, due_data(terms, asset_index))], at=at, count=2)
    except JsonRpcError as error:
        if error.is_revert:
            return None
        raise
    return least


async def _coin_units(pool: Pool, accounts: Sequence[bytes], *, at: BlockName) -> list[int]:
    units: list[int] = []
    for start in range(0, len(accounts), CALLS_PER_REQUEST):
        calls = [reads.balance(account, at) for account in accounts[start : start + CALLS_PER_REQUEST]]
        units += [read_quantity(answer) for answer in await pool.batch(calls)]
    return units


async def _words(pool: Pool, calls: Sequence[tuple[bytes, bytes]], *, at: BlockName, count: int = 1) -> list[list[int]]:
    """The answers of calls (to whom, data), each as `count` words. An address without code answers too few."""
    answers: list[list[int]] = []
    for start in range(0, len(calls), CALLS_PER_REQUEST):
        asked: list[Call[str]] = [
            reads.eth_call(to=to, data=data, at=at) for to, data in calls[start : start + CALLS_PER_REQUEST]
        ]

        async def ask(endpoint: Endpoint, asked: list[Call[str]] = asked) -> list[list[int]]:
            found = await endpoint.batch(asked)
            return [split_words(read_bytes(each), count=count, endpoint=endpoint.name) for each in found]

        answers += await pool.ask(ask)
    return answers
