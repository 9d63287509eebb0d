"""Whatever colour a merchant chooses, what is written in it and on it can be read."""

from __future__ import annotations

import re
from colorsys import rgb_to_hsv
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import checkout_web
from checkout_web.drawing.accent import DARK_GROUNDS, LIGHT_GROUNDS, contrast, shade, theme

COLOURS = st.binary(min_size=3, max_size=3).map(lambda rgb: "#" + rgb.hex())
CORNERS = [f"#{red}{green}{blue}" for red in ("00", "ff") for green in ("00", "ff") for blue in ("00", "ff")]
STYLES = (Path(checkout_web.__file__).parent / "static/checkout.css").read_text()


def own(scheme: str) -> dict[str, str]:
    """The page's own colours, `light` or `dark`, by their names without dashes."""
    blocks = re.findall(r":root \{(.*?)\}", STYLES, re.DOTALL)
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[0 if scheme == "light" else 1]))


def hue(colour: str) -> float:
    return rgb_to_hsv(*bytes.fromhex(colour[1:]))[0]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#777777", "#ffffff", 4.478),
        ("#ff0000", "#ffffff", 3.998),
        ("#123456", "#123456", 1),
    ],
)
def test_contrast_is_that_of_wcag(one: str, other: str, expected: float) -> None:
    assert contrast(one, other) == contrast(other, one) == pytest.approx(expected, abs=0.001)


@given(accent=COLOURS)
@example(accent="#000000")
@example(accent="#ffffff")
@example(accent="#808080")
@example(accent="#ffff00")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_becomes_one_that_reads_on_the_page_and_under_its_own_text(scheme: str, accent: str) -> None:
    page = own(scheme)
    made = shade(accent, LIGHT_GROUNDS if scheme == "light" else DARK_GROUNDS)
    for ground in (page["sheet"], page["page"], page["raised"], made.soft):
        assert contrast(made.accent, ground) >= 4.5
    assert contrast(made.on_accent, made.accent) >= 4.5
    for ink in (page["ink"], page["quiet"]):
        assert contrast(ink, made.soft) >= 4.5


@pytest.mark.parametrize("accent", CORNERS)
def test_corners_of_the_colour_space_are_readable_too(accent: str) -> None:
    for grounds in (LIGHT_GROUNDS, DARK_GROUNDS):
        made = shade(accent, grounds)
        assert all(contrast(made.accent, ground) >= 4.5 for ground in grounds)


@pytest.mark.parametrize("accent", ["#24408e", "#0b5d34", "#8a1c1c", "#5b21b6"])
def test_colour_that_already_reads_is_left_as_it_is(accent: str) -> None:
    assert shade(accent, LIGHT_GROUNDS).accent == accent


@given(accent=st.sampled_from(["#ffcc00", "#00ff00", "#ff6600", "#33aaff", "#ff69b4"]))
def test_colour_keeps_its_hue(accent: str) -> None:
    for grounds in (LIGHT_GROUNDS, DARK_GROUNDS):
        assert hue(shade(accent, grounds).accent) == pytest.approx(hue(accent), abs=0.01)


def test_grounds_are_those_of_the_stylesheet() -> None:
    light, dark = own("light"), own("dark")
    assert {light["sheet"], light["page"], light["raised"]} == set(LIGHT_GROUNDS)
    assert {dark["sheet"], dark["page"], dark["raised"]} == set(DARK_GROUNDS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_own_colours_keep_to_the_same_rule(scheme: str) -> None:
    page = own(scheme)
    for ground in (page["sheet"], page["page"], page["raised"], page["accent-soft"]):
        for ink in ("accent", "ink", "quiet"):
            assert contrast(page[ink], ground) >= 4.5, (ink, ground)
    for ground in (page["sheet"], page["page"]):
        assert contrast(page["control"], ground) >= 3
        for ink in ("good", "bad", "warn-ink"):
            assert contrast(page[ink], ground) >= 4.5, (ink, ground)
    assert contrast(page["warn-ink"], page["warn-soft"]) >= 4.5
    assert contrast(page["on-accent"], page["accent"]) >= 4.5


@given(accent=COLOURS)
def test_stylesheet_of_a_colour_holds_nothing_but_colours(accent: str) -> None:
    made = theme(accent)
    assert re.fullmatch(r"[a-z0-9:;#(){}@ \n-]+", made.css)
    assert len(made.css) < 400
    assert re.fullmatch(r"[0-9a-f]{12}", made.version)
