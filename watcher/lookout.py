"""Which head to follow: the best endpoint's nearly always, the highest of all hosts' where one alone may mislead.

One endpoint is enough while it has news. It may be stuck, though, or stay on a branch that the others left, and say so
in good faith and quickly for ever. So all hosts are asked when nothing new was heard for a while, now and then anyway,
and before anything is taken back. Those that turn out to be far behind are then asked after the others. A host that is
slow is waited for only before something is taken back; at other times its word counts when it comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from openpay.chain import headers
from openpay.chain.blocks import Header, read_bytes, read_quantity
from openpay.chain.errors import BadAnswer
from openpay.chain.headers import NewestHeads
from openpay.chain.poll import GRACE_S, Poll
from openpay.chain.pool import Pool
from openpay.chain.words import NEEDED
from openpay.domain.chains import Chain
from watcher.local_chain import Link

LOOKS_IN_VAIN = 3
"""After so many looks at one host that showed nothing new, all are asked. A look is half a block's interval."""
PASSED_OVER_S = 5.0
"""A host that is alone with its branch is not followed for so long, then for twice as long each time: it may only have
been the first to hear of it."""
LEFT_OUT_S = 300.0
"""A host whose branch was refuted is not followed for so long; nor is one longer that was passed over."""
EVERY_S = 15.0
"""All are asked this often however well it goes: a host may fall behind so slowly that it always has news."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Heads:
    """What is newest. `finalized` is None where the chain has no such tag, and never above `latest`.

    `of_all`: every host was asked, and none that answered has a higher one; `host` is the one that has it then, where
    that is known. `sure`: the height that a second host has too, as of when all were last asked; one may name any.
    `likely`: that, and what the chain may have grown by since.
    """

    latest: Link
    finalized: int | None
    of_all: bool
    sure: int
    likely: int
    host: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Out:
    """Until when a host's heads are not followed, and how many times in a row that was said."""

    until: float
    times: int


class Lookout:
    """Looks for the newest head of one chain. `clock` is monotonic seconds."""

    def __init__(self, chain: Chain, pool: Pool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._has_tag = chain.has_finalized_tag
        self._interval_s = chain.block_interval_s
        self._pool = pool
        self._clock = clock
        self._seen: bytes | None = None
        self._in_vain = 0
        self._is_in_doubt = False
        self._asked_all_at = float("-inf")
        self._late: Poll[NewestHeads] = Poll({})
        """Hosts that were asked, and not waited for."""
        self._out: dict[str, _Out] = {}
        self._second: int | None = None
        """The second highest head when all were last asked; None where no second one answered."""
        self._second_at = float("-inf")

    @property
    def left_out(self) -> set[str]:
        """The hosts whose heads are not followed now."""
        now = self._clock()
        return {host for host, out in self._out.items() if out.until > now}

    async def look(self) -> Heads:
        """The newest head. Raises `ChainUnavailable`."""
        now = self._clock()
        is_due = self._in_vain >= LOOKS_IN_VAIN or now - self._asked_all_at >= EVERY_S
        of_all, host = len(self._pool.hosts) == 1, None
        # While some host is left out, any one that is asked alone might be it.
        if not of_all and (is_due or self._is_in_doubt or self.left_out):
            newest, host, of_all = await self._ask_all()
        else:
            newest = await headers.newest_heads(self._pool, has_finalized_tag=self._has_tag)
        latest = link_of(newest.latest)
        self._in_vain = self._in_vain + 1 if latest.hash == self._seen and not of_all else 0
        self._is_in_doubt = self._is_in_doubt and not of_all
        self._seen = latest.hash
        # Nothing above the head is final, whatever a node that is not asked in one moment, or lies, says of it.
        finalized = None if newest.finalized is None else min(newest.finalized, latest.number)
        sure = likely = latest.number
        if self._second is not None:
            grown = 1 + round((self._clock() - self._second_at) / self._interval_s)
            sure, likely = min(latest.number, self._second), min(latest.number, self._second + grown)
        return Heads(latest=latest, finalized=finalized, of_all=of_all, sure=sure, likely=likely, host=host)

    def doubt(self) -> None:
        """Ask all hosts next time, and hear two at least: what one says does not fit what was read."""
        self._is_in_doubt = True

    def leave_out(self, host: str, reason: str) -> None:
        """Follow no head of this host for a while: others say that its branch is none."""
        self._out[host] = _Out(until=self._clock() + LEFT_OUT_S, times=1)
        self._pool.blame(BadAnswer(host, reason))
        self.doubt()

    def pass_over(self, host: str, reason: str, *, is_wrong: bool) -> None:
        """Follow no head of this host for a moment, and longer each time: most others have another branch.

        `is_wrong`: it named another block than they. The second time that counts as a fault.
        """
        now = self._clock()
        before = self._out.get(host)
        if before is not None and before.until > now:
            return
        times = 1 if before is None or now - before.until > LEFT_OUT_S else before.times + 1
        for_s = min(PASSED_OVER_S * 2.0 ** min(times - 1, 16), LEFT_OUT_S)
        self._out[host] = _Out(until=now + for_s, times=times)
        _log.info("host not followed for now", host=host, reason=reason, for_s=for_s)
        if is_wrong and times > 1:
            self._pool.blame(BadAnswer(host, reason))
        self.doubt()

    def unfounded(self, heads: Heads, reason: str, *, is_far: bool) -> None:
        """Nobody has the blocks below this head: if a host is alone with it, it is left out, else all are asked.

        Unless that `is_far` above all others, it may be ahead of them: then it is only passed over.
        """
        if heads.host is not None and heads.sure < heads.latest.number:
            if is_far:
                self.leave_out(heads.host, reason)
            else:
                self.pass_over(heads.host, reason, is_wrong=False)
        self.doubt()

    async def _ask_all(self) -> tuple[NewestHeads, str | None, bool]:
        """The highest head, who has it, and whether all hosts had their say, or two of them.

        In doubt two are waited for, as long as it takes; else whoever is first, and the others a little.
        """
        enough = NEEDED if self._is_in_doubt else 1
        late = self._late.unfinished() if self._is_in_doubt else self._late
        asked = headers.poll_newest_heads(self._pool, has_finalized_tag=self._has_tag, apart_from=late.hosts)
        poll = asked.joined(late)
        await poll.wait(until=lambda: len(poll.answers) >= enough, grace_s=GRACE_S)
        self._late = poll.unfinished()
        by_host, now = poll.answers, self._clock()
        is_whole = len(by_host) >= NEEDED or not self._late.hosts
        if is_whole:
            self._asked_all_at = now
        if not by_host:
            return await headers.newest_heads(self._pool, has_finalized_tag=self._has_tag), None, True
        heights = {host: read_quantity(heads.latest.number) for host, heads in by_host.items()}
        if is_whole:
            self._second = sorted(heights.values())[-2] if len(heights) > 1 else None
            self._second_at = now
        followed = [host for host in heights if host not in self.left_out]
        self._pool.note_heights({host: heights[host] for host in followed})
        highest = max(followed or heights, key=lambda host: heights[host])
        return by_host[highest], highest, is_whole


def link_of(header: Header) -> Link:
    return Link(
        number=read_quantity(header.number), hash=read_bytes(header.hash), parent_hash=read_bytes(header.parent_hash)
    )
