"""What merchants get: the JSON shapes that `render` writes. They make the documentation; the tests hold both equal."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from openpay.api.fields import (
    Address,
    Decimal,
    Hash,
    RefundStatusName,
    SettlementName,
    Shape,
    StatusName,
    Time,
    Units,
    one_of,
)
from openpay.domain.refunds import NamedBy, RefundMode, RefundReason


class TermsShape(Shape):
    """The escrow's `Terms` struct, names and order as in the contract. Wide integers are strings."""

    merchant: Address
    operator: Address
    usd: Annotated[str, Field(description="10^-6 USD")]
    slippageBps: int
    underpaymentBps: int
    quotedAt: int
    expiry: int
    round: Annotated[str, Field(description="The Chainlink round that prices BNB; 0 where BNB is not accepted")]
    assets: Annotated[int, Field(description="Bitmap of accepted assets, by their place in the escrow's list")]
    paymentId: Annotated[Hash, Field(description="keccak256 of the payment's id")]


class TokenAmountShape(Shape):
    """What to pay in one of the accepted tokens."""

    token: str
    contract: Annotated[Address | None, Field(description="null: the chain's own coin")]
    decimals: int
    amount: Decimal
    amount_units: Units
    received_units: Units
    remaining_units: Units
    uri: Annotated[str | None, Field(description="EIP-681 request for what remains; null when nothing is waited for")]


class DepositShape(Shape):
    """Where to pay. The address follows from escrow, chain and terms alone: keep them to recover money without us."""

    chain_id: int
    address: Address
    escrow: Address
    terms: TermsShape
    amounts: list[TokenAmountShape]


class SettlementShape(Shape):
    """The move from the payment's vault to the merchant's treasury."""

    status: SettlementName
    tx_hash: Hash | None
    amount_units: Units | None
    settled_at: Time | None


class PreparedTransactionShape(Shape):
    """A call that the merchant's own wallet makes: no key of this server may."""

    chain_id: int
    to: Address
    data: Annotated[str, Field(pattern="^0x[0-9a-f]*$")]
    value: Annotated[Units, Field(description="Wei")]


class RefundShape(Shape):
    """Money on its way back."""

    id: Annotated[str, Field(pattern="^ref_[0-9A-Za-z]{24}$")]
    payment_id: str
    status: RefundStatusName
    reason: Annotated[RefundReason, one_of(RefundReason)]
    mode: Annotated[RefundMode, one_of(RefundMode)]
    token: str
    amount: Decimal
    amount_units: Units
    destination: Address | None
    named_by: Annotated[
        NamedBy | None,
        WithJsonSchema({"anyOf": [{"type": "string", "enum": [each.value for each in NamedBy]}, {"type": "null"}]}),
        Field(description="Whose word the destination is; a visitor's has to be approved"),
    ]
    available_at: Annotated[Time, Field(description="Block time from which it may go out")]
    tx_hash: Hash | None
    failure: str | None
    transaction: Annotated[
        PreparedTransactionShape | None, Field(description="To be signed by the merchant, while requires_signature")
    ]
    livemode: bool
    created_at: Time
    completed_at: Time | None


class RefundList(Shape):
    data: list[RefundShape]
    has_more: bool


class PaymentShape(Shape):
    """A payment."""

    id: Annotated[str, Field(pattern="^pay_[0-9A-Za-z]{24}$")]
    status: StatusName
    amount: Decimal
    currency: Literal["USD"]
    checkout_url: str
    expires_at: Time
    created_at: Time
    accepted_tokens: list[str]
    description: str | None
    metadata: dict[str, str]
    livemode: bool
    deposit: DepositShape
    token: Annotated[str | None, Field(description="The token it is paid in, once a transfer sufficed")]
    tx_hash: Annotated[Hash | None, Field(description="The transfer with which it sufficed")]
    confirmations: int | None
    required_confirmations: int
    paid_at: Time | None
    settlement: SettlementShape | None
    refunds: list[RefundShape]
    unavailable_tokens: Annotated[list[str], Field(description="Asked for, but without a fresh price")]
    retry_of: str | None
    reversed_at: Annotated[Time | None, Field(description="A deep reorg took the money of a paid payment away")]


class PaymentList(Shape):
    data: list[PaymentShape]
    has_more: bool


