"""What an endpoint does not offer, learned from its refusals, so that it is not asked in vain for every block."""

from __future__ import annotations

import time
from collections.abc import Callable

from openpay.chain.errors import JsonRpcError

ASK_AGAIN_S = 600.0
"""A method may be offered later: providers change plans, operators change settings."""


class Offers:
    """The methods that one endpoint said it does not have. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refusals: dict[str, tuple[float, JsonRpcError]] = {}

    def check(self, method: str) -> None:
        """Raise the endpoint's refusal anew if it refused `method` a short while ago: there is no need to ask."""
        if method not in self._refusals:
            return
        refused_at, refusal = self._refusals[method]
        if self._clock() - refused_at < ASK_AGAIN_S:
            raise JsonRpcError(refusal.endpoint, method=method, code=refusal.code, message=refusal.message)
        del self._refusals[method]

    def learn(self, refusal: JsonRpcError) -> None:
        """Remember a refusal, if it says that the method is not offered at all."""
        if refusal.is_not_offered:
            self._refusals.setdefault(refusal.method, (self._clock(), refusal))
