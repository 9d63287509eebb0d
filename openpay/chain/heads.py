"""Hints that there may be a new block, from nodes that announce them (`eth_subscribe`, `newHeads`).

A hint is believed in nothing: it makes its reader look sooner, as it would have looked anyway. So hints that are
doubled, skipped, out of order or invented do no harm, and their absence costs no more than the time between two looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import structlog
from msgspec import Struct
from yarl import URL

from openpay.chain.blocks import HexCount, read_quantity
from openpay.chain.errors import BadAnswer, EndpointFault, Unreachable
from openpay.chain.transport import UNREADABLE
from openpay.chain.websocket import HEARTBEAT_S, Socket, open_socket
from openpay.errors import ChainUnavailable

LARGEST_MESSAGE_BYTES = 2**20
"""A header is one or two thousand bytes; at some heights a list of validators comes on top."""
CONNECT_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Before a node that dropped us is connected to again."""
SILENT_INTERVALS = 8
SHORTEST_SILENCE_S = 3.0
"""Without a hint for so many block intervals, or this long where blocks are fast, nothing is to be expected of them."""

_SUBSCRIBE = b'{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}'

_log = structlog.get_logger(__name__)


class HeadHints:
    """Where hints arrive. `clock` is monotonic seconds; one reader at a time."""

    def __init__(self, *, block_interval_s: float, clock: Callable[[], float]) -> None:
        self.silence_s = max(SILENT_INTERVALS * block_interval_s, SHORTEST_SILENCE_S)
        self._clock = clock
        self._arrived = asyncio.Event()
        self._newest_at = float("-inf")

    @property
    def are_coming(self) -> bool:
        """Whether one came lately, so that the next may be expected."""
        return self._clock() - self._newest_at < self.silence_s

    def give(self) -> None:
        """There may be a new block."""
        self._newest_at = self._clock()
        self._arrived.set()

    def take(self) -> None:
        """Whatever hints came before now are seen to by what follows."""
        self._arrived.clear()

    async def wait(self) -> None:
        """Until there is a hint that was not taken."""
        await self._arrived.wait()


class HeadListener:
    """One node's announcements, over a WebSocket of its own: a large answer on its way delays none of them."""

    def __init__(
        self,
        url: URL,
        session: aiohttp.ClientSession,
        hints: HeadHints,
        *,
        name: str,
        newest: Callable[[], Awaitable[int]],
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        """`newest` asks - anyone - for the newest height. Raises `ChainUnavailable`."""
        self._url = url
        self._session = session
        self._hints = hints
        self._name = name
        self._newest = newest
        self._heartbeat_s = heartbeat_s
        self._pause_s = FIRST_PAUSE_S
        self._height = 0
        """The highest that was announced on this connection, or known when it had been silent; 0 when none was."""

    async def run(self) -> None:
        """Pass on announcements until canceled; connect again whenever the connection ends or falls silent."""
        while True:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    socket = await open_socket(
                        self._session,
                        self._url,
                        name=self._name,
                        max_message_bytes=LARGEST_MESSAGE_BYTES,
                        heartbeat_s=self._heartbeat_s,
                    )
                try:
                    await self._listen(socket)
                finally:
                    await socket.close()
            except (EndpointFault, TimeoutError, ConnectionError, aiohttp.ClientError) as error:
                _log.info("no announcements", endpoint=self._name, reason=str(error) or type(error).__name__)
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    async def _listen(self, socket: Socket) -> None:
        await socket.send_frame(_SUBSCRIBE, aiohttp.WSMsgType.TEXT)
        self._height = 0
        while True:
            try:
                message = await socket.receive(timeout=self._hints.silence_s)
            except TimeoutError:
                await self._check_silence()
                continue
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise Unreachable(self._name, "the connection for announcements ended")
            self._hear(message.data)

    def _hear(self, body: bytes) -> None:
        try:
            message = msgspec.json.decode(body, type=_Message)
        except UNREADABLE as error:
            raise BadAnswer(self._name, f"not an announcement: {error}: {body[:80]!r}") from error
        if message.error is not None:
            self._pause_s = LONGEST_PAUSE_S
            raise BadAnswer(self._name, f"announces no blocks: {body[:200]!r}")
        if message.params is not None:
            self._height = max(self._height, read_quantity(message.params.result.number))
            self._pause_s = FIRST_PAUSE_S
        # The subscription's own confirmation counts as well: there may have been blocks before it.
        self._hints.give()

    async def _check_silence(self) -> None:
        """Raise `Unreachable` when there are blocks that were not announced."""
        try:
            height = await self._newest()
        except ChainUnavailable:
            return  # nobody knows
        if self._height and height > self._height:
            raise Unreachable(self._name, f"silent since block {self._height}, while there is block {height}")
        self._height = height


class _Announced(Struct, gc=False):
    number: HexCount


class _Params(Struct, gc=False):
    result: _Announced


class _Message(Struct, gc=False):
    params: _Params | None = None
    error: Any = None
