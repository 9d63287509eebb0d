"""A pause ends when it is time, when something happens, and when the work is to stop."""

from __future__ import annotations

import asyncio

import pytest

from openpay.app.stopping import pause

LONG_S = 3_600


async def test_stop_ends_a_pause() -> None:
    stop = asyncio.Event()
    pausing = asyncio.create_task(pause(stop, LONG_S, unless=asyncio.sleep(LONG_S)))
    await asyncio.sleep(0)
    stop.set()
    assert await pausing is False


async def test_what_is_waited_for_ends_a_pause_and_is_told_apart() -> None:
    assert await pause(asyncio.Event(), LONG_S, unless=asyncio.sleep(0)) is True
    assert await pause(asyncio.Event(), 0.001) is False


async def test_what_is_waited_for_is_let_go_of_at_the_end_of_a_pause() -> None:
    ended = False

    async def something() -> None:
        nonlocal ended
        try:
            await asyncio.sleep(LONG_S)
        finally:
            ended = True

    assert await pause(asyncio.Event(), 0.001, unless=something()) is False
    assert ended


async def test_failure_of_what_is_waited_for_is_the_callers() -> None:
    async def failing() -> None:
        raise ValueError("no hint")

    with pytest.raises(ValueError, match="no hint"):
        await pause(asyncio.Event(), LONG_S, unless=failing())
