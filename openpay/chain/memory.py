"""Memory that is wanted again at once is not given back to the system in between."""

from __future__ import annotations

import ctypes

KEPT_BYTES = 32 * 2**20
"""How much freed memory may be kept: about as much as is read ahead."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of mallopt(3)."""


def keep_freed_memory() -> None:
    """Let the C library keep up to `KEPT_BYTES` of freed memory from now on, in this whole process.

    Reading blocks takes and frees a megabyte, hundreds of times a second while catching up. By itself glibc returns it
    each time, and the system clears every page of it anew: a tenth of what reading a block costs, and a quarter of a
    millisecond that each block waits for its commit. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(_MMAP_THRESHOLD, KEPT_BYTES)
