"""A small run of scripts/simulate: customers of every kind, reorganisations, price moves and killed services."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.simulation.behaviours import Behaviour
from scripts.simulation.run import simulate
from scripts.simulation.table import report

PAYMENTS = 2 * len(Behaviour)


@pytest.mark.nightly
async def test_every_customers_money_is_accounted_for(tmp_path: Path) -> None:
    found = await simulate(
        payments=PAYMENTS,
        seed=20260326,
        database_url=f"sqlite:///{tmp_path / 'openpay.db'}",
        directory=tmp_path,
        kill_every_s=(1.0, 3.0),
        most_kills=2,
        reorganise_every_s=(0.5, 2.0),
        echo=print,
    )
    print("\n".join(report(found)))
    assert found.disagreements == []
    assert {behaviour for behaviour, _, _ in found.outcomes} == set(Behaviour)
    assert sum(found.outcomes.values()) == PAYMENTS
    for money in found.money:
        assert money.sent == money.accounted > 0
        assert money.refunded > 0
        assert money.withdrawn > 0
    assert found.kills > 0
    assert found.reorgs > 0
