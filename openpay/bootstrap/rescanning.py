"""`openpay rescan`: asks the watcher to read old blocks once more, shows how far it is, and calls it off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from openpay.app.clock import SystemClock
from openpay.app.mending import Found, Rescan
from openpay.app.ports import Database
from openpay.app.rescan import cancel_rescan, open_rescans, request_rescan, rescan_of
from openpay.bootstrap.installation import chosen_chain, configured_chains
from openpay.config import Settings
from openpay.domain.chains import Chain
from openpay.domain.money import format_decimal
from openpay.errors import InvariantViolated
from openpay.store import Store, schema

Echo = Callable[[str], None]

POLL_S = 0.2
TELL_EVERY_S = 2.0
UNTAKEN_S = 5.0
"""A request that no watcher touched for so long, or left for so long, is said to wait for one."""


@dataclass(frozen=True, kw_only=True)
class RescanOptions:
    """`chain` as `chosen_chain` takes it; without `wait` the request is left to the watcher."""

    first: int
    last: int
    chain: str | None
    wait: bool


async def rescan_chain(settings: Settings, options: RescanOptions, *, echo: Echo) -> bool:
    """Ask, and with `wait` watch until it is done; whether it was read to its end. Raises `Invalid`."""
    async with _opened(settings, options.chain) as (chain, store):
        request = await request_rescan(store, chain.chain_id, options.first, options.last, now=SystemClock().now())
        echo(
            f"rescan {request.id} of chain {chain.chain_id}: blocks {request.first:,} to {request.last:,}, for the "
            f"watcher to read between its steps; openpay rescan --cancel {request.id} calls it off"
        )
        if not options.wait:
            return True
        done = await _watch(store, request, echo=echo)
    for line in report(chain, done):
        echo(line)
    return done.failure is None


async def list_rescans(settings: Settings, *, chain: str | None, echo: Echo) -> None:
    """Show what was asked for and is not done, in the order in which it is read."""
    async with _opened(settings, chain) as (chosen, store):
        requests = await open_rescans(store, chosen.chain_id)
    for request in requests:
        why = "" if request.failure is None else f", waits: {request.failure}"
        echo(
            f"rescan {request.id}: blocks {request.first:,} to {request.last:,}, block {request.next:,} is next{why}, "
            f"{_counts(request)} not on record before"
        )
    if not requests:
        echo(f"no rescan of chain {chosen.chain_id} is under way.")


async def end_rescan(settings: Settings, rescan_id: int, *, chain: str | None, echo: Echo) -> None:
    """Cancel a request, and say how far it came. Raises `NotFound`, and `Conflict` for one that is over."""
    async with _opened(settings, chain) as (chosen, store):
        canceled = await cancel_rescan(store, chosen.chain_id, rescan_id, now=SystemClock().now())
    for line in report(chosen, canceled):
        echo(line)


@asynccontextmanager
async def _opened(settings: Settings, chain: str | None) -> AsyncIterator[tuple[Chain, Store]]:
    chosen = chosen_chain(configured_chains(settings), chain)
    await schema.check(settings.database_url)
    store = Store.open(settings.database_url)
    try:
        yield chosen, store
    finally:
        await store.close()


async def _watch(db: Database, request: Rescan, *, echo: Echo) -> Rescan:
    """Tell how far it is until it is done."""
    progress = Progress(request, now=time.monotonic())
    while True:
        await asyncio.sleep(POLL_S)
        current = await rescan_of(db, request.id)
        if current is None:
            raise InvariantViolated(f"rescan {request.id} vanished")
        if current.done_at is not None:
            return current
        line = progress.line(current, now=time.monotonic())
        if line is not None:
            echo(line)


class Progress:
    """What to say about a request that is under way, and when. Times are monotonic seconds."""

    def __init__(self, request: Rescan, *, now: float) -> None:
        self._before = request
        self._started_at: float | None = None
        self._moved_at = now
        self._told_at = now
        self._told_waiting = False

    def line(self, current: Rescan, *, now: float) -> str | None:
        """The next line, where there is something to say."""
        if current.next != self._before.next:
            self._started_at = self._moved_at if self._started_at is None else self._started_at
            self._moved_at, self._told_waiting = now, False
            self._before = current
        if now - self._moved_at >= UNTAKEN_S:
            if self._told_waiting:
                return None
            self._told_waiting = True
            why = current.failure or "no watcher reads on. Is one running?"
            return f"block {current.next:,} waits: {why} The request stays, and this command can be ended"
        if self._started_at is None or now - self._told_at < TELL_EVERY_S:
            return None
        self._told_at = now
        done, all_ = current.next - current.first, current.last - current.first + 1
        rate = done / max(now - self._started_at, 0.001)
        return (
            f"block {current.next - 1:,} of {current.last:,} ({done / all_:.0%}), {rate:.0f} blocks/s, "
            f"{(all_ - done) / rate:.0f} s left, {_counts(current)} not on record before"
        )


def _counts(rescan: Rescan) -> str:
    return f"{rescan.found_deposits:,} deposits and {rescan.found_logs:,} logs of the escrow"


def report(chain: Chain, done: Rescan) -> list[str]:
    """What a request that is over found."""
    read = f"read blocks {done.first:,} to {done.next - 1:,}" if done.next > done.first else "read nothing"
    lines = [f"rescan {done.id}: {read}. {_counts(done)} were not on record."]
    lines += [_found(chain, each) for each in done.found]
    if done.found_deposits > len(done.found):
        lines.append(f"… {done.found_deposits - len(done.found):,} more deposits")
    if done.failure is not None:
        lines.append(f"It ended early: {done.failure}")
    return lines


def _found(chain: Chain, found: Found) -> str:
    token = chain.token(found.token)
    amount = str(found.units) if token is None else format_decimal(found.units, token.decimals)
    tx_hash = "no transaction known" if found.tx_hash is None else f"0x{found.tx_hash.hex()}"
    return f"  block {found.block_number:,}: {amount} {found.token} for {found.payment_id} ({tx_hash})"
