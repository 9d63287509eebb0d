"""Values that are stored but carry no payment rules. Times are Unix seconds, amounts base units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from openpay.domain.branding import LogoType
from openpay.domain.events import Event, EventType
from openpay.domain.payment import Status
from openpay.domain.refunding import DEFAULT_WINDOW_S
from openpay.domain.refunds import RefundPolicy, RefundStatus

T = TypeVar("T")

NEAR_HEAD = 64
"""Blocks. Nodes keep the state of 128, so this far below the head balances can be read."""


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """Part of a list, newest first, and whether more follows."""

    items: tuple[T, ...]
    has_more: bool


# --- merchants ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Merchant:
    """Who is paid. `address` owns the treasury: no server key can spend from it.

    `refund_window_s`: how long a refund waits after its deposit, in seconds. `accent` is `#rrggbb` in lower case.
    The logo itself is read by its hash (`Merchants.logo`): every request loads a merchant, few need the picture.
    `embed_origins`: sites that may show the checkout page in a frame, each as `openpay.domain.origins` writes it.
    """

    id: str
    name: str
    address: bytes
    created_at: int
    slippage_bps: int = 100
    underpayment_bps: int = 0
    refund_policy: RefundPolicy = RefundPolicy.AUTOMATIC
    refund_window_s: int = DEFAULT_WINDOW_S
    accent: str | None = None
    logo_type: LogoType | None = None
    logo_hash: str | None = None
    embed_origins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A secret key's record. The key itself is shown once and kept only as SHA-256."""

    id: str
    merchant_id: str
    livemode: bool
    key_hash: bytes
    prefix: str
    last4: str
    created_at: int
    revoked_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A merchant's Ed25519 key for one mode. `sealed_private_key` is under AES-256-GCM (`openpay.app.sealing`)."""

    id: str
    merchant_id: str
    livemode: bool
    public_key: bytes
    sealed_private_key: bytes
    created_at: int
    retired_at: int | None = None


