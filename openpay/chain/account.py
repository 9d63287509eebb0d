"""eth_account, without its side effect. Import it from here only.

One of its libraries (py_ecc) raises Python's recursion limit a hundredfold for the whole process. Then no error
stops a deeply nested answer of a hostile node in time: decoding it overflows the C stack, and the process is gone.
"""

from __future__ import annotations

import sys

_recursion_limit = sys.getrecursionlimit()

from eth_account import Account  # noqa: E402

sys.setrecursionlimit(_recursion_limit)

__all__ = ["Account"]
