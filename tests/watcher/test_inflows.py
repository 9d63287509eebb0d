"""Money that leaves no log: whatever was seen, nothing is counted twice, and nothing is dated before it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.app.records import EscrowLog
from openpay.domain.deposit import Deposit, Source
from watcher.inflows import Rise, VaultRecord, next_look, outflow, rises


def deposit(number: int, units: int, source: Source, *, position: int = 0, token: str = "BNB") -> Deposit:
    return Deposit(
        payment_id="pay_a",
        token=token,
        units=units,
        source=source,
        position=position,
        tx_hash=None,
        sender=None,
        sender_nonce=None,
        payer=None,
        block_number=number,
        block_hash=number.to_bytes(32, "big"),
        block_time=number,
    )


def log(number: int, units: int, *, name: str = "Swept", token: str | None = "BNB") -> EscrowLog:
    return EscrowLog(
        chain_id=56,
        name=name,
        payment_id="pay_a",
        terms_id=b"\x01" * 32,
        account=b"\x02" * 20,
        token=token,
        units=units,
        tx_hash=b"\x03" * 32,
        log_index=0,
        block_number=number,
        block_hash=number.to_bytes(32, "big"),
        block_time=number,
    )


@dataclass(frozen=True)
class Move:
    """What happens to the vault in a block: from inside a contract, directly, and out of it."""

    inside: int
    direct: int
    out_percent: int


@dataclass(frozen=True)
class Life:
    """A vault's life on the chain, a move for each block, from 0."""

    moves: tuple[Move, ...]

    def facts(self) -> tuple[list[int], list[int], list[Deposit], list[EscrowLog]]:
        """Balance and all that ever came from inside, by block; the direct deposits and the logs."""
        balances, inside, deposits, logs = [], [], [], []
        balance = total = 0
        for number, move in enumerate(self.moves):
            balance += move.inside + move.direct
            total += move.inside
            if move.direct:
                deposits.append(deposit(number, move.direct, Source.TRANSACTION))
            if out := balance * move.out_percent // 100:
                logs.append(log(number, out))
                balance -= out
            balances.append(balance)
            inside.append(total)
        return balances, inside, deposits, logs


def search(record: VaultRecord, seen: dict[int, int], look: Callable[[int], int | None], *, oldest: int) -> list[Rise]:
    """As the watcher does it: `look` answers with a sum, or None where a block's state is gone."""
    looks = 0
    while (number := next_look(record.level, seen, oldest=oldest)) is not None:
        assert number not in seen
        looks += 1
        assert looks <= 200, "it would go on for ever"
        found = look(number)
        if found is None:
            oldest = number + 1
        else:
            seen[number] = found
    return rises(record.level, seen)


quiet = st.just(Move(0, 0, 0))
move = st.builds(
    Move, st.sampled_from([0, 0, 1, 7, 10**18]), st.sampled_from([0, 0, 3]), st.sampled_from([0, 0, 50, 100])
)
lives = st.lists(quiet | quiet | move, min_size=1, max_size=60).map(lambda moves: Life(tuple(moves)))


@given(life=lives, data=st.data())
def test_whatever_is_looked_at_when_nothing_is_missed_or_counted_twice_or_dated_early(
    life: Life, data: st.DataObject
) -> None:
    balances, inside, direct, logs = life.facts()
    last = len(balances) - 1
    commits = sorted({*data.draw(st.sets(st.integers(0, last), max_size=8), label="commits"), last})
    recorded: list[Deposit] = []
    for newest in commits:
        known = [each for each in direct if each.block_number <= newest]
        record = VaultRecord(
            token="BNB",
            deposits=(*known, *recorded),
            logs=tuple(each for each in logs if each.block_number <= newest),
        )
        gone = data.draw(st.sets(st.integers(0, last), max_size=20), label="state that is gone")
        oldest = data.draw(st.integers(0, newest), label="oldest")
        seen = {newest: record.came_in(balances[newest], at=newest)}
        assert seen[newest] == inside[newest]

        def look(number: int, record: VaultRecord = record, gone: set[int] = gone) -> int | None:
            return None if number in gone else record.came_in(balances[number], at=number)

        for rise in search(record, seen, look, oldest=oldest):
            assert min(oldest, newest) <= rise.number <= newest
            recorded.append(deposit(rise.number, rise.units, Source.INTERNAL, position=len(recorded)))
        assert sum(each.units for each in recorded) == inside[newest]
    for number in range(last + 1):
        dated_by_then = sum(each.units for each in recorded if each.block_number <= number)
        assert dated_by_then <= inside[number], "money is dated before it came"


