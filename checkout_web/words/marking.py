"""Marks English texts in Python for `scripts/translations` to find; they are translated where they are shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A text with a number, `%(n)s`, as English says it for one and for any other."""

    one: str
    other: str


def N_(text: str) -> str:  # gettext's own name for it
    """The text itself, found by the extractor."""
    return text


def NN_(one: str, other: str) -> Counted:
    """A text in singular and plural, found by the extractor."""
    return Counted(one=one, other=other)
