"""Processes that prove blocks: as good as proving here, and nothing is lost with them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from openpay.chain import provers as module
from openpay.chain.digest import Concerns, digest_body
from openpay.chain.provers import Provers
from tests.chain.bodies import CHAIN, body_of, made_blocks
from tests.support.process import wait_until

CONCERNS = Concerns.of(CHAIN)


@asynccontextmanager
async def started(count: int) -> AsyncIterator[Provers]:
    provers = Provers(CONCERNS)
    await provers.start(count)
    await provers.ready()
    try:
        yield provers
    finally:
        await provers.close()


def is_alive(pid: int) -> bool:
    """Whether the process runs: one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_process_says_what_would_be_found_here() -> None:
    blocks = made_blocks(12)
    async with started(2) as provers:
        assert len(provers.pids) == 2
        digests = await asyncio.gather(*(provers.digest(body_of(block), block.hash) for block in blocks))
    assert digests == [digest_body(body_of(block), block.hash, CONCERNS) for block in blocks]
    assert None not in digests


async def test_nobody_waits_for_processes_to_start() -> None:
    (block,) = made_blocks(1)
    provers = Provers(CONCERNS)
    await provers.start(1)
    try:
        os.kill(provers.pids[0], signal.SIGSTOP)
        assert await provers.digest(body_of(block), block.hash) is not None
    finally:
        await provers.close()


async def test_process_that_never_becomes_ready_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (block,) = made_blocks(1)
    async with started(2) as provers:
        assert provers.pids == []
        assert await provers.digest(body_of(block), block.hash) is not None


async def test_process_that_answers_nonsense_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("#!/bin/sh\nprintf '\\000\\000\\000\\000\\000\\000\\000\\001x'\nexec sleep 60\n")
    nonsense.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(nonsense))
    (block,) = made_blocks(1)
    async with started(1) as provers:
        assert len(provers.pids) == 1
        assert await provers.digest(body_of(block), block.hash) is not None
        assert provers.pids == []


async def test_body_of_another_block_or_of_none_has_no_digest() -> None:
    one, other = made_blocks(2)
    whole = body_of(one)
    async with started(1) as provers:
        for body in (body_of(other), whole.replace(b'"status":"0x1"', b'"status":"0x0"'), whole[:-1], b"", b"[]"):
            assert await provers.digest(body, one.hash) is None
        assert await provers.digest(whole, one.hash) is not None
        assert len(provers.pids) == 1


async def test_block_is_proven_here_when_its_process_dies() -> None:
    blocks = made_blocks(6)
    async with started(2) as provers:
        for pid in provers.pids:
            os.kill(pid, signal.SIGSTOP)  # so that a block is surely with it when it dies
        asked = [asyncio.create_task(provers.digest(body_of(block), block.hash)) for block in blocks]
        await asyncio.sleep(0)
        for pid in provers.pids:
            os.kill(pid, signal.SIGKILL)
        assert [digest and digest.number for digest in await asyncio.gather(*asked)] == [1, 2, 3, 4, 5, 6]
        assert provers.pids == []


async def test_process_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = made_blocks(1)
    async with started(1) as provers:
        (pid,) = provers.pids
        monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.2)
        os.kill(pid, signal.SIGSTOP)
        assert await provers.digest(body_of(block), block.hash) is not None
        assert provers.pids == []
        assert not is_alive(pid)


async def test_caller_that_gives_up_leaves_no_answer_for_the_next() -> None:
    blocks = made_blocks(8)
    async with started(1) as provers:
        abandoned = [asyncio.create_task(provers.digest(body_of(block), block.hash)) for block in blocks[:4]]
        await asyncio.sleep(0)
        for task in abandoned:
            task.cancel()
        await asyncio.gather(*abandoned, return_exceptions=True)
        later = [await provers.digest(body_of(block), block.hash) for block in blocks[4:]]
    assert [digest and digest.number for digest in later] == [5, 6, 7, 8]


async def test_nobody_holds_on_to_the_body_of_a_caller_that_gave_up() -> None:
    bodies = [(block.hash, body_of(block)) for block in made_blocks(4)]
    before = [sys.getrefcount(body) for _, body in bodies]
    async with started(1) as provers:
        os.kill(provers.pids[0], signal.SIGSTOP)
        abandoned = [asyncio.create_task(provers.digest(body, block_hash)) for block_hash, body in bodies]
        await asyncio.sleep(0.01)
        for task in abandoned:
            task.cancel()
        await asyncio.wait(abandoned)
        abandoned.clear()
        del task
        assert [sys.getrefcount(body) for _, body in bodies] == before


async def test_closing_ends_the_processes_and_what_they_worked_on_is_proven_here() -> None:
    blocks = made_blocks(4)
    async with started(2) as provers:
        pids = provers.pids
        asked = [asyncio.create_task(provers.digest(body_of(block), block.hash)) for block in blocks]
        await asyncio.sleep(0)
        await provers.close()
        await provers.close()
        assert [digest and digest.number for digest in await asyncio.gather(*asked)] == [1, 2, 3, 4]
        assert not any(map(is_alive, pids))
        assert await provers.digest(body_of(blocks[0]), blocks[0].hash) is not None
        await provers.start(1)
        await provers.ready()
        assert await provers.digest(body_of(blocks[0]), blocks[0].hash) is not None
        assert len(provers.pids) == 1


async def test_body_too_large_to_lend_is_proven_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_LENT_BYTES", 10)
    (block,) = made_blocks(1)
    async with started(1) as provers:
        os.kill(provers.pids[0], signal.SIGSTOP)
        assert await provers.digest(body_of(block), block.hash) is not None


async def test_system_that_refuses_a_process_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    (block,) = made_blocks(1)
    async with started(2) as provers:
        assert provers.pids == []
        assert await provers.digest(body_of(block), block.hash) is not None


async def test_processes_are_told_no_setting_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENPAY_KEYSTORE_PASSWORD", "secret")
    async with started(1) as provers:
        assert "OPENPAY" not in Path(f"/proc/{provers.pids[0]}/environ").read_text()


PARENT = textwrap.dedent("""
    import asyncio, signal
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    from openpay.chain.digest import Concerns
    from openpay.chain.provers import Provers

    async def main():
        provers = Provers(Concerns(escrow=bytes(20), tokens=(), native=True))
        await provers.start(2)
        print(*provers.pids, flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
""")


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_the_one_that_started_it(death: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert [is_alive(pid) for pid in pids] == [True, True]
        parent.send_signal(death)
        parent.wait(timeout=30)
        wait_until(lambda: not any(map(is_alive, pids)), timeout_s=30, what="the processes end")
        assert b"prover" not in parent.stderr.read()
