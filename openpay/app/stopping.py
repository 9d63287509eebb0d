"""Pauses of work that goes on until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def pause(stop: asyncio.Event, seconds: float, *, unless: Coroutine[Any, Any, object] | None = None) -> bool:
    """Pause until `stop` is set or `unless` is over, at most so long; whether `unless` is over."""
    waits: list[asyncio.Task[object]] = [
        asyncio.ensure_future(each) for each in (stop.wait(), unless) if each is not None
    ]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return unless is not None and waits[-1].done()
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
