"""Taking back what was recorded as final, when the chain no longer contains it: `openpay rewind`.

Invariant: the rewind is one transaction. Before it the record is the old branch's; after it the record ends at a block
that the hosts agree on, and of what was derived from the blocks above only ends are left: those are final, and judged
again only once the chain was read up to where the old record stood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from openpay.app.judging import judge
from openpay.app.mending import Extent
from openpay.app.ports import Database
from openpay.app.records import Block, Cursor
from openpay.domain.chains import Token
from openpay.errors import CursorMoved, Invalid

AT_ONCE = 500
"""Payments judged together; a query names so many, and more need not be in memory."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a record stands that is to be taken back to block `target`.

    `place` is the newest block up to there that anything on record names, by number and hash. Where the chain has that
    block, all that is left of the record is the chain's: its blocks were linked when they were read. None where nothing
    would be left.
    """

    target: int
    cursor: Cursor
    extent: Extent
    place: tuple[int, bytes] | None


async def survey(db: Database, chain_id: int, target: int) -> Position:
    """What a rewind to block `target` would mean. Raises `Invalid` where there is nothing to take back."""
    if target < 0:
        raise Invalid(f"block {target} does not exist: blocks are counted from 0", code="invalid_block")
    async with db.read() as uow:
        cursor = await uow.chain.cursor(chain_id)
        if cursor is None:
            raise Invalid(f"nothing was read of chain {chain_id} yet", code="nothing_read")
        if target >= cursor.number:
            raise Invalid(
                f"chain {chain_id} was read up to block {cursor.number}: there is nothing above block {target} to take "
                "back",
                code="invalid_block",
            )
        return Position(
            target=target,
            cursor=cursor,
            extent=await uow.rewinds.extent(chain_id, target),
            place=await uow.rewinds.newest_place(chain_id, target),
        )


async def newest_place(db: Database, chain_id: int, at_or_below: int) -> tuple[int, bytes] | None:
    """Number and hash of the newest block up to a height that anything on record names."""
    async with db.read() as uow:
        return await uow.rewinds.newest_place(chain_id, at_or_below)


async def rewind(db: Database, position: Position, block: Block, *, wall_now: int, tokens: tuple[Token, ...]) -> Cursor:
    """Take back everything above `block`, which hosts vouched for, and put the cursor there.

    Payments that were confirming go back to pending; ends stay. A process that dies in here has changed nothing, and
    one that asks twice is told that there is nothing to take back. Raises `CursorMoved` when a watcher wrote meanwhile.
    """
    chain_id = block.chain_id
    async with db.write() as uow:
        old = await uow.chain.cursor(chain_id)
        if old is None or (old.number, old.hash) != (position.cursor.number, position.cursor.hash):
            raise CursorMoved(f"chain {chain_id} is no longer at block {position.cursor.number}: a watcher is running")
        was_final = old.final_number is not None and old.final_number >= block.number
        new = replace(
            old,
            number=block.number,
            hash=block.hash,
            time=block.time,
            final_number=block.number if was_final else old.final_number,
            final_time=block.time if was_final else old.final_time,
            read_at=wall_now,
            reread_to=max(old.number, old.reread_to or 0),
        )
        payment_ids = await uow.rewinds.take_back(chain_id, block.number)
        await uow.rewinds.continue_from(block)
        await uow.rewinds.mark(chain_id, payment_ids)
        await uow.chain.move_cursor(old, new)
        for start in range(0, len(payment_ids), AT_ONCE):
            some = payment_ids[start : start + AT_ONCE]
            await judge(uow, new, some, (), answers={}, signed={}, tokens=tokens, wall_now=wall_now)
        return new
