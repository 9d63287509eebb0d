"""`openpay watcher` far behind: it starts processes, and however it ends they end with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openpay.chain.provers import processor_count
from openpay.store.migrate import upgrade
from scripts.benchmarks.recovery import Watching
from scripts.benchmarks.samples import make_chain, serving
from tests.support.process import wait_until


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    upgrade(f"sqlite:///{tmp_path / 'watcher.db'}")
    with serving(make_chain(3_000)) as url, Watching(tmp_path / "watcher.db", url) as started:
        yield started


def provers_of(pid: int) -> set[int]:
    """The processes that this one started to prove blocks."""
    found = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found |= {int(child) for child in children.read_text().split() if is_prover(int(child))}
    return found


def is_prover(pid: int) -> bool:
    """Whether it is one, and running: of one that has ended nothing is told any more."""
    try:
        return b"openpay.chain.prover" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("end", [pytest.param("terminated", marks=pytest.mark.nightly), "killed"])
def test_catch_up_leaves_no_process_behind(watching: Watching, end: str, tmp_path: Path) -> None:
    wait_until(
        lambda: len(provers_of(watching.pid)) == processor_count(), timeout_s=60, what="a process for each processor"
    )
    watching.await_block(above=1)
    provers = provers_of(watching.pid)
    if end == "terminated":
        assert watching.terminate() == 0
        assert not any(map(is_prover, provers))
    else:
        watching.kill()
        wait_until(lambda: not any(map(is_prover, provers)), timeout_s=30, what="they end by themselves")
    log = (tmp_path / "watcher.log").read_text()
    assert "catching up" in log
    assert "Traceback" not in log
