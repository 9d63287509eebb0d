"""Fills the tables of docs/performance.md with measured figures, so that none is copied by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.benchmarks.figures import Figure

_UNITS = {"ms/block": "ms", "MiB": "MiB", "blocks/s": "blocks/s"}


def fill(page: Path, parts: Mapping[str, Sequence[Figure]]) -> None:
    """Put the figures of each part between its marks in the page: `<!-- bench: NAME -->` and `<!-- end -->`.

    Raises `LookupError` for a part that has no marks there.
    """
    text = page.read_text()
    for name, figures in parts.items():
        marks = re.compile(rf"(<!-- bench: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        found = marks.search(text)
        if found is None:
            raise LookupError(f"{page} has no place for the figures of {name}")
        text = f"{text[: found.start()]}{found[1]}\n{table(figures)}\n\n{found[2]}{text[found.end() :]}"
    page.write_text(text)


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table, with what was aimed at."""
    rows = [f"| {figure.name} | {_value(figure)} | {_wanted(figure)} |" for figure in figures]
    return "\n".join(["| | | aim |", "|---|---|---|", *rows])


def _value(figure: Figure) -> str:
    is_count = not figure.unit and float(figure.value).is_integer()
    digits = 0 if is_count or abs(figure.value) >= 100 else 1 if abs(figure.value) >= 10 else 2
    return f"{figure.value:,.{digits}f} {_UNITS.get(figure.unit, figure.unit)}".rstrip()


def _wanted(figure: Figure) -> str:
    if figure.aim is not None:
        return f"≥ {figure.aim:g}"
    return "" if figure.limit is None else f"≤ {figure.limit:g}"
