"""The blocks on record, from the newest final one to the tip, mirrored in memory."""

from __future__ import annotations

from collections.abc import Sequence

from openpay.app.ports import Database
from openpay.app.records import Block, Cursor
from openpay.errors import InvariantViolated
from watcher.local_chain import Recorded


class Record:
    """Mirror of the stored blocks from `floor` to `tip`, both included, without a hole.

    The floor is the newest final block, or the first one ever read while none is final. The database is the truth: a
    mirror that missed another watcher's write is found out by the cursor's compare-and-swap.
    """

    def __init__(self, blocks: Sequence[Block], *, final_number: int | None) -> None:
        self._blocks = {block.number: block for block in blocks}
        self.floor = blocks[0].number
        self.tip = blocks[-1]
        self.final_number = final_number

    @classmethod
    async def load(cls, db: Database, cursor: Cursor) -> Record:
        """Read the record that `cursor` is the tip of."""
        blocks: list[Block] = []
        async with db.read() as uow:
            number = cursor.number
            while (block := await uow.chain.block(cursor.chain_id, number)) is not None:
                blocks.insert(0, block)
                if number == cursor.final_number:
                    break
                number -= 1
        if not blocks or blocks[-1].hash != cursor.hash:
            raise InvariantViolated(f"chain {cursor.chain_id}: the cursor's block {cursor.number} is not on record")
        return cls(blocks, final_number=cursor.final_number)

    def view(self) -> Recorded:
        hashes = {number: block.hash for number, block in self._blocks.items()}
        return Recorded(hashes=hashes, floor=self.floor, tip=self.tip.number)

    def hash_at(self, number: int) -> bytes | None:
        """The hash on record at a height; None outside of floor and tip."""
        block = self._blocks.get(number)
        return None if block is None else block.hash

    def extend(self, blocks: Sequence[Block], *, final_number: int | None) -> None:
        """Take in what was committed, and let go of what is below the new final block."""
        self._blocks |= {block.number: block for block in blocks}
        self.tip = blocks[-1]
        self.final_number = final_number
        if final_number is not None:
            for number in range(self.floor, final_number):
                self._blocks.pop(number, None)
            self.floor = max(self.floor, final_number)

    def shorten(self) -> None:
        """Take back the tip. Never called at the floor."""
        del self._blocks[self.tip.number]
        self.tip = self._blocks[self.tip.number - 1]
