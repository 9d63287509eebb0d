"""Several endpoints as one: the best is asked first, a second one too where it is slow, and the next where it fails.

Callers hand over a question - an async function of one endpoint - so that checking an answer (proving a block, say)
is part of asking for it: an answer that fails its check counts against the endpoint like no answer at all. A question
may be on its way to two endpoints at once, so it changes nothing but what may be changed twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import structlog

from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.errors import EndpointFault, JsonRpcError, Missing, NoEndpointAnswered, ProofFailed
from openpay.chain.heads import HeadHints
from openpay.chain.http import open_session
from openpay.chain.member import Member, Question
from openpay.chain.pacing import HedgeBudget
from openpay.chain.probing import keep_probing
from openpay.chain.race import race
from openpay.chain.rpc import Call, Endpoint
from openpay.chain.standing import Place
from openpay.chain.transport import DEFAULT_TIMEOUT_S, TransportKind
from openpay.domain.alerts import Alarm, AlertKind, Silent

T = TypeVar("T")

MOST_BLOCKS_BEHIND = 5
"""Of one host behind another, without being asked after it: nodes hear of a block at different times."""
UNREADABLE_AFTER_S = 30.0
"""For so long no question was answered: an alert. Shorter is a restart."""

_log = structlog.get_logger(__name__)


class HostWord(Enum):
    """What one host says about a block's hash at a height."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    NOT_YET = "not yet"
    """The host itself does not call that height final yet: its word could still change."""
    SILENT = "silent"


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What every host says about one block. `words` maps host:port to its word, `finalized` to the height that its own
    tag names, for those that were asked and have one."""

    words: dict[str, HostWord]
    finalized: Mapping[str, int] = field(default_factory=dict)

    @property
    def final_for_two(self) -> int | None:
        """The height that two hosts call final at least, or the one that is configured; None while too few say."""
        needed = min(2, len(self.words))
        return sorted(self.finalized.values())[-needed] if len(self.finalized) >= needed else None

    @property
    def confirmed(self) -> bool:
        """Enough hosts agree - two, or one where only one is configured - and none disagrees."""
        return self._count(HostWord.AGREES) >= min(2, len(self.words)) and not self.contradicted

    @property
    def contradicted(self) -> bool:
        """Some host calls another block final at that height. Money must not move, whatever the others say."""
        return self._count(HostWord.DISAGREES) > 0

    @property
    def unanswered(self) -> bool:
        """No second host said anything at all, as opposed to "not yet" or "no"."""
        return len(self.words) > 1 and self._count(HostWord.SILENT) >= len(self.words) - 1

    def __str__(self) -> str:
        return ", ".join(f"{host} {word.value}" for host, word in sorted(self.words.items()))

    def _count(self, word: HostWord) -> int:
        return sum(each is word for each in self.words.values())


@dataclass(frozen=True, kw_only=True)
class EndpointState:
    """An endpoint as it is seen from outside. `latency_s` is a moving average, None before the first answer."""

    endpoint: str
    transport: TransportKind
    place: Place
    latency_s: float | None
    calls_per_s: float | None
    """What it bears, in its own words; None while it never asked for fewer requests."""
    faults: Mapping[str, int]
    """How many there were since the start, by the class of the fault."""


class Pool:
    """The nodes of one chain. Make one with `connect`.

    `has_finalized_tag` and `stalled_finality_confirmations` are as in `openpay.domain.chains.Chain`; `clock` is
    monotonic seconds.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        chain_id: int,
        has_finalized_tag: bool = True,
        stalled_finality_confirmations: int = 240,
        alarm: Alarm | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not endpoints:
            raise ValueError("a pool needs at least one endpoint")
        self._alarm = alarm or Silent()
        self._members = [
            Member(endpoint, host=_host_of(endpoint, endpoints), chain_id=chain_id, alarm=self._alarm, clock=clock)
            for endpoint in endpoints
        ]
        self._chain_id = chain_id
        self._has_finalized_tag = has_finalized_tag
        self._stalled_finality_confirmations = stalled_finality_confirmations
        self._clock = clock
        self._hedges = HedgeBudget()
        self._unanswered_since: float | None = None
        self._is_unreadable = False

    @property
    def hosts(self) -> frozenset[str]:
        """The distinct host:port names. Two URLs on one host are one witness."""
        return frozenset(member.host for member in self._members)

    @property
    def members(self) -> Sequence[Member]:
        """The endpoints with their standing, as they were configured."""
        return self._members

    def states(self) -> list[EndpointState]:
        """How each endpoint does, as they were configured. Of two on one host each has its own."""
        return [
            EndpointState(
                endpoint=member.endpoint.name,
                transport=member.endpoint.transport,
                place=member.place,
                latency_s=member.standing.latency_s,
                calls_per_s=member.pace.rate_per_s,
                faults=dict(member.faults),
            )
            for member in self._members
        ]

    async def ask(self, question: Question[T], *, proven: bool = False) -> T:
        """Put `question` to one endpoint after another until one answers.

        The fastest in good standing comes first; those put aside, and after them those that lied, are asked only when
        no other answered (proofs protect from what they say). A revert is an answer and is raised at once; another
        JSON-RPC error is raised when no endpoint gave an answer. `proven` says that the question lets nothing pass but
        what is proven, which is how an endpoint that lied earns its trust back. Raises `NoEndpointAnswered` or
        `JsonRpcError`.
        """
        outcome = await race(self._in_order(), question, self._hedges)
        if outcome.won is not None:
            self._judge(outcome.faults, is_answered=True)
            outcome.won.member.credit(proven=proven)
            self._note_answer()
            return outcome.won.answer
        self._judge(outcome.faults, is_answered=False)
        if outcome.refusal is not None:
            self._note_answer()
            raise outcome.refusal
        error = NoEndpointAnswered({member.endpoint.name: fault for member, fault in outcome.faults})
        if outcome.is_answer:
            self._note_answer()
        else:
            self._note_silence(error)
        raise error

    async def call(self, call: Call[T]) -> T:
        """`ask` one thing of any endpoint."""
        return await self.ask(lambda endpoint: endpoint.call(call))

    async def find(self, call: Call[T]) -> T | None:
        """Like `call`, with None when an endpoint answered `null` and none had more to say."""
        try:
            return await self.call(call)
        except NoEndpointAnswered as error:
            if error.is_missing:
                return None
            raise

    async def batch(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """`ask` several things of one and the same endpoint, in one request."""
        return await self.ask(lambda endpoint: endpoint.batch(calls))

    async def ask_hosts(self, question: Question[T]) -> dict[str, T | EndpointFault | JsonRpcError]:
        """Put `question` to every host, for what one alone must not decide. Maps host:port to its answer or failure.

        Of two URLs on one host, the one in better standing speaks, and the other when that one does not answer. A
        host that is away is not waited for longer than it usually takes, or it would hold up every such question.
        """
        failed_proofs: list[tuple[Member, EndpointFault]] = []

        async def host_word(members: list[Member]) -> T | EndpointFault | JsonRpcError:
            first, *others = members
            try:
                word = await first.ask(question, patiently=False)
            except JsonRpcError as refusal:
                return refusal
            except EndpointFault as fault:
                failed_proofs.append((first, fault))
                return await host_word(others) if others else fault
            if first.is_away:
                first.credit(proven=False)  # it is back
            return word

        by_host: dict[str, list[Member]] = {}
        for member in self._in_order():
            by_host.setdefault(member.host, []).append(member)
        words = await asyncio.gather(*(host_word(members) for members in by_host.values()))
        self._judge(
            failed_proofs, is_answered=any(not isinstance(word, EndpointFault | JsonRpcError) for word in words)
        )
        return dict(zip(by_host, words, strict=True))

    async def second_host(self, number: int, block_hash: bytes) -> Agreement:
        """Ask every host for its hash at height `number`.

        A host's word counts at or below what it calls finalized, or, while that stands still, at great depth.
        """
        said = await self.ask_hosts(lambda endpoint: self._word(endpoint, number, block_hash))
        words = {host: word if isinstance(word, tuple) else (HostWord.SILENT, None) for host, word in said.items()}
        return Agreement(
            words={host: word for host, (word, _) in words.items()},
            finalized={host: finalized for host, (_, finalized) in words.items() if finalized is not None},
        )

    def note_heights(self, heights: Mapping[str, int]) -> None:
        """Note how high each host says its chain is, all asked at the same time: those far behind are asked last.

        A host that is not named gave no answer, and is not judged by its height.
        """
        highest = max(heights.values(), default=0)
        for member in self._members:
            member.lags = highest - heights.get(member.host, highest) > MOST_BLOCKS_BEHIND

    def blame(self, fault: EndpointFault) -> None:
        """Note a fault that was found in an answer after its question was over."""
        for member in self._members:
            if member.endpoint.name == fault.endpoint:
                member.blame(fault)

    @asynccontextmanager
    async def heads(self, *, block_interval_s: float) -> AsyncIterator[HeadHints]:
        """Hints of new blocks, for as long as the context lasts, from the nodes that can be listened to: perhaps none.

        They say when to look, and nothing else; looking without them must go on.
        """
        hints = HeadHints(block_interval_s=block_interval_s, clock=self._clock)
        listeners = [member.endpoint.listener(hints, newest=self._newest) for member in self._members]
        tasks = [_in_background(listener.run()) for listener in listeners if listener is not None]
        try:
            yield hints
        finally:
            await _cancel(tasks)

    async def _newest(self) -> int:
        return read_quantity(await self.call(reads.newest_height()))

    async def _word(self, endpoint: Endpoint, number: int, block_hash: bytes) -> tuple[HostWord, int | None]:
        """What a host says of a block, and what it calls final."""
        tags: list[reads.Tag] = ["latest", "finalized"] if self._has_finalized_tag else []
        try:
            header, *tagged = await endpoint.batch([reads.header(number), *(reads.header(tag) for tag in tags)])
        except Missing:
            return HostWord.NOT_YET, None
        word = HostWord.AGREES if read_bytes(header.hash) == block_hash else HostWord.DISAGREES
        if not tagged:
            return word, None
        latest, finalized = (read_quantity(each.number) for each in tagged)
        if number > max(finalized, latest - self._stalled_finality_confirmations + 1):
            word = HostWord.NOT_YET
        return word, finalized

    def _in_order(self) -> list[Member]:
        return sorted(self._members, key=lambda member: member.rank)

    def _judge(self, faults: Sequence[tuple[Member, EndpointFault]], *, is_answered: bool) -> None:
        """Note the failed proofs among `faults`.

        They are lies where another endpoint answered the same question, or only one host was caught. Where several
        hosts fail and none succeeds, it may be that the chain's format changed: then they are faults like others.
        """
        failed = [(member, fault) for member, fault in faults if isinstance(fault, ProofFailed)]
        is_lie = is_answered or len({member.host for member, _ in failed}) == 1
        for member, fault in failed:
            member.blame(fault, is_lie=is_lie)

    def _note_answer(self) -> None:
        self._unanswered_since = None
        if self._is_unreadable:
            self._is_unreadable = False
            self._alarm.clear(AlertKind.CHAIN_UNREADABLE, self._chain_id)

    def _note_silence(self, error: NoEndpointAnswered) -> None:
        now = self._clock()
        if self._unanswered_since is None:
            self._unanswered_since = now
        if now - self._unanswered_since >= UNREADABLE_AFTER_S:
            self._is_unreadable = True
            self._alarm.raise_(AlertKind.CHAIN_UNREADABLE, self._chain_id, detail=str(error))


@asynccontextmanager
async def connect(
    urls: Sequence[str],
    *,
    chain_id: int,
    has_finalized_tag: bool = True,
    stalled_finality_confirmations: int = 240,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    alarm: Alarm | None = None,
) -> AsyncIterator[Pool]:
    """A pool over `urls` - http, https, ws or wss - for as long as the context lasts.

    Connects lazily: a node that is down is no error here. Endpoints out of service are probed in the background.
    """
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session())
        endpoints = [Endpoint(url, session, timeout_s=timeout_s) for url in urls]
        for endpoint in endpoints:
            stack.push_async_callback(endpoint.close)
        pool = Pool(
            endpoints,
            chain_id=chain_id,
            has_finalized_tag=has_finalized_tag,
            stalled_finality_confirmations=stalled_finality_confirmations,
            alarm=alarm,
        )
        stack.push_async_callback(_cancel, [_in_background(keep_probing(pool.members))])
        yield pool


def _host_of(endpoint: Endpoint, endpoints: Sequence[Endpoint]) -> str:
    """What an endpoint counts as when hosts have to agree.

    A node commonly serves HTTP on one port and WebSocket on another: the latter is no second witness.
    """
    if endpoint.transport is TransportKind.WEBSOCKET:
        for other in endpoints:
            if other.transport is TransportKind.HTTP and other.url.host == endpoint.url.host:
                return other.name
    return endpoint.name


def _in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task whose end by anything but cancelation is told: it is a fault of ours."""

    def tell(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.error("the pool goes on without one of its tasks", exc_info=task.exception())

    task = asyncio.create_task(work)
    task.add_done_callback(tell)
    return task


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
