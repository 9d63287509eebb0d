"""What hosts say of one block, and what follows from all of their words. Pure.

A word is one host's statement. It counts at or below the height that the host itself calls final, or, while that stands
still, at great depth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

NEEDED = 2
"""So many hosts must say the same before it counts; one, where only one is configured."""


class HostWord(Enum):
    """What one host says about a block's hash at a height."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    NOT_YET = "not yet"
    """The host itself does not call that height final yet: its word could still change."""
    SILENT = "silent"
    PENDING = "has not answered yet"
    """It was asked, and nothing is known: neither an outage nor a contradiction."""


@dataclass(frozen=True, kw_only=True)
class Testimony:
    """One host's statement. `hash` is of its own block at the height that it was asked about, `finalized` the height of
    its tag, `newest` height and hash of its newest block; None for what it did not say."""

    word: HostWord
    hash: bytes | None = None
    finalized: int | None = None
    newest: tuple[int, bytes] | None = None


SILENCE = Testimony(word=HostWord.SILENT)
NOTHING_YET = Testimony(word=HostWord.PENDING)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What every host says about one block. `words` maps host:port to its word; for those that said it, `finalized` to
    the height that its own tag names, and `hashes` to the hash of its block at that height."""

    words: dict[str, HostWord]
    finalized: Mapping[str, int] = field(default_factory=dict)
    hashes: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Mapping[str, Testimony]) -> Agreement:
        """What all statements, by host:port, make together."""
        return cls(
            words={host: each.word for host, each in said.items()},
            finalized={host: each.finalized for host, each in said.items() if each.finalized is not None},
            hashes={host: each.hash for host, each in said.items() if each.hash is not None},
        )

    @property
    def final_for_two(self) -> int | None:
        """The height that two hosts call final at least, or the one that is configured; None while too few say."""
        needed = min(NEEDED, len(self.words))
        return sorted(self.finalized.values())[-needed] if len(self.finalized) >= needed else None

    @property
    def confirmed(self) -> bool:
        """Enough hosts agree - two, or one where only one is configured - and none disagrees."""
        return self._count(HostWord.AGREES) >= min(NEEDED, len(self.words)) and not self.contradicted

    @property
    def contradicted(self) -> bool:
        """Some host calls another block final at that height. Money must not move, whatever the others say."""
        return self._count(HostWord.DISAGREES) > 0

    @property
    def unanswered(self) -> bool:
        """No second host said anything at all, as opposed to "not yet" or "no"; and none is still expected to."""
        return len(self.words) > 1 and self._count(HostWord.SILENT) >= len(self.words) - 1

    def __str__(self) -> str:
        return ", ".join(f"{host} {self._said(host, word)}" for host, word in sorted(self.words.items()))

    def _said(self, host: str, word: HostWord) -> str:
        if word is HostWord.DISAGREES and host in self.hashes:
            return f"{word.value} and has 0x{self.hashes[host].hex()}"
        return word.value

    def _count(self, word: HostWord) -> int:
        return sum(each is word for each in self.words.values())


def majority(hashes: Mapping[str, bytes]) -> bytes | None:
    """The hash that two hosts at least have at one height, and more than have any other; None where there is none."""
    ranked = Counter(hashes.values()).most_common(2)
    if not ranked or ranked[0][1] < NEEDED or (len(ranked) > 1 and ranked[1][1] == ranked[0][1]):
        return None
    return ranked[0][0]
