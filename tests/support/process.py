"""Child processes that end with the test run, however it ends.

Fixtures stop what they start. A run that is killed finishes no fixture, so a small reaper process holds the other end
of a pipe: when the run is gone the pipe closes, and the reaper ends what is still registered.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_REAPER = """
import json, os, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
children = {}
for line in sys.stdin:
    entry = json.loads(line)
    if entry.pop("alive"):
        children[entry["pid"]] = entry
    else:
        children.pop(entry["pid"], None)
for entry in children.values():
    try:
        os.kill(entry["pid"], entry["signal"])
    except ProcessLookupError:
        pass
    for directory in entry["directories"]:
        shutil.rmtree(directory, ignore_errors=True)
"""
_reaper: subprocess.Popen[str] | None = None


def spawn(
    command: list[str],
    *,
    log: Path,
    end_signal: signal.Signals = signal.SIGTERM,
    directories: tuple[Path, ...] = (),
    user: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command with its output in ``log``; ``directories`` are removed with it when the run is killed.

    ``user`` runs it under another account, which only root may ask for.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    _tell_reaper(alive=True, pid=process.pid, signal=end_signal, directories=[str(each) for each in directories])
    return process


def stop(process: subprocess.Popen[bytes], end_signal: signal.Signals = signal.SIGTERM, timeout_s: float = 60) -> None:
    """End a process started by ``spawn`` and wait for it; killed when it has not ended in time. May be called twice."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(end_signal)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    _tell_reaper(alive=False, pid=process.pid)


def _tell_reaper(**entry: object) -> None:
    global _reaper
    if _reaper is None:
        _reaper = subprocess.Popen([sys.executable, "-S", "-c", _REAPER], stdin=subprocess.PIPE, text=True)
    assert _reaper.stdin is not None
    _reaper.stdin.write(json.dumps(entry) + "\n")
    _reaper.stdin.flush()


_held_ports: list[socket.socket] = []


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens, and which nobody else is given while this process lives.

    It stays bound without listening: a server that says SO_REUSEADDR, as all here do, may listen there, but no other
    process gets it by asking for any port.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _held_ports.append(holder)
    port: int = holder.getsockname()[1]
    return port


def wait_until(condition: Callable[[], bool], *, timeout_s: float, what: str, interval_s: float = 0.02) -> None:
    """Poll until ``condition()`` holds; raises TimeoutError that says ``what`` did not happen."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout_s} s still not: {what}")
        time.sleep(interval_s)


def find_executable(name: str, *directories: Path) -> str | None:
    """The executable of that name on PATH, else in one of the directories."""
    return shutil.which(name) or next((str(d / name) for d in directories if (d / name).is_file()), None)
