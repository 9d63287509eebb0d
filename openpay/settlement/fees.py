"""What a transaction may cost: price, caps and replacement. No I/O; amounts in wei."""

from __future__ import annotations

from dataclasses import dataclass

from openpay.chain.signing import with_margin

LEAST_BUMP_DIVISOR = 8
"""A replacement pays at least an eighth (12.5 %) more: nodes refuse less than 10 %, and some less than 12.5 %."""

DAY_S = 86_400


@dataclass(frozen=True, kw_only=True)
class FeePolicy:
    """Upper bounds; None means no bound. `max_gas_price` is per unit of gas, `max_per_day` per day in UTC."""

    max_gas_price: int | None = None
    max_per_transaction: int | None = None
    max_per_day: int | None = None

    def price(self, asked: int) -> int | None:
        """What to pay when nodes ask for `asked`: with a margin, as far as the cap allows; None when they ask more."""
        wished = with_margin(asked)
        if self.max_gas_price is None:
            return wished
        return None if asked > self.max_gas_price else min(wished, self.max_gas_price)

    def replacement_price(self, *, paid: int, asked: int) -> int | None:
        """What to pay instead of `paid`; None when the cap leaves no price that would help.

        That is the case when nodes ask for more than the cap, or would not take less than a price above it as a
        replacement.
        """
        price = self.price(asked)
        if price is None:
            return None
        price = max(price, paid + -(-paid // LEAST_BUMP_DIVISOR))
        return None if self.max_gas_price is not None and price > self.max_gas_price else price

    def most_gas(self, *, gas_price: int, committed_today: int) -> int | None:
        """The largest gas limit a transaction may have now; None without bound.

        `committed_today` is what mined transactions cost today and open ones may still cost.
        """
        bounds = []
        if self.max_per_transaction is not None:
            bounds.append(self.max_per_transaction)
        if self.max_per_day is not None:
            bounds.append(max(0, self.max_per_day - committed_today))
        return min(bounds) // gas_price if bounds else None


@dataclass(frozen=True, kw_only=True)
class Patience:
    """When a transaction that stays in no block is replaced: once both have passed since it was first missed.

    Blocks, because on a chain that stands still no price helps; seconds, because blocks may come in bursts.
    """

    blocks: int = 5
    seconds: int = 15


def start_of_day(now: int) -> int:
    """The Unix time at which the day of `now` began, in UTC."""
    return now - now % DAY_S
