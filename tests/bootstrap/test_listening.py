"""An application on a port: it answers as long as it is to, and a port in use is a fault of the settings."""

from __future__ import annotations

import gzip

import pytest
from aiohttp import ClientConnectorError, ClientSession, web

from openpay.bootstrap.listening import listening
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
