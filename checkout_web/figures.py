"""Exact amounts that an eye can follow: every digit is shown, in groups, and nothing is rounded."""

from __future__ import annotations

from markupsafe import Markup

GROUPED_FROM = 5
"""Decimals. Up to four are taken in at a glance."""
_GROUP = 3
_TELLING_DIGITS = 4
"""How many significant digits say how much it is; those after them only say it exactly."""


def spaced(written: str) -> Markup:
    """A decimal number, with whatever mark its language uses, as HTML whose decimals stand in groups of three.

    The groups are drawn apart and not spaced by characters, so that what is selected and copied is the number alone.
    The groups after the telling digits are in `.fine`: they must be sent too, and catch the eye less.
    """
    mark = next((at for at, sign in enumerate(written) if not (sign.isdigit() or sign == "-")), len(written))
    whole, decimals = written[: mark + 1], written[mark + 1 :]
    if len(decimals) < GROUPED_FROM or not decimals.isdigit():
        return Markup("{}").format(written)
    groups = [decimals[start : start + _GROUP] for start in range(0, len(decimals), _GROUP)]
    telling, seen = 0, len(whole[:-1].lstrip("-0"))
    while telling < len(groups) and seen < _TELLING_DIGITS:
        digits = groups[telling]
        seen += len(digits) if seen else len(digits.lstrip("0"))
        telling += 1
    coarse, fine = (Markup("").join(map(Markup("<span>{}</span>").format, part)) for part in _split(groups, telling))
    tail = Markup('<span class="fine">{}</span>').format(fine) if fine else Markup("")
    return Markup('{}<span class="decimals">{}{}</span>').format(whole, coarse, tail)


def _split(groups: list[str], at: int) -> tuple[list[str], list[str]]:
    return groups[:at], groups[at:]
