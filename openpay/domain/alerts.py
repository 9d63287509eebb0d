"""What an operator must know of: kinds of alerts, and how they are raised and cleared.

An alert is a lasting state, not a line in a log: raised once however often it is seen, and cleared when it is over.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class AlertKind(StrEnum):
    """Each has its lines in docs/watcher.md: what it means, and what to do."""

    REORG_BELOW_FINALITY = "reorg_below_finality"
    """The chain no longer contains a block that was final for us. The watcher stopped; `openpay rewind`."""
    FINALITY_STALLED = "finality_stalled"
    """The finalized tag stands still: payments wait, then depth alone decides."""
    HOSTS_DISAGREE = "hosts_disagree"
    """Two hosts call different blocks final at one height: nothing becomes final until they agree."""
    NO_SECOND_HOST = "no_second_host"
    """No second host answers: depth takes its place."""
    ENDPOINT_LIED = "endpoint_lied"
    """An endpoint served a block that fails its proof."""
    BLOCK_NOT_PROVEN = "block_not_proven"
    """A block that verifies nowhere is followed because hosts agree on it: the chain's format may have changed."""
    WATCHER_STOPPED = "watcher_stopped"
    """The watcher of a chain ended for good."""
    CHAIN_UNREADABLE = "chain_unreadable"
    """No endpoint gives usable answers."""


class Alarm(Protocol):
    """Takes alerts in. Calls never wait and never fail: keeping and delivering them is done elsewhere."""

    def raise_(self, kind: AlertKind, chain_id: int, *, subject: str = "", detail: str) -> None:
        """Something is wrong. `subject` tells alerts of one kind apart (a host, a height); `detail` is for people.

        Raised again with the same kind, chain and subject it is the same alert, whose detail is brought up to date.
        """

    def clear(self, kind: AlertKind, chain_id: int, *, subject: str = "") -> None:
        """It is over. Clearing what was not raised does nothing."""


class Silent:
    """An alarm for where nobody listens."""

    def raise_(self, kind: AlertKind, chain_id: int, *, subject: str = "", detail: str) -> None: ...

    def clear(self, kind: AlertKind, chain_id: int, *, subject: str = "") -> None: ...