@given(life=lives)
def test_where_every_state_is_there_each_wei_is_dated_at_its_own_block(life: Life) -> None:
    balances, inside, direct, logs = life.facts()
    record = VaultRecord(token="BNB", deposits=tuple(direct), logs=tuple(logs))
    newest = len(balances) - 1
    found = search(
        record,
        {newest: inside[newest]},
        lambda number: record.came_in(balances[number], at=number),
        oldest=0,
    )
    assert found == [Rise(number=at, units=move.inside) for at, move in enumerate(life.moves) if move.inside]


@given(life=lives, data=st.data())
def test_what_a_liar_says_of_older_blocks_adds_nothing_to_what_the_newest_shows(
    life: Life, data: st.DataObject
) -> None:
    """Sums that were not seen to fall along the chain, which no honest chain has."""
    _, inside, _, _ = life.facts()
    newest = len(inside) - 1
    lies = data.draw(st.dictionaries(st.integers(0, max(0, newest - 1)), st.integers(-5, inside[newest])))
    seen = lies | {newest: inside[newest]}
    assert sum(rise.units for rise in rises(0, seen)) == inside[newest]


def test_money_that_just_came_is_dated_with_one_look() -> None:
    assert next_look(0, {100: 5}, oldest=0) == 99
    assert next_look(0, {100: 5, 99: 0}, oldest=0) is None


def test_steps_back_double_and_then_the_gap_is_halved() -> None:
    seen = {1000: 5}
    asked = []
    while (number := next_look(0, seen, oldest=0)) is not None:
        asked.append(number)
        seen[number] = 5 if number >= 900 else 0
    assert asked[:8] == [999, 998, 996, 992, 984, 968, 936, 872]
    assert len(asked) <= 14
    assert rises(0, seen) == [Rise(number=900, units=5)]


def test_nothing_is_looked_at_below_the_oldest() -> None:
    assert next_look(0, {100: 5}, oldest=100) is None
    assert next_look(0, {100: 5}, oldest=101) is None
    assert next_look(0, {100: 5, 98: 5}, oldest=98) is None


def test_what_is_on_record_already_is_not_looked_for() -> None:
    assert next_look(5, {100: 5}, oldest=0) is None
    assert rises(5, {100: 5}) == []


def test_money_that_came_and_went_is_seen_in_what_went() -> None:
    record = VaultRecord(token="BNB", deposits=(), logs=(log(7, 40),))
    assert (record.came_in(0, at=7), record.came_in(0, at=6)) == (40, 0)


@pytest.mark.parametrize(("name", "token"), [("Withdrawn", "BNB"), ("Swept", "USDT"), ("Swept", None)])
def test_logs_that_move_no_coin_out_of_the_vault_explain_nothing(name: str, token: str | None) -> None:
    assert outflow(log(7, 40, name=name, token=token), "BNB") == 0


def test_deposits_in_tokens_explain_no_coin() -> None:
    record = VaultRecord(token="BNB", deposits=(deposit(5, 30, Source.LOG, token="USDT"),), logs=())
    assert (record.came_in(30, at=5), record.level) == (30, 0)


def test_position_is_behind_all_others_of_the_block_though_one_was_taken_back() -> None:
    """A rescan may take back the first of two: what stands at a place that is taken would be lost."""
    second = deposit(5, 30, Source.INTERNAL, position=1)
    record = VaultRecord(token="BNB", deposits=(second, deposit(6, 1, Source.INTERNAL, position=7)), logs=())
    assert record.free_position((5).to_bytes(32, "big")) == 2
    assert record.free_position((9).to_bytes(32, "big")) == 0
