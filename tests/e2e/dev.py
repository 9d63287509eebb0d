"""`openpay dev` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.installation import Installation
from tests.support.process import spawn, stop, wait_until

OPENPAY = str(Path(sys.executable).with_name("openpay"))
READY_TIMEOUT_S = 180.0
FAST = ("--block-time", "0.15")


@dataclass(frozen=True, kw_only=True)
class Dev(Installation):
    """A running `openpay dev`, found by its dev.json."""

    state_dir: Path
    log: Path
    process: subprocess.Popen[bytes]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status. May be called again."""
        stop(self.process, number, timeout_s=60)
        return self.process.returncode

    def children(self) -> list[int]:
        """Process ids of its children: the node."""
        return [
            int(each) for each in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]


def launch(state_dir: Path, *options: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the program without waiting for it; the process, and the file that takes what it says."""
    log = state_dir.with_name(state_dir.name + ".log")
    return spawn([OPENPAY, "dev", "--port", "0", "--state-dir", str(state_dir), *FAST, *options], log=log), log


def start(state_dir: Path, *options: str) -> Dev:
    """Start and wait until it is ready; `options` come after the usual ones, and win."""
    process, log = launch(state_dir, *options)
    ready = state_dir / "dev.json"
    # Looked for so often that a half-written file would be seen.
    wait_until(
        lambda: ready.exists() or process.poll() is not None,
        timeout_s=READY_TIMEOUT_S,
        interval_s=0.002,
        what=f"ready: {log}",
    )
    assert process.poll() is None, log.read_text()
    facts: dict[str, Any] = json.loads(ready.read_text())
    return Dev(facts=facts, state_dir=state_dir, log=log, process=process)


@contextmanager
def running(state_dir: Path, *options: str) -> Iterator[Dev]:
    """A running `openpay dev`, stopped at the end."""
    dev = start(state_dir, *options)
    try:
        yield dev
    finally:
        dev.end()


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