class EventShape(Shape):
    """Something that happened, and the webhook body that says so."""

    id: str
    type: str
    created_at: Time
    livemode: bool
    payment_id: str | None
    body: dict[str, Any]


class EventList(Shape):
    data: list[EventShape]
    has_more: bool


class EndpointShape(Shape):
    """A webhook endpoint."""

    id: str
    url: str
    events: list[str]
    active: bool
    disabled_reason: str | None
    livemode: bool
    created_at: Time


class DeletedEndpointShape(Shape):
    """A webhook endpoint that is no more, now or since an earlier call."""

    id: str
    deleted: Literal[True]


class EndpointList(Shape):
    data: list[EndpointShape]
    has_more: bool


class ConfiguredEndpointShape(Shape):
    """A webhook endpoint as configured. `secret` is there the first time only."""

    id: str
    url: str
    events: list[str]
    active: bool
    secret: Annotated[str | None, Field(description="The HMAC secret of Standard Webhooks; null from then on")]


class PublicKeyShape(Shape):
    """The Ed25519 key that verifies `X-OpenPay-Signature`."""

    public_key: Annotated[str, Field(description="base64 of the DER SubjectPublicKeyInfo")]
    algorithm: Literal["ED25519"]
    format: Literal["base64"]


class AttemptShape(Shape):
    """One try to deliver."""

    number: int
    at: Time
    status: Annotated[int | None, Field(description="null: no answer came; `error` says why")]
    latency_ms: int
    error: str | None
    answer: Annotated[str, Field(description="The start of the answer's body")]


class DeliveryShape(Shape):
    """An event on its way to an endpoint."""

    id: str
    event_id: str
    event: str
    payment_id: str | None
    endpoint_id: str
    url: str
    state: Literal["pending", "succeeded", "failed"]
    attempts: list[AttemptShape]
    next_attempt_at: Time | None
    livemode: bool
    created_at: Time


class DeliveryList(Shape):
    data: list[DeliveryShape]
    has_more: bool


class TestEventShape(Shape):
    """The test event that is now on its way."""

    event_id: str
    event: Literal["webhook.test"]
    created_at: Time


class UsdShape(Shape):
    """A balance's worth now, rounded down: stablecoins at 1 USD, BNB at the newest final round of its feed."""

    available: Decimal
    pending: Decimal
    confirming: Decimal


class BalanceShape(Shape):
    """One token: in the treasury, paid but not yet there, and waiting for confirmations. `usd` is null for BNB while
    no fresh price is known."""

    token: str
    contract: Address | None
    decimals: int
    available: Decimal
    available_units: Units
    pending: Decimal
    pending_units: Units
    confirming: Decimal
    confirming_units: Units
    usd: UsdShape | None


class BalanceList(Shape):
    data: list[BalanceShape]
    has_more: bool


class WithdrawalShape(Shape):
    """A withdrawal. The amount is known once it is done."""

    id: str
    status: Literal["pending", "submitted", "succeeded", "failed"]
    token: str
    amount: Decimal | None
    amount_units: Units | None
    address: Address
    tx_hash: Hash | None
    failure: str | None
    livemode: bool
    created_at: Time
    completed_at: Time | None


class WithdrawalList(Shape):
    data: list[WithdrawalShape]
    has_more: bool


class ApiKeyShape(Shape):
    """An API key, without its secret."""

    id: str
    prefix: str
    last4: str
    livemode: bool
    created_at: Time
    revoked_at: Time | None


class NewApiKeyShape(ApiKeyShape):
    """A fresh API key. `secret` is shown now and never again."""

    secret: str


class ApiKeyList(Shape):
    data: list[ApiKeyShape]
    has_more: bool


class JwkShape(Shape):
    """A public signing key (RFC 7517, RFC 8037)."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str
    kid: str
    use: Literal["sig"]
    alg: Literal["EdDSA"]
    livemode: bool


class JwksShape(Shape):
    """Every public signing key of a merchant."""

    keys: list[JwkShape]


class ProblemShape(Shape):
    """An error (RFC 9457). `code` is for programs, `detail` for people."""

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(pattern="^[a-z0-9_]+$")]
    param: Annotated[str | None, Field(description="The field or parameter at fault")]
    request_id: str
