"""One endpoint as a pool keeps it: asked at its own pace, never unchecked, and its standing kept up to date."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from openpay.chain import reads
from openpay.chain.blocks import read_quantity
from openpay.chain.errors import (
    Crowded,
    EndpointFault,
    JsonRpcError,
    Missing,
    ProofFailed,
    Resting,
    Throttled,
    TimedOut,
    Unreachable,
    WrongChain,
)
from openpay.chain.pacing import Pace
from openpay.chain.rpc import Endpoint
from openpay.chain.standing import Place, Standing
from openpay.domain.alerts import Alarm, AlertKind

T = TypeVar("T")
Question = Callable[[Endpoint], Awaitable[T]]

LONGEST_WAIT_S = 5.0
"""How long a question may wait for its turn with an endpoint that asked for fewer requests."""
LAG_WEIGHS = 4
"""How many doublings of latency an endpoint stands back for whose chain is far behind another's."""
RECHECK_S = 5.0
"""A node that keeps no connection open has its chain id checked this often, not with every request."""

_log = structlog.get_logger(__name__)


class Member:
    """`host` is what it counts as when hosts have to agree; `clock` is monotonic seconds."""

    def __init__(
        self, endpoint: Endpoint, *, host: str, chain_id: int, alarm: Alarm, clock: Callable[[], float]
    ) -> None:
        self.endpoint = endpoint
        self.host = host
        self.standing = Standing()
        self.pace = Pace(clock)
        self.faults: Counter[str] = Counter()
        """How many of each kind there were, by the fault's class."""
        self.lags = False
        """Whether its chain was far behind another host's when both were last asked."""
        self.was_lost = False
        """Whether its newest fault was that it could not be reached or said nothing: then a probe may bring it back."""
        self._chain_id = chain_id
        self._alarm = alarm
        self._clock = clock
        self._checked: int | None = None
        """How many connections there were when its chain id was last seen. None: to be seen before anything else."""
        self._checked_at = float("-inf")
        self._keeps_connections = True
        self._checking = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<{self.endpoint.name}: {self.standing}>"

    @property
    def place(self) -> Place:
        return self.standing.place(self._clock())

    @property
    def is_aside(self) -> bool:
        return self.standing.is_aside(self._clock())

    @property
    def is_away(self) -> bool:
        """Put aside because it could not be reached, or said nothing."""
        return self.is_aside and self.was_lost

    @property
    def is_ready(self) -> bool:
        """In service, and would be asked without delay."""
        return self.place is Place.IN_SERVICE and self.pace.wait_s == 0

    @property
    def rank(self) -> tuple[int, bool, int]:
        """Sorts members: the lowest is asked first. One that lags comes before those that do not answer at all, and
        before those that are very slow: what keeps ahead of it may be an invention, and has all the time in the world.
        """
        place, is_aside, slowness = self.standing.rank(self._clock(), wait_s=self.pace.wait_s)
        return place, is_aside, slowness + LAG_WEIGHS * self.lags

    async def ask(
        self, question: Question[T], *, slow: asyncio.Future[None] | None = None, patiently: bool = True
    ) -> T:
        """Put `question` to this endpoint; `slow` is done when it takes longer than this endpoint usually does.

        Only waiting for the node counts as taking long, not what the question does in between. Not `patiently`, an
        endpoint that is aside is not waited for any longer than it usually took. An answer that came over a new
        connection is held back until the chain id was seen again: another node may have given it. Raises an
        `EndpointFault`, which is noted - but for a `ProofFailed`, which the caller has to judge - or `JsonRpcError`.
        """
        limit_s = None if patiently or not self.is_aside else self.standing.patience_s
        asking = _Asking(slow=slow, sent_at=self._clock(), longest_wait_s=limit_s or LONGEST_WAIT_S)
        endpoint = self.endpoint.within(partial(self._exchange, asking))
        try:
            async with _limited(self.endpoint.name, limit_s if self.was_lost else None):
                if self._checked is None:
                    await self._check_chain(endpoint)
                answer = await question(endpoint)
                if self._checked != self.endpoint.connections and self._is_check_due():
                    await self._check_chain(endpoint)
                self.pace.answered()
                return answer
        except ProofFailed:
            raise
        except (Missing, JsonRpcError):
            self.pace.answered()
            raise
        except EndpointFault as fault:
            if isinstance(fault, Throttled) and not isinstance(fault, Resting):
                self.pace.throttled(sent_at=asking.sent_at, retry_after_s=fault.retry_after_s)
            self.blame(fault)
            raise

    def forget_chain(self) -> None:
        """Have the chain id checked again before anything else."""
        self._checked = None

    def blame(self, fault: EndpointFault, *, is_lie: bool = True) -> None:
        """Note a fault. A failed proof, or another chain, is a lie - unless all others fail alike, says `is_lie`."""
        if isinstance(fault, Missing | Resting | Crowded):
            return  # not knowing a transaction is no fault, a lagging node says so itself, and memory is our own
        now, was_aside = self._clock(), self.is_aside
        self.faults[type(fault).__name__] += 1
        self.was_lost = isinstance(fault, Unreachable | TimedOut)
        if isinstance(fault, Unreachable):
            self._checked = None  # whatever answers there next may be another node
        if isinstance(fault, Throttled):
            self.standing = self.standing.throttled(now)
        elif isinstance(fault, ProofFailed | WrongChain) and is_lie:
            self.standing = self.standing.lied(now)
            self._alarm.raise_(AlertKind.ENDPOINT_LIED, self._chain_id, subject=self.endpoint.name, detail=fault.detail)
        else:
            self.standing = self.standing.faulted(now)
        if not (was_aside and self.was_lost):  # a node that is away is told once, not with every probe
            _log.warning(
                "endpoint put aside" if self.is_aside else "endpoint slowed down",
                endpoint=fault.endpoint,
                reason=fault.detail,
                for_s=round(max(self.standing.aside_until - now, self.pace.wait_s), 3),
            )

    def credit(self, *, proven: bool) -> None:
        """Note that an answer passed its check."""
        was_doubted = self.standing.lies > 0
        self.standing = self.standing.answered(proven=proven)
        self.was_lost = False
        if was_doubted and not self.standing.lies:
            _log.info("endpoint trusted again", endpoint=self.endpoint.name)
            self._alarm.clear(AlertKind.ENDPOINT_LIED, self._chain_id, subject=self.endpoint.name)

    @asynccontextmanager
    async def _exchange(self, asking: _Asking, calls: int) -> AsyncIterator[None]:
        """Around each exchange: wait for its place, and take the time."""
        wait_s = self.pace.reserve(calls, longest_s=asking.longest_wait_s)
        if wait_s is None:
            raise Resting(self.endpoint.name, retry_after_s=self.pace.wait_s)
        if wait_s:
            await asyncio.sleep(wait_s)
        asking.sent_at = self._clock()
        timer = asyncio.get_running_loop().call_later(self.standing.patience_s, asking.is_slow)
        try:
            yield
        except asyncio.CancelledError:
            if asking.slow is not None:  # given up because another was faster
                now = self._clock()
                self.standing = self.standing.outlasted(now - asking.sent_at, now)
            raise
        else:
            now = self._clock()
            self.standing = self.standing.measured(now - asking.sent_at, now)
        finally:
            timer.cancel()

    def _is_check_due(self) -> bool:
        return self._keeps_connections or self._clock() - self._checked_at >= RECHECK_S

    async def _check_chain(self, endpoint: Endpoint) -> None:
        async with self._checking:
            before = self.endpoint.connections
            if self._checked == before:
                return  # another question saw to it meanwhile
            got = read_quantity(await endpoint.call(reads.chain_id()))
            if got != self._chain_id:
                raise WrongChain(self.endpoint.name, expected=self._chain_id, got=got)
            self._keeps_connections = self._checked is None or self.endpoint.connections == before
            self._checked = self.endpoint.connections
            self._checked_at = self._clock()


@asynccontextmanager
async def _limited(name: str, limit_s: float | None) -> AsyncIterator[None]:
    if limit_s is None:
        yield
        return
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise TimedOut(name, f"still no answer within {limit_s:.3f} s") from error


@dataclass
class _Asking:
    """One question on its way. `sent_at` is when its newest request left."""

    slow: asyncio.Future[None] | None
    sent_at: float
    longest_wait_s: float

    def is_slow(self) -> None:
        if self.slow is not None and not self.slow.done():
            self.slow.set_result(None)
