"""Amounts: read exactly or refused, written exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.money import (
    MAX_AMOUNT_USD,
    MIN_AMOUNT_USD,
    ceil_div,
    format_decimal,
    format_usd,
    parse_decimal,
    parse_usd,
)
from openpay.errors import Invalid


@given(micros=st.integers(MIN_AMOUNT_USD, MAX_AMOUNT_USD))
def test_every_amount_reads_back_as_written(micros: int) -> None:
    assert parse_usd(format_usd(micros)) == micros


@given(units=st.integers(0, 2**256 - 1), decimals=st.integers(0, 36))
def test_token_amounts_of_any_size_read_back_as_written(units: int, decimals: int) -> None:
    whole, _, fraction = format_decimal(units, decimals).partition(".")
    assert len(fraction) >= 2
    assert int(whole) * 10**decimals + int(fraction.ljust(decimals, "0")[:decimals] or "0") == units


@pytest.mark.parametrize(
    ("text", "micros"),
    [("25", 25_000_000), ("25.0", 25_000_000), ("25.000000", 25_000_000), ("0.01", 10_000), ("1000000", 10**12)],
)
def test_plain_decimals_are_read(text: str, micros: int) -> None:
    assert parse_usd(text) == micros


@pytest.mark.parametrize(
    ("micros", "text"), [(25_000_000, "25.00"), (10_000, "0.01"), (1_234_567, "1.234567"), (-2_500_000, "-2.50")]
)
def test_at_least_two_places_are_written(micros: int, text: str) -> None:
    assert format_usd(micros) == text


NOT_AMOUNTS = {
    "zero": "0",
    "zero with places": "0.00",
    "below one cent": "0.009999",
    "above a million": "1000000.000001",
    "negative": "-25.00",
    "plus sign": "+1",
    "7 decimals": "25.1234567",
    "7 decimals that are zeros": "25.0000000",
    "19 decimals": "1.0000000000000000001",
    "exponent": "1e3",
    "capital exponent": "1E3",
    "not a number": "NaN",
    "infinity": "Infinity",
    "comma": "25,00",
    "thousands": "1,000.00",
    "underscore": "1_000",
    "huge": "1" + "0" * 30,
    "absurdly long": "9" * 10_000,
    "unicode digits": "２５.00",
    "arabic digits": "٢٥",
    "superscript": "2²",
    "leading zero": "025.00",
    "two zeros": "00.10",
    "leading space": " 25",
    "trailing space": "25 ",
    "trailing newline": "25\n",
    "no-break space": "25\u00a0",
    "no digits after the point": "25.",
    "no digit before the point": ".50",
    "two points": "2.5.0",
    "hexadecimal": "0x19",
    "currency": "$25",
    "empty": "",
    "NUL": "25\0",
}


@pytest.mark.parametrize("text", NOT_AMOUNTS.values(), ids=NOT_AMOUNTS)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_usd(text, param="line_items.0.amount")
    assert (refused.value.code, refused.value.param) == ("invalid_amount", "line_items.0.amount")
    assert len(refused.value.detail) < 200


@given(st.text(max_size=12))
def test_any_text_is_read_exactly_or_refused(text: str) -> None:
    try:
        units = parse_decimal(text, 6)
    except Invalid:
        return
    assert text.isascii()
    whole, _, fraction = text.partition(".")
    assert units == int(whole) * 10**6 + int(fraction.ljust(6, "0"))


@given(numerator=st.integers(0, 2**256), denominator=st.integers(1, 2**128))
def test_division_rounds_up_and_by_less_than_one(numerator: int, denominator: int) -> None:
    quotient = ceil_div(numerator, denominator)
    assert (quotient - 1) * denominator < numerator <= quotient * denominator
