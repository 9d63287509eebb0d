"""Which block is final, given how deep it lies, what the chain says, and what other hosts say. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from openpay.chain.words import Agreement
from openpay.domain.chains import Chain


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The highest block that may be called final once other hosts agree; its `number` may be below 0 on a new chain.

    `stalled`: the chain's finalized tag stands so far behind that depth alone decides.
    """

    number: int
    stalled: bool


def final_candidate(chain: Chain, *, head: int, finalized: int | None) -> Candidate:
    """The newest block that is deep enough below `head`, the tip of the *linked* chain.

    A block's confirmations count itself: the head has one. `finalized` is the height of the chain's own tag, None
    where the chain has none.
    """
    confirmed = head - chain.confirmations + 1
    if finalized is None:
        return Candidate(number=confirmed, stalled=False)
    number = min(confirmed, finalized)
    very_deep = min(confirmed, head - chain.stalled_finality_confirmations + 1)
    return Candidate(number=max(number, very_deep), stalled=very_deep > number)


def stall_of(chain: Chain, candidate: Candidate, *, head: int, finalized: int | None) -> str | None:
    """What a finalized tag that stands still does to payments, in words; None where it keeps up.

    It is said at half the depth that takes the tag's place: a tag lags a little on every chain.
    """
    if finalized is None or candidate.number >= head - chain.confirmations + 1:
        return None
    if candidate.stalled:
        return (
            f"depth takes its place, payments count as final with {chain.stalled_finality_confirmations} confirmations"
        )
    if 2 * (head - finalized) < chain.stalled_finality_confirmations:
        return None
    return f"payments wait until it moves, or {chain.stalled_finality_confirmations} blocks lie above them"


def vouched_number(chain: Chain, candidate: Candidate, agreement: Agreement, *, head: int) -> int | None:
    """The block that may be called final after asking the hosts about the candidate; None when there is none yet.

    An outage of all other hosts slows payments down (depth takes their place); a disagreement stops them.
    """
    if agreement.contradicted:
        return None
    if agreement.confirmed:
        return candidate.number
    if agreement.unanswered:
        return min(candidate.number, head - chain.stalled_finality_confirmations + 1)
    return None
