"""Long amounts: grouped for the eye, exact to the last digit for the clipboard."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout_web.words.figures import spaced, told
from openpay.domain.money import format_decimal


def text(html: str) -> str:
    """What is selected and copied."""
    return re.sub(r"<[^>]*>", "", html)


def groups(html: str, within: str) -> list[str]:
    return re.findall(r"<span>(\d+)</span>", within and html.partition(within)[2])


@pytest.mark.parametrize("plain", ["25.00", "0.1234", "1000", "25,00", "-3.50"])
def test_short_amount_is_left_alone(plain: str) -> None:
    assert spaced(plain) == plain


def test_long_amount_stands_in_groups_and_its_last_digits_step_back() -> None:
    html = spaced("0.040826991540647352")
    assert groups(html, "decimals") == ["040", "826", "991", "540", "647", "352"]
    assert groups(html, "fine") == ["991", "540", "647", "352"]


def test_every_digit_of_dust_counts() -> None:
    html = spaced("0.000000000000000001")
    assert groups(html, "decimals") == ["000"] * 5 + ["001"]
    assert "fine" not in html


def test_digits_before_the_mark_tell_too() -> None:
    assert groups(spaced("1234.567891"), "fine") == ["567", "891"]


@given(
    whole=st.integers(0, 10**30), decimals=st.from_regex(r"[0-9]{1,18}", fullmatch=True), mark=st.sampled_from(".,٫")
)
def test_what_is_copied_is_the_number_itself(whole: int, decimals: str, mark: str) -> None:
    written = f"{whole}{mark}{decimals}"
    assert text(spaced(written)) == written


@pytest.mark.parametrize(
    ("amount", "short"),
    [
        ("25.00", "25.00"),
        ("0.12345678", "0.12345678"),
        ("10.000000000000000001", "10.00…"),
        ("24.999999999999999999", "24.9999…"),
        ("0.040826991540647353", "0.0408269…"),
        ("0.010000000000000001", "0.01…"),
        ("1234567.000000000000000001", "1234567.00…"),
        ("0.000000010000000001", "0.00000001…"),
        ("0.000000000000000001", "< 0.00000001"),
        ("1.000000000000000000", "1.00"),
        ("0.000000000000000000", "0.00"),
    ],
)
def test_sum_that_is_only_told_is_short_and_never_more_than_it_is(amount: str, short: str) -> None:
    assert told(amount) == short


@given(units=st.integers(0, 10**40), decimals=st.integers(0, 30))
def test_told_sum_is_cut_off_by_less_than_it_shows_and_says_so(units: int, decimals: int) -> None:
    exact = format_decimal(units, decimals)
    short = told(exact)
    if short.startswith("< "):
        assert 0 < Decimal(exact) < Decimal(short[2:])
        return
    shown = Decimal(short.rstrip("…"))
    assert shown <= Decimal(exact)
    assert (shown < Decimal(exact)) == short.endswith("…")
    assert shown > 0 or units == 0
    assert len(short.partition(".")[2].rstrip("…")) <= 8


def test_what_is_no_number_is_escaped() -> None:
    assert spaced("<b>.12345") == "&lt;b&gt;.12345"
