"""Work that would revert is looked at again, later each time."""

from __future__ import annotations

from openpay.settlement.pauses import FIRST_PAUSE_S, LONGEST_PAUSE_S, Pauses


def test_each_pause_is_twice_as_long_as_the_one_before_up_to_an_hour() -> None:
    pauses, now, lengths = Pauses(), 1_000, []
    for _ in range(20):
        lengths.append(pauses.pause("pay_1", now))
        assert pauses.holds("pay_1", now + lengths[-1] - 1)
        now += lengths[-1]
        assert not pauses.holds("pay_1", now)
    assert lengths[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert max(lengths) == lengths[-1] == LONGEST_PAUSE_S


def test_work_that_succeeded_or_is_due_no_more_starts_anew() -> None:
    pauses = Pauses()
    for subject in ("done", "gone", "kept"):
        pauses.pause(subject, 0)
    pauses.end("done")
    pauses.keep({"kept", "never paused"})
    assert len(pauses) == 1
    assert [pauses.pause(subject, 0) for subject in ("done", "gone", "kept")] == [
        FIRST_PAUSE_S,
        FIRST_PAUSE_S,
        2 * FIRST_PAUSE_S,
    ]
    assert not pauses.holds("another", 0)
