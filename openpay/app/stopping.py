"""Pauses of work that goes on until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def pause(stop: asyncio.Event, seconds: float, *, unless: Coroutine[Any, Any, object] | None = None) -> bool:
    """Pause until `stop` is set or `unless` is over, at most so long; whether `unless` is over. Raises what it does."""
    stopped = asyncio.ensure_future(stop.wait())
    other = None if unless is None else asyncio.ensure_future(unless)
    waits = [each for each in (stopped, other) if each is not None]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if other is None or not other.done():
            return False
        other.result()
        return True
    finally:
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
