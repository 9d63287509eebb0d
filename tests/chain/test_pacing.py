"""An endpoint that wants fewer requests gets fewer, and more again later."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openpay.chain.pacing import (
    HEDGE_BURST,
    HEDGED_SHARE,
    LEAST_RATE,
    LONGEST_GAP_S,
    LONGEST_REST_S,
    HedgeBudget,
    Pace,
)
from tests.chain.manual_clock import ManualClock

FOREVER = float("inf")


def send(pace: Pace, clock: ManualClock, *, count: int, every_s: float, calls: int = 1) -> None:
    for _ in range(count):
        clock.now += every_s
        assert pace.reserve(calls, longest_s=FOREVER) is not None


def test_nothing_is_limited_before_the_node_asks_for_it() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    assert [pace.reserve(1000, longest_s=0) for _ in range(100)] == [0.0] * 100
    assert pace.rate_per_s is None


def test_first_refusal_halves_what_was_observed() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    send(pace, clock, count=100, every_s=0.05)
    pace.throttled(sent_at=clock.now, retry_after_s=None)
    assert pace.rate_per_s == pytest.approx(10, rel=0.05)


def test_calls_in_a_batch_count_each() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    send(pace, clock, count=100, every_s=0.05, calls=50)
    pace.throttled(sent_at=clock.now, retry_after_s=None)
    assert pace.rate_per_s == pytest.approx(500, rel=0.05)


def test_rate_grows_back_in_half_a_minute_and_on_from_there_as_evenly() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    send(pace, clock, count=100, every_s=0.05, calls=10)
    pace.throttled(sent_at=clock.now, retry_after_s=None)
    then = pace.rate_per_s
    assert then is not None
    clock.now += 30
    assert pace.rate_per_s == pytest.approx(2 * then)
    clock.now += 30
    assert pace.rate_per_s == pytest.approx(3 * then)


def test_refusals_of_requests_that_were_on_their_way_together_cut_once() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    send(pace, clock, count=100, every_s=0.05)
    sent_at = clock.now
    clock.now += 0.2
    pace.throttled(sent_at=sent_at, retry_after_s=None)
    rate = pace.rate_per_s
    pace.throttled(sent_at=sent_at, retry_after_s=None)
    assert pace.rate_per_s == rate


def test_refusals_with_no_answer_between_cut_once_as_well() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    send(pace, clock, count=100, every_s=0.05)
    pace.throttled(sent_at=clock.now, retry_after_s=None)
    cut = pace.rate_per_s
    for _ in range(20):
        clock.now += 0.1
        pace.throttled(sent_at=clock.now, retry_after_s=None)
    assert cut is not None
    assert pace.rate_per_s is not None
    assert pace.rate_per_s > cut
    pace.answered()
    clock.now += 0.1
    pace.throttled(sent_at=clock.now, retry_after_s=None)
    assert pace.rate_per_s < cut


def test_node_is_left_alone_for_as_long_as_it_wishes_within_reason() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    pace.throttled(sent_at=0, retry_after_s=60)
    assert pace.wait_s == 60
    assert pace.reserve(1, longest_s=59) is None
    clock.now = 60
    assert pace.reserve(1, longest_s=0) == 0
    pace.throttled(sent_at=60, retry_after_s=10**9)
    assert pace.wait_s == LONGEST_REST_S


def test_wish_of_a_late_refusal_is_honoured_though_it_cuts_nothing() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    pace.throttled(sent_at=0, retry_after_s=None)
    rate = pace.rate_per_s
    pace.throttled(sent_at=0, retry_after_s=30)
    assert (pace.rate_per_s, pace.wait_s) == (rate, 30)


def test_refused_reservation_takes_no_place() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    pace.throttled(sent_at=0, retry_after_s=7)
    assert pace.reserve(1, longest_s=1) is None
    clock.now = 7
    assert pace.reserve(1, longest_s=0) == 0


actions = st.lists(
    st.tuples(
        st.sampled_from(["send", "refuse"]),
        st.floats(min_value=0, max_value=3),
        st.integers(min_value=1, max_value=60),
    ),
    max_size=80,
)


@given(actions)
def test_once_limited_requests_keep_the_distance_the_rate_asks_for(todo: list[tuple[str, float, int]]) -> None:
    clock = ManualClock()
    pace = Pace(clock)
    free_at = cut_at = 0.0
    for what, pause_s, calls in todo:
        clock.now += pause_s
        before = pace.rate_per_s
        if what == "send":
            wait_s = pace.reserve(calls, longest_s=FOREVER)
            assert wait_s is not None
            assert wait_s >= 0
            assert clock.now + wait_s >= free_at - 1e-9
            if before is not None:
                free_at = clock.now + wait_s + min(calls / before, LONGEST_GAP_S)
        else:
            pace.answered()
            pace.throttled(sent_at=clock.now, retry_after_s=None)
            after = pace.rate_per_s
            assert after is not None
            assert after >= LEAST_RATE
            if before is not None and clock.now > cut_at:
                assert after <= max(before / 2, LEAST_RATE) + 1e-9
            cut_at = clock.now


@settings(max_examples=20)
@given(st.floats(min_value=4, max_value=40))
def test_against_a_node_with_a_limit_most_requests_are_answered_and_most_of_its_limit_is_used(limit: float) -> None:
    """The node keeps a bucket that holds a second's worth. Asked as often as the pace allows, for two minutes."""
    clock = ManualClock()
    pace = Pace(clock)
    bucket, filled_at, answered, refused = limit, 0.0, 0, 0
    while clock.now < 120:
        wait_s = pace.reserve(1, longest_s=FOREVER)
        assert wait_s is not None
        clock.now += max(wait_s, 0.2 / limit)  # the asker itself could ask five times as often
        bucket, filled_at = min(limit, bucket + limit * (clock.now - filled_at)), clock.now
        if bucket >= 1:
            bucket -= 1
            answered += 1
            pace.answered()
        else:
            refused += 1
            pace.throttled(sent_at=clock.now, retry_after_s=None)
    assert refused <= 0.1 * answered + 10
    assert answered >= 0.4 * limit * 120


@given(st.lists(st.booleans(), max_size=300))
def test_hedged_questions_are_at_most_a_tenth_and_a_small_burst(wishes: list[bool]) -> None:
    budget, hedged = HedgeBudget(), 0
    for slow in wishes:
        budget.asked()
        hedged += slow and budget.take()
    assert hedged <= HEDGED_SHARE * len(wishes) + HEDGE_BURST


def test_share_that_was_not_used_is_there_again_later() -> None:
    budget = HedgeBudget()
    while budget.take():
        pass
    for _ in range(11):
        budget.asked()
    assert budget.take()
    assert not budget.take()
