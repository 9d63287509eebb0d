"""docs/payment-life.md says what the code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from openpay.domain.money import format_decimal
from openpay.domain.terms import min_units_up, peg_full_units_up, price_full_units_up

ROOT = Path(__file__).resolve().parents[2]


def test_tables_made_from_code_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "docs-tables"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_amounts_of_the_example_are_the_ones_that_would_be_due() -> None:
    page = (ROOT / "docs" / "payment-life.md").read_text()
    usdt = peg_full_units_up(25_000_000, token_decimals=18)
    bnb = price_full_units_up(25_000_000, price=612_34000000, price_decimals=8, token_decimals=18)
    least = min_units_up(bnb, 100)
    assert usdt == 25 * 10**18
    assert f"| BNB | {format_decimal(bnb, 18)} | {format_decimal(least, 18)} |" in page
    assert f"of BNB {format_decimal(bnb - 2 * 10**16, 18)} remaining" in page
