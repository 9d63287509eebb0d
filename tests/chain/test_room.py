"""The room that answers share: never more is taken than there is, and there always is one that goes on."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.chain.room import AnswerRoom, Place


def test_host_alone_has_half_of_the_room_and_one_answer_outside() -> None:
    room = AnswerRoom(100)
    inside, outside, more = (room.place("a") for _ in range(3))
    assert inside.try_to_take(50)
    assert outside.try_to_take(1)
    assert not more.try_to_take(1)
    assert outside.try_to_take(1000)
    assert room.taken == 1051


def test_however_many_hosts_are_greedy_some_is_left_for_the_next() -> None:
    room = AnswerRoom(100)
    with room.place("outside") as outside:
        outside.try_to_take(1000)
        for host in ("a", "b", "c"):
            place = room.place(host)
            while place.try_to_take(1):
                pass
        assert room._by_host == {"a": 50, "b": 25, "c": 12}
        assert room.place("late").try_to_take(6)
        assert not any(room.place(host).try_to_take(1) for host in ("a", "b", "c"))


def test_answer_that_leaves_the_room_makes_room() -> None:
    room = AnswerRoom(100)
    large, small = room.place("a"), room.place("a")
    assert large.try_to_take(50)
    assert large.try_to_take(1000)
    assert small.try_to_take(50)
    assert not small.try_to_take(1)
    large.give_back()
    large.give_back()
    assert (room.taken, small.try_to_take(1)) == (50, True)


async def test_who_waits_longest_goes_on_first() -> None:
    room, order = AnswerRoom(100), list[str]()
    with room.place("outside") as outside, room.place("a") as full:
        assert full.try_to_take(50)
        assert outside.try_to_take(100)

        async def wait(name: str) -> None:
            with room.place("a") as place:
                await place.take(50)
                order.append(name)
                await asyncio.sleep(0)

        waiting = []
        for name in "xyz":
            waiting.append(asyncio.create_task(wait(name)))
            await asyncio.sleep(0)
        assert order == []
        full.give_back()
        await asyncio.gather(*waiting)
    assert order == ["x", "y", "z"]
    assert room.taken == 0


async def test_one_that_is_canceled_while_it_waits_gives_back_what_it_had() -> None:
    room = AnswerRoom(100)
    with room.place("outside") as outside, room.place("a") as place:
        outside.try_to_take(200)
        assert place.try_to_take(50)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await place.take(1)
        assert place.waited_s > 0
        assert place.size == 50
    assert room.taken == 0
    assert not room._waiting


def test_place_is_handed_on_with_what_it_holds() -> None:
    room = AnswerRoom(100)
    for size in (30, 300):
        with room.place("a") as taker:
            with room.place("a") as giver:
                assert giver.try_to_take(size)
                taker.take_over(giver)
            assert room.taken == taker.size == size
            with pytest.raises(ValueError, match="cannot take over"):
                taker.take_over(giver)
        assert room.taken == 0


def test_refusal_says_who_takes_how_much() -> None:
    room = AnswerRoom(100)
    room.place("node:1").try_to_take(30)
    room.place("node:2").try_to_take(20)
    assert str(room) == "50 of 100 bytes are taken, 30 of them by node:1"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=60))
def test_no_more_is_taken_than_there_is_but_for_one_answer(steps: list[tuple[int, int]]) -> None:
    """Places 0 to 5 of three hosts; a size of 0 gives back."""
    room = AnswerRoom(100)
    places = [room.place(f"host {index % 3}") for index in range(6)]
    for index, size in steps:
        if size:
            places[index].try_to_take(size)
        else:
            places[index].give_back()
        inside = [place for place in places if place is not room._outside]
        assert sum(place.size for place in inside) == room._taken <= room.total
        by_host: Counter[str] = Counter()
        for place in inside:
            by_host[place.host] += place.size
        assert +by_host == room._by_host
    for place in places:
        place.give_back()
    assert (room.taken, room._by_host, room._outside) == (0, Counter(), None)


@pytest.mark.parametrize("seed", range(10))
async def test_answers_that_fill_the_room_in_pieces_all_come_to_an_end(seed: int) -> None:
    """Each holds what it has while it waits for more, and all together want many times what there is."""
    chance, room, most = random.Random(seed), AnswerRoom(100), 0

    async def read(place: Place) -> None:
        nonlocal most
        with place:
            for _ in range(chance.randint(1, 12)):
                await place.take(10)
                most = max(most, room.taken)
                if chance.random() < 0.05:
                    return
                await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await asyncio.gather(*(read(room.place(f"host {index % 4}")) for index in range(60)))
    assert room.taken == 0
    assert most <= 100 + 120
