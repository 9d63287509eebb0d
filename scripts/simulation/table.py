"""What a run came to, as tables."""

from __future__ import annotations

from openpay.bootstrap.books import table
from openpay.domain.money import format_decimal
from scripts.simulation.audit import Audit

DECIMALS = 18
"""Of every coin of the local chain."""


def report(found: Audit) -> list[str]:
    """Outcomes by behaviour, money by place, and every disagreement."""
    outcomes = [
        (str(behaviour), status, places, f"{count:,}")
        for (behaviour, status, places), count in sorted(found.outcomes.items())
    ]
    money = [(each.token, *(format_decimal(units, DECIMALS) for units in _columns(each))) for each in found.money]
    lines = [
        *table(("the customer", "the payment", "the money", "count"), outcomes),
        "",
        *table(("token", "sent", "= in vaults", "+ in treasury", "+ withdrawn", "+ refunded"), money),
        "",
        f"{found.settlements:,} settlements, {found.refunds:,} refunds; {found.webhooks:,} webhooks in "
        f"{found.deliveries:,} deliveries",
        f"services killed {found.kills:,} times, chain reorganised {found.reorgs:,} times",
        "",
        "openpay reconcile:",
        *(f"  {line}" for line in found.books.splitlines()),
        "",
    ]
    if not found.disagreements:
        return [*lines, "Every payment ended as its customer's deeds say, and every unit is accounted for."]
    return [*lines, f"{len(found.disagreements):,} disagreements:", *(f"  {each}" for each in found.disagreements)]


def _columns(each: object) -> tuple[int, ...]:
    return tuple(getattr(each, name) for name in ("sent", "in_vaults", "in_treasury", "withdrawn", "refunded"))
