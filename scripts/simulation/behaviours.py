"""What a simulated customer does, and what must come of it. No I/O: a plan follows from the seed alone.

`predict` is the oracle. It knows the rules from the documentation only and shares no code with the services.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

STABLECOINS = ("USDT", "USDC")
BNB = "BNB"
TOKENS = (*STABLECOINS, BNB)
BPS = 10_000
MICROS = 10**6
UNITS_PER_MICRO = 10**12
"""Of the local stablecoins, which have 18 decimals."""
SLIPPAGE_BPS = 100
"""How much less BNB than asked for suffices, by default."""
DUST_BELOW = MICROS // 2
"""Micros of USD: what is worth less is never sent back by rule."""


class Behaviour(StrEnum):
    """The kinds of customer."""

    NOTHING = "never pays"
    CANCELED = "order canceled"
    CANCELED_PAID = "pays a canceled order"
    EXACT = "exact"
    SPLIT = "in parts"
    LESS = "less"
    DUST = "less than a refund costs"
    MORE = "more"
    LATE = "late"
    LESS_THEN_LATE = "in parts, the last one late"
    TWO_TOKENS = "half in one token, half in another"
    WRONG_TOKEN = "wrong token"  # noqa: S105 - a coin
    WRONG_THEN_RIGHT = "wrong token, then the right one"
    EXCHANGE_LESS = "less, from an exchange"
    BNB_LEAST = "the least BNB that suffices"
    CONTRACT = "BNB through a contract"
    CONTRACT_LESS = "less BNB through a contract"
    REVERTED = "transfer reverts"
    REORG_KEPT = "reorganised, returns"
    REORG_DROPPED = "reorganised away"
    REORG_PAID_AGAIN = "reorganised away, paid again"
    TWICE = "pays again once settled"
    TWICE_SWEPT = "pays again, a stranger sweeps"


class When(StrEnum):
    """The part of the simulation in which money is sent."""

    TRADING = "trading"
    EXPIRED = "expired"
    """After every deadline: late where the payment is not paid, excess where it is."""


class By(StrEnum):
    """Where the money comes from."""

    WALLET = "wallet"
    EXCHANGE = "exchange"
    """A wallet with so many transactions that it must be an exchange's."""
    CONTRACT = "contract"


class Word(StrEnum):
    """Who says where a refund goes that the rules send nowhere."""

    NOBODY = "nobody"
    VISITOR = "visitor"
    """Somebody who knows the page: not enough."""
    SENDER = "sender"
    """By a signature of the wallet that paid."""
    MERCHANT = "merchant"


CONTRACT_WORDS = (Word.NOBODY, Word.VISITOR, Word.MERCHANT)
"""Whose word there can be for money that nobody's wallet signed away."""


class Fate(StrEnum):
    """What reorganisations do to a transfer."""

    STAYS = "stays"
    RETURNS = "returns"
    """Leaves the chain, and is in the new branch again."""
    VANISHES = "vanishes"


