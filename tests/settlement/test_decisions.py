"""The settler's judgements, without a chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openpay.app.records import EscrowLog, OperatorTransaction, TransactionStatus, Withdrawal, WithdrawalStatus
from openpay.settlement.decisions import Fate, Sighting, ended, fate_of, withdrawal_after
from openpay.settlement.nonces import Slot
from tests.settlement.samples import TRANSACTION

WITHDRAWAL = Withdrawal(
    id="wd_1",
    merchant_id="mer_1",
    livemode=True,
    chain_id=56,
    token="USDT",
    status=WithdrawalStatus.SUBMITTED,
    created_at=1,
    tx_hash=b"\x11" * 32,
)


def seen(
    block_number: int | None,
    succeeded: bool | None,
    final_number: int | None,
    final_nonce: int | None,
    mined: OperatorTransaction | None = None,
) -> Sighting:
    return Sighting(
        mined=mined,
        block_number=block_number,
        succeeded=succeeded,
        gas_used=None if block_number is None else 50_000,
        latest_nonce=8,
        final_number=final_number,
        final_nonce=final_nonce,
    )


LOG = EscrowLog(
    chain_id=56,
    name="Withdrawn",
    payment_id=None,
    terms_id=None,
    account=bytes(20),
    token="USDT",
    units=5,
    tx_hash=b"\x11" * 32,
    log_index=0,
    block_number=90,
    block_hash=b"\x22" * 32,
    block_time=1_000,
)


@pytest.mark.parametrize(
    ("block_number", "succeeded", "final_number", "final_nonce", "fate"),
    [
        (None, None, None, None, Fate.UNMINED),
        (None, None, 100, 7, Fate.UNMINED),
        (None, None, 100, 8, Fate.DROPPED),
        (100, True, None, None, Fate.MINED),
        (101, True, 100, None, Fate.MINED),
        (101, False, 100, None, Fate.MINED),
        (100, True, 100, None, Fate.SUCCEEDED),
        (100, False, 100, None, Fate.REVERTED),
    ],
)
def test_transaction_ends_only_in_a_final_block(
    block_number: int | None, succeeded: bool | None, final_number: int | None, final_nonce: int | None, fate: Fate
) -> None:
    assert fate_of(7, seen(block_number, succeeded, final_number, final_nonce)) is fate


def test_end_of_a_nonce_says_which_of_its_transactions_was_mined_and_what_it_cost() -> None:
    replacement = replace(TRANSACTION, id="otx_2", tx_hash=b"\x33" * 32, gas_price=20)
    slot = Slot(nonce=7, attempts=(TRANSACTION, replacement))
    sighting = seen(90, True, 100, None, mined=TRANSACTION)
    first, second = ended(slot, sighting, now=5_000)
    assert (first.status, first.ended_at, first.fee_wei) == (TransactionStatus.MINED, 5_000, 50_000 * 10)
    assert (second.status, second.ended_at, second.fee_wei) == (TransactionStatus.DROPPED, 5_000, None)


def test_nonce_that_another_program_used_cost_us_nothing() -> None:
    (only,) = ended(Slot(nonce=7, attempts=(TRANSACTION,)), seen(None, None, 100, 8), now=5_000)
    assert (only.status, only.fee_wei) == (TransactionStatus.DROPPED, None)


@pytest.mark.parametrize("fate", [Fate.SUCCEEDED, Fate.REVERTED, Fate.DROPPED])
def test_withdrawn_log_outweighs_what_a_node_says_of_the_transaction(fate: Fate) -> None:
    after = withdrawal_after(WITHDRAWAL, fate, LOG, now=2_000)
    assert after is not None
    assert (after.status, after.units, after.completed_at) == (WithdrawalStatus.SUCCEEDED, 5, 1_000)


def test_success_without_its_log_is_not_believed_yet() -> None:
    assert withdrawal_after(WITHDRAWAL, Fate.SUCCEEDED, None, now=2_000) is None
