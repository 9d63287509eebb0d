"""Keeping Python's garbage collector from stopping the process.

A full collection looks at everything that could be part of a cycle: the modules of a role are 130,000 objects, and a
million watched addresses are one set that is walked through. That takes 0.1 s or more, in which no block is committed
and no request answered, only to find that all of it is still in use.
"""

from __future__ import annotations

import asyncio
import gc

SETTLED_AFTER_S = 60.0
"""By then a role has loaded what it keeps for as long as it runs."""


def spare_what_stays(*, after_s: float = SETTLED_AFTER_S) -> asyncio.TimerHandle:
    """In `after_s` seconds, collect once more, and from then on leave alone what is there. Cancel the handle at the
    end."""
    return asyncio.get_running_loop().call_later(after_s, _spare)


def _spare() -> None:
    gc.collect()
    gc.freeze()
