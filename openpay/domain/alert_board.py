"""What one process holds to be wrong, and what of that the record does not say yet. Pure: times are passed in.

An alert that comes and goes is one alert: it is over when it was over for `SETTLED_S`. A condition at its threshold, or
a process that crashes a moment after each start, would else call a person at every turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from openpay.domain.alerts import Alert, AlertKind

SETTLED_S = 30
REFRESH_S = 30
"""What is raised again and again is brought up to date in the record this often."""


class Key(NamedTuple):
    """What makes two alerts the same."""

    kind: AlertKind
    chain_id: int
    subject: str


def key_of(alert: Alert) -> Key:
    return Key(alert.kind, alert.chain_id, alert.subject)


@dataclass
class Standing:
    """Something that is wrong, or was a moment ago."""

    detail: str
    raised_at: int
    seen_at: int
    over_since: int | None = None
    written_at: int | None = None
    """When the record last heard of it; None: not yet."""
    inherited: bool = False
    """It is known from the record alone: this process has not seen it."""


class Board:
    """Alerts by key. `changed` are those of which the record must be told; it is told how they stand then."""

    def __init__(self) -> None:
        self.standing: dict[Key, Standing] = {}
        self.ended: dict[Key, int] = {}
        """When those were over that the record does not know to be."""
        self._changed: set[Key] = set()
        self._over_already: dict[Key, int] = {}
        """Cleared before it was known whether they are on record at all."""

    def raise_(self, key: Key, detail: str, now: int) -> bool:
        """It is wrong now. Whether that is new."""
        self._over_already.pop(key, None)
        standing = self.standing.get(key)
        if standing is None:
            self.standing[key] = Standing(detail=detail, raised_at=now, seen_at=now)
            self.ended.pop(key, None)
            self._changed.add(key)
            return True
        standing.detail, standing.seen_at = detail, now
        standing.over_since, standing.inherited = None, False
        return False

    def clear(self, key: Key, now: int, *, may_be_recorded: bool = False) -> None:
        """It is over, as far as can be seen now. `may_be_recorded`: what the record says was not read yet."""
        standing = self.standing.get(key)
        if standing is not None:
            standing.over_since = now if standing.over_since is None else standing.over_since
        elif may_be_recorded:
            self._over_already.setdefault(key, now)

    def settle(self, now: int) -> list[Key]:
        """End what was over for long enough."""
        ended = []
        for key, standing in list(self.standing.items()):
            if standing.over_since is not None and now - standing.over_since >= SETTLED_S:
                del self.standing[key]
                self.ended[key] = standing.over_since
                self._changed.add(key)
                ended.append(key)
        return ended

    def disown(self, chain_id: int) -> None:
        """This process did not watch the chain for a while: what it knew of it is no better than what is on record."""
        for key, standing in self.standing.items():
            standing.inherited |= key.chain_id == chain_id

    def compare(self, recorded: Mapping[Key, Alert], now: int, *, ours: Callable[[Key], bool]) -> None:
        """Take over what others left open, as far as it is `ours` to end, and forget what they ended."""
        for key, standing in list(self.standing.items()):
            if key not in recorded and key not in self._changed and standing.written_at is not None:
                del self.standing[key]
        for key, alert in recorded.items():
            if ours(key) and key not in self.standing and key not in self._changed:
                self.standing[key] = Standing(
                    detail=alert.detail,
                    raised_at=alert.raised_at,
                    seen_at=alert.seen_at,
                    over_since=self._over_already.get(key),
                    written_at=now,
                    inherited=True,
                )
        self._over_already = {key: since for key, since in self._over_already.items() if not ours(key)}

    # --- what the record is told -----------------------------------------------------------------------------------

    def take_changed(self) -> set[Key]:
        """What changed since the last time; it must be `written`, or `put_back`."""
        changed, self._changed = self._changed, set()
        return changed

    def put_back(self, changed: Collection[Key]) -> None:
        self._changed |= set(changed)

    def stale(self, now: int) -> set[Key]:
        """What was seen again since the record heard of it, a while ago."""
        return {
            key
            for key, standing in self.standing.items()
            if standing.written_at is not None
            and standing.seen_at > standing.written_at
            and now - standing.written_at >= REFRESH_S
        }

    def written(self, keys: Collection[Key], now: int) -> None:
        """The record says now how these stand, or stood a moment ago."""
        for key in keys:
            if key in self.standing:
                self.standing[key].written_at = now
            elif key not in self._changed:
                self.ended.pop(key, None)
