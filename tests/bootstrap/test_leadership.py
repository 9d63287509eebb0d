"""One leader per role, however many ask; the next takes over when it goes. On a file and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from openpay.store import leader
from openpay.store.leader import leadership
from tests.support.process import spawn, stop, wait_until

HOLDER = """
import asyncio, sys
from openpay.store.leader import leadership

async def hold():
    async with leadership(sys.argv[1], "watcher:56", asyncio.Event()) as leading:
        print("leading", leading, flush=True)
        await asyncio.sleep(600)

asyncio.run(hold())
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "RETRY_S", 0.05)


async def test_second_waits_until_the_first_is_done(database_url: str) -> None:
    stop_ = asyncio.Event()
    order: list[str] = []

    async def second() -> None:
        async with leadership(database_url, "watcher:56", stop_) as leading:
            order.append(f"second {leading}")

    async with leadership(database_url, "watcher:56", stop_) as leading:
        order.append(f"first {leading}")
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.3)
        order.append("first done")
    async with asyncio.timeout(20):
        await waiting
    assert order == ["first True", "first done", "second True"]


async def test_each_role_and_chain_has_its_own_leader(database_url: str) -> None:
    stop_ = asyncio.Event()
    async with (
        leadership(database_url, "watcher:56", stop_) as watcher,
        leadership(database_url, "settler:56", stop_) as settler,
        leadership(database_url, "watcher:97", stop_) as test_watcher,
    ):
        assert (watcher, settler, test_watcher) == (True, True, True)


async def test_one_that_waits_leaves_without_the_lock_when_told_to_stop(database_url: str) -> None:
    async with leadership(database_url, "watcher:56", asyncio.Event()):
        stop_ = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, stop_.set)
        async with asyncio.timeout(20), leadership(database_url, "watcher:56", stop_) as leading:
            assert leading is False


async def test_leader_that_fails_gives_the_lock_back(database_url: str) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        async with leadership(database_url, "watcher:56", asyncio.Event()):
            raise RuntimeError("broken")
    async with asyncio.timeout(20), leadership(database_url, "watcher:56", asyncio.Event()) as leading:
        assert leading is True


async def test_lock_of_a_killed_process_is_free(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "holder.log"
    holder = spawn([sys.executable, "-c", HOLDER, database_url], log=log)
    try:
        wait_until(lambda: "leading True" in log.read_text(), timeout_s=30, what="another process leads")
        stop_ = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, stop_.set)
        async with leadership(database_url, "watcher:56", stop_) as leading:
            assert leading is False
    finally:
        stop(holder, signal.SIGKILL)
    async with asyncio.timeout(20), leadership(database_url, "watcher:56", asyncio.Event()) as leading:
        assert leading is True
