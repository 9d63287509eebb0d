"""Several endpoints as one: the best is asked first, a second one too where it is slow, and the next where it fails.

Callers hand over a question - an async function of one endpoint - so that checking an answer (proving a block, say)
is part of asking for it: an answer that fails its check counts against the endpoint like no answer at all. A question
may be on its way to two endpoints at once, so it changes nothing but what may be changed twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Container, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.errors import EndpointFault, JsonRpcError, Missing, NoEndpointAnswered, ProofFailed, TimedOut
from openpay.chain.heads import HeadHints
from openpay.chain.http import open_session
from openpay.chain.member import Member, Question
from openpay.chain.pacing import HedgeBudget
from openpay.chain.poll import Poll
from openpay.chain.probing import keep_probing
from openpay.chain.race import race
from openpay.chain.rpc import Call, Endpoint
from openpay.chain.standing import Place
from openpay.chain.transport import DEFAULT_TIMEOUT_S, TransportKind
from openpay.chain.words import NEEDED, SILENCE, Agreement, HostWord, Testimony
from openpay.domain.alerts import Alarm, AlertKind, Silent
from openpay.domain.chains import Chain

T = TypeVar("T")

MOST_BLOCKS_BEHIND = 5
"""Of one host behind another, without being asked after it: nodes hear of a block at different times."""
UNREADABLE_AFTER_S = 30.0
"""For so long no question was answered: an alert. Shorter is a restart."""

_log = structlog.get_logger(__name__)


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
        self._asking: set[asyncio.Task[Any]] = set()
        """Hosts' words that are still on their way."""

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
        return await self.look(lambda endpoint: endpoint.call(call))

    async def look(self, question: Question[T]) -> T | None:
        """Like `ask`, with None when an endpoint answered `null` and none had more to say."""
        try:
            return await self.ask(question)
        except NoEndpointAnswered as error:
            if error.is_missing:
                return None
            raise

    async def batch(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """`ask` several things of one and the same endpoint, in one request."""
        return await self.ask(lambda endpoint: endpoint.batch(calls))

    async def ask_hosts(
        self, question: Question[T], *, grace_s: float | None = None
    ) -> dict[str, T | EndpointFault | JsonRpcError]:
        """Put `question` to every host, for what one alone must not decide. Maps host:port to its answer or failure.

        A host that is away is not waited for longer than it usually takes, or it would hold up every such question.
        With `grace_s`, once two hosts have answered the others are not waited for after so many seconds.
        """
        poll = self.poll(question)
        try:
            await poll.wait(
                until=lambda: grace_s is not None and sum(map(_is_answer, poll.words.values())) >= NEEDED,
                grace_s=grace_s or 0.0,
            )
            words = poll.words
        finally:
            await poll.give_up()
        return {host: words.get(host, TimedOut(host, "others answered sooner")) for host in poll.hosts}

    def poll(self, question: Question[T], *, apart_from: Container[str] = ()) -> Poll[T]:
        """Begin to put `question` to every host, `apart_from` some. It goes on until it is given up, or the pool ends.

        Of two URLs on one host, the one in better standing speaks, and the other when that one does not answer.
        """
        failed_proofs: list[tuple[Member, EndpointFault]] = []
        answered: list[str] = []

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
            answered.append(first.host)
            return word

        by_host: dict[str, list[Member]] = {}
        for member in self._in_order():
            if member.host not in apart_from:
                by_host.setdefault(member.host, []).append(member)
        unheard = set(by_host)

        async def heard(host: str) -> T | EndpointFault | JsonRpcError:
            try:
                return await host_word(by_host[host])
            finally:
                unheard.discard(host)
                if not unheard:
                    self._judge(failed_proofs, is_answered=bool(answered))

        tasks = {host: asyncio.create_task(heard(host)) for host in by_host}
        self._asking.update(tasks.values())
        for task in tasks.values():
            task.add_done_callback(self._asking.discard)
        return Poll(tasks)

    async def second_host(self, number: int, block_hash: bytes, *, grace_s: float | None = None) -> Agreement:
        """Ask every host for its hash at height `number`. `grace_s` as in `ask_hosts`."""
        said = await self.ask_hosts(self.testimony(number, block_hash), grace_s=grace_s)
        return Agreement.of({host: word if isinstance(word, Testimony) else SILENCE for host, word in said.items()})

    def testimony(self, number: int, block_hash: bytes) -> Question[Testimony]:
        """The question what a host says of a block, and what it calls final.

        Its word counts at or below what it calls finalized, or, while that stands still, at great depth.
        """
        tags: list[reads.Tag] = ["latest", "finalized"] if self._has_finalized_tag else ["latest"]

        async def ask(endpoint: Endpoint) -> Testimony:
            try:
                header, *tagged = await endpoint.batch([reads.header(number), *(reads.header(tag) for tag in tags)])
            except Missing:
                return await self._unknown(endpoint, tags)
            newest, *finalized = (read_quantity(each.number) for each in tagged)
            own = read_bytes(header.hash)
            word = HostWord.AGREES if own == block_hash else HostWord.DISAGREES
            if finalized and number > max(finalized[0], newest - self._stalled_finality_confirmations + 1):
                word = HostWord.NOT_YET
            return Testimony(
                word=word,
                hash=own,
                finalized=finalized[0] if finalized else None,
                newest=(newest, read_bytes(tagged[0].hash)),
            )

        return ask

    async def close(self) -> None:
        """End all asking that still goes on."""
        await _cancel(list(self._asking))

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

    async def _unknown(self, endpoint: Endpoint, tags: Sequence[reads.Tag]) -> Testimony:
        """The word of a host that has no block at a height: it is behind, and still says how far it is."""
        try:
            newest, *finalized = await endpoint.batch([reads.header(tag) for tag in tags])
        except Missing:
            return Testimony(word=HostWord.NOT_YET)
        return Testimony(
            word=HostWord.NOT_YET,
            finalized=read_quantity(finalized[0].number) if finalized else None,
            newest=(read_quantity(newest.number), read_bytes(newest.hash)),
        )

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
        stack.push_async_callback(pool.close)
        stack.push_async_callback(_cancel, [_in_background(keep_probing(pool.members))])
        yield pool


def connect_to(
    chain: Chain, urls: Sequence[str], *, timeout_s: float = DEFAULT_TIMEOUT_S, alarm: Alarm | None = None
) -> AbstractAsyncContextManager[Pool]:
    """Like `connect`, with what `chain` says of itself: its id, and how it tells what is final."""
    return connect(
        urls,
        chain_id=chain.chain_id,
        has_finalized_tag=chain.has_finalized_tag,
        stalled_finality_confirmations=chain.stalled_finality_confirmations,
        timeout_s=timeout_s,
        alarm=alarm,
    )


def _host_of(endpoint: Endpoint, endpoints: Sequence[Endpoint]) -> str:
    """What an endpoint counts as when hosts have to agree.

    A node commonly serves HTTP on one port and WebSocket on another: the latter is no second witness.
    """
    if endpoint.transport is TransportKind.WEBSOCKET:
        for other in endpoints:
            if other.transport is TransportKind.HTTP and other.url.host == endpoint.url.host:
                return other.name
    return endpoint.name


def _is_answer(word: object) -> bool:
    """Whether a host's word says something: a revert does, another refusal does not."""
    return not isinstance(word, EndpointFault | JsonRpcError) or (isinstance(word, JsonRpcError) and word.is_revert)


def _in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task whose end by anything but cancelation is told: it is a fault of ours."""

    def tell(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.error("the pool goes on without one of its tasks", exc_info=task.exception())

    task = asyncio.create_task(work)
    task.add_done_callback(tell)
    return task


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
