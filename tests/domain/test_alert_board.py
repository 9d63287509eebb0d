"""What stands, what is over, and what the record is told of it, in any order of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.alert_board import REFRESH_S, SETTLED_S, Board, Key
from openpay.domain.alerts import Alert, AlertKind
from tests.domain.builders import START

STALLED = Key(AlertKind.FINALITY_STALLED, 56, "")
LIED = Key(AlertKind.ENDPOINT_LIED, 56, "first.example:443")


@dataclass
class Record:
    """A database that holds the open alerts, and whether each change of it was news."""

    open: dict[Key, Alert] = field(default_factory=dict)
    told: dict[Key, list[str]] = field(default_factory=dict)

    def take(self, board: Board, now: int) -> None:
        """What the process does when it writes."""
        changed = board.take_changed()
        for key in changed:
            standing = board.standing.get(key)
            if standing is not None and key not in self.open:
                self.open[key] = alert(key, standing.raised_at)
                self.told.setdefault(key, []).append("raised")
            elif standing is None and key in self.open:
                del self.open[key]
                self.told[key].append("cleared")
        board.written(changed, now)


def alert(key: Key, raised_at: int = START) -> Alert:
    return Alert(
        id="alt_1",
        kind=key.kind,
        chain_id=key.chain_id,
        subject=key.subject,
        detail="d",
        raised_at=raised_at,
        seen_at=raised_at,
    )


def everything(_key: Key) -> bool:
    return True


def test_raising_again_is_no_news() -> None:
    board = Board()
    assert board.raise_(STALLED, "for 1 s", START) is True
    assert board.raise_(STALLED, "for 2 s", START + 1) is False
    assert board.standing[STALLED].detail == "for 2 s"


def test_what_comes_back_soon_was_never_over() -> None:
    board, record = Board(), Record()
    for second in range(0, 10 * SETTLED_S, SETTLED_S // 3):
        (board.raise_(STALLED, "d", START + second) if second % 20 else board.clear(STALLED, START + second))
        board.settle(START + second)
        record.take(board, START + second)
    assert record.told == {STALLED: ["raised"]}


def test_alert_is_over_since_it_was_first_seen_to_be() -> None:
    board = Board()
    board.raise_(STALLED, "d", START)
    for second in (5, 6, 20):
        board.clear(STALLED, START + second)
    assert board.settle(START + 5 + SETTLED_S - 1) == []
    assert board.settle(START + 5 + SETTLED_S) == [STALLED]
    assert board.ended == {STALLED: START + 5}


def test_what_was_cleared_before_the_record_was_read_is_over_when_it_was_open_there() -> None:
    board = Board()
    board.clear(STALLED, START, may_be_recorded=True)
    board.compare({STALLED: alert(STALLED)}, START + 1, ours=everything)
    assert board.settle(START + SETTLED_S) == [STALLED]


def test_what_was_raised_before_the_record_was_read_is_not_inherited() -> None:
    board = Board()
    board.clear(STALLED, START, may_be_recorded=True)
    board.raise_(STALLED, "mine", START + 1)
    board.compare({STALLED: alert(STALLED)}, START + 2, ours=everything)
    assert board.settle(START + 10 * SETTLED_S) == []
    assert (board.standing[STALLED].detail, board.standing[STALLED].inherited) == ("mine", False)


def test_what_others_ended_is_forgotten_and_can_be_raised_anew() -> None:
    board, record = Board(), Record()
    board.raise_(STALLED, "d", START)
    record.take(board, START)
    board.compare({}, START + 1, ours=everything)
    assert board.raise_(STALLED, "d", START + 2) is True


def test_what_is_not_ours_to_end_is_left_alone() -> None:
    board = Board()
    board.compare({STALLED: alert(STALLED), LIED: alert(LIED)}, START, ours=lambda key: key is LIED)
    assert set(board.standing) == {LIED}


def test_record_hears_again_of_what_is_still_seen_and_not_of_what_is_not() -> None:
    board, record = Board(), Record()
    for key in (STALLED, LIED):
        board.raise_(key, "d", START)
    record.take(board, START)
    board.raise_(STALLED, "d", START + REFRESH_S - 1)
    assert board.stale(START + REFRESH_S - 1) == set()
    assert board.stale(START + REFRESH_S) == {STALLED}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["raise", "clear", "fail to write", "restart"]),
        st.sampled_from([STALLED, LIED]),
        st.integers(0, SETTLED_S + 10),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_record_tells_what_was_last_said_whatever_happens_between(steps: list[tuple[str, Key, int]]) -> None:
    board, record, now = Board(), Record(), START
    said: dict[Key, tuple[bool, int]] = {}
    for step, key, waited_s in steps:
        now += waited_s
        match step:
            case "raise":
                board.raise_(key, "d", now)
                said[key] = (True, now)
            case "clear":
                board.clear(key, now)
                if said.get(key, (True, 0))[0]:
                    said[key] = (False, now)
            case "restart":  # and whatever is wrong is seen again
                board = Board()
                board.compare(record.open, now, ours=everything)
                for each, (is_wrong, _) in said.items():
                    (board.raise_(each, "d", now) if is_wrong else board.clear(each, now))
                said = {each: (is_wrong, since if is_wrong else now) for each, (is_wrong, since) in said.items()}
        board.compare(record.open, now, ours=everything)
        board.settle(now)
        if step == "fail to write":
            board.put_back(board.take_changed())
            continue
        record.take(board, now)
        wrong = {each for each, (is_wrong, _) in said.items() if is_wrong}
        lately = {each for each, (is_wrong, since) in said.items() if not is_wrong and now - since < SETTLED_S}
        assert wrong <= set(record.open) <= wrong | lately
    for events in record.told.values():
        assert events[0] == "raised"
        assert all(first != second for first, second in pairwise(events))
