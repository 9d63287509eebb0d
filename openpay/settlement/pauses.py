"""Work that would revert now, and when to look at it again."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

FIRST_PAUSE_S = 5
LONGEST_PAUSE_S = 3_600


@dataclass(frozen=True, kw_only=True)
class _Pause:
    """Not looked at before `until`, in wall-clock seconds."""

    until: int
    length_s: int


class Pauses:
    """By subject, each twice as long as the one before it. Memory of this process only: forgetting it does no harm."""

    def __init__(self) -> None:
        self._pauses: dict[str, _Pause] = {}

    def __len__(self) -> int:
        return len(self._pauses)

    def holds(self, subject: str, now: int) -> bool:
        """Whether a subject is to be left alone now."""
        pause = self._pauses.get(subject)
        return pause is not None and pause.until > now

    def pause(self, subject: str, now: int) -> int:
        """Leave a subject alone for a while; its length in seconds."""
        before = self._pauses.get(subject)
        length_s = FIRST_PAUSE_S if before is None else min(2 * before.length_s, LONGEST_PAUSE_S)
        self._pauses[subject] = _Pause(until=now + length_s, length_s=length_s)
        return length_s

    def end(self, subject: str) -> None:
        """It went well: the next pause is a short one again."""
        self._pauses.pop(subject, None)

    def keep(self, subjects: Set[str]) -> None:
        """Forget all others: what is due no more needs no pause."""
        self._pauses = {subject: pause for subject, pause in self._pauses.items() if subject in subjects}
