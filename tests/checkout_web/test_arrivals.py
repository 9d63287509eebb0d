"""What the page's scripts are told of what has arrived."""

from __future__ import annotations

from dataclasses import replace

from checkout_web.content.arrivals import MOST_LOOKED_FOR, newest_arrivals
from openpay.domain.deposit import Deposit, Source

DEPOSIT = Deposit(
    payment_id="pay_1",
    token="USDT",
    units=1,
    source=Source.LOG,
    position=7,
    tx_hash=bytes([0xAA]) * 32,
    sender=bytes([5]) * 20,
    sender_nonce=3,
    payer=bytes([0xBB]) * 20,
    block_number=100,
    block_hash=bytes([1]) * 32,
    block_time=1_774_530_000,
)


def test_a_transfer_is_named_by_its_transaction_and_whose_money_it_was() -> None:
    (arrival,) = newest_arrivals([DEPOSIT])
    assert str(arrival) == f"0x{'aa' * 32}@0x{'bb' * 20}"


def test_coins_without_a_transaction_are_told_apart_by_their_place() -> None:
    inside = replace(DEPOSIT, source=Source.INTERNAL, tx_hash=None, sender=None, sender_nonce=None, payer=None)
    arrivals = newest_arrivals([inside, replace(inside, position=8), replace(inside, block_number=99)])
    assert [str(arrival) for arrival in arrivals] == ["100.8@", "100.7@", "99.7@"]


def test_specks_of_strangers_do_not_make_the_page_heavy() -> None:
    arrivals = newest_arrivals([replace(DEPOSIT, block_number=number, tx_hash=None) for number in range(1_000)])
    assert [arrival.name for arrival in arrivals] == [f"{999 - back}.7" for back in range(MOST_LOOKED_FOR)]
