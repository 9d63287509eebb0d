"""The schema. Times are Unix seconds; amounts base units; migrations are proven equal to this in the tests."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from openpay.store.types import Hex, Units

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = String(40)
# SQLite only numbers rows by itself in a column declared exactly INTEGER.
Sequence = BigInteger().with_variant(Integer, "sqlite")

merchants = Table(
    "merchants",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("address", Hex, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("slippage_bps", Integer, nullable=False),
    Column("underpayment_bps", Integer, nullable=False),
    Column("refund_policy", String(12), nullable=False),
    Column("refund_window_s", Integer, nullable=False),
    Column("accent", String(7)),
    Column("logo", LargeBinary),
    Column("logo_type", String(20)),
    Column("logo_hash", String(16), index=True),
    Column("embed_origins", JSON, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("merchant_id", Id, ForeignKey("merchants.id"), nullable=False, index=True),
    Column("livemode", Boolean, nullable=False),
    Column("key_hash", Hex, nullable=False, unique=True),
    Column("prefix", String(10), nullable=False),
    Column("last4", String(4), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("merchant_id", Id, ForeignKey("merchants.id"), nullable=False, index=True),
    Column("livemode", Boolean, nullable=False),
    Column("public_key", Hex, nullable=False),
    Column("sealed_private_key", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("retired_at", BigInteger),
)

payments = Table(
    "payments",
    metadata,
    # `seq` is for the watcher (new deposit addresses) and for lists (newest first); the public name is `id`.
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("merchant_id", Id, ForeignKey("merchants.id"), nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("amount_usd", BigInteger, nullable=False),
    Column("offers", JSON, nullable=False),
    # Whether one of them is in the chain's own coin.
    Column("offers_coin", Boolean, nullable=False),
    Column("unavailable_tokens", JSON, nullable=False),
    Column("terms", JSON, nullable=False),
    Column("terms_id", Hex, nullable=False),
    Column("escrow", Hex, nullable=False),
    Column("address", Hex, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("required_confirmations", Integer, nullable=False),
    Column("description", Text),
    Column("metadata", JSON, nullable=False),
    Column("line_items", JSON, nullable=False),
    Column("success_url", Text),
    Column("cancel_url", Text),
    Column("allow_retry", Boolean, nullable=False),
    Column("retry_of", Id, index=True),
    # Below: what changes.
    Column("status", String(16), nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("completion", JSON(none_as_null=True)),
    Column("confirming_since", BigInteger),
    Column("retracted_at", BigInteger),
    Column("paid_at", BigInteger),
    Column("paid_confirmations", Integer),
    Column("ended_at", BigInteger),
    # The last block time at which its address is watched; NULL while it is open.
    Column("watched_until", BigInteger),
    Column("failure", Text),
    Column("reversed_at", BigInteger),
    Column("settlement_status", String(16)),
    Column("settlement_tx_hash", Hex),
    Column("settlement_units", Units),
    Column("settled_at", BigInteger),
    Column("version", Integer, nullable=False),
    UniqueConstraint("chain_id", "terms_id"),
    Index("ix_payments_list", "merchant_id", "livemode", "seq"),
    Index("ix_payments_status", "chain_id", "status", "deadline"),
    Index("ix_payments_settlement", "chain_id", "settlement_status"),
    Index("ix_payments_address", "address", "chain_id"),
    # With the address, so that a million of them are loaded without touching the rows.
    Index("ix_payments_watched", "chain_id", "watched_until", "seq", "address"),
    Index("ix_payments_coin", "chain_id", "offers_coin", "watched_until"),
)

deposits = Table(
    "deposits",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("payment_id", Id, ForeignKey("payments.id"), nullable=False),
    Column("token", String(20), nullable=False),
    Column("units", Units, nullable=False),
    Column("source", String(12), nullable=False),
    Column("position", Integer, nullable=False),
    Column("tx_hash", Hex),
    Column("sender", Hex),
    Column("sender_nonce", BigInteger),
    Column("payer", Hex),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Hex, nullable=False, index=True),
    Column("block_time", BigInteger, nullable=False),
    # One deposit per place in a block: reading a block twice changes nothing.
    UniqueConstraint("payment_id", "block_hash", "source", "position", name="uq_deposits_place"),
)

reports = Table(
    "reports",
    metadata,
    Column("payment_id", Id, ForeignKey("payments.id"), primary_key=True),
    Column("tx_hash", Hex, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("reported_at", BigInteger, nullable=False),
    Column("open", Boolean, nullable=False),
    Index("ix_reports_open", "chain_id", "open"),
)

reverted_attempts = Table(
    "reverted_attempts",
    metadata,
    Column("payment_id", Id, ForeignKey("payments.id"), primary_key=True),
    Column("tx_hash", Hex, primary_key=True),
    Column("token", String(20), nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Hex, nullable=False, index=True),
    Column("block_time", BigInteger, nullable=False),
)

cursors = Table(
    "cursors",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", Hex, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("tip_time", BigInteger, nullable=False),
    Column("final_number", BigInteger),
    Column("final_time", BigInteger),
    Column("seen_head", BigInteger, nullable=False),
    Column("read_at", BigInteger, nullable=False),
    Column("reread_to", BigInteger),
)

blocks = Table(
    "blocks",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Hex, nullable=False),
    Column("parent_hash", Hex, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("proven", Boolean, nullable=False),
)

block_ranges = Table(
    "block_ranges",
    metadata,
    # Final blocks, folded: the table does not grow with the chain.
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
)

balance_rounds = Table(
    "balance_rounds",
    metadata,
    # The place of the rounds over all vaults' balances: the last vault looked at, and the block time of that look.
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("watched_until", BigInteger),
    Column("seq", BigInteger, nullable=False),
    Column("looked_at", BigInteger, nullable=False),
)

doubted_balances = Table(
    "doubted_balances",
    metadata,
    # Vaults to look at with every block up to this number: one taken back before it had money in it that no log shows.
    Column("payment_id", Id, ForeignKey("payments.id"), primary_key=True),
    Column("block_number", BigInteger, nullable=False),
)

escrow_logs = Table(
    "escrow_logs",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("block_hash", Hex, primary_key=True),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("name", String(20), nullable=False),
    Column("payment_id", Id, index=True),
    Column("terms_id", Hex),
    Column("account", Hex),
    Column("token", String(20)),
    Column("units", Units, nullable=False),
    Column("tx_hash", Hex, nullable=False, index=True),
    Column("block_number", BigInteger, nullable=False),
    Column("block_time", BigInteger, nullable=False),
    Column("receiver", Hex),
    Index("ix_escrow_logs_number", "chain_id", "block_number"),
)

rewound_payments = Table(
    "rewound_payments",
    metadata,
    # What the chain said of these was taken back: they are judged when it was read again.
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("payment_id", Id, ForeignKey("payments.id"), primary_key=True),
)

rescans = Table(
    "rescans",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("next", BigInteger, nullable=False),
    Column("last_hash", Hex),
    Column("requested_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger),
    Column("done_at", BigInteger),
    Column("failure", Text),
    Column("found_logs", Integer, nullable=False),
    Column("found_deposits", Integer, nullable=False),
    # The first of them, for people.
    Column("found", JSON, nullable=False),
    Index("ix_rescans_open", "chain_id", "done_at"),
)

refunds = Table(
    "refunds",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("payment_id", Id, ForeignKey("payments.id"), nullable=False, index=True),
    Column("merchant_id", Id, ForeignKey("merchants.id"), nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("token", String(20), nullable=False),
    Column("units", Units, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("mode", String(20), nullable=False),
    Column("source", Text),
    Column("sender", Hex),
    Column("status", String(20), nullable=False),
    Column("available_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("destination", Hex),
    Column("named_by", String(12)),
    Column("tx_hash", Hex),
    Column("log_index", Integer),
    Column("failure", Text),
    Column("completed_at", BigInteger),
    Column("found_senders", JSON, nullable=False),
    Index("ix_refunds_due", "chain_id", "status", "available_at"),
    Index("ix_refunds_list", "merchant_id", "livemode", "seq"),
)

excess = Table(
    "excess",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("payment_id", Id, ForeignKey("payments.id"), nullable=False, index=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("token", String(20), nullable=False),
    Column("units", Units, nullable=False),
    Index("ix_excess_list", "chain_id", "seq"),
)

events = Table(
    "events",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("merchant_id", Id, ForeignKey("merchants.id"), nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("type", String(40), nullable=False),
    Column("payment_id", Id, index=True),
    # NULL subjects never collide: such events are stored each time.
    Column("subject", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("payment_id", "type", "subject"),
    Index("ix_events_list", "merchant_id", "livemode", "seq"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Id, primary_key=True),
    Column("merchant_id", Id, ForeignKey("merchants.id"), nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("disabled_reason", Text),
    Column("failing_since", BigInteger),
    # Deleted ones stay for the deliveries that went to them. Their URL is free again.
    Column("deleted_at", BigInteger),
    Index(
        "uq_webhook_endpoints_url",
        "merchant_id",
        "livemode",
        "url",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("event_id", Id, ForeignKey("events.id"), nullable=False),
    Column("endpoint_id", Id, ForeignKey("webhook_endpoints.id"), nullable=False),
    Column("merchant_id", Id, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("first_attempt_at", BigInteger, nullable=False),
    Column("next_attempt_at", BigInteger),
    # Until then a process is sending it; afterwards the claim has lapsed.
    Column("claimed_until", BigInteger),
    UniqueConstraint("event_id", "endpoint_id"),
    Index("ix_deliveries_due", "state", "next_attempt_at"),
    Index("ix_deliveries_endpoint", "endpoint_id", "state"),
    Index("ix_deliveries_list", "merchant_id", "livemode", "seq"),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("delivery_id", Id, ForeignKey("deliveries.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("status", Integer),
    Column("latency_ms", Integer, nullable=False),
    Column("error", Text),
    Column("answer", Text, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key_hash", Hex, primary_key=True),
    Column("fingerprint", Hex, nullable=False),
    # NULL only inside the transaction that claimed the key.
    Column("status", Integer),
    Column("body", LargeBinary),
    Column("created_at", BigInteger, nullable=False, index=True),
)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("merchant_id", Id, ForeignKey("merchants.id"), nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("token", String(20), nullable=False),
    Column("status", String(12), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("tx_hash", Hex),
    Column("units", Units),
    Column("failure", Text),
    Column("completed_at", BigInteger),
    Index("ix_withdrawals_list", "merchant_id", "livemode", "seq"),
    Index("ix_withdrawals_status", "chain_id", "status"),
)

withdrawal_schedules = Table(
    "withdrawal_schedules",
    metadata,
    Column("merchant_id", Id, ForeignKey("merchants.id"), primary_key=True),
    Column("livemode", Boolean, primary_key=True),
    # Units as text: JSON's readers lose integers above 2^53.
    Column("thresholds", JSON, nullable=False),
    Column("daily_at_s", Integer),
    Column("done_day", Integer),
    Column("crossings", JSON, nullable=False),
    Column("version", Integer, nullable=False),
)

operator_transactions = Table(
    "operator_transactions",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("sender", Hex, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("tx_hash", Hex, nullable=False, unique=True),
    Column("raw", LargeBinary, nullable=False),
    Column("gas", BigInteger, nullable=False),
    Column("gas_price", Units, nullable=False),
    Column("status", String(12), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("ended_block", BigInteger),
    Column("fee_wei", Units),
    Index("ix_operator_transactions_status", "chain_id", "status"),
    Index("ix_operator_transactions_ended", "chain_id", "ended_at"),
)

operator_transaction_subjects = Table(
    "operator_transaction_subjects",
    metadata,
    # What a transaction is for, in the order of its calls.
    Column("transaction_id", Id, ForeignKey("operator_transactions.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("subject", Id, nullable=False, index=True),
)

alerts = Table(
    "alerts",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("kind", String(40), nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("raised_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("cleared_at", BigInteger, index=True),
    # One open alert of a kind about one thing, however many processes see it.
    Index(
        "uq_alerts_open",
        "kind",
        "chain_id",
        "subject",
        unique=True,
        sqlite_where=text("cleared_at IS NULL"),
        postgresql_where=text("cleared_at IS NULL"),
    ),
)

alert_notices = Table(
    "alert_notices",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("alert_id", Id, ForeignKey("alerts.id"), nullable=False, index=True),
    Column("type", String(20), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    # NULL once it was taken.
    Column("next_attempt_at", BigInteger, index=True),
    # Until then a process is sending it; afterwards the claim has lapsed.
    Column("claimed_until", BigInteger),
)
