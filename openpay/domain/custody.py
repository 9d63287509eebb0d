"""Who may move what a vault holds: the escrow's rules (`contracts/src/IEscrow.sol`) as one decision.

Nothing but the terms and the chain is needed for it, so it holds with the database lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from openpay.domain.terms import Terms

MAX_LIFE_S = 30 * 86_400
"""Terms expire this long after their quote at the latest, whatever they say."""
OPEN_AGAIN_AFTER_S = 30 * 86_400
"""After expiry plus this, anyone may settle again: for a merchant and an operator who are both gone."""
REFUND_ALL_AFTER_S = 86_400
"""After expiry plus this, the operator may refund without reading a price."""


class EscrowState(IntEnum):
    """What the escrow knows of a payment's id: `IEscrow.State`."""

    OPEN = 0
    REFUNDED_BY_MERCHANT = 1
    SETTLED = 2


class Move(StrEnum):
    """A call to the escrow that takes money out of a vault."""

    SETTLE = "settle"
    """To the merchant's treasury, for the first time."""
    SWEEP = "sweep"
    """To the merchant's treasury, after a settlement."""
    REFUND = "refund"
    """To whom the caller names: there is not enough to settle."""


class Who(StrEnum):
    ANYONE = "anyone"
    OPERATOR = "operator or merchant"
    MERCHANT = "merchant"


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a vault holds of one token, above zero. `contract` None is the chain's own coin.

    `asset_index` is the listed asset by which it would be settled, None for a token that the terms do not accept.
    `min_units` is the least that settles, None where not accepted or where the escrow cannot compute it (a feed that
    no longer gives the terms' round).
    """

    contract: bytes | None
    units: int
    asset_index: int | None
    min_units: int | None

    @property
    def suffices(self) -> bool:
        return self.min_units is not None and self.units >= self.min_units


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call that moves one holding. `who` may make it now; `operator_from` is the first second in which the operator
    may make it too, None when it never may or may already."""

    move: Move
    holding: Holding
    who: Who
    operator_from: int | None = None


def next_steps(terms: Terms, state: EscrowState, holdings: Sequence[Holding], *, now: int) -> tuple[Step, ...]:
    """What can be done with each holding, in the order in which to do it. `now` is the newest block's time.

    Sweeping follows settling: where one token suffices, the others reach the treasury once that one is settled.
    """
    if state is EscrowState.SETTLED:
        return tuple(Step(move=Move.SWEEP, holding=each, who=Who.ANYONE) for each in holdings)
    settled = next((each for each in holdings if each.suffices), None)
    if settled is None:
        return tuple(_refund(terms, state, each, now=now) for each in holdings)
    expiry = effective_expiry(terms)
    is_open = now <= expiry or now >= expiry + OPEN_AGAIN_AFTER_S
    first = Step(move=Move.SETTLE, holding=settled, who=Who.ANYONE if is_open else Who.OPERATOR)
    others = (each for each in holdings if each is not settled)
    return (first, *(Step(move=Move.SWEEP, holding=each, who=Who.ANYONE) for each in others))


def effective_expiry(terms: Terms) -> int:
    """The last second in which everybody may settle."""
    return min(terms.expiry, terms.quoted_at + MAX_LIFE_S)


def _refund(terms: Terms, state: EscrowState, holding: Holding, *, now: int) -> Step:
    if state is EscrowState.REFUNDED_BY_MERCHANT:  # from then on nobody else may refund these terms
        return Step(move=Move.REFUND, holding=holding, who=Who.MERCHANT)
    unreadable = holding.asset_index is not None and holding.min_units is None
    operator_from = effective_expiry(terms) + (REFUND_ALL_AFTER_S if unreadable else 1)
    if now >= operator_from:
        return Step(move=Move.REFUND, holding=holding, who=Who.OPERATOR)
    return Step(move=Move.REFUND, holding=holding, who=Who.MERCHANT, operator_from=operator_from)