@dataclass(frozen=True, kw_only=True)
class Send:
    """One transfer of `share_bps` of what the payment asks for in `token` plus `extra` base units."""

    token: str
    share_bps: int
    extra: int = 0
    when: When = When.TRADING
    by: By = By.WALLET
    fate: Fate = Fate.STAYS

    def units(self, quote: Quote) -> int:
        """Base units, rounded up, so that parts of the whole are never less than it."""
        return -(-quote.full_units * self.share_bps // BPS) + self.extra


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What the payment asks for in one token, in base units; a stablecoin's price of it where it is not accepted."""

    full_units: int
    accepted: bool = True


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One payment's script. `amount` in micros of USD."""

    behaviour: Behaviour
    amount: int
    accepted: tuple[str, ...]
    sends: tuple[Send, ...] = ()
    opens_page: bool = False
    cancels: bool = False
    reverts: bool = False
    swept: bool = False
    """A stranger moves what was sent after the settlement to the treasury."""
    word: Word = Word.NOBODY

    @property
    def price(self) -> str:
        """The amount as the API takes it."""
        return f"{self.amount // MICROS}.{self.amount % MICROS // 10_000:02d}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Where a payment's money must be at the end, in base units by token. `kept` maps to the reason why it still lies
    in the vault."""

    status: str
    settled: Mapping[str, int] = field(default_factory=dict)
    refunded: Mapping[str, int] = field(default_factory=dict)
    swept: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)
    reasons: frozenset[str] = frozenset()

    @property
    def places(self) -> str:
        """In words, for the table."""
        named = [("treasury", self.settled), ("swept", self.swept), ("refunded", self.refunded)]
        places = [name for name, units in named if any(units.values())]
        return ", ".join([*places, *(f"vault ({reason})" for reason in sorted(self.reasons))]) or "nothing was paid"


def plans(seed: int, count: int) -> list[Plan]:
    """Every behaviour in turn, so that each occurs, in random order and with random amounts and tokens."""
    chance = random.Random(f"plans {seed}")
    kinds = [list(Behaviour)[place % len(Behaviour)] for place in range(count)]
    chance.shuffle(kinds)
    return [_plan(kind, chance) for kind in kinds]


def _plan(kind: Behaviour, chance: random.Random) -> Plan:
    b = Behaviour
    token = BNB if kind in (b.BNB_LEAST, b.CONTRACT, b.CONTRACT_LESS) else chance.choice(TOKENS)
    less = chance.randrange(3_000, 9_500)
    accepted = tuple(each for each in TOKENS if each == token or chance.random() < 0.5)
    plan = Plan(
        behaviour=kind,
        amount=chance.randrange(200, 50_000) * 10_000,
        accepted=accepted,
        opens_page=chance.random() < 0.2,
    )
    whole = Send(token=token, share_bps=BPS)
    part = replace(whole, share_bps=less)
    rest = replace(whole, share_bps=BPS - less)
    match kind:
        case b.NOTHING:
            return plan
        case b.CANCELED:
            return replace(plan, cancels=True)
        case b.CANCELED_PAID:
            return replace(plan, cancels=True, sends=(replace(whole, when=When.EXPIRED),))
        case b.EXACT:
            return replace(plan, sends=(whole,))
        case b.SPLIT:
            return replace(plan, sends=_split(whole, chance))
        case b.LESS:
            return replace(plan, sends=(part,))
        case b.DUST:
            micros = chance.randrange(10_000, DUST_BELOW - 10_000)
            return replace(plan, sends=(replace(whole, share_bps=max(1, micros * BPS // plan.amount)),))
        case b.MORE:
            return replace(plan, sends=(replace(whole, share_bps=chance.randrange(BPS + 1, 3 * BPS)),))
        case b.LATE:
            return replace(plan, sends=(replace(whole, when=When.EXPIRED),))
        case b.LESS_THEN_LATE:
            return replace(plan, sends=(part, replace(rest, when=When.EXPIRED, extra=1)))
        case b.TWO_TOKENS:
            first, second = chance.sample(STABLECOINS, 2)
            halves = (replace(whole, token=first, share_bps=BPS // 2), replace(whole, token=second, share_bps=BPS // 2))
            return replace(plan, accepted=STABLECOINS, sends=halves)
        case b.WRONG_TOKEN | b.WRONG_THEN_RIGHT:
            right, wrong = chance.sample(STABLECOINS, 2)
            sends = [replace(whole, token=wrong)]
            if kind is b.WRONG_THEN_RIGHT:
                sends.append(replace(whole, token=right))
            return replace(plan, accepted=(right,), sends=tuple(sends))
        case b.EXCHANGE_LESS:
            return replace(plan, sends=(replace(part, by=By.EXCHANGE),), word=chance.choice(list(Word)))
        case b.BNB_LEAST:
            return replace(plan, sends=(replace(whole, share_bps=BPS - SLIPPAGE_BPS),))
        case b.CONTRACT:
            return replace(plan, sends=(replace(whole, by=By.CONTRACT),))
        case b.CONTRACT_LESS:
            return replace(plan, sends=(replace(part, by=By.CONTRACT),), word=chance.choice(CONTRACT_WORDS))
        case b.REVERTED:
            token = chance.choice(STABLECOINS)
            return replace(plan, accepted=tuple(dict.fromkeys((token, *accepted))), reverts=True)
        case b.REORG_KEPT:
            return replace(plan, sends=(replace(whole, fate=Fate.RETURNS),))
        case b.REORG_DROPPED:
            return replace(plan, sends=(replace(whole, fate=Fate.VANISHES),))
        case b.REORG_PAID_AGAIN:
            return replace(plan, sends=(replace(whole, fate=Fate.VANISHES), whole))
        case b.TWICE | b.TWICE_SWEPT:
            again = replace(part, when=When.EXPIRED)
            return replace(plan, sends=(whole, again), swept=kind is b.TWICE_SWEPT)


def _split(whole: Send, chance: random.Random) -> tuple[Send, ...]:
    cuts = sorted(chance.sample(range(1_000, 9_000), chance.choice((1, 2))))
    shares = [after - before for before, after in zip((0, *cuts), (*cuts, BPS), strict=True)]
    return tuple(replace(whole, share_bps=share) for share in shares)


def predict(plan: Plan, quotes: Mapping[str, Quote]) -> Outcome:
    """What the rules make of a plan once every deadline, window and settlement has passed. `quotes` for each token
    sent."""
    stays = [(send, send.units(quotes[send.token])) for send in plan.sends if send.fate is not Fate.VANISHES]
    if plan.reverts:
        return Outcome(status="failed")
    if plan.cancels:
        return _unpaid("canceled", plan, stays, quotes)
    in_time: dict[str, int] = defaultdict(int)
    for send, units in stays:
        quote = quotes[send.token]
        if not quote.accepted or send.when is not When.TRADING:
            continue
        in_time[send.token] += units
        if in_time[send.token] >= _least(send.token, quote):
            return _paid(send.token, stays)
    return _unpaid("expired", plan, stays, quotes)


def _least(token: str, quote: Quote) -> int:
    return -(-quote.full_units * (BPS - SLIPPAGE_BPS) // BPS) if token == BNB else quote.full_units


def _paid(token: str, stays: Sequence[tuple[Send, int]]) -> Outcome:
    """Whatever else came is swept to the treasury too."""
    settled: dict[str, int] = defaultdict(int)
    excess: dict[str, int] = defaultdict(int)
    for send, units in stays:
        counts = send.token == token and send.when is When.TRADING
        (settled if counts else excess)[send.token] += units
    return Outcome(status="paid", settled=settled, swept=excess)


def _unpaid(status: str, plan: Plan, stays: Sequence[tuple[Send, int]], quotes: Mapping[str, Quote]) -> Outcome:
    """Each deposit goes back by itself, or waits for somebody's word."""
    refunded: dict[str, int] = defaultdict(int)
    kept: dict[str, int] = defaultdict(int)
    reasons = set()
    for send, units in stays:
        worth = units * plan.amount // quotes[send.token].full_units
        if worth < DUST_BELOW:
            kept[send.token] += units
            reasons.add("dust")
        elif send.by is By.WALLET or plan.word in (Word.SENDER, Word.MERCHANT):
            refunded[send.token] += units
        else:
            kept[send.token] += units
            reasons.add("awaits a claim" if plan.word is Word.NOBODY else "awaits the merchant")
    return Outcome(status=status, refunded=refunded, kept=kept, reasons=frozenset(reasons))
