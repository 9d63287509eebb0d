"""How old what is recorded of a chain is: the one measure for the page, `/readyz`, the metrics and the alert."""

from __future__ import annotations

from math import ceil

from openpay.app.records import Cursor
from openpay.domain.chains import Chain


def lag_blocks(cursor: Cursor) -> int:
    """Blocks that the watcher knows of and has not read."""
    return max(0, cursor.seen_head - cursor.number)


def lag_s(cursor: Cursor, chain: Chain, *, now: int, wall_now: int) -> int:
    """Seconds by which the record is behind: about one block interval when all is well.

    Three ways to be late: nothing was read for a while, the newest block read is old, or many are still to read.
    `now` is the payment clock's time, `wall_now` the server's.
    """
    unread_s = ceil(lag_blocks(cursor) * chain.block_interval_s)
    return max(0, wall_now - cursor.read_at, now - cursor.time, unread_s)
