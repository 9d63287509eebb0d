"""What is sent and answered: the JSON of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

PaymentStatus = Literal["initiated", "pending", "confirming", "paid", "failed", "expired", "canceled"]


class TokenAmount(TypedDict):
    """What to send in one token. `*_units` are integers in the token's base units, as strings."""

    token: str
    contract: str | None
    decimals: int
    amount: str
    amount_units: str
    received_units: str
    remaining_units: str
    uri: str


class DepositAddress(TypedDict):
    """Where to send it. `terms` with `escrow` and `chain_id` prove what the address commits to: keep them."""

    chain_id: int
    address: str
    escrow: str
    terms: dict[str, Any]
    amounts: list[TokenAmount]


class Settlement(TypedDict):
    status: Literal["pending", "submitted", "settled"]
    tx_hash: str | None
    amount_units: str | None
    settled_at: str | None


class Payment(TypedDict):
    """A payment as the API shows it. Times are UTC in RFC 3339, amounts decimal strings."""

    id: str
    status: PaymentStatus
    amount: str
    currency: str
    checkout_url: str
    expires_at: str
    created_at: str
    accepted_tokens: list[str]
    description: str | None
    metadata: dict[str, str]
    livemode: bool
    deposit: DepositAddress
    token: str | None
    tx_hash: str | None
    confirmations: int | None
    required_confirmations: int
    paid_at: str | None
    settlement: Settlement | None
    refunds: list[Refund]
    unavailable_tokens: list[str]
    retry_of: str | None
    reversed_at: str | None


class PaymentParams(TypedDict):
    """What `payments.create` takes. `amount` is a decimal string in `currency` (USD); `expires_in` seconds."""

    amount: str
    currency: NotRequired[str]
    accepted_tokens: NotRequired[Sequence[str]]
    description: NotRequired[str]
    metadata: NotRequired[Mapping[str, str]]
    expires_in: NotRequired[int]
    success_url: NotRequired[str]
    cancel_url: NotRequired[str]
    line_items: NotRequired[Sequence[Mapping[str, Any]]]
    allow_retry: NotRequired[bool]
    idempotency_key: NotRequired[str]


class PaymentQuery(TypedDict, total=False):
    """Which payments `payments.list` goes through, newest first."""

    status: PaymentStatus
    metadata: Mapping[str, str]


class ConfiguredEndpoint(TypedDict):
    """`secret` (`whsec_…`) is shown only the first time a URL is configured; None after that."""

    id: str
    url: str
    events: list[str]
    active: bool
    secret: str | None


class WebhookEndpoint(TypedDict):
    """Where events go. `disabled_reason` says why while it is not `active`."""

    id: str
    url: str
    events: list[str]
    active: bool
    disabled_reason: str | None
    livemode: bool
    created_at: str


class DeletedEndpoint(TypedDict):
    id: str
    deleted: Literal[True]


class EndpointChanges(TypedDict, total=False):
    """What `webhooks.update` takes; what is left out stays. `events=["*"]` means all of them."""

    url: str
    events: Sequence[str]
    disabled: bool
    idempotency_key: str


class DeliveryAttempt(TypedDict):
    """`status` None when no answer came; `error` then says why. `answer` is the start of the body."""

    number: int
    at: str
    status: int | None
    latency_ms: int
    error: str | None
    answer: str


class Delivery(TypedDict):
    """One event on its way to one endpoint, with each attempt so far."""

    id: str
    event_id: str
    event: str
    payment_id: str | None
    endpoint_id: str
    url: str
    state: Literal["pending", "succeeded", "failed"]
    attempts: list[DeliveryAttempt]
    next_attempt_at: str | None
    livemode: bool
    created_at: str


class UsdWorth(TypedDict):
    """A balance's three figures in USD, rounded down."""

    available: str
    pending: str
    confirming: str


class Balance(TypedDict):
    """One token: `available` in the treasury, `pending` paid and not yet settled, `confirming` not yet final.

    `usd` is None for BNB while the server has no fresh price.
    """

    token: str
    contract: str | None
    decimals: int
    available: str
    available_units: str
    pending: str
    pending_units: str
    confirming: str
    confirming_units: str
    usd: UsdWorth | None


class PreparedTransaction(TypedDict):
    """A call for the merchant's own wallet to sign and send; `value` in wei."""

    chain_id: int
    to: str
    data: str
    value: str


class Refund(TypedDict):
    """Money on its way back. `destination` is None until somebody named an address: `named_by` says who."""

    id: str
    payment_id: str
    status: Literal[
        "awaiting_claim",
        "requested",
        "scheduled",
        "submitted",
        "succeeded",
        "failed",
        "dust",
        "canceled",
        "requires_signature",
    ]
    reason: Literal["partial", "late", "not_accepted", "merchant"]
    mode: Literal["automatic", "claim", "manual", "merchant_signature"]
    token: str
    amount: str
    amount_units: str
    destination: str | None
    named_by: Literal["rule", "visitor", "sender", "merchant"] | None
    available_at: str
    tx_hash: str | None
    failure: str | None
    transaction: PreparedTransaction | None
    livemode: bool
    created_at: str
    completed_at: str | None


RefundsMade = list[Refund]


class RefundParams(TypedDict, total=False):
    """What `payments.refund` takes: all that is left, of the only token, unless said otherwise."""

    amount: str
    token: str
    destination: str
    idempotency_key: str


class RefundQuery(TypedDict, total=False):
    """Which refunds to list; several statuses separated by commas."""

    status: str


class Withdrawal(TypedDict):
    """All of one token, on its way to the merchant's own `address`. `amount` is known once it has happened."""

    id: str
    status: Literal["pending", "submitted", "succeeded", "failed"]
    token: str
    amount: str | None
    amount_units: str | None
    address: str
    tx_hash: str | None
    failure: str | None
    livemode: bool
    created_at: str
    completed_at: str | None


class PublicKey(TypedDict):
    """`public_key` is what `verify_webhook` takes."""

    public_key: str
    algorithm: str
    format: str
