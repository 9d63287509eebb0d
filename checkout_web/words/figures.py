"""Amounts that an eye can follow: what is to be sent, or kept as a receipt, shows every digit, in groups, and nothing
is rounded. What is only told may be short."""

from __future__ import annotations

from markupsafe import Markup

GROUPED_FROM = 5
"""Decimals. Up to four are taken in at a glance."""
_GROUP = 3
_TELLING_DIGITS = 4
"""How many significant digits say how much it is; those after them only say it exactly."""


_TOLD_FROM = 8
"""Decimals. No more of them are told, so a sum of up to so many is told whole."""
_TOLD_DIGITS = 6
"""How many significant digits are told of a longer one."""
_TOLD_DECIMALS = 2
"""As many as the shop's own prices have, however large the sum."""


def told(amount: str) -> str:
    """An amount that nobody has to send, such as `10.000000000000000001`, as briefly as it can be told: `10.00…`.

    Cut off and never rounded, so that less than the whole price never reads as the whole; the ellipsis says that there
    is more. `< 0.00000001`: not nothing, but less than is told.
    """
    whole, _, decimals = amount.partition(".")
    if len(decimals) <= _TOLD_FROM:
        return amount
    seen = len(whole.lstrip("-0"))
    leading = 0 if seen else len(decimals) - len(decimals.lstrip("0"))
    if leading >= _TOLD_FROM:
        return f"< 0.{'1':0>{_TOLD_FROM}}" if decimals.strip("0") else f"{whole}.{decimals[:_TOLD_DECIMALS]}"
    kept = min(_TOLD_FROM, max(_TOLD_DECIMALS, leading + _TOLD_DIGITS - seen))
    short = decimals[:kept].rstrip("0").ljust(_TOLD_DECIMALS, "0")
    return f"{whole}.{short}" + ("…" if decimals[kept:].strip("0") else "")


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
