"""One JSON-RPC endpoint over HTTP: typed answers, timeouts, a size limit, batches, and faults told apart."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import aiohttp
import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from yarl import URL

from openpay.chain.errors import BadAnswer, JsonRpcError, Missing, Throttled, TimedOut, Unreachable, Unreadable

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 10.0
"""For one whole request, connecting included."""
MAX_ANSWER_BYTES = 64 * 2**20
"""Far above the largest block (a 55 M gas block of nothing but logs is about 20 MB of JSON)."""
READ_BUFFER_BYTES = 2**20

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises; the last for an answer nested thousands of levels deep."""

IDS_PER_REQUEST = 2**16
"""Request k (from 0) has the ids k * 2^16 + 1 and following, one for each call: any id tells the request it is of."""
_FIRST_ID = re.compile(rb'\s*\[?\s*\{(?:\s*"jsonrpc"\s*:\s*"2\.0"\s*,)?\s*"id"\s*:\s*(\d{1,18})\s*[,}]')

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
        self._sequence = itertools.count()
        self.name = f"{self._url.host}:{self._url.port}"

    async def call(self, call: Call[T]) -> T:
        """Ask once. Raises an `EndpointFault` or `JsonRpcError`; never retries."""
        first_id = self._take_ids()
        body = await self._exchange(msgspec.json.encode(_request(call, first_id)), first_id)
        answer: T = decode(body, [call], endpoint=self.name, as_batch=False)[0]
        return answer

    async def batch(self, calls: Sequence[Call[Any]], *, turn: asyncio.Event | None = None) -> list[Any]:
        """Ask several things in one request; answers in the order of `calls`. The first that failed is raised.

        With `turn`, an answer that has arrived is decoded only once that is set: until then it is bytes, a fraction of
        the size.
        """
        if not calls:
            return []
        body = await self.fetch(calls)
        if turn is not None:
            await turn.wait()
        return self.decode(body, calls)

    async def fetch(self, calls: Sequence[Call[Any]]) -> bytes:
        """Like `batch`, but the answer as it came: complete, within the size limit, and to this very request.

        What it says is looked at by `decode`, here or elsewhere, now or later.
        """
        first_id = self._take_ids()
        requests = [_request(call, first_id + index) for index, call in enumerate(calls)]
        return await self._exchange(msgspec.json.encode(requests), first_id)

    def decode(self, body: bytes, calls: Sequence[Call[Any]]) -> list[Any]:
        """The answers in a body that `fetch` brought for the same `calls`. Raises as `batch` does."""
        return decode(body, calls, endpoint=self.name)

    def _take_ids(self) -> int:
        return next(self._sequence) * IDS_PER_REQUEST + 1

    async def _exchange(self, request: bytes, first_id: int) -> bytes:
        body = await self._post(request)
        answered = request_of(body)
        if answered is not None and answered != first_id // IDS_PER_REQUEST:
            raise BadAnswer(self.name, f"answered another request: {body[:80]!r}")
        return body

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


def decode(body: bytes, calls: Sequence[Call[Any]], *, endpoint: str, as_batch: bool = True) -> list[Any]:
    """The answers in `body`, in the order of `calls`; `endpoint` is named in what is raised.

    Needs nothing but its arguments, so it may run in another process. Raises `BadAnswer`, `Missing`, `Throttled` or
    `JsonRpcError`.
    """
    answers = _decode_at_once(body, calls, as_batch=as_batch)
    if answers is None:
        answers = _decode_patiently(body, calls, endpoint)
    return [_result(call, answer, endpoint) for call, answer in zip(calls, answers, strict=True)]


def request_of(body: bytes) -> int | None:
    """Which request a body answers, None when that is not to be seen in it.

    Found in the first bytes as nearly every node writes them; otherwise the whole is scanned.
    """
    match = _FIRST_ID.match(body)
    if match is not None:
        return int(match[1]) // IDS_PER_REQUEST
    try:
        rows = msgspec.json.decode(body, type=list[_Id] | _Id)
    except _UNREADABLE:
        return None
    first = (rows[0] if rows else _Id()) if isinstance(rows, list) else rows
    return first.id // IDS_PER_REQUEST if isinstance(first.id, int) else None


def _request(call: Call[Any], request_id: int) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": request_id, "method": call.method, "params": call.params}


def _decode_at_once(body: bytes, calls: Sequence[Call[Any]], *, as_batch: bool) -> Sequence[_Answer[Any]] | None:
    """The answers, in one pass, when they come as every node sends them; None when they do not."""
    try:
        decoded = _decoder(tuple(call.answer for call in calls), as_batch).decode(body)
    except _UNREADABLE:
        return None  # an error, a null, another order, or nonsense: to be found out slowly
    answers: Sequence[_Answer[Any]] = decoded if as_batch else (decoded,)
    first = answers[0].id
    is_in_order = isinstance(first, int) and [answer.id for answer in answers] == _ids(first, len(calls))
    return answers if is_in_order else None


def _decode_patiently(body: bytes, calls: Sequence[Call[Any]], endpoint: str) -> Sequence[_Answer[Any]]:
    try:
        rows = msgspec.json.decode(body, type=list[_Answer[Raw]] | _Answer[Raw])
    except _UNREADABLE as error:
        raise BadAnswer(endpoint, f"not JSON-RPC: {error}: {body[:80]!r}") from error
    if isinstance(rows, _Answer):
        # One object in place of a batch is an error about all of it.
        rows = [_Answer(id=1 + index, result=rows.result, error=rows.error) for index in range(len(calls))]
    by_id = {row.id: row for row in rows if isinstance(row.id, int)}
    answers: list[_Answer[Any]] = []
    for call, request_id in zip(calls, _ids(min(by_id, default=1), len(calls)), strict=True):
        row = by_id.get(request_id)
        if row is None:
            raise BadAnswer(endpoint, f"{call.method} was left out of the batch's answers")
        if isinstance(row.result, Raw) and bytes(row.result) != b"null" and row.error is None:
            try:
                result = msgspec.json.decode(row.result, type=call.answer)
            except _UNREADABLE as error:
                raise Unreadable(endpoint, f"{call.method}: {error}: {bytes(row.result)[:80]!r}") from error
            answers.append(_Answer(id=request_id, result=result))
        else:
            answers.append(_Answer(id=request_id, error=row.error))
    return answers


def _ids(any_id: int, count: int) -> list[int]:
    """The ids of a whole request of `count` calls, one of which is `any_id`."""
    first = any_id // IDS_PER_REQUEST * IDS_PER_REQUEST + 1
    return list(range(first, first + count))


def _result(call: Call[T], answer: _Answer[T], endpoint: str) -> T:
    error = answer.error
    if error is not None:
        if error.code in _THROTTLED_CODES:
            raise Throttled(endpoint, retry_after_s=None)
        raise JsonRpcError(
            endpoint, method=call.method, code=error.code, message=error.message, data=_revert_data(error.data)
        )
    if answer.result is UNSET:
        raise Missing(endpoint, f"{call.method} answered null")
    return answer.result


class _Id(Struct, gc=False):
    id: int | str | None = None


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
