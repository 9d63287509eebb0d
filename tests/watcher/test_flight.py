"""How many blocks are fetched at once: more while that is faster, fewer when a node has enough."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from watcher.flight import FIRST, MOST, Flight


def fly(flight: Flight, rate: Callable[[int], float], windows: int) -> list[int]:
    """The sizes of so many windows, the rate following from the size."""
    sizes = []
    for _ in range(windows):
        sizes.append(flight.size)
        flight = flight.after(rate=rate(flight.size), troubled=False)
    return sizes


def test_grows_while_that_is_faster_and_hardly_further() -> None:
    sizes = fly(Flight(), lambda size: min(size, 20) * 10.0, 60)
    assert sizes[:4] == [4, 6, 9, 14]
    assert max(sizes) <= 32
    assert sum(size in {20, 21} for size in sizes) > 40


def test_shrinks_to_the_fewest_that_are_as_fast() -> None:
    sizes = fly(Flight(size=64, settled=64), lambda size: min(size, 9) * 10.0, 120)
    assert max(sizes[60:]) <= 18
    assert sum(9 <= size <= 13 for size in sizes[60:]) > 45


def test_stays_where_it_is_when_more_brings_nothing_and_tries_ever_less_often() -> None:
    sizes = fly(Flight(), lambda _: 300.0, 200)
    tried = [at for at, size in enumerate(sizes) if size > FIRST]
    assert set(sizes) == {FIRST, 6}
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses == sorted(pauses)
    assert len(tried) < 12


def test_grows_again_when_the_node_becomes_faster() -> None:
    flight = Flight()
    for _ in range(30):
        flight = flight.after(rate=100.0, troubled=False)
    assert max(fly(flight, lambda size: size * 25.0, 120)) == MOST


def test_halves_when_the_node_asks_for_less_and_waits_before_it_tries_again() -> None:
    flight = Flight(size=32, settled=32).after(rate=500.0, troubled=True)
    assert flight.size == 16
    assert fly(flight, lambda size: size * 10.0, 8) == [16] * 8


@given(st.lists(st.tuples(st.floats(0, 1e6, allow_nan=False), st.booleans()), max_size=60), st.integers(1, MOST))
def test_is_never_none_and_never_too_many(windows: list[tuple[float, bool]], size: int) -> None:
    flight = Flight(size=size, settled=size)
    for rate, troubled in windows:
        before = flight.size
        flight = flight.after(rate=rate, troubled=troubled)
        assert 1 <= flight.size <= MOST
        if troubled:
            assert flight.size <= max(1, before // 2)
