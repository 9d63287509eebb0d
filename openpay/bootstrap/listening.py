"""An application on a port, for as long as a process runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from openpay.errors import ConfigurationError

KEEP_ALIVE_S = 75.0
"""How long a connection without a request stays open; aiohttp alone would keep each for an hour. Longer than the 60 s
of the usual proxy (nginx, load balancers): so it is the proxy that hangs up, and never sends a request into a
connection that is just being closed here."""


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int, *, settings: str) -> AsyncIterator[str]:
    """The URL it answers at. `settings` are those that say where, for the `ConfigurationError` of a port in use."""
    # Nothing here takes compressed bodies, and aiohttp would unpack each before any handler has a say: a megabyte takes
    # seconds, in which nobody else is answered.
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, keepalive_timeout=KEEP_ALIVE_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host}:{port} ({error}): set {settings}") from error
        bound_host, bound_port = runner.addresses[0][:2]
        yield f"http://{bound_host}:{bound_port}"
    finally:
        await runner.cleanup()
