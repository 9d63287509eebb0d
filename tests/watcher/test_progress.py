"""What a catch-up says of itself."""

from __future__ import annotations

import pytest

from watcher.progress import TELL_EVERY_S, Progress, duration


def test_rate_is_that_since_it_was_last_told() -> None:
    progress = Progress.begin(1000, 50.0)
    first = progress.report(2000, 60.0, head=11_000, block_interval_s=0.0)
    assert (first.blocks_per_s, first.blocks_left, first.seconds_left) == (100.0, 9000, 90.0)
    second = progress.at(2000, 60.0).report(2500, 70.0, head=11_000, block_interval_s=0.0)
    assert (second.blocks_per_s, second.seconds_left) == (50.0, 170.0)


def test_time_left_counts_the_blocks_that_the_chain_makes_meanwhile() -> None:
    report = Progress.begin(0, 0.0).report(40, 10.0, head=1040, block_interval_s=0.5)
    assert report.blocks_per_s == 4.0
    assert report.seconds_left == 500.0
    assert report.time_left == "8 min 20 s"


def test_chain_that_is_faster_is_never_caught_up_with() -> None:
    report = Progress.begin(0, 0.0).report(10, 10.0, head=1000, block_interval_s=0.5)
    assert report.seconds_left is None
    assert report.time_left == "never at this rate"


def test_is_told_every_few_seconds() -> None:
    progress = Progress.begin(0, 0.0)
    assert not progress.is_due(TELL_EVERY_S - 0.1)
    assert progress.is_due(TELL_EVERY_S)
    assert not progress.at(5, TELL_EVERY_S).is_due(TELL_EVERY_S + 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
