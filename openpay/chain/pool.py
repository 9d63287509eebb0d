"""Several endpoints as one: the healthiest is asked first, a faulty one is put aside and the next asked.

Callers hand over a question - an async function of one endpoint - so that checking an answer (proving a block, say)
is part of asking for it: an answer that fails its check counts against the endpoint like no answer at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import structlog

from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.errors import (
    EndpointFault,
    JsonRpcError,
    Missing,
    NoEndpointAnswered,
    Throttled,
    Unreachable,
    WrongChain,
)
from openpay.chain.http import open_session
from openpay.chain.rpc import Call, Endpoint
from openpay.chain.transport import DEFAULT_TIMEOUT_S

T = TypeVar("T")
Question = Callable[[Endpoint], Awaitable[T]]

FIRST_COOL_DOWN_S = 10.0
LONGEST_COOL_DOWN_S = 300.0

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
    """What every host says about one block. `words` maps host:port to its word."""

    words: dict[str, HostWord]

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


@dataclass(kw_only=True)
class _Member:
    """An endpoint's standing. `aside_until` is in the pool's own clock."""

    endpoint: Endpoint
    faults_in_a_row: int = 0
    last_fault_at: float = float("-inf")
    aside_until: float = float("-inf")
    chain_checked: bool = False
    """Whether its chain id was seen since the last (re)connection. An unchecked endpoint answers nothing."""

    def restore(self) -> None:
        """Back in good standing, for an answer that passed its check. A mere word as a witness does not count."""
        self.faults_in_a_row = 0
        self.aside_until = float("-inf")


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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not endpoints:
            raise ValueError("a pool needs at least one endpoint")
        self._members = [_Member(endpoint=endpoint) for endpoint in endpoints]
        self._chain_id = chain_id
        self._has_finalized_tag = has_finalized_tag
        self._stalled_finality_confirmations = stalled_finality_confirmations
        self._clock = clock

    @property
    def hosts(self) -> frozenset[str]:
        """The distinct host:port names. Two URLs on one host are one witness."""
        return frozenset(member.endpoint.name for member in self._members)

    async def ask(self, question: Question[T]) -> T:
        """Put `question` to one endpoint after another until one answers.

        Those in good standing come first, the one whose last fault is oldest at their head; those put aside are asked
        only when no other answered (proofs protect from what they say). A revert is an answer and is raised at once;
        another JSON-RPC error is raised when no endpoint gave an answer. Raises `NoEndpointAnswered` or `JsonRpcError`.
        """
        faults: dict[str, EndpointFault] = {}
        refusal: JsonRpcError | None = None
        for member in self._in_order():
            try:
                answer = await self._ask_member(member, question)
            except JsonRpcError as error:
                if error.is_revert:
                    raise
                refusal = error
            except EndpointFault as fault:
                faults[member.endpoint.name] = fault
            else:
                member.restore()
                return answer
        raise refusal or NoEndpointAnswered(faults)

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

        Of two URLs on one host, the one in better standing speaks, and the other when that one does not answer.
        """

        async def host_word(members: list[_Member]) -> T | EndpointFault | JsonRpcError:
            first, *others = members
            try:
                return await self._ask_member(first, question)
            except JsonRpcError as refusal:
                return refusal
            except EndpointFault as fault:
                return await host_word(others) if others else fault

        by_host: dict[str, list[_Member]] = {}
        for member in self._in_order():
            by_host.setdefault(member.endpoint.name, []).append(member)
        words = await asyncio.gather(*(host_word(members) for members in by_host.values()))
        return dict(zip(by_host, words, strict=True))

    async def second_host(self, number: int, block_hash: bytes) -> Agreement:
        """Ask every host for its hash at height `number`.

        A host's word counts at or below what it calls finalized, or, while that stands still, at great depth.
        """
        words = await self.ask_hosts(lambda endpoint: self._word(endpoint, number, block_hash))
        return Agreement(
            words={host: word if isinstance(word, HostWord) else HostWord.SILENT for host, word in words.items()}
        )

    async def _word(self, endpoint: Endpoint, number: int, block_hash: bytes) -> HostWord:
        tags: list[reads.Tag] = ["latest", "finalized"] if self._has_finalized_tag else []
        try:
            header, *tagged = await endpoint.batch([reads.header(number), *(reads.header(tag) for tag in tags)])
        except Missing:
            return HostWord.NOT_YET
        if tagged:
            latest, finalized = (read_quantity(each.number) for each in tagged)
            if number > max(finalized, latest - self._stalled_finality_confirmations + 1):
                return HostWord.NOT_YET
        return HostWord.AGREES if read_bytes(header.hash) == block_hash else HostWord.DISAGREES

    def _in_order(self) -> list[_Member]:
        now = self._clock()
        return sorted(self._members, key=lambda member: (member.aside_until > now, member.last_fault_at))

    async def _ask_member(self, member: _Member, question: Question[T]) -> T:
        try:
            if not member.chain_checked:
                await self._check_chain(member)
            return await question(member.endpoint)
        except Missing:
            raise  # not knowing a transaction is no fault, and a lagging node says so itself
        except EndpointFault as fault:
            self._put_aside(member, fault)
            raise

    async def _check_chain(self, member: _Member) -> None:
        got = read_quantity(await member.endpoint.call(reads.chain_id()))
        if got != self._chain_id:
            raise WrongChain(member.endpoint.name, expected=self._chain_id, got=got)
        member.chain_checked = True

    def _put_aside(self, member: _Member, fault: EndpointFault) -> None:
        wished_s = (fault.retry_after_s or 0.0) if isinstance(fault, Throttled) else 0.0
        cool_down_s = min(max(FIRST_COOL_DOWN_S * 2**member.faults_in_a_row, wished_s), LONGEST_COOL_DOWN_S)
        member.faults_in_a_row += 1
        member.last_fault_at = self._clock()
        member.aside_until = member.last_fault_at + cool_down_s
        if isinstance(fault, Unreachable):
            member.chain_checked = False  # whatever answers there next may be another node
        _log.warning("endpoint put aside", endpoint=fault.endpoint, reason=fault.detail, for_s=cool_down_s)


@asynccontextmanager
async def connect(
    urls: Sequence[str],
    *,
    chain_id: int,
    has_finalized_tag: bool = True,
    stalled_finality_confirmations: int = 240,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> AsyncIterator[Pool]:
    """A pool over `urls` for as long as the context lasts. Connects lazily: a node that is down is no error here."""
    async with open_session() as session:
        endpoints = [Endpoint(url, session, timeout_s=timeout_s) for url in urls]
        yield Pool(
            endpoints,
            chain_id=chain_id,
            has_finalized_tag=has_finalized_tag,
            stalled_finality_confirmations=stalled_finality_confirmations,
        )
