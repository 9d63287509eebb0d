"""The settler's judgements, without a chain."""

from __future__ import annotations

import pytest

from openpay.app.records import EscrowLog, OperatorTransaction, TransactionStatus, Withdrawal, WithdrawalStatus
from openpay.settlement.decisions import Fate, Sighting, ended, fate_of, withdrawal_after

TRANSACTION = OperatorTransaction(
    id="otx_1",
    chain_id=56,
    kind="withdraw",
    subject="wd_1",
    sender=bytes(20),
    nonce=7,
    tx_hash=b"\x11" * 32,
    raw=b"raw",
    status=TransactionStatus.SIGNED,
    created_at=1,
)
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
    sighting = Sighting(
        block_number=block_number, succeeded=succeeded, final_number=final_number, final_nonce=final_nonce
    )
    assert fate_of(TRANSACTION, sighting) is fate


def test_end_of_a_transaction_says_whether_its_nonce_was_used_by_it() -> None:
    assert ended(TRANSACTION, Fate.SUCCEEDED).status is TransactionStatus.MINED
    assert ended(TRANSACTION, Fate.REVERTED).status is TransactionStatus.MINED
    assert ended(TRANSACTION, Fate.DROPPED).status is TransactionStatus.DROPPED


@pytest.mark.parametrize("fate", [Fate.SUCCEEDED, Fate.REVERTED, Fate.DROPPED])
def test_withdrawn_log_outweighs_what_a_node_says_of_the_transaction(fate: Fate) -> None:
    after = withdrawal_after(WITHDRAWAL, fate, LOG, now=2_000)
    assert after is not None
    assert (after.status, after.units, after.completed_at) == (WithdrawalStatus.SUCCEEDED, 5, 1_000)


def test_success_without_its_log_is_not_believed_yet() -> None:
    assert withdrawal_after(WITHDRAWAL, Fate.SUCCEEDED, None, now=2_000) is None
