"""What is swept: all that lies in a settled vault and is worth it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.chains import Token
from openpay.domain.deposit import Deposit
from openpay.domain.receipts import Outflow
from openpay.domain.sweeping import MIN_WORTH_WEI, excess_of
from tests.domain.builders import head_at, make_deposit, make_payment

PAYMENT = make_payment()
OFFERED = PAYMENT.offers[0].token
TOKENS = tuple(
    Token(symbol=symbol, asset_index=index, contract=contract, decimals=18, feed=feed)
    for index, (symbol, contract, feed) in enumerate(
        [("USDT", b"\x01" * 20, None), ("USDC", b"\x02" * 20, None), ("BNB", None, b"\x03" * 20)]
    )
)


def outflow(name: str, units: int, *, token: str = OFFERED, block: int = 3) -> Outflow:
    return Outflow(
        name=name,
        token=token,
        units=units,
        to=b"\x09" * 20,
        tx_hash=bytes([block]) * 32,
        log_index=0,
        block_number=block,
        block_time=block,
    )


def units_of(*deposits: Deposit, logs: tuple[Outflow, ...], final: int = 10) -> dict[str, int]:
    found = excess_of(PAYMENT, deposits=deposits, outflows=logs, head=head_at(20, final=final), tokens=TOKENS)
    return {each.token: each.units for each in found}


def test_nothing_is_excess_before_the_settlement_is_final() -> None:
    paid, again = make_deposit(100, position=0), make_deposit(100, position=1)
    settled = outflow("Settled", 100, block=11)
    assert units_of(paid, again, logs=()) == {}
    assert units_of(paid, again, logs=(settled,), final=10) == {}
    assert units_of(paid, again, logs=(settled,), final=11) == {OFFERED: 100}


def test_what_nothing_prices_is_counted_in_coins() -> None:
    payment = replace(PAYMENT, offers=PAYMENT.offers[:1])
    logs = (outflow("Settled", 100),)
    for units, expected in ((MIN_WORTH_WEI - 1, []), (MIN_WORTH_WEI, [MIN_WORTH_WEI])):
        deposits = (make_deposit(100), make_deposit(units, "BNB", position=1))
        found = excess_of(payment, deposits=deposits, outflows=logs, head=head_at(20, final=10), tokens=TOKENS)
        assert [each.units for each in found] == expected


@given(
    st.lists(st.tuples(st.sampled_from(["USDT", "USDC", "BNB"]), st.integers(1, 1_000)), max_size=8),
    st.integers(0, 1_000),
)
def test_what_came_is_what_left_and_what_is_swept_or_too_little(came: list[tuple[str, int]], swept: int) -> None:
    deposits = [make_deposit(units, token, position=place) for place, (token, units) in enumerate(came)]
    sums = {token: sum(units for each, units in came if each == token) for token, _ in came}
    settled = sums.get(OFFERED, 0)
    again = make_deposit(swept + 1_000, position=len(came))
    logs = (outflow("Settled", settled), *([outflow("Swept", swept)] if swept else []))
    found = units_of(*deposits, again, logs=logs)
    assert found[OFFERED] == 1_000
    full_units = {offer.token: offer.full_units for offer in PAYMENT.offers}
    for token, units in sums.items():
        if token != OFFERED:  # 25 USD are due in full: 0.50 USD is the fiftieth part
            assert found.get(token) == (units if units * 50 >= full_units[token] else None)
