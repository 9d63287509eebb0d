"""One leader per role, however many ask; the next takes over when it goes. On a file and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from openpay.store import leader
from openpay.store.leader import leadership, without_leader
from tests.support.postgres import PostgresCluster
from tests.support.process import spawn, stop, wait_until

HOLDER = """
import asyncio, sys
from openpay.store.leader import leadership

async def hold():
    async with leadership(sys.argv[1], "watcher:56", asyncio.Event()) as over:
        print("leading", not over.is_set(), flush=True)
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
        async with leadership(database_url, "watcher:56", stop_) as over:
            order.append(f"second {not over.is_set()}")

    async with leadership(database_url, "watcher:56", stop_) as over:
        order.append(f"first {not over.is_set()}")
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.3)
        order.append("first done")
    async with asyncio.timeout(60):
        await waiting
    assert order == ["first True", "first done", "second True"]


async def test_each_role_and_chain_has_its_own_leader(database_url: str) -> None:
    stop_ = asyncio.Event()
    async with (
        leadership(database_url, "watcher:56", stop_) as watcher,
        leadership(database_url, "settler:56", stop_) as settler,
        leadership(database_url, "watcher:97", stop_) as test_watcher,
    ):
        assert not any(term.is_set() for term in (watcher, settler, test_watcher))


async def test_one_that_waits_leaves_without_the_lock_when_told_to_stop(database_url: str) -> None:
    async with leadership(database_url, "watcher:56", asyncio.Event()):
        stop_ = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, stop_.set)
        async with asyncio.timeout(60), leadership(database_url, "watcher:56", stop_) as over:
            assert over.is_set()


async def test_leader_that_fails_gives_the_lock_back(database_url: str) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        async with leadership(database_url, "watcher:56", asyncio.Event()):
            raise RuntimeError("broken")
    async with asyncio.timeout(60), leadership(database_url, "watcher:56", asyncio.Event()) as over:
        assert not over.is_set()


async def test_lock_of_a_killed_process_is_free(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "holder.log"
    holder = spawn([sys.executable, "-c", HOLDER, database_url], log=log)
    try:
        wait_until(lambda: "leading True" in log.read_text(), timeout_s=60, what="another process leads")
        stop_ = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, stop_.set)
        async with leadership(database_url, "watcher:56", stop_) as over:
            assert over.is_set()
    finally:
        stop(holder, signal.SIGKILL)
    async with asyncio.timeout(60), leadership(database_url, "watcher:56", asyncio.Event()) as over:
        assert not over.is_set()


async def end_connections(cluster: PostgresCluster, database_url: str) -> None:
    """The server drops everybody's connection to the database, as a restart or a failover does."""
    database = database_url.rpartition("/")[2]
    await asyncio.to_thread(
        cluster.execute,
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",
    )


async def test_leader_that_loses_its_connection_ends_its_term_and_can_be_elected_again(
    postgres_cluster: PostgresCluster, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "CHECK_S", 0.2)
    async with asyncio.timeout(60):
        async with leadership(postgres_url, "watcher:56", asyncio.Event()) as over:
            await end_connections(postgres_cluster, postgres_url)
            await over.wait()
        async with leadership(postgres_url, "watcher:56", asyncio.Event()) as over:
            await asyncio.sleep(0.5)
            assert not over.is_set()


async def test_leader_that_ends_on_a_dead_connection_does_so_quietly(
    postgres_cluster: PostgresCluster, postgres_url: str
) -> None:
    async with leadership(postgres_url, "watcher:56", asyncio.Event()) as over:
        await end_connections(postgres_cluster, postgres_url)
    assert not over.is_set()  # nobody had looked yet


async def test_one_that_waits_outlasts_a_dropped_connection(
    postgres_cluster: PostgresCluster, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "CHECK_S", 0.2)
    elected: list[str] = []

    async def stand(name: str) -> None:
        async with leadership(postgres_url, "watcher:56", asyncio.Event()) as over:
            elected.append(name)
            await over.wait()

    async with asyncio.timeout(60):
        candidates = [asyncio.create_task(stand(name)) for name in ("first", "second")]
        while len(elected) < 2:
            await asyncio.sleep(0.3)
            await end_connections(postgres_cluster, postgres_url)
        await end_connections(postgres_cluster, postgres_url)
        await asyncio.gather(*candidates)
    assert sorted(elected) == ["first", "second"]


async def test_term_ends_when_the_role_is_told_to_stop(database_url: str) -> None:
    stop_ = asyncio.Event()
    async with asyncio.timeout(60), leadership(database_url, "watcher:56", stop_) as over:
        stop_.set()
        await over.wait()


async def test_work_without_a_leader_does_not_wait_and_keeps_leaders_out(database_url: str) -> None:
    stop_ = asyncio.Event()
    led = asyncio.Event()

    async def lead() -> None:
        async with leadership(database_url, "watcher:56", stop_):
            led.set()

    async with leadership(database_url, "watcher:56", stop_), without_leader(database_url, "watcher:56") as alone:
        assert not alone
    async with without_leader(database_url, "watcher:56") as alone, without_leader(database_url, "settler:56") as other:
        assert alone
        assert other
        waiting = asyncio.create_task(lead())
        await asyncio.sleep(0.3)
        assert not led.is_set()
    async with asyncio.timeout(60):
        await waiting
    assert led.is_set()
