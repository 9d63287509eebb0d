"""One JSON-RPC endpoint: typed answers, batches, and faults told apart."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import aiohttp
import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from yarl import URL

from openpay.chain.errors import BadAnswer, JsonRpcError, Missing, Throttled, Unreadable
from openpay.chain.heads import HeadHints, HeadListener
from openpay.chain.http import HttpTransport
from openpay.chain.offers import Offers
from openpay.chain.room import PROCESS_ROOM, AnswerRoom
from openpay.chain.transport import (
    DEFAULT_TIMEOUT_S,
    IDS_PER_REQUEST,
    MAX_ANSWER_BYTES,
    UNREADABLE,
    Transport,
    TransportKind,
    request_of,
)
from openpay.chain.websocket import WebSocketTransport

T = TypeVar("T")

_THROTTLED_CODES = frozenset({429, -32005, -32097})
"""-32005 is EIP-1474's "limit exceeded"; the others are what providers send instead,"""
_THROTTLED_TEXT = re.compile(r"\brate.?limit|\btoo many requests\b|\brequest limit\b", re.IGNORECASE)
"""or they send words only."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and the type of its answer. A `null` answer is the fault `Missing`, so `answer` never allows None."""

    answer: type[T]
    method: str
    params: tuple[object, ...] = ()


Around = Callable[[int], AbstractAsyncContextManager[None]]
"""What surrounds an exchange of so many calls with a node: waiting for leave to send, taking the time."""


def _nothing(calls: int) -> AbstractAsyncContextManager[None]:
    return nullcontext()


