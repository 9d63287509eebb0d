"""What a merchant has: in its treasury on the chain, paid but not yet moved there, and being confirmed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openpay.app.merchants import Caller
from openpay.app.ports import Balances, Database, Quotes, UnitOfWork
from openpay.app.records import PriceQuote
from openpay.domain.chains import Chain, Token
from openpay.domain.money import USD_DECIMALS
from openpay.domain.payment import Payment


@dataclass(frozen=True, kw_only=True)
class UsdValue:
    """The three figures of a balance in micros of USD, each rounded down."""

    available: int
    pending: int
    confirming: int


@dataclass(frozen=True, kw_only=True)
class TokenBalance:
    """One token's base units.

    `available_units` can be withdrawn now; `pending_units` is paid and not yet settled; `confirming_units` is received
    for payments that wait for confirmations, and may still be taken back by a reorg. `quote` is the price by which
    they are valued, None for a stablecoin and where no fresh one is known.
    """

    token: Token
    available_units: int
    pending_units: int
    confirming_units: int
    quote: PriceQuote | None

    @property
    def usd(self) -> UsdValue | None:
        """What it is worth now; None for a token that is priced by a feed without a fresh answer."""
        if self.token.feed is not None and self.quote is None:
            return None
        return UsdValue(
            available=usd_down(self.available_units, self.token, self.quote),
            pending=usd_down(self.pending_units, self.token, self.quote),
            confirming=usd_down(self.confirming_units, self.token, self.quote),
        )


async def token_balances(
    db: Database, treasuries: Balances, quotes: Quotes, chain: Chain, caller: Caller
) -> tuple[TokenBalance, ...]:
    """The caller's balance in every token of its chain, in the chain's order. Raises `ChainUnavailable`.

    Between a settlement and its last confirmation the same money may show as available and as pending.
    """
    available = await treasuries.treasury_units(chain.chain_id, caller.merchant.address)
    async with db.read() as uow:
        unsettled = await uow.payments.of_merchant_unsettled(caller.merchant.id, caller.livemode)
        confirming = await uow.payments.of_merchant_confirming(caller.merchant.id, caller.livemode)
        pending_units = await _completing_units(uow, unsettled)
        confirming_units = await _completing_units(uow, confirming)
    return tuple(
        TokenBalance(
            token=token,
            available_units=available.get(token.symbol, 0),
            pending_units=pending_units.get(token.symbol, 0),
            confirming_units=confirming_units.get(token.symbol, 0),
            quote=quotes.price(chain.chain_id, token) if token.feed is not None else None,
        )
        for token in chain.tokens
    )


def usd_down(units: int, token: Token, quote: PriceQuote | None) -> int:
    """Micros of USD that `units` are worth, rounded down: at `quote`, or at 1 USD for each token without one."""
    price, price_decimals = (1, 0) if quote is None else (quote.price, quote.decimals)
    worth: int = units * price * 10**USD_DECIMALS // 10 ** (token.decimals + price_decimals)
    return worth


async def _completing_units(uow: UnitOfWork, payments: Sequence[Payment]) -> Mapping[str, int]:
    """What settling these payments would move: all deposits of the token that completed each."""
    deposits = await uow.deposits.of([payment.id for payment in payments])
    units: dict[str, int] = defaultdict(int)
    for payment in payments:
        if payment.completion is not None and not payment.completion.reverted:
            token = payment.completion.token
            units[token] += sum(d.units for d in deposits.get(payment.id, ()) if d.token == token)
    return units
