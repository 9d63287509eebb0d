"""A vault on a chain that forks again and again, and the refunds that are made from it meanwhile.

What was truly paid is known here: which transfers reach the vault in the end, and whose they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from openpay.domain.deposit import Deposit, Source
from openpay.domain.keccak import keccak
from openpay.domain.receipts import Outflow, read_again
from openpay.domain.refunds import (
    UNSENT,
    NamedBy,
    Refund,
    RefundMode,
    RefundReason,
    RefundStatus,
    approved,
    sent,
    without_effect,
)
from tests.domain.builders import block_hash, block_time, make_deposit
from tests.domain.refunding import ELSEWHERE, assess, expired, outflow
from tests.domain.rescanning import rescanned


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """`payer` None: from inside a contract."""

    payer: bytes | None
    units: int


@dataclass(frozen=True, kw_only=True)
class Branch:
    """Where each transfer is: block and name of the branch that made the block, which is another's in what both share.

    `missing` ones never reach the vault there; `missed` ones show in a balance only, until a rescan finds them.
    """

    places: Sequence[tuple[int, str]]
    missing: frozenset[int] = frozenset()
    missed: frozenset[int] = frozenset()

    def deposits(self, transfers: Sequence[Transfer], *, missed: Collection[int] = ()) -> list[Deposit]:
        return [
            _deposit(replace(transfer, payer=None) if number in missed else transfer, number, *place)
            for number, (transfer, place) in enumerate(zip(transfers, self.places, strict=True))
            if number not in self.missing
        ]


def _deposit(transfer: Transfer, number: int, block: int, branch: str) -> Deposit:
    deposit = make_deposit(transfer.units, "BNB", block=block, position=number, branch=branch)
    if transfer.payer is not None:
        return replace(deposit, sender=transfer.payer, payer=transfer.payer)
    return replace(
        deposit,
        source=Source.INTERNAL,
        tx_hash=None,
        sender=None,
        sender_nonce=None,
        payer=None,
        block_number=block + 1,
        block_hash=block_hash(block + 1, branch),
        block_time=block_time(block + 1),
    )


@dataclass
class Fork:
    """The record of one payment, and the chain as it stands."""

    transfers: Sequence[Transfer]
    branch: Branch
    deposits: list[Deposit] = field(default_factory=list)
    refunds: tuple[Refund, ...] = ()
    logs: list[Outflow] = field(default_factory=list)
    payers: dict[str, bytes | None] = field(default_factory=dict)
    """Whose money each deposit that ever was on record is."""

    def __post_init__(self) -> None:
        self.turn_to(self.branch, keeps=lambda _: True)

    def turn_to(self, branch: Branch, *, keeps: Callable[[int], bool]) -> None:
        """Rewind, and read the other branch to its end. The refunds that are mined there too, as `keeps` says of each;
        the others are on their way again."""
        self.branch = branch
        self.deposits = branch.deposits(self.transfers, missed=branch.missed)
        self._remember(self.deposits)
        logs, self.logs = self.logs, []
        for place, log in enumerate(logs):
            if keeps(place) and log.units <= self.held():
                self.logs.append(log)
        done = [each for each in self.refunds if each.status is RefundStatus.SUCCEEDED]
        followed = {each.tx_hash for each in done if each.tx_hash is not None}
        again = {each.id: each for each in read_again(self.refunds, self.logs, followed=followed)}
        self.refunds = tuple(again.get(each.id, each) for each in self.refunds)
        self.judge()

    def rescan(self) -> None:
        found = [each for each in self.branch.deposits(self.transfers) if each.payer is not None]
        self.deposits, self.refunds = rescanned(self.deposits, found, self.refunds)
        self._remember(found)
        self.judge()

    def judge(self) -> None:
        self.refunds = assess(
            expired(), *sorted(self.deposits, key=lambda each: each.order), refunds=self.refunds, outflows=self.logs
        )

    def send(self, wanted: Callable[[Refund], bool]) -> None:
        """Approve what truly is owed, where nobody knows where to, and send."""
        for refund in self.refunds:
            if refund.status not in UNSENT or not wanted(refund):
                continue
            if refund.status is not RefundStatus.SCHEDULED:
                if not self.is_due(refund):
                    continue
                refund = approved(refund, refund.destination or ELSEWHERE)
            self._put(sent(refund, keccak(refund.id.encode())))

    def wish(self, units: int) -> None:
        """The merchant sends some of it elsewhere, as far as nothing else has a claim on it."""
        units = min(units, sum(each.units for each in self.refunds if each.status in UNSENT and each.source))
        if units:
            self.refunds += (
                replace(
                    self.refunds[0],
                    id=f"ref_wish_{len(self.refunds)}",
                    units=units,
                    reason=RefundReason.MERCHANT,
                    mode=RefundMode.MANUAL,
                    source=None,
                    sender=None,
                    status=RefundStatus.SCHEDULED,
                    destination=ELSEWHERE,
                    named_by=NamedBy.MERCHANT,
                    tx_hash=None,
                    log_index=None,
                    completed_at=None,
                    found_senders=(),
                ),
            )

    def mine(self, wanted: Callable[[Refund], bool]) -> None:
        for refund in self.refunds:
            if refund.status is RefundStatus.SUBMITTED and not self.is_mined(refund) and wanted(refund):
                if refund.units > self.held():
                    self._put(without_effect(refund))
                    continue
                assert refund.destination is not None
                self.logs.append(
                    outflow(
                        token=refund.token,
                        units=refund.units,
                        to=refund.destination,
                        tx_hash=refund.tx_hash,
                        log_index=1 + max((each.log_index for each in self.logs), default=0),
                    )
                )

    def revert(self, wanted: Callable[[Refund], bool]) -> None:
        for refund in self.refunds:
            if refund.status is RefundStatus.SUBMITTED and not self.is_mined(refund) and wanted(refund):
                self._put(without_effect(refund))

    def finish(self) -> None:
        """Everything goes out that may."""
        for _ in range(4):
            self.send(lambda _: True)
            self.mine(lambda _: True)
            self.judge()

    def is_due(self, refund: Refund) -> bool:
        """Whether whose money it is has not had all of it: what a merchant would ask the customer."""
        if refund.source is None:
            return True
        payer = self.payers[refund.source]
        return refund.units <= self.paid()[payer] - self.back(MOVED)[payer]

    def held(self) -> int:
        return sum(each.units for each in self.deposits) - sum(each.units for each in self.logs)

    def is_mined(self, refund: Refund) -> bool:
        return any(each.tx_hash == refund.tx_hash for each in self.logs)

    def paid(self) -> Counter[bytes | None]:
        """What each sender truly paid on this branch."""
        return _sums((each.payer, each.units) for each in self.branch.deposits(self.transfers))

    def back(self, statuses: Collection[RefundStatus]) -> Counter[bytes | None]:
        """What refunds of these statuses move of the money of each; what the merchant wished is nobody's."""
        return _sums(
            (self.payers[each.source], each.units)
            for each in self.refunds
            if each.source is not None and each.status in statuses
        )

    def sum_of(self, statuses: Collection[RefundStatus]) -> int:
        return sum(each.units for each in self.refunds if each.status in statuses)

    def under_way(self) -> int:
        """What was sent and is in no block."""
        return sum(
            each.units for each in self.refunds if each.status is RefundStatus.SUBMITTED and not self.is_mined(each)
        )

    def _remember(self, deposits: Sequence[Deposit]) -> None:
        for deposit in deposits:
            self.payers[deposit.key] = self.transfers[deposit.position].payer

    def _put(self, refund: Refund) -> None:
        self.refunds = tuple(refund if each.id == refund.id else each for each in self.refunds)


