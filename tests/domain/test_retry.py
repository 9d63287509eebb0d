"""When a failed delivery is tried again."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.retry import JITTER, next_attempt_at, next_notice_at

HOUR, DAY = 3_600, 86_400


def schedule(jitter: float) -> list[int]:
    """Seconds after the first attempt at which an endpoint that never answers is tried."""
    times = [0]
    while (at := next_attempt_at(attempts=len(times), now=times[-1], first_attempt_at=0, jitter=jitter)) is not None:
        times.append(at)
    return times


def test_waits_grow_from_five_seconds_to_twelve_hours() -> None:
    waits = [after - before for before, after in pairwise(schedule(jitter=0))]
    assert waits == [5, 30, 300, 1_800, 2 * HOUR, 5 * HOUR, 10 * HOUR] + [12 * HOUR] * 4


@given(jitter=st.floats(0, 1, exclude_max=True))
def test_attempts_end_within_three_days_whatever_the_jitter(jitter: float) -> None:
    times = schedule(jitter)
    assert 2 * DAY < times[-1] <= 3 * DAY
    for plain, stretched in zip(pairwise(schedule(0)), pairwise(times), strict=False):
        wait = plain[1] - plain[0]
        assert wait <= stretched[1] - stretched[0] <= round(wait * (1 + JITTER))


def test_an_endpoint_may_ask_for_a_longer_wait_and_not_for_a_shorter_one() -> None:
    assert next_attempt_at(attempts=1, now=100, first_attempt_at=100, jitter=0, retry_after_s=600) == 700
    assert next_attempt_at(attempts=1, now=100, first_attempt_at=100, jitter=0, retry_after_s=1) == 105


def test_an_endpoint_that_asks_for_more_than_three_days_is_given_up() -> None:
    assert next_attempt_at(attempts=1, now=0, first_attempt_at=0, jitter=0, retry_after_s=3 * DAY) == 3 * DAY
    assert next_attempt_at(attempts=1, now=0, first_attempt_at=0, jitter=0, retry_after_s=3 * DAY + 1) is None


def test_operator_is_told_every_quarter_of_an_hour_until_it_is_heard() -> None:
    waits = [next_notice_at(attempts=attempts, now=0, jitter=0) for attempts in (1, 2, 3, 4, 5, 6, 1_000)]
    assert waits == [5, 15, 60, 300, 900, 900, 900]
    assert next_notice_at(attempts=5, now=0, jitter=0.999) == 1_080


def test_receiver_of_alerts_may_ask_for_an_hour_at_most() -> None:
    assert next_notice_at(attempts=1, now=0, jitter=0, retry_after_s=600) == 600
    assert next_notice_at(attempts=1, now=0, jitter=0, retry_after_s=DAY) == HOUR
