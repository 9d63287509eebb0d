"""Proving on every core: processes that are lent a block's bytes and give back its digest.

A process is only ever a faster way to the same answer. Where there is none, or it dies, or is silent, or says no, the
block is proven here instead: nothing is lost with it, and no endpoint is put aside on its word.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

import msgspec
import structlog

from openpay.chain.digest import Concerns, Digest, digest_body
from openpay.chain.prover import LENGTH, REQUEST

LARGEST_LENT_BYTES = 16 * 2**20
"""A larger body, of which there are none in practice, is not copied to another process but proven here."""
ANSWER_TIMEOUT_S = 30.0
"""Far above what the largest body takes: a process that is stopped, or swapped out, must not hold up the watcher."""
MOST_PROCESSES = 4

_log = structlog.get_logger(__name__)


def processor_count() -> int:
    """How many processes are worth starting: one for each processor that we may use, up to `MOST_PROCESSES`."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, MOST_PROCESSES)


class Provers:
    """Digests blocks: in this process until others, which `start` starts, are ready, and again after `close`."""

    def __init__(self, concerns: Concerns) -> None:
        self._concerns = concerns
        self._free: asyncio.Queue[_Process | None] = asyncio.Queue()
        """Who can take a block now. None is this process, in the place of one that died."""
        self._processes: list[_Process] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._has_started = False
        """Whether there ever was anybody in the queue, who comes back to it."""
        self._working: set[asyncio.Task[_Answer | None]] = set()

    @property
    def pids(self) -> list[int]:
        """The processes that are at work, or about to be."""
        return [process.pid for process in self._processes]

    async def start(self, count: int) -> None:
        """Start `count` processes, fewer when the system refuses; nothing when there are some already."""
        if self._processes:
            return
        for _ in range(count):
            try:
                process = await _Process.start(self._concerns)
            except OSError as error:
                _log.warning("no process to prove blocks in", reason=str(error))
                break
            self._processes.append(process)
            self._starting.add(asyncio.create_task(self._welcome(process)))

    async def ready(self) -> None:
        """Wait for the processes that were started. There is no need to: meanwhile blocks are proven here."""
        await asyncio.gather(*self._starting)

    async def close(self) -> None:
        """End the processes. May be called twice, and at any time: what they were working on is proven here."""
        processes, self._processes, self._free = self._processes, [], asyncio.Queue()
        self._has_started = False
        await asyncio.gather(*(process.end() for process in processes))
        await asyncio.gather(*self._starting)
        self._starting.clear()
        if self._working:
            await asyncio.wait(self._working)

    async def _welcome(self, process: _Process) -> None:
        free = self._free
        try:
            await process.ready()
        except _Gone as gone:
            await self._part_with(process, gone)
        else:
            free.put_nowait(process)
            self._has_started = self._has_started or free is self._free

    async def digest(self, body: bytes, block_hash: bytes) -> Digest | None:
        """The digest of the block in `body`; None when that does not prove. May be called concurrently.

        Nobody holds on to `body` when this has ended, in whatever way.
        """
        if self._has_started and len(body) <= LARGEST_LENT_BYTES:
            free = self._free
            process = await free.get()
            if process is None:
                free.put_nowait(None)
            else:
                lost = process.lend(body, block_hash)
                # A caller that is canceled leaves the process with an answer that nobody waits for: it is still taken.
                task = asyncio.create_task(self._answer(free, process, lost))
                self._working.add(task)
                task.add_done_callback(self._working.discard)
                answer = await asyncio.shield(task)
                if answer is not None:
                    return answer.digest
        return digest_body(body, block_hash, self._concerns)

    async def _answer(
        self, free: asyncio.Queue[_Process | None], process: _Process, lost: _Gone | None
    ) -> _Answer | None:
        """What `process` says of the block that it was lent; None when it is gone, or was `lost` before."""
        back: _Process | None = process
        try:
            if lost is not None:
                raise lost
            return _Answer(digest=await process.digest())
        except _Gone as gone:
            await self._part_with(process, gone)
            back = None
            return None
        finally:
            free.put_nowait(back)

    async def _part_with(self, process: _Process, gone: _Gone) -> None:
        if process in self._processes:
            _log.warning("a process that proved blocks is gone", pid=process.pid, reason=str(gone))
            self._processes.remove(process)
            await process.end()


class _Gone(Exception):
    """A process gave no answer, and will give no other."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a process found: `digest` is None when the block does not prove."""

    digest: Digest | None


@dataclass(frozen=True, kw_only=True)
class _Process:
    """One process, for one block at a time. Bodies reach it through a file without a name, in memory."""

    process: asyncio.subprocess.Process
    requests: asyncio.StreamWriter
    answers: asyncio.StreamReader
    bodies: IO[bytes]

    @classmethod
    async def start(cls, concerns: Concerns) -> _Process:
        bodies = _nameless_file()
        # It needs no setting of ours, and no key.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENPAY_")}
        try:
            # A session of its own: what a terminal sends to this process is not meant for that one.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "openpay.chain.prover", str(bodies.fileno())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=(bodies.fileno(),),
                start_new_session=True,
                env=environment | {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
            )
        except BaseException:
            bodies.close()
            raise
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process was started without the pipes that were asked for")
        first = msgspec.msgpack.encode(concerns)
        process.stdin.write(LENGTH.pack(len(first)) + first)
        return cls(process=process, requests=process.stdin, answers=process.stdout, bodies=bodies)

    @property
    def pid(self) -> int:
        return self.process.pid

    async def ready(self) -> None:
        """Wait until it takes blocks. Raises `_Gone` when it never will."""
        await self._answer()

    def lend(self, body: bytes, block_hash: bytes) -> _Gone | None:
        """Give it a block; why, when it cannot take it."""
        try:
            if os.pwrite(self.bodies.fileno(), body, 0) != len(body):
                raise OSError("no room for the block")
            self.requests.write(REQUEST.pack(len(body), block_hash))
        except (OSError, ValueError) as error:
            return _Gone(str(error))
        return None

    async def digest(self) -> Digest | None:
        """What it says of the block that it was lent. Raises `_Gone` when there is no answer."""
        answer = await self._answer()
        try:
            return msgspec.msgpack.decode(answer, type=Digest) if answer else None
        except msgspec.DecodeError as error:
            raise _Gone(f"it answers nonsense: {error}") from error

    async def _answer(self) -> bytes:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                (length,) = LENGTH.unpack(await self.answers.readexactly(LENGTH.size))
                return await self.answers.readexactly(length)
        except (OSError, EOFError, TimeoutError) as error:
            raise _Gone(str(error) or type(error).__name__) from error

    async def end(self) -> None:
        """Kill it: it holds nothing that is not held here too. May be called twice."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        self.requests.close()
        self.bodies.close()


def _nameless_file() -> IO[bytes]:
    """A file that no path leads to; in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("openpay-bodies"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
