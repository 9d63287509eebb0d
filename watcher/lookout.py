"""Which head to follow: the best endpoint's nearly always, the highest of all hosts' where one alone may mislead.

One endpoint is enough while it has news. It may be stuck, though, or stay on a branch that the others left, and say so
in good faith and quickly for ever. So all hosts are asked when nothing new was heard for a while, now and then anyway,
and before anything is taken back. Those that turn out to be far behind are then asked after the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from openpay.chain import headers
from openpay.chain.blocks import Header, read_bytes, read_quantity
from openpay.chain.errors import BadAnswer
from openpay.chain.headers import NewestHeads
from openpay.chain.pool import Pool
from openpay.domain.chains import Chain
from watcher.local_chain import Link

LOOKS_IN_VAIN = 3
"""After so many looks at one host that showed nothing new, all are asked. A look is half a block's interval."""
LEFT_OUT_S = 300.0
"""A host whose branch was refuted is not followed for so long."""
EVERY_S = 15.0
"""All are asked this often however well it goes: a host may fall behind so slowly that it always has news."""


@dataclass(frozen=True, kw_only=True)
class Heads:
    """What is newest. `finalized` is None where the chain has no such tag, and never above `latest`.

    `of_all`: every host was asked, and none that answered has a higher one; `host` is the one that has it then, where
    that is known. `sure`: the height that a second host has too, as of when all were last asked; one may name any.
    """

    latest: Link
    finalized: int | None
    of_all: bool
    sure: int
    host: str | None = None


class Lookout:
    """Looks for the newest head of one chain. `clock` is monotonic seconds."""

    def __init__(self, chain: Chain, pool: Pool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._has_tag = chain.has_finalized_tag
        self._pool = pool
        self._clock = clock
        self._seen: bytes | None = None
        self._in_vain = 0
        self._asked_all_at = float("-inf")
        self._left_out: dict[str, float] = {}
        """Hosts whose heads are not followed, and until when."""
        self._second: int | None = None
        """The second highest head when all were last asked; None where no second one answered."""

    async def look(self) -> Heads:
        """The newest head. Raises `ChainUnavailable`."""
        is_due = self._in_vain >= LOOKS_IN_VAIN or self._clock() - self._asked_all_at >= EVERY_S
        of_all, host = len(self._pool.hosts) == 1, None
        if is_due and not of_all:
            of_all = True
            newest, host = await self._ask_all()
        else:
            newest = await headers.newest_heads(self._pool, has_finalized_tag=self._has_tag)
        latest = link_of(newest.latest)
        self._in_vain = self._in_vain + 1 if latest.hash == self._seen and not of_all else 0
        self._seen = latest.hash
        # Nothing above the head is final, whatever a node that is not asked in one moment, or lies, says of it.
        finalized = None if newest.finalized is None else min(newest.finalized, latest.number)
        sure = latest.number if self._second is None else min(latest.number, self._second)
        return Heads(latest=latest, finalized=finalized, of_all=of_all, sure=sure, host=host)

    def doubt(self) -> None:
        """Ask all hosts next time: what one says does not fit what was read."""
        self._in_vain = LOOKS_IN_VAIN

    def leave_out(self, host: str, reason: str) -> None:
        """Follow no head of this host for a while: others say that its branch is none. Ask all next time."""
        self._left_out[host] = self._clock() + LEFT_OUT_S
        self._pool.blame(BadAnswer(host, reason))
        self.doubt()

    def unfounded(self, heads: Heads, reason: str) -> None:
        """Nobody has the blocks below this head: if a host is alone with it, it is left out, else all are asked."""
        if heads.host is not None and heads.sure < heads.latest.number:
            self.leave_out(heads.host, reason)
        self.doubt()

    async def _ask_all(self) -> tuple[NewestHeads, str | None]:
        self._asked_all_at = self._clock()
        by_host = await headers.newest_heads_of_hosts(self._pool, has_finalized_tag=self._has_tag)
        if not by_host:
            return await headers.newest_heads(self._pool, has_finalized_tag=self._has_tag), None
        heights = {host: read_quantity(heads.latest.number) for host, heads in by_host.items()}
        self._second = sorted(heights.values())[-2] if len(heights) > 1 else None
        followed = [host for host in heights if self._left_out.get(host, float("-inf")) <= self._asked_all_at]
        self._pool.note_heights({host: heights[host] for host in followed})
        highest = max(followed or heights, key=lambda host: heights[host])
        return by_host[highest], highest


def link_of(header: Header) -> Link:
    return Link(
        number=read_quantity(header.number), hash=read_bytes(header.hash), parent_hash=read_bytes(header.parent_hash)
    )
