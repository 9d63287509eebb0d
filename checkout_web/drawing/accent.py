"""A merchant's colour as the page can use it: readable on it and against the page, by day and by night.

Contrast is WCAG 2.2's: (L1 + 0.05) / (L2 + 0.05) of relative luminances, 4.5 for text, 3 for the edge of a control.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

TEXT = 4.5
"""Least contrast of text (WCAG 2.2, 1.4.3). It suffices for controls, which need 3 (1.4.11)."""

LIGHT_GROUNDS = ("#ffffff", "#f4f5f8")
"""What the accent is drawn on by day, as in checkout.css: `--sheet` and `--page`, which `--raised` equals."""
DARK_GROUNDS = ("#181c25", "#0f1218", "#222733")
"""The same by night, with `--raised` by itself."""

_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)
_SOFT = 0.08
"""How much of the accent is in the ground of what is chosen."""

Rgb = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Shade:
    """The accent for one colour scheme, each `#rrggbb`: as ink and as ground, what is written on it, and a trace of it
    as the ground of ordinary text."""

    accent: str
    on_accent: str
    soft: str


def shade(accent: str, grounds: tuple[str, ...]) -> Shade:
    """The colour nearest to `accent` that reads as text on every one of `grounds`, and on the trace of itself.

    Mixed with black on light grounds and with white on dark ones, which keeps its hue, in steps of one hundredth. The
    last step is black or white itself, so there always is one.
    """
    given = _parse(accent)
    papers = [_parse(ground) for ground in grounds]
    away = _BLACK if _luminance(papers[0]) > 0.5 else _WHITE
    for step in range(101):
        candidate = _mix(given, away, step / 100)
        soft = _mix(papers[0], candidate, _SOFT)
        if all(_contrast(candidate, paper) >= TEXT for paper in (*papers, soft)):
            break
    ink = max((_WHITE, _BLACK), key=lambda text: _contrast(text, candidate))
    return Shade(accent=_written(candidate), on_accent=_written(ink), soft=_written(soft))


def contrast(one: str, other: str) -> float:
    """Between two `#rrggbb`, from 1 to 21."""
    return _contrast(_parse(one), _parse(other))


@dataclass(frozen=True, kw_only=True)
class Theme:
    """A stylesheet after checkout.css with one merchant's colour. `version` is a hash of it, for its address."""

    css: str
    version: str


@lru_cache(maxsize=256)
def theme(accent: str) -> Theme:
    """The page's colours for `accent` (`#rrggbb`)."""
    day, night = shade(accent, LIGHT_GROUNDS), shade(accent, DARK_GROUNDS)
    css = f":root{{{_variables(day)}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{_variables(night)}}}}}\n"
    return Theme(css=css, version=hashlib.sha256(css.encode()).hexdigest()[:12])


def _variables(colours: Shade) -> str:
    return f"--accent:{colours.accent};--on-accent:{colours.on_accent};--accent-soft:{colours.soft}"


def _parse(colour: str) -> Rgb:
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def _written(colour: Rgb) -> str:
    return "#" + bytes(colour).hex()


def _mix(one: Rgb, other: Rgb, part: float) -> Rgb:
    """`one` with `part` (0 to 1) of `other`."""
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _contrast(one: Rgb, other: Rgb) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Rgb) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2, of sRGB)."""
    red, green, blue = (_LINEAR[channel] for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: int) -> float:
    value = channel / 255
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


_LINEAR = tuple(_linear(channel) for channel in range(256))
