"""What stands around the hub of live pages in its tests: a counting database, connections that keep what they hear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from checkout_web.content.reader import Loaded, load
from checkout_web.deps import Deps
from openpay.app.ports import UnitOfWork
from openpay.domain.payment import Payment
from openpay.store import Store
from tests.checkout_web.scenes import Shop


class CountingStore:
    """A database that counts its reading transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0
        self.write = store.write

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        self.reads += 1
        async with self._store.read() as uow:
            yield uow


class Line(asyncio.Transport):
    """A connection that keeps what is written; `unread` of it was not taken by the reader."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unread = 0
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


async def loaded(shop: Shop, payment: Payment) -> Loaded:
    deps = Deps(db=shop.store, payments=shop.service, signals=shop.signals)
    async with shop.store.read() as uow:
        found = await load(deps, uow, payment.id)
    assert found is not None
    return found
