"""Connections that can only reach the addresses a webhook may go to.

aiohttp asks a resolver only for names: an address written in the URL goes straight to the socket. So the socket
factory, which sees the address of every connection, is the gate; the resolver drops refused addresses before that, so
that a name with several can be reached at its public ones.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

from openpay.app.targets import why_refused

RESOLVER_THREADS = 64
"""Looking up a name blocks a thread. The event loop's own few would let two dead name servers delay every endpoint."""


class TargetRefused(OSError):
    """The address is not one that webhooks may be sent to. An `OSError`, as connecting to it would raise."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EACCES, f"refused: {reason}")


class SystemResolver(AbstractResolver):
    """`getaddrinfo` on threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=found_family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found_family, _, proto, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class FilteringResolver(AbstractResolver):
    """Another resolver's answers without the refused addresses. Raises `TargetRefused` when none is left."""

    def __init__(self, resolver: AbstractResolver, *, allow_loopback: bool) -> None:
        self._resolver = resolver
        self._allow_loopback = allow_loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        refused = {
            answer["host"]: why
            for answer in found
            if (why := why_refused(answer["host"], allow_loopback=self._allow_loopback)) is not None
        }
        allowed = [answer for answer in found if answer["host"] not in refused]
        if refused and not allowed:
            reasons = ", ".join(f"{address} ({why})" for address, why in refused.items())
            raise TargetRefused(f"{host} resolves to {reasons}")
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def safe_connector(*, allow_loopback: bool, resolver: AbstractResolver | None = None) -> TCPConnector:
    """A connector for webhooks. Each delivery gets a connection of its own: its address is checked every time, and no
    delivery fails because the other side had just closed an idle one.
    """

    def open_socket(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        why = why_refused(str(address[0]), allow_loopback=allow_loopback)
        if why is not None:
            raise TargetRefused(f"the address {address[0]} is {why}")
        return socket.socket(family=family, type=kind, proto=protocol)

    return TCPConnector(
        resolver=FilteringResolver(resolver or SystemResolver(), allow_loopback=allow_loopback),
        socket_factory=open_socket,
        force_close=True,
        limit=0,  # the dispatcher bounds what is in flight, per endpoint and in all
    )
