"""Where an endpoint stands follows from what it did, and from nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.chain.standing import (
    FIRST_COOL_DOWN_S,
    LONGEST_COOL_DOWN_S,
    LONGEST_PATIENCE_S,
    NEVER,
    PROOFS_FOR_TRUST,
    SHORTEST_PATIENCE_S,
    THROTTLES_IN_A_ROW,
    Place,
    Standing,
)

Event = Callable[[Standing, float], Standing]
NEW = Standing()

latencies = st.floats(min_value=0, max_value=100)
events: st.SearchStrategy[Event] = st.one_of(
    latencies.map(lambda latency: lambda standing, now: standing.measured(latency, now)),
    latencies.map(lambda waited: lambda standing, now: standing.outlasted(waited, now)),
    st.booleans().map(lambda proven: lambda standing, now: standing.answered(proven=proven)),
    st.just(Standing.faulted),
    st.just(Standing.lied),
    st.just(Standing.throttled),
)
histories = st.lists(st.tuples(events, st.floats(min_value=0, max_value=400)), max_size=60)


def live(history: list[tuple[Event, float]]) -> tuple[Standing, float]:
    """The standing after a history of events, each so many seconds after the one before; and the time then."""
    standing, now = NEW, 0.0
    for event, pause_s in history:
        now += pause_s
        standing = event(standing, now)
    return standing, now


def after(standing: Standing, event: Event, times: int, now: float = 0.0) -> Standing:
    for _ in range(times):
        standing = event(standing, now)
    return standing


def proven(standing: Standing, now: float) -> Standing:
    return standing.answered(proven=True)


def unproven(standing: Standing, now: float) -> Standing:
    return standing.answered(proven=False)


@given(histories)
def test_whatever_happened_the_figures_stay_in_their_bounds(history: list[tuple[Event, float]]) -> None:
    standing, now = live(history)
    assert SHORTEST_PATIENCE_S <= standing.patience_s <= LONGEST_PATIENCE_S
    assert 0 <= standing.failing <= 1
    assert standing.aside_until <= now + LONGEST_COOL_DOWN_S
    assert standing.latency_s is None or 0 <= standing.latency_s <= 100


@given(histories, histories)
def test_one_that_lied_is_asked_after_every_one_that_did_not(
    ours: list[tuple[Event, float]], others: list[tuple[Event, float]]
) -> None:
    liar, _ = live(ours)
    honest, now = live([(event, pause_s) for event, pause_s in others if event is not Standing.lied])
    assert liar.lied(now).rank(now) > honest.rank(now)


@given(histories)
def test_trust_comes_back_after_twenty_proofs_in_a_row_and_no_sooner(history: list[tuple[Event, float]]) -> None:
    standing, now = live([*history, (Standing.lied, 1.0)])
    almost = after(standing, proven, PROOFS_FOR_TRUST - 1)
    assert almost.place(now) is Place.LOW_TRUST
    assert after(almost, unproven, 100).place(now) is Place.LOW_TRUST
    assert proven(almost, now).place(now) is Place.IN_SERVICE
    assert after(almost.faulted(now), proven, PROOFS_FOR_TRUST - 1).place(now) is Place.LOW_TRUST


@given(histories)
def test_good_answer_of_one_that_did_not_lie_ends_its_time_aside(history: list[tuple[Event, float]]) -> None:
    standing, now = live([(event, pause_s) for event, pause_s in history if event is not Standing.lied])
    assert unproven(standing, now).place(now) is Place.IN_SERVICE


def test_unproven_answer_does_not_end_the_time_aside_of_one_that_lied() -> None:
    liar = NEW.lied(0.0)
    assert unproven(liar, 1.0).is_aside(1.0)
    assert not proven(liar, 1.0).is_aside(1.0)


def test_time_aside_doubles_from_ten_seconds_to_five_minutes_and_outlasts_days_of_faults() -> None:
    times = [after(NEW, Standing.faulted, count).aside_until for count in (1, 2, 3, 4, 5, 6, 7, 100_000)]
    assert times == [FIRST_COOL_DOWN_S, 20, 40, 80, 160, LONGEST_COOL_DOWN_S, LONGEST_COOL_DOWN_S, LONGEST_COOL_DOWN_S]


def test_each_further_lie_costs_twice_the_time_even_between_proven_answers() -> None:
    again = after(NEW.lied(0.0), proven, PROOFS_FOR_TRUST - 1).lied(0.0)
    assert again.aside_until == 2 * FIRST_COOL_DOWN_S


def test_time_aside_is_over_when_it_is_over() -> None:
    standing = NEW.faulted(100.0)
    assert standing.place(109.9) is Place.ASIDE
    assert standing.place(110.0) is Place.IN_SERVICE


def test_one_that_asks_for_fewer_requests_stays_in_service_while_it_still_answers() -> None:
    standing = NEW
    for _ in range(10):
        standing = unproven(after(standing, Standing.throttled, THROTTLES_IN_A_ROW - 1), 0.0)
    almost = after(standing, Standing.throttled, THROTTLES_IN_A_ROW - 1)
    assert almost.place(0.0) is Place.IN_SERVICE
    assert almost.throttled(0.0).place(0.0) is Place.ASIDE


def test_slower_one_is_asked_after_a_faster_one_but_small_differences_do_not_count() -> None:
    assert NEW.measured(0.5, 0.0).rank(0) > NEW.measured(0.2, 0.0).rank(0)
    assert NEW.measured(0.09, 0.0).rank(0) == NEW.measured(0.001, 0.0).rank(0) == NEW.rank(0)


def test_one_that_would_have_to_wait_is_asked_after_one_that_is_free() -> None:
    assert NEW.measured(0.01, 0.0).rank(0, wait_s=2.0) > NEW.measured(0.5, 0.0).rank(0)


@given(latencies, latencies)
def test_of_two_that_never_failed_the_faster_never_ranks_behind(one: float, other: float) -> None:
    slow, fast = max(one, other), min(one, other)
    assert NEW.measured(fast, 0.0).rank(0) <= NEW.measured(slow, 0.0).rank(0)


def test_one_that_fails_often_is_asked_after_one_that_is_somewhat_slower() -> None:
    unsteady = unproven(after(NEW.measured(0.1, 0.0), Standing.faulted, 5), 0.0)
    assert unsteady.place(0.0) is Place.IN_SERVICE
    assert unsteady.rank(0) > NEW.measured(0.2, 0.0).rank(0)


def test_one_that_fell_behind_is_tried_again_after_a_while() -> None:
    slow = NEW.measured(5.0, 0.0)
    assert slow.rank(59.0) > NEW.rank(59.0)
    assert slow.rank(61.0) == NEW.rank(61.0)
    unsteady = unproven(after(NEW, Standing.faulted, 3), 0.0)
    assert unsteady.rank(1.0) > NEW.rank(1.0)
    assert unsteady.rank(300.0) == NEW.rank(300.0)


def test_average_follows_a_change_within_a_few_measurements() -> None:
    standing = after(NEW.measured(0.01, 0.0), lambda each, _: each.measured(1.0, 0.0), 10)
    assert standing.latency_s == pytest.approx(1.0, abs=0.15)


def test_patience_is_longer_for_one_whose_answers_vary() -> None:
    steady = after(NEW, lambda each, _: each.measured(0.1, 0.0), 20)
    unsteady = after(NEW, lambda each, _: each.measured(0.02, 0.0).measured(0.18, 0.0), 20)
    assert steady.patience_s < unsteady.patience_s


def test_one_given_up_for_another_is_known_to_be_slow_and_no_worse() -> None:
    standing = NEW.measured(0.1, 0.0).outlasted(1.0, 0.0)
    assert standing.latency_s == pytest.approx(0.28)
    assert (standing.failing, standing.aside_until) == (0.0, NEVER)
    assert NEW.measured(0.1, 0.0).outlasted(0.01, 0.0).latency_s == 0.1