class Endpoint:
    """One node. `name` is its host:port, which is what tells hosts apart and what logs may show.

    `room` is where its answers are until they were read.
    """

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        room: AnswerRoom = PROCESS_ROOM,
    ) -> None:
        self.url = URL(url)
        self._session = session
        self._room = room
        self.name = f"{self.url.host}:{self.url.port}"
        transport = WebSocketTransport if self.url.scheme in ("ws", "wss") else HttpTransport
        self._transport: Transport = transport(
            self.url, session, name=self.name, timeout_s=timeout_s, max_answer_bytes=max_answer_bytes
        )
        self.offers = Offers()
        self._around: Around = _nothing
        self._numbers = itertools.count()

    @property
    def transport(self) -> TransportKind:
        return self._transport.kind

    @property
    def connections(self) -> int:
        """How many connections were made so far. What answers on a new one may be another node than before."""
        return self._transport.connections

    async def call(self, call: Call[T]) -> T:
        """Ask once. Raises an `EndpointFault` or `JsonRpcError`; never retries."""
        async with self._exchange([call], as_batch=False) as body:
            answer: T = decode(body, [call], endpoint=self.name, as_batch=False)[0]
            return answer

    async def batch(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Ask several things in one request; answers in the order of `calls`. The first that failed is raised."""
        if not calls:
            return []
        async with self.fetch(calls) as body:
            return self.decode(body, calls)

    def fetch(self, calls: Sequence[Call[Any]]) -> AbstractAsyncContextManager[bytes]:
        """Like `batch`, but the answer as it came: complete, within the size limit, and to this very request.

        What it says is looked at by `decode`, here or elsewhere, now or later. It takes room until the context ends,
        so nobody may be asked for anything within; what is kept longer is for the caller to bound.
        """
        return self._exchange(calls, as_batch=True)

    def decode(self, body: bytes, calls: Sequence[Call[Any]]) -> list[Any]:
        """The answers in a body that `fetch` brought for the same `calls`. Raises as `batch` does."""
        return decode(body, calls, endpoint=self.name)

    def listener(self, hints: HeadHints, *, newest: Callable[[], Awaitable[int]]) -> HeadListener | None:
        """Who listens to this node's announcements of new blocks; None where it has no way to make them."""
        if self.transport is not TransportKind.WEBSOCKET:
            return None
        return HeadListener(self.url, self._session, hints, name=self.name, newest=newest)

    async def close(self) -> None:
        """Let go of connections that are its own."""
        await self._transport.close()

    def within(self, around: Around) -> Endpoint:
        """The same endpoint, over the same connections, with `around` entered for each exchange with the node."""
        other = copy.copy(self)
        other._around = around
        return other

    @asynccontextmanager
    async def _exchange(self, calls: Sequence[Call[Any]], *, as_batch: bool) -> AsyncIterator[bytes]:
        number = next(self._numbers)
        requests = [
            {"jsonrpc": "2.0", "id": request_id, "method": call.method, "params": call.params}
            for request_id, call in zip(_ids(number, len(calls)), calls, strict=True)
        ]
        request = msgspec.json.encode(requests if as_batch else requests[0])
        with self._room.place(self.name) as place:
            async with self._around(len(calls)):
                body = await self._transport.exchange(request, number, place)
            if (answered := request_of(body)) not in (number, None):
                raise BadAnswer(self.name, f"answered request {answered}, not {number}: {body[:80]!r}")
            yield body


def decode(body: bytes, calls: Sequence[Call[Any]], *, endpoint: str, as_batch: bool = True) -> list[Any]:
    """The answers in `body`, in the order of `calls`; `endpoint` is named in what is raised.

    Needs nothing but its arguments, so it may run in another process. Raises `BadAnswer`, `Missing`, `Throttled` or
    `JsonRpcError`.
    """
    answers = _decode_at_once(body, calls, as_batch=as_batch)
    if answers is None:
        answers = _decode_patiently(body, calls, endpoint)
    return [_result(call, answer, endpoint) for call, answer in zip(calls, answers, strict=True)]


def _decode_at_once(body: bytes, calls: Sequence[Call[Any]], *, as_batch: bool) -> Sequence[_Answer[Any]] | None:
    """The answers, in one pass, when they come as every node sends them; None when they do not."""
    try:
        decoded = _decoder(tuple(call.answer for call in calls), as_batch).decode(body)
    except UNREADABLE:
        return None  # an error, a null, another order, or nonsense: to be found out slowly
    answers: Sequence[_Answer[Any]] = decoded if as_batch else (decoded,)
    first = answers[0].id
    number = first // IDS_PER_REQUEST if isinstance(first, int) else 0
    return answers if [answer.id for answer in answers] == _ids(number, len(calls)) else None


def _decode_patiently(body: bytes, calls: Sequence[Call[Any]], endpoint: str) -> Sequence[_Answer[Any]]:
    try:
        rows = msgspec.json.decode(body, type=list[_Answer[Raw]] | _Answer[Raw])
    except UNREADABLE as error:
        raise BadAnswer(endpoint, f"not JSON-RPC: {error}: {body[:80]!r}") from error
    if isinstance(rows, _Answer):
        if rows.id is None and rows.result is UNSET and rows.error is None:
            # What a gateway says of itself, such as {"message": "Forbidden"}: no `null` of the node's.
            raise BadAnswer(endpoint, f"not JSON-RPC: neither result nor error: {body[:80]!r}")
        # One object in place of a batch is an error about all of it.
        rows = [_Answer(id=1 + index, result=rows.result, error=rows.error) for index in range(len(calls))]
    by_id = {row.id: row for row in rows if isinstance(row.id, int)}
    answers: list[_Answer[Any]] = []
    for call, request_id in zip(calls, _ids(min(by_id, default=0) // IDS_PER_REQUEST, len(calls)), strict=True):
        row = by_id.get(request_id)
        if row is None:
            raise BadAnswer(endpoint, f"{call.method} was left out of the batch's answers")
        if isinstance(row.result, Raw) and bytes(row.result) != b"null" and row.error is None:
            try:
                result = msgspec.json.decode(row.result, type=call.answer)
            except UNREADABLE as error:
                raise Unreadable(endpoint, f"{call.method}: {error}: {bytes(row.result)[:80]!r}") from error
            answers.append(_Answer(id=request_id, result=result))
        else:
            answers.append(_Answer(id=request_id, error=row.error))
    return answers


def _ids(number: int, count: int) -> list[int]:
    """The ids of request `number` with `count` calls."""
    first = number * IDS_PER_REQUEST + 1
    return list(range(first, first + count))


def _result(call: Call[T], answer: _Answer[T], endpoint: str) -> T:
    error = answer.error
    if error is not None:
        refusal = JsonRpcError(
            endpoint, method=call.method, code=error.code, message=error.message, data=_revert_data(error.data)
        )
        is_throttled = error.code in _THROTTLED_CODES or _THROTTLED_TEXT.search(error.message) is not None
        if is_throttled and not refusal.is_revert:
            raise Throttled(endpoint, retry_after_s=None)
        raise refusal
    if answer.result is UNSET:
        raise Missing(endpoint, f"{call.method} answered null")
    return answer.result


class _ErrorObject(Struct, gc=False):
    code: int
    message: str = ""
    data: Any = None


class _Answer(Struct, Generic[T], gc=False):
    """A JSON-RPC response. Of a `null` result nothing remains: `result` is then unset, like that of an error."""

    id: int | str | None = None
    result: T | UnsetType = UNSET
    error: _ErrorObject | None = None


@lru_cache(maxsize=256)
def _decoder(types: tuple[type[Any], ...], as_batch: bool) -> msgspec.json.Decoder[Any]:
    if not as_batch:
        return msgspec.json.Decoder(_Answer[types[0]])  # type: ignore[valid-type]
    return msgspec.json.Decoder(tuple[tuple(_Answer[each] for each in types)])  # type: ignore[misc,valid-type]


def _revert_data(data: object) -> bytes:
    """Nodes send revert data as hex text; some prefix it with a word, some wrap it in an object."""
    if isinstance(data, dict):
        data = data.get("data") or data.get("result")
    if isinstance(data, str) and "0x" in data:
        try:
            return bytes.fromhex(data[data.index("0x") + 2 :])
        except ValueError:
            return b""
    return b""
