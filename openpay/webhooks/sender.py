"""One HTTP request to an endpoint, and what came back, whatever happens."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver

from openpay.webhooks.outcome import Reply, retry_after_s
from openpay.webhooks.targets import safe_connector

TIMEOUT_S = 10.0
"""For everything: resolving, connecting, sending, and reading the start of the answer."""

ANSWER_CHARACTERS = 1_000
_ANSWER_BYTES = 4 * ANSWER_CHARACTERS
"""Enough for the characters in UTF-8. The rest is never read, however much an endpoint sends."""

ERROR_CHARACTERS = 300


class Sender:
    """Posts bodies to endpoints. Use as `async with`; `send` may be called any number of times at once."""

    def __init__(
        self,
        *,
        allow_insecure: bool = False,
        anywhere: bool = False,
        timeout_s: float = TIMEOUT_S,
        wall_now: Callable[[], float] = time.time,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """`allow_insecure` lets http and loopback through; `anywhere` every address: for the operator's own URLs."""
        self._allow_insecure = allow_insecure or anywhere
        self._anywhere = anywhere
        self._timeout_s = timeout_s
        self._wall_now = wall_now
        self._resolver = resolver

    async def __aenter__(self) -> Self:
        if self._anywhere:
            connector = TCPConnector(force_close=True)
        else:
            connector = safe_connector(allow_loopback=self._allow_insecure, resolver=self._resolver)
        self._session = ClientSession(
            connector=connector,
            timeout=ClientTimeout(total=self._timeout_s, ceil_threshold=math.inf),  # aiohttp would round up
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,  # a small answer could unpack into a large one
            headers={
                "Content-Type": "application/json",
                "User-Agent": "OpenPay-Webhooks/1",
                "Accept-Encoding": "identity",
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Post `body` and describe the answer. Failures of the network or the other side are part of the `Reply`."""
        if not self._allow_insecure and not url.startswith("https://"):
            return Reply(status=None, latency_ms=0, error="refused: only https:// is sent to")
        started = time.monotonic()

        def latency_ms() -> int:
            return round((time.monotonic() - started) * 1000)

        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                answered_ms = latency_ms()
                return Reply(
                    status=response.status,
                    latency_ms=answered_ms,
                    retry_after_s=retry_after_s(response.headers, now=int(self._wall_now())),
                    text=await _start_of_text(response),
                )
        except TimeoutError:
            return Reply(status=None, latency_ms=latency_ms(), error=f"no answer within {self._timeout_s:g} s")
        except (ClientError, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            return Reply(status=None, latency_ms=latency_ms(), error=_storable(reason)[:ERROR_CHARACTERS])


async def _start_of_text(response: ClientResponse) -> str:
    """The first characters of the answer. Its status counts even if the body then breaks off or never ends."""
    received = bytearray()
    try:
        while len(received) < _ANSWER_BYTES:
            chunk = await response.content.read(_ANSWER_BYTES - len(received))
            if not chunk:
                break
            received += chunk
    except (TimeoutError, asyncio.IncompleteReadError, ClientError):
        received += b" [the answer broke off]"
    return _storable(received.decode(errors="replace"))[:ANSWER_CHARACTERS]


def _storable(text: str) -> str:
    """PostgreSQL stores every character but NUL."""
    return text.replace("\0", "\ufffd")
