"""Wake-ups inside one process. A signal is a hint, never the message: every role polls as well."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress


class Signals:
    """Named hints that something may have changed: `payments`, `events`, `operations`, `alerts`."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    def notify(self, *topics: str) -> None:
        """Wake everybody who waits for one of `topics`. Call it after the commit, not before."""
        for topic in topics:
            for event in self._waiting[topic]:
                event.set()

    async def wait(self, topic: str, *, timeout_s: float) -> bool:
        """Wait for a hint, at most `timeout_s`; whether one came."""
        event = asyncio.Event()
        self._waiting[topic].add(event)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), timeout_s)
            return event.is_set()
        finally:
            self._waiting[topic].discard(event)
