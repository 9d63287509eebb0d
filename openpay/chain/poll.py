"""One question on its way to several hosts, each of which answers in its own time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

from openpay.chain.errors import EndpointFault, JsonRpcError

T = TypeVar("T")

GRACE_S = 0.2
"""Once enough hosts have answered, the others are waited for so long: about half of what a block takes."""


class Poll(Generic[T]):
    """`tasks` maps host:port to the asking of that host, which ends with its answer or with its failure as a value.

    The asking goes on beside whoever waits, until it is given up.
    """

    def __init__(self, tasks: Mapping[str, asyncio.Task[T | EndpointFault | JsonRpcError]]) -> None:
        self._tasks = tasks

    @property
    def hosts(self) -> Collection[str]:
        """Those that were asked."""
        return self._tasks.keys()

    @property
    def words(self) -> dict[str, T | EndpointFault | JsonRpcError]:
        """What was said so far."""
        return {host: task.result() for host, task in self._tasks.items() if task.done() and not task.cancelled()}

    @property
    def answers(self) -> dict[str, T]:
        """What was said so far by those that gave an answer."""
        return {host: word for host, word in self.words.items() if not isinstance(word, EndpointFault | JsonRpcError)}

    @property
    def pending(self) -> frozenset[str]:
        """The hosts that said nothing yet."""
        return frozenset(host for host, task in self._tasks.items() if not task.done())

    def joined(self, other: Poll[T]) -> Poll[T]:
        """Both as one; where both asked a host, this one's word counts."""
        return Poll({**other._tasks, **self._tasks})

    def unfinished(self) -> Poll[T]:
        """What is still on its way, to be waited for another time."""
        return Poll({host: task for host, task in self._tasks.items() if not task.done()})

    async def wait(self, *, until: Callable[[], bool], grace_s: float, longest_s: float | None = None) -> None:
        """Until every host has spoken; no longer than `grace_s` seconds once `until()` holds, or `longest_s` anyway."""
        clock = asyncio.get_running_loop().time
        began_at = clock()
        while running := [task for task in self._tasks.values() if not task.done()]:
            limit_s = grace_s if until() else longest_s
            left_s = None if limit_s is None else began_at + limit_s - clock()
            if left_s is not None and left_s <= 0:
                return
            await asyncio.wait(running, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    async def give_up(self) -> None:
        """Ask no further."""
        running = [task for task in self._tasks.values() if not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
