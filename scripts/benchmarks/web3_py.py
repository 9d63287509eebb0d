"""web3.py, without its side effect on the recursion limit (`openpay.chain.account` tells of it)."""

from __future__ import annotations

import sys

_recursion_limit = sys.getrecursionlimit()

from web3 import HTTPProvider, Web3  # noqa: E402
from web3.middleware import ExtraDataToPOAMiddleware  # noqa: E402

sys.setrecursionlimit(_recursion_limit)

__all__ = ["ExtraDataToPOAMiddleware", "HTTPProvider", "Web3"]
