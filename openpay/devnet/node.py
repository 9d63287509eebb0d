"""anvil as the local chain of `openpay dev`: started, kept, and ended with the program."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from openpay.devnet import chain_file
from openpay.errors import ConfigurationError

CHAIN_ID = 31337
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = 10.0

SLOTS_IN_AN_EPOCH = 5
"""anvil calls head - 2 × this its finalized block: reorgs up to 10 deep stay above it, and 12 confirmations are not
held up."""

_log = structlog.get_logger(__name__)

_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")
_PR_SET_PDEATHSIG = 1


@dataclass(kw_only=True)
class LocalNode:
    """A running anvil and its endpoint. `process` is another one after it ended by itself and was started again."""

    rpc_url: str
    process: asyncio.subprocess.Process


@asynccontextmanager
async def run_node(state_dir: Path, *, block_time_s: float = 1.0, port: int = 0) -> AsyncIterator[LocalNode]:
    """anvil on `state_dir`, continuing the chain that is stored there, until the context ends.

    The chain is written every second, so a crash loses a second or two of it. Of the state, only the newest block's is
    kept: calls at older blocks fail after a restart. `port` 0 takes a free one. Raises `ConfigurationError` when anvil
    is not installed, does not start, or runs on this directory already, and for a chain that is damaged beyond repair.
    """
    state_dir.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - at start, nothing else is running yet
    # anvil inherits the lock, so that one left behind by a killed program keeps it until it has ended too.
    with (state_dir / "chain.lock").open("w") as lock:
        await _lock(lock.fileno(), state_dir)

        async def start(port: int) -> tuple[asyncio.subprocess.Process, int]:
            await asyncio.to_thread(chain_file.mend, _chain_file(state_dir))
            shutil.rmtree(_cache(state_dir), ignore_errors=True)
            command = _command(state_dir, block_time_s=block_time_s, port=port)
            return await _start(command, log=state_dir / "anvil.log", lock=lock.fileno())

        process, listening_port = await start(port)
        node = LocalNode(rpc_url=f"http://127.0.0.1:{listening_port}", process=process)
        keeping = [
            asyncio.create_task(_keep_running(node, lambda: start(listening_port))),
            asyncio.create_task(chain_file.keep_copy(_chain_file(state_dir))),
        ]
        try:
            yield node
        finally:
            for task in keeping:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await _stop(node.process)
            shutil.rmtree(_cache(state_dir), ignore_errors=True)


def find_anvil() -> str:
    """anvil on PATH, else in the checkout's .tools. Raises `ConfigurationError`."""
    tools = Path(__file__).resolve().parents[2] / ".tools" / "bin"
    found = shutil.which("anvil") or shutil.which("anvil", path=str(tools))
    if found is None:
        raise ConfigurationError("anvil is not installed: run scripts/setup, or name a running node with --rpc-url")
    return found


def _command(state_dir: Path, *, block_time_s: float, port: int) -> list[str]:
    options = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--chain-id": str(CHAIN_ID),
        "--hardfork": "prague",
        "--slots-in-an-epoch": str(SLOTS_IN_AN_EPOCH),
        "--block-time": f"{block_time_s:g}",
        "--state": str(_chain_file(state_dir)),
        "--state-interval": "1",
        "--cache-path": str(_cache(state_dir)),  # where it puts aside old states; by default in the home directory
    }
    # No --preserve-historical-states: see docs/decisions/0014-newest-state-only.md.
    return [find_anvil(), *(word for option in options.items() for word in option)]


def _chain_file(state_dir: Path) -> Path:
    return state_dir / "chain.json"


def _cache(state_dir: Path) -> Path:
    return state_dir / "cache"


async def _lock(descriptor: int, state_dir: Path) -> None:
    deadline = asyncio.get_running_loop().time() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if asyncio.get_running_loop().time() > deadline:
                raise ConfigurationError(
                    f"a local chain is running on {state_dir} already: stop it, or choose another --state-dir"
                ) from None
            await asyncio.sleep(0.05)


def _end_with_parent() -> None:
    """Runs in the child: the kernel ends it when this program is gone, even by SIGKILL (Linux, prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:
        os.kill(os.getpid(), signal.SIGTERM)


async def _start(command: list[str], *, log: Path, lock: int) -> tuple[asyncio.subprocess.Process, int]:
    """A process that listens, and its port. Raises `ConfigurationError` in anvil's own words."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C is ours to handle: the node goes last
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    try:
        return process, await _listening_port(process, log)
    except BaseException:
        await _stop(process)
        raise


async def _keep_running(
    node: LocalNode, start_again: Callable[[], Awaitable[tuple[asyncio.subprocess.Process, int]]]
) -> None:
    """Start the node again, on the same port, whenever it ends by itself: what it loses is a reorg like any other."""
    while True:
        status = await node.process.wait()
        _log.error("the local chain ended by itself and is started again", status=status)
        try:
            node.process, _ = await start_again()
        except ConfigurationError as error:
            _log.error("the local chain cannot be started again: stop and start everything", reason=str(error))
            return


async def _listening_port(process: asyncio.subprocess.Process, log: Path) -> int:
    """anvil prints the port it got: no race for a free one is possible."""
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while True:
        written = await asyncio.to_thread(log.read_bytes)
        found = _LISTENING.search(written)
        if found is not None:
            return int(found.group(1))
        if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
            raise ConfigurationError(f"anvil did not start: {written[-500:].decode(errors='replace').strip()}")
        await asyncio.sleep(0.01)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
