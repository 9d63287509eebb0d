"""What reaches the operator's log."""

from __future__ import annotations

import asyncio
import subprocess
import sys

SERVER = """
import asyncio
from aiohttp import web
from openpay.bootstrap.logs import configure_logging

async def broken(request):
    raise LookupError("ours")

async def ask(port, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer.split()[1].decode()

async def main():
    configure_logging()
    app = web.Application()
    app.router.add_get("/broken", broken)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    long = b"GET /?" + b"A" * 9_000 + b" HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
    ours = b"GET /broken HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n"
    print(await ask(port, long), await ask(port, b"\\x16\\x03\\x01\\x02\\r\\n\\r\\n"), await ask(port, ours))
    await runner.cleanup()

asyncio.run(main())
"""


async def test_bytes_that_are_no_request_are_no_error_of_ours() -> None:
    run = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", SERVER], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.split() == ["400", "400", "500"]
    assert run.stderr.count("Traceback") == 1
    assert "LookupError: ours" in run.stderr
