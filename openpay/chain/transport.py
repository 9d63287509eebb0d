"""What carries a request to a node and brings back its answer, as bytes: the port between JSON-RPC and the network."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Protocol

import msgspec
from msgspec import Struct

from openpay.chain.room import Place

DEFAULT_TIMEOUT_S = 10.0
"""For one whole request, connecting included."""
MAX_ANSWER_BYTES = 64 * 2**20
"""Far above the largest block (a 55 M gas block of nothing but logs is about 20 MB of JSON)."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises; the last for an answer nested thousands of levels deep."""

IDS_PER_REQUEST = 2**16
"""Request k (from 0) has the ids k * 2^16 + 1 and following, one for each call: any id tells the request it is of."""
_FIRST_ID = re.compile(rb'\s*\[?\s*\{(?:\s*"jsonrpc"\s*:\s*"2\.0"\s*,)?\s*"id"\s*:\s*(\d{1,18})\s*[,}]')


class TransportKind(StrEnum):
    HTTP = "http"
    WEBSOCKET = "websocket"


class Transport(Protocol):
    """A way to one node. Its faults are `EndpointFault`s, whatever went wrong below."""

    @property
    def kind(self) -> TransportKind: ...

    @property
    def connections(self) -> int:
        """How many connections were made so far. What answers on a new one may be another node than before."""

    async def exchange(self, body: bytes, request_number: int, place: Place) -> bytes:
        """Send one JSON-RPC request or batch, whose ids are those of `request_number`; the body of its answer.

        The answer takes its room from `place`, which the caller gives back when it has let go of it, whatever happens.
        Raises `Unreachable`, `TimedOut`, `Throttled`, `Crowded` or `BadAnswer`. May be called many times at once.
        """

    async def close(self) -> None:
        """Let go of connections of its own."""


def request_of(body: bytes) -> int | None:
    """The number of the request that a body answers, None when that is not to be seen in it.

    Found in the first bytes as nearly every node writes them; otherwise the whole is scanned.
    """
    match = _FIRST_ID.match(body)
    if match is not None:
        return int(match[1]) // IDS_PER_REQUEST
    try:
        rows = msgspec.json.decode(body, type=list[_Id] | _Id)
    except UNREADABLE:
        return None
    first = (rows[0] if rows else _Id()) if isinstance(rows, list) else rows
    return first.id // IDS_PER_REQUEST if isinstance(first.id, int) else None


class _Id(Struct, gc=False):
    id: int | str | None = None