# --- lists ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PaymentFilter:
    merchant_id: str
    livemode: bool
    limit: int = 10
    starting_after: str | None = None
    statuses: tuple[Status, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RefundFilter:
    merchant_id: str
    livemode: bool
    limit: int = 10
    starting_after: str | None = None
    statuses: tuple[RefundStatus, ...] = ()


# --- the chain ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Block:
    """A linked block. `proven`: header, receipts and transactions were recomputed; else two hosts agreed on it."""

    chain_id: int
    number: int
    hash: bytes
    parent_hash: bytes
    time: int
    proven: bool = True


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The last block read, and the last that is final. Everything up to `number` was read without a gap.

    `time` is the block's own; `tip_time` too, except while a branch is being undone: then it stays the time of that
    branch's newest block, until a block is read again. `seen_head` is the chain's own head when this was written, for
    the lag; `read_at` the wall clock. `reread_to`: the height at which the record stood before `openpay rewind`, until
    the chain was read up to there again and the payments concerned were judged; None at all other times.
    """

    chain_id: int
    number: int
    hash: bytes
    time: int
    tip_time: int
    final_number: int | None
    final_time: int | None
    seen_head: int
    read_at: int
    reread_to: int | None = None

    @property
    def is_rereading(self) -> bool:
        """Whether what is missing on record may be about to come. Up to `reread_to` all must be final again; and the
        head near, where balances can be read that show what no log does."""
        if self.reread_to is None:
            return False
        is_final = self.final_number is not None and self.final_number >= self.reread_to
        return not is_final or self.seen_head - self.number > NEAR_HEAD


@dataclass(frozen=True, kw_only=True)
class EscrowLog:
    """A `Settled`, `Refunded`, `Swept` or `Withdrawn` log. `payment_id` None where the terms are not ours.

    `token` is our symbol, or None for a token that the escrow does not list; `account` the merchant or the receiver.
    `receiver`: where a withdrawal went, None for the other names.
    """

    chain_id: int
    name: str
    payment_id: str | None
    terms_id: bytes | None
    account: bytes | None
    token: str | None
    units: int
    tx_hash: bytes
    log_index: int
    block_number: int
    block_hash: bytes
    block_time: int
    receiver: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A payment's deposit address. `seq` grows in order of insertion (not of commit), over all chains together."""

    seq: int
    address: bytes | None
    """None for a payment of another chain: it only shows that its number is no gap."""


@dataclass(frozen=True, kw_only=True)
class Vault:
    """A payment's deposit address as a place whose balance is looked at. `seq` and `watched_until` as in the payment's
    row: the order of the rounds is open ones first, then by the end of their watching. `ended_at` None while open."""

    seq: int
    payment_id: str
    address: bytes
    ended_at: int | None
    watched_until: int | None


@dataclass(frozen=True, kw_only=True)
class BalanceRound:
    """How far the rounds over a chain's vaults came: the last one looked at, and the block time of that look."""

    chain_id: int
    watched_until: int | None
    seq: int
    looked_at: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """A transaction that the wallet on the checkout page says it sent for a payment."""

    chain_id: int
    payment_id: str
    tx_hash: bytes
    reported_at: int


@dataclass(frozen=True, kw_only=True)
class PriceQuote:
    """A Chainlink round: USD per token as `price` of 10^-`decimals`, updated at a block time in Unix seconds."""

    round: int
    price: int
    decimals: int
    updated_at: int


# --- webhooks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class WebhookEndpoint:
    """Where events go. `events` empty means all. `sealed_secret` is its `whsec_` secret under AES-256-GCM.

    `failing_since`: the first failure since the last success; after five days it is disabled. A deleted one is not
    active, has no secret any more, and is kept for the deliveries that went to it.
    """

    id: str
    merchant_id: str
    livemode: bool
    url: str
    events: tuple[EventType, ...]
    sealed_secret: bytes
    created_at: int
    active: bool = True
    disabled_reason: str | None = None
    failing_since: int | None = None
    deleted_at: int | None = None


class DeliveryState(StrEnum):
    PENDING = "pending"
    """Waiting for its next attempt, or being attempted. Exits: succeeded, failed."""
    SUCCEEDED = "succeeded"
    """End: a 2xx answer."""
    FAILED = "failed"
    """End: three days of failures, or the endpoint is disabled. `resend` makes it pending again."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One event on its way to one endpoint. `first_attempt_at` starts the three days of retries."""

    id: str
    event_id: str
    endpoint_id: str
    merchant_id: str
    livemode: bool
    state: DeliveryState
    attempts: int
    created_at: int
    first_attempt_at: int
    next_attempt_at: int | None
    event_type: EventType
    payment_id: str | None


@dataclass(frozen=True, kw_only=True)
class DueDelivery:
    """A claimed delivery with all that sending needs."""

    delivery: Delivery
    event: Event
    endpoint: WebhookEndpoint


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt:
    """One try. `status` None when no answer came, `error` says why; `answer` is the start of the body."""

    delivery_id: str
    number: int
    at: int
    status: int | None
    latency_ms: int
    error: str | None
    answer: str


# --- idempotency ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class IdempotentAnswer:
    """What was answered to an Idempotency-Key, and to which request (`fingerprint`, SHA-256)."""

    fingerprint: bytes
    status: int
    body: bytes
    created_at: int


# --- the operator's work -------------------------------------------------------------------------------------------


class WithdrawalStatus(StrEnum):
    PENDING = "pending"
    """Recorded. Exits: submitted, failed."""
    SUBMITTED = "submitted"
    """Signed and sent. Exits: succeeded, failed."""
    SUCCEEDED = "succeeded"
    """End: the escrow's `Withdrawn` log is final."""
    FAILED = "failed"
    """End: there was nothing to withdraw, or the transaction reverted."""


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """All of one token, from the treasury to the merchant's own address."""

    id: str
    merchant_id: str
    livemode: bool
    chain_id: int
    token: str
    status: WithdrawalStatus
    created_at: int
    tx_hash: bytes | None = None
    units: int | None = None
    failure: str | None = None
    completed_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class WithdrawalSchedule:
    """When a merchant's money is withdrawn without being asked for, in one mode.

    `thresholds`: base units by token, at which the treasury's whole balance of it goes. `daily_at_s`: every balance
    goes at this time of the day, in seconds after midnight UTC. `done_day` is the day, counted from 1970-01-01, whose
    daily withdrawal is done. `crossings`: by token, the id of the withdrawal that the threshold's last crossing led to,
    until the treasury is seen below it. `version` grows by one with every stored change; 0 is not stored yet.
    """

    merchant_id: str
    livemode: bool
    thresholds: Mapping[str, int] = field(default_factory=dict)
    daily_at_s: int | None = None
    done_day: int | None = None
    crossings: Mapping[str, str] = field(default_factory=dict)
    version: int = 0


class TransactionStatus(StrEnum):
    SIGNED = "signed"
    """Stored before it was sent: sending it again is harmless. Exits: mined, dropped."""
    MINED = "mined"
    """End: a receipt in a final block."""
    DROPPED = "dropped"
    """End: another transaction with its nonce is final, so it can never be mined."""


@dataclass(frozen=True, kw_only=True)
class OperatorTransaction:
    """A transaction the operator signed. `raw` are the signed bytes, `gas` its limit, `gas_price` in wei per gas.

    `subjects` are the ids of what it is for: payments, a withdrawal, a refund; none for one that only fills a gap among
    the nonces. Several transactions may share a nonce: each replaced the one before, and at most one is ever mined.
    `ended_at`, `ended_block` (the newest final block by which its end was seen) and `fee_wei`, what a mined one cost,
    are None until its nonce is final.
    """

    id: str
    chain_id: int
    kind: str
    subjects: tuple[str, ...]
    sender: bytes
    nonce: int
    tx_hash: bytes
    raw: bytes
    gas: int
    gas_price: int
    status: TransactionStatus
    created_at: int
    sent_at: int | None = None
    ended_at: int | None = None
    ended_block: int | None = None
    fee_wei: int | None = None
