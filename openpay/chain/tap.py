"""Counting what arrives on a WebSocket before it is a message: aiohttp shows only whole ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from aiohttp import ClientWebSocketResponse

from openpay.chain.errors import Unreachable


def count_arriving(
    socket: ClientWebSocketResponse[Literal[False]], name: str, arrived: Callable[[int], None]
) -> asyncio.Transport:
    """Have `arrived` called with the size of all that comes, before it is read; the connection that it comes on.

    Raises `Unreachable`, with the node's `name`, when there is no connection any more.
    """
    connection = socket._conn
    if connection is None or connection.transport is None:
        raise Unreachable(name, "the connection broke as it was made")
    transport = connection.transport
    transport.set_protocol(_Tap(transport.get_protocol(), arrived))
    return transport


class _Tap(asyncio.Protocol):
    """In place of the protocol `behind` it, which is told everything."""

    def __init__(self, behind: asyncio.BaseProtocol, arrived: Callable[[int], None]) -> None:
        if not isinstance(behind, asyncio.Protocol):
            raise TypeError(f"{behind!r} takes no bytes")
        self._behind = behind
        self._arrived = arrived

    def data_received(self, data: bytes) -> None:
        self._arrived(len(data))
        self._behind.data_received(data)

    def eof_received(self) -> bool | None:
        return self._behind.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._behind.connection_lost(exc)

    def pause_writing(self) -> None:
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        self._behind.resume_writing()