def _sums(of: Iterable[tuple[bytes | None, int]]) -> Counter[bytes | None]:
    sums: Counter[bytes | None] = Counter()
    for payer, units in of:
        sums[payer] += units
    return sums


MOVED = frozenset({RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED})


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How often what goes wrong does: probabilities."""

    unknown: float = 0.0
    missing: float = 0.0
    missed: float = 0.0
    unmined: float = 0.0
    reverted: float = 0.0
    wished: float = 0.0
    found_in_time: bool = False
    """Whether a rescan finds what was missed before the next rewind."""


def tell(random: Random, weather: Weather, *, check: Callable[[Fork], None]) -> Fork:
    """A vault's story from its first deposits to the last refund, on the branch that stays; `check` after each event.

    The branch that stays holds all transfers, and a rescan has found them.
    """

    def happens(chance: float) -> bool:
        return random.random() < chance

    def some(count: int, chance: float) -> frozenset[int]:
        return frozenset(number for number in range(count) if happens(chance))

    transfers = [
        Transfer(
            payer=None if happens(weather.unknown) else bytes([60 + random.randrange(3)]) * 20,
            units=random.choice([10, 50, 100, 100, 130]),
        )
        for _ in range(random.randint(1, 5))
    ]
    count = len(transfers)
    known = frozenset(number for number, each in enumerate(transfers) if each.payer is not None)
    branches: list[Branch] = []
    for name in "ABC":
        fork = random.choice([0, 0, 30]) if branches else 0
        blocks = random.sample(range(fork + 1, fork + 60, 3), count)
        places = [
            branches[0].places[number] if branches and branches[0].places[number][0] <= fork else (block, name)
            for number, block in enumerate(blocks)
        ]
        missing = frozenset(
            number for number in some(count, weather.missing) if not branches or places[number][1] == name
        )
        branches.append(Branch(places=places, missing=missing, missed=some(count, weather.missed) & known))
    visits = [branches[0], *(random.choice(branches) for _ in range(random.randint(1, 3)))]
    visits[-1] = replace(visits[-1], missing=frozenset())
    it = Fork(transfers=transfers, branch=visits[0])
    check(it)
    for branch in visits:
        if branch is not it.branch:
            if weather.found_in_time:
                it.rescan()
                check(it)
            it.turn_to(branch, keeps=lambda _: not happens(weather.unmined))
            check(it)
        for _ in range(random.randint(1, 3)):
            what = random.choice(["send", "mine", "revert", "rescan"])
            if what == "send":
                it.send(lambda _: happens(0.4))
            elif what == "mine":
                it.mine(lambda _: happens(0.7))
            elif what == "revert":
                it.revert(lambda _: happens(weather.reverted))
            else:
                it.rescan()
            if happens(weather.wished):
                it.wish(random.choice([20, 70, 150]))
            it.judge()
            check(it)
    it.rescan()
    it.finish()
    check(it)
    return it
