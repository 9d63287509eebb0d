"""The real checkout application with payments in it, told by lines on standard input what to do.

`change N`: the first N payments are canceled, as the API would. Answers one line of JSON for each, and ends with its
input: `at` is the machine's monotonic time just before, `reads` how many reads of the database came after it.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from openpay.app.ports import UnitOfWork
from openpay.store import Store
from openpay.store.migrate import upgrade
from tests.checkout_web.scenes import ORDER, Shop

BACKLOG = 1_024


class CountingStore(Store):
    """A database that counts its reading transactions."""

    reads = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        self.reads += 1
        async with super().read() as uow:
            yield uow


async def serve(payments: int) -> None:
    """Serve on a free port until standard input closes, which also happens when the parent dies."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="openpay-bench-") as directory:
        url = f"sqlite:///{Path(directory) / 'bench.db'}"
        await asyncio.to_thread(upgrade, url)
        store = CountingStore.open(url)
        shop = await Shop.opened(store)
        order: dict[str, object] = {**ORDER}
        ids = [(await shop.create(**order)).id for _ in range(payments)]  # type: ignore[arg-type]
        runner = web.AppRunner(shop.application(max_viewers=100_000), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG).start()
        print(json.dumps({"port": runner.addresses[0][1], "ids": ids}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            changed = ids[: int(line.split()[1])]
            async with store.write() as uow:
                for payment_id in changed:
                    await shop.service.cancel(uow, payment_id)
            at, store.reads = time.monotonic(), 0
            shop.signals.notify("payments")
            await asyncio.sleep(0.5)
            print(json.dumps({"at": at, "reads": store.reads}), flush=True)
        await runner.cleanup()
        await store.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
