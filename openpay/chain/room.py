"""How much memory nodes' answers may take, all together, from the first byte until they were read.

An answer takes room as it comes. Where there is none it waits, and its connection with it, until others were read; the
rest is for the request's own deadline. Two rules see to it that nobody can take all, and that nobody waits for ever:

- A host may hold as much as it leaves free: half of the room when it comes first, and half of what is left when it
  comes later, so that however greedy others are there is some for the next. As answers are read, n greedy hosts come to
  hold one part of n + 1 each (A. Choudhury and E. Hahne, "Dynamic queue length thresholds for shared-memory packet
  switches", 1998).
- One answer at a time, which would have to wait, is read outside of the room: so there always is one that goes on, and
  one that is alone is read up to its own limit. Who has read an answer waits for no other with it in hand.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from types import TracebackType

ROOM_BYTES = 128 * 2**20
"""Twice the largest answer: a few times what is read ahead of it, for each of several hosts and chains."""


class AnswerRoom:
    """The room that answers share, `total` bytes and the one answer outside of it."""

    def __init__(self, total: int = ROOM_BYTES) -> None:
        self.total = total
        self._taken = 0
        """By all but the answer outside, never more than `total`."""
        self._by_host: Counter[str] = Counter()
        """The same for each host that holds any."""
        self._outside: Place | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def taken(self) -> int:
        """Bytes that answers take at present, with the one outside."""
        return self._taken + (self._outside.size if self._outside is not None else 0)

    def place(self, host: str) -> Place:
        """A place for one answer of `host`, which takes nothing yet: a context that gives back what it took."""
        return Place(self, host)

    def is_greediest(self, host: str) -> bool:
        """Whether no other host holds as much."""
        return [name for name, _ in self._by_host.most_common(1)] == [host]

    def __str__(self) -> str:
        most = "".join(f", {size} of them by {host}" for host, size in self._by_host.most_common(1))
        return f"{self.taken} of {self.total} bytes are taken{most}"

    def _grow(self, place: Place, size: int) -> bool:
        if place is not self._outside:
            if self._by_host[place.host] + size <= self.total - self._taken - size:
                self._count(place.host, size)
            elif self._outside is None:
                self._outside = place
                self._count(place.host, -place.size)
            else:
                return False
        place.size += size
        return True

    def _shrink(self, place: Place) -> None:
        if place is self._outside:
            self._outside = None
        else:
            self._count(place.host, -place.size)
        place.size = 0
        self._wake()

    def _hand_on(self, giver: Place, taker: Place) -> None:
        taker.size, giver.size = giver.size, 0
        if giver is self._outside:
            self._outside = taker

    def _count(self, host: str, size: int) -> None:
        self._taken += size
        self._by_host[host] += size
        if not self._by_host[host]:
            del self._by_host[host]

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def _change(self) -> None:
        """Wait until something was given back; who waits longest goes on first."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            self._waiting.remove(waiter)


class Place:
    """What one answer takes of the room: `size` bytes."""

    def __init__(self, room: AnswerRoom, host: str) -> None:
        self.room = room
        self.host = host
        self.size = 0
        self.waited_s = 0.0
        """How long it waited for room, all in all."""

    async def take(self, size: int) -> None:
        """Take `size` bytes more, when there is room for them. For how long to wait is for the caller to say."""
        if self.try_to_take(size):
            return
        clock = asyncio.get_running_loop().time
        began_at = clock()
        try:
            while not self.try_to_take(size):
                await self.room._change()
        finally:
            self.waited_s += clock() - began_at

    def try_to_take(self, size: int) -> bool:
        """Take `size` bytes more, if there is room for them now."""
        return self.room._grow(self, size)

    def take_over(self, other: Place) -> None:
        """Take all that `other`, a place of the same host, holds. This place holds nothing yet."""
        if self.size or self.host != other.host:
            raise ValueError(f"{self.host} holds {self.size} bytes, and cannot take over what {other.host} holds")
        self.room._hand_on(other, self)

    def give_back(self) -> None:
        """Hold nothing any more. May be called twice."""
        if self.size:
            self.room._shrink(self)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.give_back()


PROCESS_ROOM = AnswerRoom()
"""The room of this process: all its pools share it, and none makes another."""
