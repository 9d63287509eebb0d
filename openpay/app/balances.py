"""What a merchant has: in its treasury on the chain, and paid but not yet moved there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from openpay.app.merchants import Caller
from openpay.app.ports import Balances, Database, UnitOfWork
from openpay.domain.chains import Chain, Token


@dataclass(frozen=True, kw_only=True)
class TokenBalance:
    """One token's base units. `available_units` can be withdrawn now; `pending_units` is paid and not yet settled."""

    token: Token
    available_units: int
    pending_units: int


async def token_balances(db: Database, treasuries: Balances, chain: Chain, caller: Caller) -> tuple[TokenBalance, ...]:
    """The caller's balance in every token of its chain, in the chain's order. Raises `ChainUnavailable`.

    Between a settlement and its last confirmation the same money may show in both figures.
    """
    available = await treasuries.treasury_units(chain.chain_id, caller.merchant.address)
    async with db.read() as uow:
        pending = await _pending_units(uow, caller)
    return tuple(
        TokenBalance(
            token=token,
            available_units=available.get(token.symbol, 0),
            pending_units=pending.get(token.symbol, 0),
        )
        for token in chain.tokens
    )


async def _pending_units(uow: UnitOfWork, caller: Caller) -> Mapping[str, int]:
    """What settling will move: of each unsettled payment, all deposits of the token that completed it."""
    unsettled = await uow.payments.of_merchant_unsettled(caller.merchant.id, caller.livemode)
    deposits = await uow.deposits.of([payment.id for payment in unsettled])
    units: dict[str, int] = defaultdict(int)
    for payment in unsettled:
        if payment.completion is not None:
            token = payment.completion.token
            units[token] += sum(d.units for d in deposits.get(payment.id, ()) if d.token == token)
    return units
