"""A transaction of the operator, for judgements without a chain."""

from __future__ import annotations

from openpay.app.records import OperatorTransaction, TransactionStatus

TRANSACTION = OperatorTransaction(
    id="otx_1",
    chain_id=56,
    kind="withdraw",
    subjects=("wd_1",),
    sender=bytes(20),
    nonce=7,
    tx_hash=b"\x11" * 32,
    raw=b"raw",
    gas=200_000,
    gas_price=10,
    status=TransactionStatus.SIGNED,
    created_at=1,
)
