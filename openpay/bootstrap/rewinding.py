"""`openpay rewind`: the way back when the chain no longer contains blocks that were recorded as final."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from openpay.app.clock import SystemClock
from openpay.app.ports import Database
from openpay.app.records import Block
from openpay.app.rewind import Position, newest_place, rewind, survey
from openpay.bootstrap.installation import chosen_chain, configured_chains, open_pools
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.headers import hashes_at, header_by_hash
from openpay.chain.pool import Pool
from openpay.config import Settings
from openpay.domain.chains import Chain
from openpay.domain.time import format_time
from openpay.errors import ChainUnavailable, Conflict, Invalid
from openpay.store import Store, schema
from openpay.store.leader import without_leader

Echo = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RewindOptions:
    """`chain` as `chosen_chain` takes it; `confirm` asks a person, and is not asked with `yes`."""

    target: int
    chain: str | None
    yes: bool
    confirm: Callable[[str], bool]


async def rewind_chain(settings: Settings, options: RewindOptions, *, echo: Echo) -> bool:
    """Show what a rewind means and, if it is wanted, do it; whether it was done.

    Raises `Conflict` while a watcher runs, `Invalid` where a rewind to this block makes no sense, `ChainUnavailable`
    where the hosts do not agree on it.
    """
    chains = configured_chains(settings)
    chain = chosen_chain(chains, options.chain)
    await schema.check(settings.database_url)
    async with AsyncExitStack() as stack:
        pools = await open_pools(settings, chains, stack)
        store = Store.open(settings.database_url)
        stack.push_async_callback(store.close)
        position = await survey(store, chain.chain_id, options.target)
        if not await stack.enter_async_context(without_leader(settings.database_url, f"watcher:{chain.chain_id}")):
            raise Conflict(
                f"a watcher of chain {chain.chain_id} is running: stop it first, it would read on while its record is "
                "taken back",
                code="watcher_running",
            )
        block = await vouched_block(pools[chain.chain_id], store, chain, position)
        for line in describe(position, block):
            echo(line)
        if not options.yes and not options.confirm("Take this back?"):
            echo("Nothing was changed.")
            return False
        cursor = await rewind(store, position, block, wall_now=SystemClock().now(), tokens=chain.tokens)
        echo(f"Chain {chain.chain_id} is at block {cursor.number} again. Start the watcher: it reads on from there.")
        echo("No refund or settlement is sent until it is past the height where the record stood.")
        return True


async def vouched_block(pool: Pool, db: Database, chain: Chain, position: Position) -> Block:
    """The chain's block at the target, on which the hosts agree, and which follows from what is left on record."""
    (block_hash,) = await hashes_at(pool, range(position.target, position.target + 1))
    agreement = await pool.second_host(position.target, block_hash)
    if not agreement.confirmed:
        raise ChainUnavailable(
            f"hosts do not agree that block {position.target} is final with hash 0x{block_hash.hex()} ({agreement}): "
            "compare the nodes, and leave out the one that is wrong"
        )
    if position.place is not None and not await _contains(pool, position.place, (position.target, block_hash)):
        far_enough = await _far_enough(pool, db, chain, position.place[0])
        advice = "no block on record is" if far_enough is None else f"rewind to block {far_enough} or below"
        raise Invalid(
            f"block {position.place[0]} is on record with hash 0x{position.place[1].hex()}, and is not on the chain: "
            f"{advice}",
            code="rewind_too_short",
        )
    header = await header_by_hash(pool, block_hash)
    return Block(
        chain_id=chain.chain_id,
        number=position.target,
        hash=block_hash,
        parent_hash=read_bytes(header.parent_hash),
        time=read_quantity(header.timestamp),
    )


async def _contains(pool: Pool, place: tuple[int, bytes], known: tuple[int, bytes] | None = None) -> bool:
    """Whether hosts agree that the chain has this block. Raises `ChainUnavailable` where they say neither yes nor no.

    `known`: a block that they agreed on already.
    """
    if known is not None and place[0] == known[0]:
        return place == known
    agreement = await pool.second_host(*place)
    if not agreement.confirmed and not agreement.contradicted:
        raise ChainUnavailable(f"not enough hosts say which block is at {place[0]} ({agreement})")
    return agreement.confirmed


async def _far_enough(pool: Pool, db: Database, chain: Chain, wrong: int) -> int | None:
    """The highest block to which a rewind is far enough, `wrong` being too high; None where none below is."""

    async def holds(target: int) -> bool:
        place = await newest_place(db, chain.chain_id, target)
        return place is None or await _contains(pool, place)

    low, step = wrong - 1, 1
    while low >= 0 and not await holds(low):
        wrong, low, step = low, low - step, 2 * step
    if low < 0 and (wrong == 0 or not await holds(low := 0)):
        return None
    while wrong - low > 1:
        middle = (low + wrong) // 2
        if await holds(middle):
            low = middle
        else:
            wrong = middle
    return low


def describe(position: Position, block: Block) -> list[str]:
    """What is there, and what would be left of it."""
    cursor, extent = position.cursor, position.extent
    final = "none final yet" if cursor.final_number is None else f"final up to {cursor.final_number:,}"
    return [
        f"chain {cursor.chain_id} was read up to block {cursor.number:,} ({final}).",
        f"Block {block.number:,} of {format_time(block.time)} has hash 0x{block.hash.hex()}; the hosts agree on it.",
        f"Taken back: {cursor.number - block.number:,} blocks with {extent.deposits:,} deposits, "
        f"{extent.escrow_logs:,} logs of the escrow and {extent.attempts:,} failed attempts, of {extent.payments:,} "
        f"payments ({extent.paid:,} of them paid).",
        f"Followed again: {extent.transactions:,} transactions of the operator.",
        "Payments that ended stay ended. A paid one whose money does not come again is told as payment.reversed.",
    ]
