"""How soon a watcher that was killed commits its next block; and how a real watcher's process is run and looked at.

The process is `openpay watcher` as an operator starts it, on a database of its own and a made chain over loopback. It
is killed (SIGKILL) while it reads, and started again at once. The clock runs from the killing to the next commit:
starting Python, opening the database and loading addresses are all in it.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from openpay.chain.spec import save_chain
from openpay.store.migrate import upgrade
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.samples import CHAIN, CHAIN_ID, make_chain, serving

CHAIN_LENGTH = 1_500
KILLS = 7
PATIENCE_S = 60
LIMIT_S = 2.0
ROOT = Path(__file__).parents[2]
TOKENS_ONLY = replace(CHAIN, tokens=CHAIN.tokens[:1])
"""Without the coin: the made node has no balances to tell."""


def run(*, kills: int = KILLS) -> list[Figure]:
    """Kill and start again, several times."""
    with tempfile.TemporaryDirectory(prefix="openpay-bench-") as directory, serving(make_chain(CHAIN_LENGTH)) as url:
        database = Path(directory) / "recovery.db"
        upgrade(f"sqlite:///{database}")
        took_s, busy_s = [], []
        with Watching(database, url) as watching:
            watching.await_block(above=0)
            for _ in range(kills):
                watching.kill()
                reached, killed_at = watching.cursor(), time.perf_counter()
                watching.start()
                watching.await_block(above=reached)
                took_s.append(time.perf_counter() - killed_at)
                busy_s.append(watching.processor_s())
    return [
        Figure(name="SIGKILL → next block committed, median", value=statistics.median(took_s), unit="s"),
        Figure(name="SIGKILL → next block committed, longest", value=max(took_s), unit="s", limit=LIMIT_S),
        Figure(name="processor time of the new process until then, median", value=statistics.median(busy_s), unit="s"),
    ]


class Watching:
    """An `openpay watcher` on a migrated SQLite database, reading from one node."""

    def __init__(self, database: Path, node_url: str) -> None:
        self._database = database
        chain_file = database.with_suffix(".chain.json")
        save_chain(TOKENS_ONLY, chain_file)
        self._environment = {
            # The first start leaves compiled modules for the others, as an installation has them.
            **{name: value for name, value in os.environ.items() if not name.startswith(("OPENPAY_", "PYTHONDONT"))},
            "PYTHONPATH": str(ROOT),
            "OPENPAY_DATABASE_URL": f"sqlite:///{database}",
            "OPENPAY_LIVE_CHAIN": str(chain_file),
            "OPENPAY_LIVE_RPC_URLS": node_url,
            "OPENPAY_OPERATOR_ADDRESS": "0x" + "11" * 20,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Watching:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        log = self._database.with_suffix(".log")
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "openpay.cli", "watcher"],
                cwd=self._database.parent,
                env=self._environment,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> int:
        """Ask it to stop, as a supervisor does (SIGTERM); its exit status."""
        if self._process is None:
            raise RuntimeError("it is not running")
        self._process.terminate()
        return self._process.wait(PATIENCE_S)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("it is not running")
        return self._process.pid

    def cursor(self) -> int:
        """The number of the last block committed; 0 before the first."""
        with sqlite3.connect(f"file:{self._database}?mode=ro", uri=True) as connection:
            row = connection.execute("SELECT number FROM cursors WHERE chain_id = ?", (CHAIN_ID,)).fetchone()
        connection.close()
        return 0 if row is None else int(row[0])

    def await_block(self, *, above: int) -> None:
        """Return when a block above this one is committed. Raises `RuntimeError` when none is for a minute."""
        until = time.monotonic() + PATIENCE_S
        while self.cursor() <= above:
            if time.monotonic() > until or (self._process is not None and self._process.poll() is not None):
                raise RuntimeError(f"no block after {above}:\n{self._database.with_suffix('.log').read_text()[-3000:]}")
            time.sleep(0.005)

    def processor_s(self) -> float:
        """Processor time of the process so far."""
        if self._process is None:
            raise RuntimeError("it is not running")
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> Mapping[str, float]:
        """Of the process: what it holds (`VmRSS`), and the most it ever held (`VmHWM`)."""
        if self._process is None:
            raise RuntimeError("it is not running")
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}
