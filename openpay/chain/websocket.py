"""Requests to a node over one WebSocket: many at a time, connected again when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

import aiohttp
import msgspec
from aiohttp import ClientWebSocketResponse, ClientWSTimeout, WSMsgType
from msgspec import Struct
from yarl import URL

from openpay.chain.errors import BadAnswer, Crowded, EndpointFault, Throttled, TimedOut, Unreachable
from openpay.chain.http import seconds
from openpay.chain.room import AnswerRoom, Place
from openpay.chain.tap import count_arriving
from openpay.chain.transport import UNREADABLE, TransportKind, request_of

HEARTBEAT_S = 10.0
"""How often a ping is sent; a connection that brings neither its pong nor anything else for half as long is broken."""
CLOSE_TIMEOUT_S = 1.0
"""How long the other side may take to say goodbye."""
SMALL_BYTES = 2**16
"""What may have come since the last message and be no part of one: pongs, of all of an idle day."""

Socket = ClientWebSocketResponse[Literal[False]]
"""Messages come as bytes."""


class WebSocketTransport:
    """One connection, made when first needed. Answers are matched to requests by their ids, in whatever order."""

    kind = TransportKind.WEBSOCKET

    def __init__(
        self,
        url: URL,
        session: aiohttp.ClientSession,
        *,
        name: str,
        timeout_s: float,
        max_answer_bytes: int,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._url = url
        self._session = session
        self._name = name
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._heartbeat_s = heartbeat_s
        self._connecting = asyncio.Lock()
        self._line: _Line | None = None
        self._ending: set[asyncio.Task[None]] = set()
        """Lines that broke, and are being let go of with all that came on them."""
        self.connections = 0

    async def exchange(self, body: bytes, request_number: int, place: Place) -> bytes:
        line, heard = None, 0
        try:
            async with asyncio.timeout(self._timeout_s):
                line = await self._connected(place.room)
                heard = line.heard
                return await line.ask(body, request_number, place)
        except TimeoutError as error:
            if line is not None and line.heard == heard:
                line.give_up()  # nothing at all came meanwhile: a new connection may do better
            raise TimedOut(self._name, f"no answer within {self._timeout_s} s") from error

    async def close(self) -> None:
        if self._line is not None:
            await self._line.close()
        await asyncio.gather(*self._ending)

    async def _connected(self, room: AnswerRoom) -> _Line:
        async with self._connecting:
            if self._line is None or self._line.is_broken:
                socket = await open_socket(
                    self._session,
                    self._url,
                    name=self._name,
                    max_message_bytes=self._max_answer_bytes,
                    heartbeat_s=self._heartbeat_s,
                )
                self.connections += 1
                line = _Line(socket, self._name, room.place(self._name), timeout_s=self._timeout_s)
                line.on_end(self._let_go)
                self._line = line
            return self._line

    def _let_go(self, line: _Line) -> None:
        if self._line is line:
            self._line = None
        closing = asyncio.create_task(line.close())
        self._ending.add(closing)
        closing.add_done_callback(self._ending.discard)


class _Line:
    """One connection, with the requests that wait for their answers on it.

    What arrives takes room before it is anybody's answer. A message cannot wait half way, for behind it may be what
    others wait for: without room for it the line breaks. So it does when a message is not complete within `timeout_s`.
    """

    def __init__(self, socket: Socket, name: str, arriving: Place, *, timeout_s: float) -> None:
        self._socket = socket
        self._name = name
        self._arriving = arriving
        """What came since the last message, nearly all of it of the next one."""
        self._timeout_s = timeout_s
        self._overdue: asyncio.TimerHandle | None = None
        self._fault: EndpointFault | None = None
        """Why the line was broken off, by us."""
        self._waiting: dict[int, _Asked] = {}
        self.heard = 0
        """How many messages came so far."""
        self._transport = count_arriving(socket, name, self._arrived)
        self._reader = asyncio.create_task(self._read())

    @property
    def is_broken(self) -> bool:
        return self._socket.closed or self._reader.done() or self._reader.cancelling() > 0

    def on_end(self, told: Callable[[_Line], None]) -> None:
        """Have `told` called when nothing is read from this line any more: then it is to be closed."""
        self._reader.add_done_callback(lambda _: told(self))

    async def ask(self, body: bytes, request_number: int, place: Place) -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[request_number] = _Asked(answer, place)
        try:
            await self._send(body)
            return await answer
        finally:
            del self._waiting[request_number]
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, even where sending failed first

    def give_up(self) -> None:
        """Fail all who wait, and be taken for broken."""
        self._reader.cancel()

    async def close(self) -> None:
        """May be called twice."""
        self.give_up()
        try:
            await asyncio.wait([self._reader])
            await self._socket.close()
        finally:
            self._transport.abort()
            self._next_message()
            self._arriving.give_back()

    def _arrived(self, size: int) -> None:
        """Take room for bytes that came."""
        if not self._arriving.try_to_take(size):
            self._break(Crowded(self._name, room=self._arriving.room))
        elif self._overdue is None and self._arriving.size > SMALL_BYTES:
            fault = TimedOut(self._name, f"a message was not complete within {self._timeout_s} s")
            self._overdue = asyncio.get_running_loop().call_later(self._timeout_s, self._break, fault)

    def _break(self, fault: EndpointFault) -> None:
        self._fault = fault
        self._transport.abort()
        self.give_up()

    def _next_message(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    async def _send(self, body: bytes) -> None:
        try:
            await self._socket.send_frame(body, WSMsgType.TEXT)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Unreachable(self._name, f"the connection broke: {error}") from error

    async def _read(self) -> None:
        fault: EndpointFault = Unreachable(self._name, "the connection broke")
        try:
            async for body in messages(self._socket, self._name):
                self.heard += 1
                self._next_message()
                self._hand_out(body)
                self._arriving.give_back()
        except EndpointFault as error:
            fault = error
        finally:
            self._fail_all(self._fault or fault)

    def _hand_out(self, body: bytes) -> None:
        number = request_of(body)
        if number is None and not _is_notification(body):
            # An error about a request that could not be read, or nonsense: it might be any one's answer.
            self._fail_all(BadAnswer(self._name, f"an answer without an id: {body[:80]!r}"))
        elif number is not None and (asked := self._waiting.get(number)) is not None and not asked.answer.done():
            asked.place.take_over(self._arriving)
            asked.answer.set_result(body)
        # Else it comes too late, or was not asked for: nobody waits for it.

    def _fail_all(self, fault: EndpointFault) -> None:
        for asked in self._waiting.values():
            if not asked.answer.done():
                asked.answer.set_exception(fault)


@dataclass(frozen=True)
class _Asked:
    """A request on its way, and the place for its answer."""

    answer: asyncio.Future[bytes]
    place: Place


async def open_socket(
    session: aiohttp.ClientSession, url: URL, *, name: str, max_message_bytes: int, heartbeat_s: float
) -> Socket:
    """Connect. Raises `Throttled`, `Unreachable`, or `TimeoutError` by the caller's own deadline."""
    try:
        return await session.ws_connect(
            url,
            heartbeat=heartbeat_s,
            max_msg_size=max_message_bytes,
            timeout=ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
            decode_text=False,
        )
    except aiohttp.WSServerHandshakeError as error:
        if error.status == 429:
            raise Throttled(
                name, retry_after_s=seconds(error.headers.get("Retry-After") if error.headers else None)
            ) from error
        raise Unreachable(name, f"no WebSocket: HTTP status {error.status}") from error
    except aiohttp.ClientError as error:
        raise Unreachable(name, str(error) or type(error).__name__) from error


async def messages(socket: Socket, name: str) -> AsyncIterator[bytes]:
    """What the node sends, until the connection ends.

    Raises `BadAnswer` when the node breaks the rules, of size for one, and `Unreachable` when no pong came.
    """
    while True:
        message = await socket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            yield message.data
        elif message.type is WSMsgType.ERROR:
            fault = BadAnswer if isinstance(message.data, aiohttp.WebSocketError) else Unreachable
            raise fault(name, f"the WebSocket broke off: {message.data}")
        else:
            return


def _is_notification(body: bytes) -> bool:
    """JSON-RPC 2.0, section 4.1: what names a method and has no id wants no answer and is none."""
    try:
        return msgspec.json.decode(body, type=_Notification).method != ""
    except UNREADABLE:
        return False


class _Notification(Struct, gc=False):
    method: str = ""
