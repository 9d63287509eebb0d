"""An open page's event stream, as little memory as one can take: the connection, and what was last written to it.

aiohttp answers the request and sends the headers; then the stream takes the connection over, and all that aiohttp
keeps for a request (two tasks, the headers, its parser: 20 kB) is let go. Events are written straight to the transport,
the same bytes for all who see the same; nobody waits for a reader. One who does not read is sent nothing further, and
is cut off after a while: only the newest content matters, and the page asks again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import structlog
from aiohttp import web

HEARTBEAT_S = 15
"""An event stream without news says so this often: pages that hear less turn to polling."""
STUCK_S = 30.0
"""A reader may leave this long what was written to it, then its connection is cut."""
SEND_BUFFER_BYTES = 16 * 1024
"""What the system may hold of a stream: one event. Left to itself it holds megabytes for a reader that has gone."""
LAST_CHUNK = b"0\r\n\r\n"
UNANSWERED_MS = 60_000
"""The system gives a connection up whose reader acknowledges nothing for this long (RFC 5482)."""

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    # Reverse proxies of nginx's kind pass it on as it comes.
    "X-Accel-Buffering": "no",
}


_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """One event as bytes on the wire, plain and as a chunk (RFC 9112, 7.1), made once for all its readers."""

    tag: str | None
    plain: bytes
    chunk: bytes

    @classmethod
    def of(cls, *, name: str, data: str, tag: str | None = None) -> Event:
        """`data` is one line, as JSON is."""
        tagged = "" if tag is None else f"id: {tag}\n"
        plain = f"{tagged}event: {name}\ndata: {data}\n\n".encode()
        return cls(tag=tag, plain=plain, chunk=b"%x\r\n%b\r\n" % (len(plain), plain))


class Stream(asyncio.Protocol):
    """One reader. Silent until `open`. It ends when its reader leaves, is cut off, or by `end`.

    As a context manager it ends unless it was given the connection by then.
    `tag`: of the content that was written last, or that the page said it shows.
    """

    __slots__ = ("_chunked", "_is_ours", "_stuck_at", "_transport", "has_ended", "missed", "tag")

    def __init__(self) -> None:
        self.tag: str | None = None
        self.has_ended = False
        self.missed = False
        """Whether something was not written because the reader was behind."""
        self._transport: asyncio.WriteTransport | None = None
        self._chunked = False
        self._is_ours = False
        self._stuck_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        if not self._is_ours:
            self.end()

    def open(self, request: web.BaseRequest, *, seen: str | None) -> None:
        """Write to the connection of `request` from now on; its headers were sent."""
        self.tag = seen
        transport = request.transport
        if not isinstance(transport, asyncio.WriteTransport):
            self.end()  # the reader has left meanwhile
            return
        self._transport = transport
        self._chunked = request.version >= (1, 1)
        _bound(transport.get_extra_info("socket"))

    def take_over(self, request: web.BaseRequest) -> None:
        """Have the connection of `request` from now on: for aiohttp it is lost, and its handler is to return.

        The answer must have said `Connection: close`.
        """
        protocol, transport = request.protocol, request.transport
        if transport is None or self.has_ended:
            return
        self._is_ours = True
        transport.set_protocol(self)
        # Stopped where the reader had sent more than one request: who does not read does not notice an end either.
        transport.resume_reading()
        protocol.transport = None  # or it would close what is ours now
        protocol.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop: the reader has left, or was cut off."""
        self.end()

    def eof_received(self) -> None:
        """Called by the event loop: the reader hangs up. What it has not taken by then is not waited for."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def has_left(self) -> bool:
        """Whether there is nobody to write to any more."""
        return self._transport is not None and self._transport.is_closing()

    @property
    def is_behind(self) -> bool:
        """Whether something written earlier was not taken yet."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def send(self, event: Event) -> None:
        """Write an event, unless there is nobody, or the reader has not even taken the last one."""
        if self._transport is None or self._transport.is_closing():
            return
        self.missed = self.is_behind
        if self.missed:
            return
        if event.tag is not None:
            self.tag = event.tag
        self._transport.write(event.chunk if self._chunked else event.plain)

    def cut_if_stuck(self, now: float) -> None:
        """Call regularly, with the loop's time: a reader that takes nothing is let go."""
        if not self.is_behind:
            self._stuck_at = None
        elif self._stuck_at is None:
            self._stuck_at = now
        elif now - self._stuck_at >= STUCK_S and self._transport is not None:
            self._transport.abort()
            self.end()

    def end(self) -> None:
        """Say that there is nothing more, and let go of the connection."""
        if self.has_ended:
            return
        self.has_ended = True
        if self._is_ours and self._transport is not None and not self._transport.is_closing():
            if self._chunked:
                self._transport.write(LAST_CHUNK)
            self._transport.close()
        self.on_end()

    def on_end(self) -> None:
        """Called once. For those who hold streams."""


def _bound(sock: socket.socket | None) -> None:
    """Keep the system from holding much for a reader that does not read. Not every connection is a socket of TCP."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)


_S = TypeVar("_S", bound=Stream)


class Heart(Generic[_S]):
    """Says to each stream once in `HEARTBEAT_S` that it is alive, and lets go those whose reader left."""

    def __init__(self, beat: Callable[[_S], None]) -> None:
        """`beat` is called for each stream whose turn it is, and each that missed something and can take it now."""
        self._beat = beat
        self._turn_of: dict[_S, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._turn_of)

    def add(self, stream: _S) -> None:
        """Streams are dealt to the seconds like cards, so that each second has as many."""
        self._turn_of[stream] = self._next
        self._next = (self._next + 1) % HEARTBEAT_S

    def discard(self, stream: _S) -> None:
        del self._turn_of[stream]

    async def run(self) -> None:
        """Beat once a second for as long as it is running."""
        turn = 0
        while True:
            await asyncio.sleep(1)
            turn = (turn + 1) % HEARTBEAT_S
            self.tick(turn, asyncio.get_running_loop().time())

    def tick(self, turn: int, now: float) -> None:
        """One second's work. `now` is the loop's time."""
        for stream, its_turn in tuple(self._turn_of.items()):  # streams end meanwhile
            if stream.has_left:
                stream.end()
            elif its_turn == turn or (stream.missed and not stream.is_behind):
                stream.cut_if_stuck(now)
                self._say(stream)

    def _say(self, stream: _S) -> None:
        try:
            self._beat(stream)
        except Exception:  # noqa: BLE001  # whatever it was: all other pages wait for their word
            _log.exception("an open checkout page could not be told how it stands")
            stream.end()

    def end_all(self) -> None:
        """Let go of every connection."""
        for stream in tuple(self._turn_of):
            stream.end()
