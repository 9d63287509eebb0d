"""What the vaults of given terms and their merchants' treasuries hold now, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openpay.chain import escrow_abi, reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.holdings import Asset, read_assets, read_min_units, read_states, read_units
from openpay.chain.pool import Pool
from openpay.domain.address import ZERO_ADDRESS
from openpay.domain.custody import EscrowState, Holding, Move, Step, next_steps
from openpay.domain.terms import Terms
from openpay.domain.vaults import treasury_address, vault_address

COIN_DECIMALS = 18
"""Of the chain's own coin, on every EVM chain; looked for even where the escrow does not list it."""


@dataclass(frozen=True, kw_only=True)
class VaultFinding:
    """One payment's vault. `holdings` are those above zero; `steps` say what moves each of them."""

    terms: Terms
    state: EscrowState
    holdings: tuple[Holding, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What one escrow's vaults and treasuries held at block `number`, of time `time`.

    `vaults` in the order asked for; `treasuries` by merchant, with units above zero by contract; `decimals` by
    contract.
    """

    number: int
    time: int
    vaults: tuple[VaultFinding, ...]
    treasuries: Mapping[bytes, Mapping[bytes | None, int]]
    decimals: Mapping[bytes | None, int]


async def survey(pool: Pool, escrow: bytes, terms: Sequence[Terms]) -> Survey:
    """Look at the newest block, for the coin and every token that the escrow lists. Raises `ChainUnavailable`."""
    header = await pool.call(reads.header("latest"))
    at, now = read_bytes(header.hash), read_quantity(header.timestamp)
    assets = await read_assets(pool, escrow, at=at)
    decimals = {None: COIN_DECIMALS, **{asset.contract: asset.decimals for asset in assets}}
    contracts = list(decimals)
    ids = [each.id() for each in terms]
    merchants = list(dict.fromkeys(each.merchant for each in terms))
    accounts = [vault_address(escrow, each) for each in ids] + [treasury_address(escrow, each) for each in merchants]
    states = await read_states(pool, escrow, ids, at=at)
    units = await read_units(pool, accounts, contracts, at=at)
    vaults = []
    for each, state, held in zip(terms, states, units[: len(ids)], strict=True):
        holdings = tuple(
            [
                await _holding(pool, escrow, each, contract, amount, assets, at=at)
                for contract, amount in held.items()
                if amount
            ]
        )
        steps = next_steps(each, state, holdings, now=now)
        vaults.append(VaultFinding(terms=each, state=state, holdings=holdings, steps=steps))
    return Survey(
        number=read_quantity(header.number),
        time=now,
        vaults=tuple(vaults),
        treasuries={
            merchant: {contract: amount for contract, amount in held.items() if amount}
            for merchant, held in zip(merchants, units[len(ids) :], strict=True)
        },
        decimals=decimals,
    )


async def _holding(
    pool: Pool,
    escrow: bytes,
    terms: Terms,
    contract: bytes | None,
    units: int,
    assets: Sequence[Asset],
    *,
    at: bytes,
) -> Holding:
    """A token may be listed more than once: it is settled by an accepted index under which it suffices."""
    found = Holding(contract=contract, units=units, asset_index=None, min_units=None)
    for asset in assets:
        if asset.contract != contract or not terms.assets >> asset.index & 1:
            continue
        least = await read_min_units(pool, escrow, terms, asset.index, at=at)
        listed = Holding(contract=contract, units=units, asset_index=asset.index, min_units=least)
        if listed.suffices:
            return listed
        if found.min_units is None:
            found = listed
    return found


def call_data(terms: Terms, step: Step, *, to: bytes | None = None) -> bytes:
    """The call to the escrow that makes this step. A refund needs `to`, to whom all of the holding goes."""
    holding = step.holding
    if step.move is Move.SWEEP:
        return escrow_abi.sweep_data(terms, holding.contract)
    if step.move is Move.SETTLE and holding.asset_index is not None:
        return escrow_abi.settle_data(terms, holding.asset_index)
    if to is None or to == ZERO_ADDRESS:
        raise ValueError("a refund goes to an address")
    return escrow_abi.refund_data(terms, holding.contract, to, holding.units)
