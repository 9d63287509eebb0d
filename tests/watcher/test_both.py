"""Two questions at once: the slower one is waited for, and a failure of one ends the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from watcher.follower import beside, both

AtOnce = Callable[[Any, Any], Coroutine[Any, Any, Any]]


class Broken(Exception):
    pass


async def give(value: int, *, after: asyncio.Event | None = None) -> int:
    if after is not None:
        await after.wait()
    return value


@pytest.mark.parametrize("at_once", [both, beside])
async def test_neither_waits_for_the_other_to_begin(at_once: AtOnce) -> None:
    first_began, second_began = asyncio.Event(), asyncio.Event()

    async def first() -> str:
        first_began.set()
        await second_began.wait()
        return "first"

    async def second() -> str:
        second_began.set()
        await first_began.wait()
        return "second"

    assert await asyncio.wait_for(at_once(first(), second()), 5) == ("first", "second")


async def wait_and_tell(ended: asyncio.Event) -> None:
    """Wait for ever, and tell when that is over."""
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()


async def fail(*, turns: int = 0) -> None:
    """At once, or after so many turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
    raise Broken


@pytest.mark.parametrize("which", [0, 1])
async def test_failure_of_one_ends_the_other(which: int) -> None:
    ended = asyncio.Event()

    work = [wait_and_tell(ended), wait_and_tell(ended)]
    work[which].close()
    work[which] = fail()
    with pytest.raises(Broken):
        await asyncio.wait_for(both(*work), 5)
    assert ended.is_set()


async def test_what_is_done_beside_ends_when_the_main_thing_fails() -> None:
    ended = asyncio.Event()
    with pytest.raises(Broken):
        await asyncio.wait_for(beside(fail(turns=1), wait_and_tell(ended)), 5)
    assert ended.is_set()


async def test_failure_beside_the_main_thing_is_heard() -> None:
    with pytest.raises(Broken):
        await asyncio.wait_for(beside(give(1), fail()), 5)


@pytest.mark.parametrize("at_once", [both, beside])
async def test_being_stopped_ends_both(at_once: AtOnce) -> None:
    waiting = asyncio.create_task(at_once(give(1, after=asyncio.Event()), give(2, after=asyncio.Event())))
    await asyncio.sleep(0)
    before = asyncio.all_tasks()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not [task for task in before - {asyncio.current_task()} if not task.done()]
