"""Where most stories begin: contracts on a chain and a merchant, in a database that has read it; made once, copied."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlalchemy import make_url

from openpay.store import Store
from tests.support.anvil import DEFAULT_OPTIONS, Anvil
from tests.support.databases import SqliteDatabases
from tests.support.postgres import run_in_thread
from tests.watcher.scene import Scene, Setting, open_scene

OpenScene = Callable[[str], AbstractAsyncContextManager[Scene]]
"""Takes the URL of a migrated database without rows."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What a worker's scenes stand on, made on first use in `directory`: deploying and reading take 0.2 s of CPU."""

    databases: SqliteDatabases
    directory: Path
    options: tuple[str, ...] = DEFAULT_OPTIONS
    """Of the chain."""

    @property
    def chain_file(self) -> Path:
        return self.directory / "chain.json"

    @cached_property
    def _made(self) -> tuple[Setting, Path]:
        return run_in_thread(lambda: asyncio.run(self._make()))

    async def _make(self) -> tuple[Setting, Path]:
        # With old states, which balances of old blocks are proven by.
        keeping = ("--dump-state", str(self.chain_file), "--preserve-historical-states")
        chain = Anvil.start(*keeping, defaults=self.options)
        with self.databases.migrated(self.directory) as url:
            try:
                async with open_scene(chain, url) as scene:
                    await scene.watch()
                    setting = scene.setting
            finally:
                chain.stop()
        return setting, _file(url)

    @asynccontextmanager
    async def scene(self, start_anvil: Callable[..., Anvil], database_url: str) -> AsyncIterator[Scene]:
        """An installation that has read the whole chain so far, on a chain and a migrated database of its own."""
        setting, database = self._made
        chain = start_anvil("--load-state", str(self.chain_file), defaults=self.options)
        # The newest block is of now, as on any chain that runs.
        chain.mine()
        if database_url.startswith("sqlite"):
            shutil.copyfile(database, _file(database_url))
        else:
            await _add_merchant(database_url, setting)
        async with open_scene(chain, database_url, setting) as scene:
            await scene.watch()
            yield scene


def _file(url: str) -> Path:
    return Path(make_url(url).database or "")


async def _add_merchant(database_url: str, setting: Setting) -> None:
    store = Store.open(database_url)
    async with store.write() as uow:
        await uow.merchants.add(setting.merchant)
    await store.close()
