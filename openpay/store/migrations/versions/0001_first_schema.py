"""First schema.

Revision: 0001
Follows: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from openpay.store.types import Hex, Units

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raised_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("cleared_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_alerts")),
        sa.UniqueConstraint("id", name=op.f("uq_alerts_id")),
    )
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alerts_cleared_at"), ["cleared_at"], unique=False)
        batch_op.create_index(
            "uq_alerts_open",
            ["kind", "chain_id", "subject"],
            unique=True,
            sqlite_where=sa.text("cleared_at IS NULL"),
            postgresql_where=sa.text("cleared_at IS NULL"),
        )

    op.create_table(
        "balance_rounds",
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("watched_until", sa.BigInteger(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("pk_balance_rounds")),
    )
    op.create_table(
        "block_ranges",
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("pk_block_ranges")),
    )
    op.create_table(
        "blocks",
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", Hex(), nullable=False),
        sa.Column("parent_hash", Hex(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("proven", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "number", name=op.f("pk_blocks")),
    )
    op.create_table(
        "cursors",
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", Hex(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("tip_time", sa.BigInteger(), nullable=False),
        sa.Column("final_number", sa.BigInteger(), nullable=True),
        sa.Column("final_time", sa.BigInteger(), nullable=True),
        sa.Column("seen_head", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.Column("reread_to", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("pk_cursors")),
    )
    op.create_table(
        "escrow_logs",
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("block_hash", Hex(), nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("payment_id", sa.String(length=40), nullable=True),
        sa.Column("terms_id", Hex(), nullable=True),
        sa.Column("account", Hex(), nullable=True),
        sa.Column("token", sa.String(length=20), nullable=True),
        sa.Column("units", Units(), nullable=False),
        sa.Column("tx_hash", Hex(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_time", sa.BigInteger(), nullable=False),
        sa.Column("receiver", Hex(), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "block_hash", "log_index", name=op.f("pk_escrow_logs")),
    )
    with op.batch_alter_table("escrow_logs", schema=None) as batch_op:
        batch_op.create_index("ix_escrow_logs_number", ["chain_id", "block_number"], unique=False)
        batch_op.create_index(batch_op.f("ix_escrow_logs_payment_id"), ["payment_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_escrow_logs_tx_hash"), ["tx_hash"], unique=False)

    op.create_table(
        "idempotency_keys",
        sa.Column("key_hash", Hex(), nullable=False),
        sa.Column("fingerprint", Hex(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_idempotency_keys")),
    )
    with op.batch_alter_table("idempotency_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_keys_created_at"), ["created_at"], unique=False)

    op.create_table(
        "merchants",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", Hex(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("slippage_bps", sa.Integer(), nullable=False),
        sa.Column("underpayment_bps", sa.Integer(), nullable=False),
        sa.Column("refund_policy", sa.String(length=12), nullable=False),
        sa.Column("refund_window_s", sa.Integer(), nullable=False),
        sa.Column("accent", sa.String(length=7), nullable=True),
        sa.Column("logo", sa.LargeBinary(), nullable=True),
        sa.Column("logo_type", sa.String(length=20), nullable=True),
        sa.Column("logo_hash", sa.String(length=16), nullable=True),
        sa.Column("embed_origins", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merchants")),
    )
    with op.batch_alter_table("merchants", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_merchants_logo_hash"), ["logo_hash"], unique=False)

    op.create_table(
        "operator_transactions",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("sender", Hex(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("tx_hash", Hex(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("gas", sa.BigInteger(), nullable=False),
        sa.Column("gas_price", Units(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_block", sa.BigInteger(), nullable=True),
        sa.Column("fee_wei", Units(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_operator_transactions")),
        sa.UniqueConstraint("id", name=op.f("uq_operator_transactions_id")),
        sa.UniqueConstraint("tx_hash", name=op.f("uq_operator_transactions_tx_hash")),
    )
    with op.batch_alter_table("operator_transactions", schema=None) as batch_op:
        batch_op.create_index("ix_operator_transactions_ended", ["chain_id", "ended_at"], unique=False)
        batch_op.create_index("ix_operator_transactions_status", ["chain_id", "status"], unique=False)

    op.create_table(
        "rescans",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", Hex(), nullable=True),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("found_logs", sa.Integer(), nullable=False),
        sa.Column("found_deposits", sa.Integer(), nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rescans")),
    )
    with op.batch_alter_table("rescans", schema=None) as batch_op:
        batch_op.create_index("ix_rescans_open", ["chain_id", "done_at"], unique=False)

    op.create_table(
        "alert_notices",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("alert_id", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("claimed_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("fk_alert_notices_alert_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_alert_notices")),
        sa.UniqueConstraint("id", name=op.f("uq_alert_notices_id")),
    )
    with op.batch_alter_table("alert_notices", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alert_notices_alert_id"), ["alert_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_alert_notices_next_attempt_at"), ["next_attempt_at"], unique=False)

    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("merchant_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("key_hash", Hex(), nullable=False),
        sa.Column("prefix", sa.String(length=10), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_api_keys_merchant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_keys_merchant_id"), ["merchant_id"], unique=False)

    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("merchant_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("payment_id", sa.String(length=40), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_events_merchant_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
        sa.UniqueConstraint("id", name=op.f("uq_events_id")),
        sa.UniqueConstraint("payment_id", "type", "subject", name=op.f("uq_events_payment_id_type_subject")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("ix_events_list", ["merchant_id", "livemode", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_events_payment_id"), ["payment_id"], unique=False)

    op.create_table(
        "operator_transaction_subjects",
        sa.Column("transaction_id", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["operator_transactions.id"],
            name=op.f("fk_operator_transaction_subjects_transaction_id"),
        ),
        sa.PrimaryKeyConstraint("transaction_id", "position", name=op.f("pk_operator_transaction_subjects")),
    )
    with op.batch_alter_table("operator_transaction_subjects", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_operator_transaction_subjects_subject"), ["subject"], unique=False)

    op.create_table(
        "payments",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("merchant_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_usd", sa.BigInteger(), nullable=False),
        sa.Column("offers", sa.JSON(), nullable=False),
        sa.Column("offers_coin", sa.Boolean(), nullable=False),
        sa.Column("unavailable_tokens", sa.JSON(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("terms_id", Hex(), nullable=False),
        sa.Column("escrow", Hex(), nullable=False),
        sa.Column("address", Hex(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("required_confirmations", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("line_items", sa.JSON(), nullable=False),
        sa.Column("success_url", sa.Text(), nullable=True),
        sa.Column("cancel_url", sa.Text(), nullable=True),
        sa.Column("allow_retry", sa.Boolean(), nullable=False),
        sa.Column("retry_of", sa.String(length=40), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("completion", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("confirming_since", sa.BigInteger(), nullable=True),
        sa.Column("retracted_at", sa.BigInteger(), nullable=True),
        sa.Column("paid_at", sa.BigInteger(), nullable=True),
        sa.Column("paid_confirmations", sa.Integer(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("watched_until", sa.BigInteger(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("reversed_at", sa.BigInteger(), nullable=True),
        sa.Column("settlement_status", sa.String(length=16), nullable=True),
        sa.Column("settlement_tx_hash", Hex(), nullable=True),
        sa.Column("settlement_units", Units(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_payments_merchant_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_payments")),
        sa.UniqueConstraint("chain_id", "terms_id", name=op.f("uq_payments_chain_id_terms_id")),
        sa.UniqueConstraint("id", name=op.f("uq_payments_id")),
    )
    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.create_index("ix_payments_address", ["address", "chain_id"], unique=False)
        batch_op.create_index("ix_payments_coin", ["chain_id", "offers_coin", "watched_until"], unique=False)
        batch_op.create_index("ix_payments_list", ["merchant_id", "livemode", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_payments_retry_of"), ["retry_of"], unique=False)
        batch_op.create_index("ix_payments_settlement", ["chain_id", "settlement_status"], unique=False)
        batch_op.create_index("ix_payments_status", ["chain_id", "status", "deadline"], unique=False)
        batch_op.create_index("ix_payments_watched", ["chain_id", "watched_until", "seq", "address"], unique=False)

    op.create_table(
        "signing_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("merchant_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("public_key", Hex(), nullable=False),
        sa.Column("sealed_private_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_signing_keys_merchant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
    )
    with op.batch_alter_table("signing_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_signing_keys_merchant_id"), ["merchant_id"], unique=False)

    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("merchant_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_webhook_endpoints_merchant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )
    with op.batch_alter_table("webhook_endpoints", schema=None) as batch_op:
        batch_op.create_index(
            "uq_webhook_endpoints_url",
            ["merchant_id", "livemode", "url"],
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        )

    op.create_table(
        "withdrawal_schedules",
        sa.Column("merchant_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("thresholds", sa.JSON(), nullable=False),
        sa.Column("daily_at_s", sa.Integer(), nullable=True),
        sa.Column("done_day", sa.Integer(), nullable=True),
        sa.Column("crossings", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_withdrawal_schedules_merchant_id")),
        sa.PrimaryKeyConstraint("merchant_id", "livemode", name=op.f("pk_withdrawal_schedules")),
    )
    op.create_table(
        "withdrawals",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("merchant_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("tx_hash", Hex(), nullable=True),
        sa.Column("units", Units(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_withdrawals_merchant_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_withdrawals")),
        sa.UniqueConstraint("id", name=op.f("uq_withdrawals_id")),
    )
    with op.batch_alter_table("withdrawals", schema=None) as batch_op:
        batch_op.create_index("ix_withdrawals_list", ["merchant_id", "livemode", "seq"], unique=False)
        batch_op.create_index("ix_withdrawals_status", ["chain_id", "status"], unique=False)

    op.create_table(
        "deliveries",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.Column("endpoint_id", sa.String(length=40), nullable=False),
        sa.Column("merchant_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("first_attempt_at", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("claimed_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoints.id"], name=op.f("fk_deliveries_endpoint_id")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_deliveries_event_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("event_id", "endpoint_id", name=op.f("uq_deliveries_event_id_endpoint_id")),
        sa.UniqueConstraint("id", name=op.f("uq_deliveries_id")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index("ix_deliveries_due", ["state", "next_attempt_at"], unique=False)
        batch_op.create_index("ix_deliveries_endpoint", ["endpoint_id", "state"], unique=False)
        batch_op.create_index("ix_deliveries_list", ["merchant_id", "livemode", "seq"], unique=False)

    op.create_table(
        "deposits",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.Column("token", sa.String(length=20), nullable=False),
        sa.Column("units", Units(), nullable=False),
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("tx_hash", Hex(), nullable=True),
        sa.Column("sender", Hex(), nullable=True),
        sa.Column("sender_nonce", sa.BigInteger(), nullable=True),
        sa.Column("payer", Hex(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", Hex(), nullable=False),
        sa.Column("block_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_deposits_payment_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_deposits")),
        sa.UniqueConstraint("payment_id", "block_hash", "source", "position", name="uq_deposits_place"),
    )
    with op.batch_alter_table("deposits", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deposits_block_hash"), ["block_hash"], unique=False)

    op.create_table(
        "doubted_balances",
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_doubted_balances_payment_id")),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_doubted_balances")),
    )
    op.create_table(
        "excess",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.String(length=20), nullable=False),
        sa.Column("units", Units(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_excess_payment_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_excess")),
        sa.UniqueConstraint("id", name=op.f("uq_excess_id")),
    )
    with op.batch_alter_table("excess", schema=None) as batch_op:
        batch_op.create_index("ix_excess_list", ["chain_id", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_excess_payment_id"), ["payment_id"], unique=False)

    op.create_table(
        "refunds",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.Column("merchant_id", sa.String(length=40), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.String(length=20), nullable=False),
        sa.Column("units", Units(), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("mode", sa.String(length=20), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("sender", Hex(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("available_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("destination", Hex(), nullable=True),
        sa.Column("named_by", sa.String(length=12), nullable=True),
        sa.Column("tx_hash", Hex(), nullable=True),
        sa.Column("log_index", sa.Integer(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("found_senders", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_refunds_merchant_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_refunds_payment_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_refunds")),
        sa.UniqueConstraint("id", name=op.f("uq_refunds_id")),
    )
    with op.batch_alter_table("refunds", schema=None) as batch_op:
        batch_op.create_index("ix_refunds_due", ["chain_id", "status", "available_at"], unique=False)
        batch_op.create_index("ix_refunds_list", ["merchant_id", "livemode", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_refunds_payment_id"), ["payment_id"], unique=False)

    op.create_table(
        "reports",
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.Column("tx_hash", Hex(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_reports_payment_id")),
        sa.PrimaryKeyConstraint("payment_id", "tx_hash", name=op.f("pk_reports")),
    )
    with op.batch_alter_table("reports", schema=None) as batch_op:
        batch_op.create_index("ix_reports_open", ["chain_id", "open"], unique=False)

    op.create_table(
        "reverted_attempts",
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.Column("tx_hash", Hex(), nullable=False),
        sa.Column("token", sa.String(length=20), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", Hex(), nullable=False),
        sa.Column("block_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_reverted_attempts_payment_id")),
        sa.PrimaryKeyConstraint("payment_id", "tx_hash", name=op.f("pk_reverted_attempts")),
    )
    with op.batch_alter_table("reverted_attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reverted_attempts_block_hash"), ["block_hash"], unique=False)

    op.create_table(
        "rewound_payments",
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_rewound_payments_payment_id")),
        sa.PrimaryKeyConstraint("chain_id", "payment_id", name=op.f("pk_rewound_payments")),
    )
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name=op.f("fk_delivery_attempts_delivery_id")),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_delivery_attempts")),
    )


def downgrade() -> None:
    op.drop_table("delivery_attempts")
    op.drop_table("rewound_payments")
    with op.batch_alter_table("reverted_attempts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_reverted_attempts_block_hash"))

    op.drop_table("reverted_attempts")
    with op.batch_alter_table("reports", schema=None) as batch_op:
        batch_op.drop_index("ix_reports_open")

    op.drop_table("reports")
    with op.batch_alter_table("refunds", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_refunds_payment_id"))
        batch_op.drop_index("ix_refunds_list")
        batch_op.drop_index("ix_refunds_due")

    op.drop_table("refunds")
    with op.batch_alter_table("excess", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_excess_payment_id"))
        batch_op.drop_index("ix_excess_list")

    op.drop_table("excess")
    op.drop_table("doubted_balances")
    with op.batch_alter_table("deposits", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_deposits_block_hash"))

    op.drop_table("deposits")
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_index("ix_deliveries_list")
        batch_op.drop_index("ix_deliveries_endpoint")
        batch_op.drop_index("ix_deliveries_due")

    op.drop_table("deliveries")
    with op.batch_alter_table("withdrawals", schema=None) as batch_op:
        batch_op.drop_index("ix_withdrawals_status")
        batch_op.drop_index("ix_withdrawals_list")

    op.drop_table("withdrawals")
    op.drop_table("withdrawal_schedules")
    with op.batch_alter_table("webhook_endpoints", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_webhook_endpoints_url",
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        )

    op.drop_table("webhook_endpoints")
    with op.batch_alter_table("signing_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_signing_keys_merchant_id"))

    op.drop_table("signing_keys")
    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.drop_index("ix_payments_watched")
        batch_op.drop_index("ix_payments_status")
        batch_op.drop_index("ix_payments_settlement")
        batch_op.drop_index(batch_op.f("ix_payments_retry_of"))
        batch_op.drop_index("ix_payments_list")
        batch_op.drop_index("ix_payments_coin")
        batch_op.drop_index("ix_payments_address")

    op.drop_table("payments")
    with op.batch_alter_table("operator_transaction_subjects", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_operator_transaction_subjects_subject"))

    op.drop_table("operator_transaction_subjects")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_events_payment_id"))
        batch_op.drop_index("ix_events_list")

    op.drop_table("events")
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_keys_merchant_id"))

    op.drop_table("api_keys")
    with op.batch_alter_table("alert_notices", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_alert_notices_next_attempt_at"))
        batch_op.drop_index(batch_op.f("ix_alert_notices_alert_id"))

    op.drop_table("alert_notices")
    with op.batch_alter_table("rescans", schema=None) as batch_op:
        batch_op.drop_index("ix_rescans_open")

    op.drop_table("rescans")
    with op.batch_alter_table("operator_transactions", schema=None) as batch_op:
        batch_op.drop_index("ix_operator_transactions_status")
        batch_op.drop_index("ix_operator_transactions_ended")

    op.drop_table("operator_transactions")
    with op.batch_alter_table("merchants", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_merchants_logo_hash"))

    op.drop_table("merchants")
    with op.batch_alter_table("idempotency_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotency_keys_created_at"))

    op.drop_table("idempotency_keys")
    with op.batch_alter_table("escrow_logs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_escrow_logs_tx_hash"))
        batch_op.drop_index(batch_op.f("ix_escrow_logs_payment_id"))
        batch_op.drop_index("ix_escrow_logs_number")

    op.drop_table("escrow_logs")
    op.drop_table("cursors")
    op.drop_table("blocks")
    op.drop_table("block_ranges")
    op.drop_table("balance_rounds")
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_alerts_open", sqlite_where=sa.text("cleared_at IS NULL"), postgresql_where=sa.text("cleared_at IS NULL")
        )
        batch_op.drop_index(batch_op.f("ix_alerts_cleared_at"))

    op.drop_table("alerts")
