"""An application on a port: it answers as long as it is to, and a port in use is a fault of the settings."""

from __future__ import annotations

import asyncio
import gzip
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientConnectorError, ClientSession, web

from openpay.bootstrap import listening as module
from openpay.bootstrap.listening import KEEP_ALIVE_S, listening
from openpay.errors import ConfigurationError
from tests.support.process import free_port


async def test_it_answers_where_it_says_until_the_block_ends() -> None:
    async with ClientSession() as session:
        async with listening(web.Application(), "127.0.0.1", 0, settings="OPENPAY_PORT") as url:
            assert (await session.get(url)).status == 404
        with pytest.raises(ClientConnectorError):
            await session.get(url)


async def test_port_in_use_is_told_with_the_settings_that_choose_it() -> None:
    port = free_port()
    async with listening(web.Application(), "127.0.0.1", port, settings="OPENPAY_PORT"):
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*: set OPENPAY_METRICS_PORT"):
            async with listening(web.Application(), "127.0.0.1", port, settings="OPENPAY_METRICS_PORT"):
                pass


async def test_what_comes_compressed_is_not_unpacked() -> None:
    # A megabyte may unpack into a thousand, which takes seconds in which nobody else is answered, on every path.
    sent = gzip.compress(bytes(100_000))

    async def size(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    app = web.Application()
    app.router.add_post("/", size)
    async with listening(app, "127.0.0.1", 0, settings="OPENPAY_PORT") as url, ClientSession() as session:
        answer = await session.post(url, data=sent, headers={"Content-Encoding": "gzip"})
        assert await answer.text() == str(len(sent))


async def test_connection_without_a_request_is_closed_after_a_proxy_would_have_closed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 60 < KEEP_ALIVE_S <= 120
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.1)
    async with listening(web.Application(), "127.0.0.1", 0, settings="OPENPAY_PORT") as url, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        writer.write(b"GET / HTTP/1.1\r\nHost: pay.example\r\n\r\n")
        answer = await reader.read()  # to its end, which is the server's
        assert answer.startswith(b"HTTP/1.1 404")
        assert b"connection: close" not in answer.lower()
        writer.close()
