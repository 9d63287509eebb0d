"""What can go wrong between Open Pay and a node.

`EndpointFault` says that *this* endpoint gave nothing usable: another may, and the pool asks it. A `JsonRpcError` is
an answer - the node understood and refused - and reaches the caller. Both are `ChainUnavailable`, because neither
decides anything about money.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from openpay.errors import ChainUnavailable


class EndpointFault(ChainUnavailable):
    """One endpoint gave no usable answer. `endpoint` is its host:port, never its URL, which may hold a key."""

    def __init__(self, endpoint: str, detail: str) -> None:
        super().__init__(f"{endpoint}: {detail}")
        self.endpoint = endpoint
        self.detail = detail


class Unreachable(EndpointFault):
    """No connection, or it broke before the answer was complete; or a proxy says that the node behind it is away."""


class TimedOut(EndpointFault):
    """Connected, but the answer did not come in time."""


class Throttled(EndpointFault):
    """The endpoint asks for fewer requests. `retry_after_s` is its own wish, None when it named none."""

    def __init__(self, endpoint: str, *, retry_after_s: float | None) -> None:
        super().__init__(endpoint, "asks for fewer requests")
        self.retry_after_s = retry_after_s


class Resting(Throttled):
    """Not asked at all, because the endpoint asked for fewer requests a moment ago. `retry_after_s` is still to go."""


class Crowded(EndpointFault):
    """No room in memory for its answer, next to those of others: no fault of the endpoint, and over in a moment."""

    def __init__(self, endpoint: str, *, room: object) -> None:
        super().__init__(endpoint, f"no room for its answer: {room}")


class BadAnswer(EndpointFault):
    """An answer that is not the JSON-RPC that was asked for, or larger than allowed."""


class Unreadable(BadAnswer):
    """JSON-RPC, but the result has another form than was asked for."""


class Rejected(BadAnswer):
    """No JSON-RPC, but an HTTP status that says no: not to this request, not to this caller, or not at all."""


class Missing(EndpointFault):
    """The node answered `null`: it does not (or not yet) know the block or transaction."""


class WrongChain(EndpointFault):
    """The endpoint serves another chain than the one it was configured for."""

    def __init__(self, endpoint: str, *, expected: int, got: int) -> None:
        super().__init__(endpoint, f"serves chain {got}, configured as {expected}")
        self.expected = expected
        self.got = got


class ProofFailed(EndpointFault):
    """A block does not hash to what it claims: the endpoint left something out, lags, or mixes two forks.

    `what` names the part ("header hash", "receipts root", …), `expected` and `got` are what the proof compared
    (`got` may be a reason in words), `block` the number the endpoint gave.
    """

    def __init__(self, what: str, *, expected: str, got: str, block: str, endpoint: str = "unnamed endpoint") -> None:
        super().__init__(endpoint, f"block {block} is not proven: {what} should be {expected}, is {got}")
        self.what = what
        self.expected = expected
        self.got = got
        self.block = block


class NoEndpointAnswered(ChainUnavailable):
    """Every endpoint failed. `faults` maps each host:port to its last fault."""

    def __init__(self, faults: Mapping[str, EndpointFault]) -> None:
        super().__init__("no endpoint answered: " + "; ".join(str(fault) for fault in faults.values()))
        self.faults = dict(faults)

    @property
    def is_missing(self) -> bool:
        """Whether some endpoint did answer, with `null`."""
        return any(isinstance(fault, Missing) for fault in self.faults.values())

    @property
    def is_outage(self) -> bool:
        """Whether nothing was heard at all, as opposed to an answer that is of no use."""
        return not any(isinstance(fault, ProofFailed | Unreadable | Missing) for fault in self.faults.values())


class Part(StrEnum):
    """What of a block can be agreed between hosts where it cannot be proven."""

    HEADER = "header"
    TRANSACTIONS = "transactions"
    LOGS = "logs"


class NotAgreed(NoEndpointAnswered):
    """No endpoint's answer proves, and hosts do not agree on it either: nothing is known. `part` says about what."""

    def __init__(self, part: Part, detail: str, faults: Mapping[str, EndpointFault]) -> None:
        super().__init__(faults)
        self.args = ("; ".join([f"proven nowhere, and not agreed: {detail}", *map(str, faults.values())]),)
        self.part = part


class JsonRpcError(ChainUnavailable):
    """The node understood the request and refused it (JSON-RPC 2.0, section 5.1).

    `data` is the revert data of a call, empty when there is none.
    """

    def __init__(self, endpoint: str, *, method: str, code: int, message: str, data: bytes = b"") -> None:
        super().__init__(f"{endpoint}: {method} refused with {code}: {message}")
        self.endpoint = endpoint
        self.method = method
        self.code = code
        self.message = message
        self.data = data

    @property
    def is_revert(self) -> bool:
        """True when the contract itself refused: the same on every honest node at that block."""
        return self.code == 3 or bool(self.data) or "revert" in self.message.lower()

    @property
    def is_not_offered(self) -> bool:
        """True when the node does not have the method at all, whatever it is asked with it."""
        return self.code == METHOD_NOT_FOUND or _NOT_OFFERED.search(self.message) is not None


METHOD_NOT_FOUND = -32601
_NOT_OFFERED = re.compile(
    r"\b(unsupported|unknown|disabled) method\b|\bmethod\b.{0,60}\b(not|isn't|unavailable|unsupported|disabled)\b",
    re.IGNORECASE,
)
"""How providers say it who use another code."""
