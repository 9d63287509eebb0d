"""What the checkout page costs: its first view in a real browser, and the pages that stay open.

Open pages are what a browser makes of them: the document, then its event stream, which names what the document shows.
Other processes hold them over loopback HTTP; the real application serves them in a process of its own, whose memory is
read from the system. Every page is another payment, unless the figure says one page.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.figures import Figure, progress
from scripts.benchmarks.page import fill

ROOT = Path(__file__).parents[2]

VIEWERS = (1_000, 10_000)
LOADS = 9
MOST_KB = 30.0
"""Of memory for an open page."""
MOST_VIEW_KB = 60.0
"""Of transfer for the first view."""
WARM = 50
"""Streams opened before memory is read for the first time: code is loaded, pools are filled."""
CLIENT_STREAMS = 2_500
"""Streams that one client process holds."""

_PAINT = """async () => {
  const entry = () => performance.getEntriesByName('first-contentful-paint')[0];
  if (entry()) return entry().startTime;
  return new Promise((tell) => new PerformanceObserver(() => entry() && tell(entry().startTime))
    .observe({type: 'paint', buffered: true}));
}"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What `viewers` pages took: memory for each, until the last heard of a change, and reads of the database."""

    kb_each: float
    last_ms: float
    reads: int


def run(*, viewers: tuple[int, ...] = VIEWERS, loads: int = LOADS) -> list[Figure]:
    """The first view, then open pages in each of the numbers given."""
    return asyncio.run(_measure(viewers, loads))


def document(docs: Path) -> list[Figure]:
    """Measure, and put the figures into performance.md."""
    figures = run()
    fill(docs / "performance.md", {"checkout": figures})
    return figures


async def _measure(viewers: tuple[int, ...], loads: int) -> list[Figure]:
    figures = await _first_view(loads)
    for count in viewers:
        apart = await _open_pages(count, payments=count)
        alike = await _open_pages(count, payments=1)
        figures += [
            Figure(name=f"{count:,} pages open: memory each", value=apart.kb_each, unit="kB", limit=MOST_KB),
            Figure(name=f"{count:,} viewers of one page: memory each", value=alike.kb_each, unit="kB", limit=MOST_KB),
            Figure(name=f"{count:,} pages open: until a changed one has it", value=apart.last_ms, unit="ms"),
            Figure(name=f"{count:,} viewers of one page: until the last has it", value=alike.last_ms, unit="ms"),
            Figure(name=f"{count:,} viewers of one page: database reads", value=alike.reads, unit=""),
        ]
    return figures


# --- the first view --------------------------------------------------------------------------------------------------


async def _first_view(loads: int) -> list[Figure]:
    from tests.support.browser import open_browser

    paints: list[float] = []
    async with _server(1) as (server, port, ids), open_browser() as browser:
        del server
        for _ in range(loads):
            # A context of its own has nothing in its cache.
            context = await browser.new_context(viewport={"width": 390, "height": 844})
            page = await context.new_page()
            session = await context.new_cdp_session(page)
            await session.send("Network.enable")
            received: list[float] = []
            session.on("Network.loadingFinished", lambda event, into=received: into.append(event["encodedDataLength"]))
            await page.goto(f"http://127.0.0.1:{port}/checkout/{ids[0]}")
            paints.append(await page.evaluate(_PAINT))
            await page.wait_for_timeout(300)
            await context.close()
    return [
        Figure(name="first view: transferred", value=sum(received) / 1_000, unit="kB", limit=MOST_VIEW_KB),
        Figure(name="first view: requests", value=len(received), unit=""),
        Figure(name="first view: until content is painted, median", value=statistics.median(paints), unit="ms"),
    ]


# --- pages that stay open --------------------------------------------------------------------------------------------


async def _open_pages(count: int, *, payments: int) -> Told:
    async with _server(payments) as (server, port, ids):
        pages = [ids[number % payments] for number in range(count)]
        async with _clients(port, [ids[0]] * WARM, first=0):
            before = _memory_kb(server.pid)
            async with _clients(port, pages, first=WARM + 100, hear_all=payments == 1) as clients:
                after = _memory_kb(server.pid)
                said = await _ask(server, "change 1")
                # Of different pages only the first one, which the first process holds, is told of it.
                told = clients if payments == 1 else clients[:1]
                last = max([json.loads(await _line(client)) for client in told])
    return Told(kb_each=(after - before) / count, last_ms=(last - said["at"]) * 1_000, reads=said["reads"])


@asynccontextmanager
async def _server(payments: int) -> AsyncIterator[tuple[Process, int, list[str]]]:
    async with _process("scripts.viewing.server", str(payments)) as server:
        told = json.loads(await _line(server))
        progress(f"a server is up, with {payments:,} payment{'s' * (payments != 1)}")
        yield server, told["port"], told["ids"]


@asynccontextmanager
async def _clients(port: int, ids: list[str], *, first: int, hear_all: bool = True) -> AsyncIterator[list[Process]]:
    """Processes that hold one stream for each of `ids`, all open."""
    async with _process("scripts.viewing.pages") as client:
        mine, others = ids[:CLIENT_STREAMS], ids[CLIENT_STREAMS:]
        await _say(
            client, json.dumps({"port": port, "ids": mine, "first": first, "hear": len(mine) if hear_all else 1})
        )
        if await _line(client) != "open":
            raise RuntimeError("the streams could not be opened")
        progress(f"{len(mine):,} more pages are open")
        if not others:
            yield [client]
            return
        async with _clients(port, others, first=first + len(mine), hear_all=hear_all) as more:
            yield [client, *more]


@asynccontextmanager
async def _process(module: str, *arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=PIPE, stdout=PIPE, cwd=ROOT, limit=2**24
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ask(process: Process, line: str) -> Any:
    await _say(process, line)
    return json.loads(await _line(process))


async def _say(process: Process, line: str) -> None:
    if process.stdin is None:
        raise RuntimeError("the pipe that was asked for is missing")
    process.stdin.write(line.encode() + b"\n")
    await process.stdin.drain()


async def _line(process: Process) -> str:
    if process.stdout is None:
        raise RuntimeError("the pipe that was asked for is missing")
    line = await asyncio.wait_for(process.stdout.readline(), 600)
    if not line:
        raise RuntimeError("a process of the benchmark ended before its answer")
    return line.decode().strip()


def _memory_kb(pid: int) -> float:
    """Resident memory in kB of 1,000 bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1.024
