"""What an operator must know of: kinds of alerts, and how they are raised and cleared.

An alert is a lasting state, not a line in a log: raised once however often it is seen, and cleared when it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from openpay.domain.events import encode_body
from openpay.domain.time import format_time

RUNBOOK = "docs/runbook.md"


class AlertKind(StrEnum):
    """Each has its lines in docs/runbook.md: what it means, and what to do."""

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
    BALANCES_UNREAD = "balances_unread"
    """No balances that are sure at the newest blocks: BNB that contracts send is not noticed."""
    VIEW_LAGS = "view_lags"
    """What is recorded of a chain is minutes old, whatever the reason: payments wait."""

    @property
    def severity(self) -> Severity:
        return Severity.CRITICAL if self in _CRITICAL else Severity.ERROR

    @property
    def runbook(self) -> str:
        """Where to read what to do."""
        return f"{RUNBOOK}#{self.value}"


class Severity(StrEnum):
    CRITICAL = "critical"
    """Payments stand still until a person acts."""
    ERROR = "error"
    """Payments are slower or less well guarded than they should be."""


_CRITICAL = frozenset({AlertKind.REORG_BELOW_FINALITY, AlertKind.WATCHER_STOPPED})


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert as it is recorded. Times are the server's clock, Unix seconds; `cleared_at` None while it is open.

    `seen_at` is when it was last raised again, to within half a minute.
    """

    id: str
    kind: AlertKind
    chain_id: int
    subject: str
    detail: str
    raised_at: int
    seen_at: int
    cleared_at: int | None = None


class NoticeType(StrEnum):
    """What the operator is sent."""

    RAISED = "alert.raised"
    CLEARED = "alert.cleared"
    TEST = "alert.test"
    """By `openpay alerts --test`; about no alert at all."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """An event about an alert, for the operator. `body` is what is sent, byte for byte; `attempts` failed so far."""

    id: str
    alert_id: str
    type: NoticeType
    created_at: int
    body: bytes
    attempts: int = 0


def alert_data(alert: Alert) -> dict[str, object]:
    """An alert as programs are shown it, whether it is over or not."""
    return {
        "id": alert.id,
        "kind": alert.kind.value,
        "severity": alert.kind.severity.value,
        "chain_id": alert.chain_id,
        "subject": alert.subject,
        "detail": alert.detail,
        "runbook": alert.kind.runbook,
        "raised_at": format_time(alert.raised_at),
        "seen_at": format_time(alert.seen_at),
    }


def notice_of(alert: Alert, *, event_id: str, now: int) -> Notice:
    """The event that says how the alert stands: raised, or cleared."""
    kind = NoticeType.RAISED if alert.cleared_at is None else NoticeType.CLEARED
    body = {
        "event": kind.value,
        "event_id": event_id,
        "created_at": format_time(now),
        "text": in_words(alert),
        "data": alert_data(alert) | {"cleared_at": None if alert.cleared_at is None else format_time(alert.cleared_at)},
    }
    return Notice(id=event_id, alert_id=alert.id, type=kind, created_at=now, body=encode_body(body))


def trial(*, event_id: str, now: int) -> bytes:
    """The body of `alert.test`."""
    return encode_body(
        {
            "event": NoticeType.TEST.value,
            "event_id": event_id,
            "created_at": format_time(now),
            "text": "Open Pay can reach you here when something is wrong",
            "data": {},
        }
    )


def in_words(alert: Alert) -> str:
    """One line for people."""
    about = f" ({alert.subject})" if alert.subject else ""
    over = "" if alert.cleared_at is None else "over: "
    return f"{over}{alert.kind.value} on chain {alert.chain_id}{about}: {alert.detail}"


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
