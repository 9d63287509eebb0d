"""Requests to a node over HTTP, one POST each."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import aiohttp
from aiohttp import TraceConfig, TraceConnectionCreateEndParams
from yarl import URL

from openpay.chain.errors import BadAnswer, Crowded, Rejected, Throttled, TimedOut, Unreachable
from openpay.chain.room import Place
from openpay.chain.transport import TransportKind

READ_BUFFER_BYTES = 2**18
"""As much as is received at a time: more makes nothing faster."""
BUFFERED_BYTES = 2 * READ_BUFFER_BYTES
"""How much of an answer aiohttp takes in before anybody asked for it: there is room for it before it is asked for."""
KEEP_ALIVE_S = 30.0
"""How long an idle connection is kept: less than servers and balancers commonly do, so that we let go of it first."""
CONNECTIONS_PER_HOST = 32

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None)
"""The exchange as a whole has one."""


def open_session() -> aiohttp.ClientSession:
    """A session whose connections are counted by the `HttpTransport`s that use it."""
    counting = TraceConfig()
    counting.on_connection_create_end.append(_count)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HOST, keepalive_timeout=KEEP_ALIVE_S),
        read_bufsize=READ_BUFFER_BYTES,
        trace_configs=[counting],
    )


class HttpTransport:
    """Connections are the session's, reused while the node keeps them open."""

    kind = TransportKind.HTTP

    def __init__(
        self, url: URL, session: aiohttp.ClientSession, *, name: str, timeout_s: float, max_answer_bytes: int
    ) -> None:
        self._url = url
        self._session = session
        self._name = name
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes
        self.connections = 0

    async def exchange(self, body: bytes, request_number: int, place: Place) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                await place.take(BUFFERED_BYTES)
                before = self.connections
                try:
                    return await self._post(body, place)
                except aiohttp.ServerDisconnectedError:
                    if self.connections != before:
                        raise
                    # A kept connection that the node closed as we used it says nothing about the node.
                    return await self._post(body, place)
        except TimeoutError as error:
            if place.waited_s > self._timeout_s / 2 and not place.room.is_greediest(self._name):
                # What took the time was others' answers: neither this one nor the node's own.
                raise Crowded(self._name, room=place.room) from error
            raise TimedOut(self._name, f"no answer within {self._timeout_s} s") from error
        except aiohttp.ClientError as error:
            raise Unreachable(self._name, str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Nothing to do: the connections are the session's."""

    async def _post(self, body: bytes, place: Place) -> bytes:
        async with self._session.post(
            self._url,
            data=body,
            headers={"content-type": "application/json"},
            timeout=_NO_TIMEOUT,
            allow_redirects=False,
            read_bufsize=READ_BUFFER_BYTES,
            trace_request_ctx=self,
        ) as response:
            if response.status == 429:
                raise Throttled(self._name, retry_after_s=seconds(response.headers.get("Retry-After")))
            received = await self._read(response, place)
            if response.status != 200 and b'"jsonrpc"' not in received:
                # Some nodes send JSON-RPC errors with an HTTP error status; anything else is a proxy talking.
                says_no = 400 <= response.status < 500 or response.status == 501
                fault = Rejected if says_no else Unreachable if response.status >= 500 else BadAnswer
                raise fault(self._name, f"HTTP status {response.status}")
            return received

    async def _read(self, response: aiohttp.ClientResponse, place: Place) -> bytes:
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._max_answer_bytes:
                raise BadAnswer(self._name, f"the answer is larger than {self._max_answer_bytes} bytes")
            await place.take(len(chunk))  # meanwhile the node is not read from, and stops sending
            chunks.append(chunk)
        return b"".join(chunks)


def seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in its usual form, whole seconds; its other form, a date, counts as none."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None


async def _count(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: TraceConnectionCreateEndParams
) -> None:
    transport = context.trace_request_ctx
    if isinstance(transport, HttpTransport):
        transport.connections += 1
