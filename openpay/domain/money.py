"""Amounts: US dollars as integers of 10^-6 ("micros"), tokens as integers of their base unit.

Nothing here is ever a float, and nothing is ever rounded silently: too many digits are refused. Conversion
to tokens rounds up, in the payee's favour, and says so in its name.
"""

from __future__ import annotations

import re

from openpay.errors import Invalid

USD_DECIMALS = 6
BPS = 10_000
"""Basis points in a whole: 100 bps = 1 %."""

MIN_AMOUNT_USD = 10_000
"""0.01 USD in micros."""
MAX_AMOUNT_USD = 1_000_000 * 10**USD_DECIMALS
"""1,000,000 USD in micros."""

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,30})(?:\.([0-9]{1,40}))?", re.ASCII)


def parse_decimal(text: str, decimals: int, *, param: str = "amount") -> int:
    """Read a plain decimal string as an integer of 10^-`decimals`.

    No sign, exponent, separator, white space or leading zero, and no more than `decimals` digits after the point,
    zeros included: nothing is rounded. Raises `Invalid` (code `invalid_amount`).
    """
    match = _DECIMAL.fullmatch(text)
    if not match:
        raise Invalid(
            f'{text[:40]!r} is not an amount: write a decimal string such as "25.00"',
            code="invalid_amount",
            param=param,
        )
    whole, fraction = match[1], match[2] or ""
    if len(fraction) > decimals:
        raise Invalid(f"{text[:60]!r} has more than {decimals} decimal places", code="invalid_amount", param=param)
    return int(whole + fraction.ljust(decimals, "0"))


def parse_usd(text: str, *, param: str = "amount") -> int:
    """Read a payment's amount in USD as micros, between 0.01 and 1,000,000 inclusive.

    Raises `Invalid` (code `invalid_amount`).
    """
    micros = parse_decimal(text, USD_DECIMALS, param=param)
    if not MIN_AMOUNT_USD <= micros <= MAX_AMOUNT_USD:
        raise Invalid(
            f"{text[:40]!r} is outside 0.01 to {MAX_AMOUNT_USD // 10**USD_DECIMALS}", code="invalid_amount", param=param
        )
    return micros


def format_decimal(units: int, decimals: int) -> str:
    """Write an integer of 10^-`decimals` exactly, with at least two decimal places: 25 USD is `25.00`."""
    sign, digits = ("-", -units) if units < 0 else ("", units)
    whole, fraction = divmod(digits, 10**decimals)
    written = str(fraction).rjust(decimals, "0") if decimals else ""
    return f"{sign}{whole}.{written.rstrip('0').ljust(2, '0')}"


def format_usd(micros: int) -> str:
    """Write micros of USD: 25_000_000 is `25.00`."""
    return format_decimal(micros, USD_DECIMALS)


def ceil_div(numerator: int, denominator: int) -> int:
    """Integer division rounded up. Both arguments non-negative, `denominator` above zero."""
    return -(-numerator // denominator)
