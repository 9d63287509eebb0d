"""One JSON-RPC endpoint over HTTP: typed answers, timeouts, a size limit, batches, and faults told apart."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import aiohttp
import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from yarl import URL

from openpay.chain.errors import BadAnswer, JsonRpcError, Missing, Throttled, TimedOut, Unreachable

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 10.0
"""For one whole request, connecting included."""
MAX_ANSWER_BYTES = 64 * 2**20
"""Far above the largest block (a 55 M gas block of nothing but logs is about 20 MB of JSON)."""
READ_BUFFER_BYTES = 2**20

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises; the last for an answer nested thousands of levels deep."""

_THROTTLED_CODES = frozenset({429, -32005, -32097})
"""-32005 is EIP-1474's "limit exceeded"; the others are what providers send instead."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and the type of its answer. A `null` answer is the fault `Missing`, so `answer` never allows None."""

    answer: type[T]
    method: str
    params: tuple[object, ...] = ()


class Endpoint:
    """One node. `name` is its host:port, which is what tells hosts apart and what logs may show."""

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._url = URL(url)
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._max_answer_bytes = max_answer_bytes
        self._ids = itertools.count(1)
        self.name = f"{self._url.host}:{self._url.port}"

    async def call(self, call: Call[T]) -> T:
        """Ask once. Raises an `EndpointFault` or `JsonRpcError`; never retries."""
        (answer,) = await self._exchange([call], as_batch=False)
        result: T = answer
        return result

    async def batch(self, calls: Sequence[Call[Any]], *, turn: asyncio.Event | None = None) -> list[Any]:
        """Ask several things in one request; answers in the order of `calls`. The first that failed is raised.

        With `turn`, an answer that has arrived is decoded only once that is set: until then it is bytes, a fraction of
        the size.
        """
        return await self._exchange(calls, as_batch=True, turn=turn) if calls else []

    async def _exchange(
        self, calls: Sequence[Call[Any]], *, as_batch: bool, turn: asyncio.Event | None = None
    ) -> list[Any]:
        ids = [next(self._ids) for _ in calls]
        requests = [
            {"jsonrpc": "2.0", "id": request_id, "method": call.method, "params": call.params}
            for request_id, call in zip(ids, calls, strict=True)
        ]
        body = await self._post(msgspec.json.encode(requests if as_batch else requests[0]))
        if turn is not None:
            await turn.wait()
        answers = self._decode(body, calls, ids, as_batch=as_batch)
        return [self._result(call, answer) for call, answer in zip(calls, answers, strict=True)]

    async def _post(self, body: bytes) -> bytes:
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers={"content-type": "application/json"},
                timeout=self._timeout,
                allow_redirects=False,
                read_bufsize=READ_BUFFER_BYTES,
            ) as response:
                if response.status == 429:
                    raise Throttled(self.name, retry_after_s=_seconds(response.headers.get("Retry-After")))
                chunks, size = [], 0
                async for chunk in response.content.iter_any():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > self._max_answer_bytes:
                        raise BadAnswer(self.name, f"the answer is larger than {self._max_answer_bytes} bytes")
                received = b"".join(chunks)
                if response.status != 200 and not received.lstrip().startswith((b"{", b"[")):
                    # Some nodes send JSON-RPC errors with an HTTP error status; anything else is a proxy talking.
                    raise BadAnswer(self.name, f"HTTP status {response.status}")
                return received
        except TimeoutError as error:
            raise TimedOut(self.name, f"no answer within {self._timeout.total} s") from error
        except aiohttp.ClientError as error:
            raise Unreachable(self.name, str(error) or type(error).__name__) from error

    def _decode(
        self, body: bytes, calls: Sequence[Call[Any]], ids: list[int], *, as_batch: bool
    ) -> Sequence[_Answer[Any]]:
        """The answers in the order of `calls`, decoded in one pass when they come as every node sends them."""
        try:
            decoded = _decoder(tuple(call.answer for call in calls), as_batch).decode(body)
            answers: Sequence[_Answer[Any]] = decoded if as_batch else (decoded,)
            if [answer.id for answer in answers] == ids:
                return answers
        except _UNREADABLE:
            pass  # an error, a null, another order, or nonsense: find out which, slowly
        return self._decode_patiently(body, calls, ids)

    def _decode_patiently(self, body: bytes, calls: Sequence[Call[Any]], ids: list[int]) -> Sequence[_Answer[Any]]:
        try:
            rows = msgspec.json.decode(body, type=list[_Answer[Raw]] | _Answer[Raw])
        except _UNREADABLE as error:
            raise BadAnswer(self.name, f"not JSON-RPC: {error}: {body[:80]!r}") from error
        if isinstance(rows, _Answer):
            # One object in place of a batch is an error about all of it.
            rows = [_Answer(id=request_id, result=rows.result, error=rows.error) for request_id in ids]
        by_id = {row.id: row for row in rows if isinstance(row.id, int)}
        answers: list[_Answer[Any]] = []
        for call, request_id in zip(calls, ids, strict=True):
            row = by_id.get(request_id)
            if row is None:
                raise BadAnswer(self.name, f"{call.method} was left out of the batch's answers")
            if isinstance(row.result, Raw) and bytes(row.result) != b"null" and row.error is None:
                try:
                    result = msgspec.json.decode(row.result, type=call.answer)
                except _UNREADABLE as error:
                    raise BadAnswer(self.name, f"{call.method}: {error}: {bytes(row.result)[:80]!r}") from error
                answers.append(_Answer(id=request_id, result=result))
            else:
                answers.append(_Answer(id=request_id, error=row.error))
        return answers

    def _result(self, call: Call[T], answer: _Answer[T]) -> T:
        error = answer.error
        if error is not None:
            if error.code in _THROTTLED_CODES:
                raise Throttled(self.name, retry_after_s=None)
            raise JsonRpcError(
                self.name, method=call.method, code=error.code, message=error.message, data=_revert_data(error.data)
            )
        if answer.result is UNSET:
            raise Missing(self.name, f"{call.method} answered null")
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


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in its usual form, whole seconds; its other form, a date, counts as none."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
