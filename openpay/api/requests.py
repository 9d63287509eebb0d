"""What merchants send: JSON shapes of bodies and query strings.

Shapes and types are checked here, strictly; meaning (ranges, known tokens, safe URLs) by the use cases. The bounds in
`json_schema_extra` only tell OpenAPI readers what those will say.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from openpay.api.fields import RefundStatusName, StatusName
from openpay.app.order import (
    DEFAULT_LIFE_S,
    MAX_DESCRIPTION,
    MAX_LIFE_S,
    MAX_LINE_ITEM_NAME,
    MAX_LINE_ITEMS,
    MAX_METADATA_KEYS,
    MAX_METADATA_NAME,
    MAX_METADATA_VALUE,
    MAX_PRICED_LIFE_S,
    MAX_QUANTITY,
    MAX_URL,
    MIN_LIFE_S,
    CreatePayment,
    RequestedLine,
)
from openpay.app.webhooks import ALL_EVENTS
from openpay.domain.events import EventType


def documented(**schema: Any) -> Any:
    """A field's JSON Schema keywords that are documentation, not a check."""
    return Field(json_schema_extra=schema)


# 0.01 to 1,000,000 with at most 6 places; zeros after those change nothing.
_AMOUNT = (
    r"^(1000000(\.0{1,40})?|[1-9][0-9]{0,5}(\.[0-9]{1,6}0{0,34})?"
    r"|0\.[1-9][0-9]{0,5}0{0,34}|0\.0[1-9][0-9]{0,4}0{0,34})$"
)
_ID = r"^[0-9A-Za-z_]{1,64}$"

Amount = Annotated[str, documented(pattern=_AMOUNT, examples=["25.00"])]
Url = Annotated[str, documented(format="uri", maxLength=MAX_URL, examples=["https://shop.example/thanks"])]


class Body(BaseModel):
    """A JSON object in which every field is known and has exactly its type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NoBody(Body):
    """No body, or an empty object."""


class NoQuery(Body):
    """No query parameters."""


class LineItemBody(Body):
    """A line of the order, shown on the checkout page."""

    name: Annotated[str, documented(minLength=1, maxLength=MAX_LINE_ITEM_NAME, examples=["T-shirt"])]
    quantity: Annotated[int, documented(minimum=1, maximum=MAX_QUANTITY)] = 1
    amount: Annotated[Amount, Field(description="Price of the whole line in USD")]


class CreatePaymentBody(Body):
    """A payment to ask for."""

    amount: Annotated[Amount, Field(description="USD, 0.01 to 1,000,000, at most 6 decimals, as a string")]
    currency: Annotated[str, documented(enum=["USD"])]
    accepted_tokens: Annotated[
        list[Annotated[str, documented(examples=["USDT"])]] | None,
        documented(description="Left out: every token of this mode's chain", minItems=1, uniqueItems=True),
    ] = None
    description: Annotated[str | None, documented(maxLength=MAX_DESCRIPTION, examples=["Order #1042"])] = None
    metadata: Annotated[
        dict[str, str] | None,
        documented(
            description="Yours: returned with the payment and its events, never shown to customers",
            maxProperties=MAX_METADATA_KEYS,
            propertyNames={"minLength": 1, "maxLength": MAX_METADATA_NAME},
            additionalProperties={"type": "string", "maxLength": MAX_METADATA_VALUE},
            examples=[{"order_id": "1042"}],
        ),
    ] = None
    expires_in: Annotated[
        int | None,
        documented(
            description=f"Seconds, {DEFAULT_LIFE_S} by default; at most {MAX_PRICED_LIFE_S} where BNB is accepted, "
            "because its price is locked",
            minimum=MIN_LIFE_S,
            maximum=MAX_LIFE_S,
        ),
    ] = None
    success_url: Url | None = None
    cancel_url: Url | None = None
    line_items: Annotated[list[LineItemBody] | None, documented(maxItems=MAX_LINE_ITEMS)] = None
    allow_retry: bool = False

    def command(self) -> CreatePayment:
        return CreatePayment(
            amount=self.amount,
            currency=self.currency,
            accepted_tokens=None if self.accepted_tokens is None else tuple(self.accepted_tokens),
            description=self.description,
            metadata=self.metadata or {},
            expires_in=self.expires_in,
            success_url=self.success_url,
            cancel_url=self.cancel_url,
            line_items=tuple(
                RequestedLine(name=item.name, quantity=item.quantity, amount=item.amount)
                for item in self.line_items or ()
            ),
            allow_retry=self.allow_retry,
        )


_EVENT_NAME = {"type": "string", "enum": [*(event.value for event in EventType), ALL_EVENTS]}


class ConfigureWebhookBody(Body):
    """An endpoint to add, or, where the URL is known, to change."""

    url: Url
    events: Annotated[
        list[str] | None, documented(description="Left out, or `*` alone: all of them", minItems=1, items=_EVENT_NAME)
    ] = None


class UpdateWebhookBody(Body):
    """What is to change about an endpoint. What is left out stays, and so does its secret."""

    url: Url | None = None
    events: Annotated[
        list[str] | None, documented(description="`*` alone: all of them", minItems=1, items=_EVENT_NAME)
    ] = None
    disabled: Annotated[bool | None, documented(description="true: send nothing to it; false: send again")] = None


Destination = Annotated[
    str | None,
    documented(
        description="An address, checked by EIP-55; left out: the one that the rules or the sender's signature named",
        pattern="^0x[0-9a-fA-F]{40}$",
    ),
]


class WithdrawBody(Body):
    """All of one token, from the treasury to the merchant's own address."""

    token: Annotated[str, documented(examples=["USDT"])]


class RefundBody(Body):
    """Money of a payment that is to go back. All of it, unless an amount is given."""

    amount: Annotated[
        str | None,
        documented(
            description="In the token, as a decimal string; left out: all that is left",
            pattern=r"^(0|[1-9][0-9]{0,30})(\.[0-9]{1,18})?$",
            examples=["12.50"],
        ),
    ] = None
    token: Annotated[
        str | None, documented(description="May be left out where the payment holds one token", examples=["USDT"])
    ] = None
    destination: Destination = None


class ApproveRefundBody(Body):
    """Where a refund goes."""

    destination: Destination = None


# --- query strings ---------------------------------------------------------------------------------------------------


class PageQuery(Body):
    """Which part of a list, newest first."""

    limit: Annotated[int, Field(ge=1, le=100, json_schema_extra={"x-shape": "integer"})] = 10
    starting_after: Annotated[
        str | None, Field(pattern=_ID, description="The id of the last object you have", json_schema_extra={})
    ] = None


class PaymentsQuery(PageQuery):
    """Which payments."""

    status: Annotated[
        list[Annotated[StatusName, Field(strict=False)]],
        Field(description="Repeat it, or separate by commas", json_schema_extra={"x-shape": "list"}),
    ] = []
    metadata: Annotated[
        dict[str, str],
        Field(description="`metadata[order_id]=1042`; all must match", json_schema_extra={"x-shape": "map"}),
    ] = {}


class RefundsQuery(PageQuery):
    """Which refunds."""

    status: Annotated[
        list[Annotated[RefundStatusName, Field(strict=False)]],
        Field(description="Repeat it, or separate by commas", json_schema_extra={"x-shape": "list"}),
    ] = []


class EventsQuery(PageQuery):
    """Which events."""

    payment_id: Annotated[str | None, Field(pattern=_ID, json_schema_extra={})] = None
