"""The kinds of value that answers are made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from openpay.domain.payment import SettlementStatus, Status
from openpay.domain.refunds import RefundStatus


def one_of(values: type[StrEnum]) -> WithJsonSchema:
    """Its values written out where it is used, rather than a schema of its own."""
    return WithJsonSchema({"type": "string", "enum": [each.value for each in values]})


Address = Annotated[str, Field(pattern="^0x[0-9a-fA-F]{40}$", description="With EIP-55 capitals")]
Hash = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]
Decimal = Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]{2,}$", examples=["25.00"])]
Units = Annotated[str, Field(pattern="^[0-9]+$", description="In the token's base unit, as a string")]
Time = Annotated[
    str,
    Field(
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
        description="UTC, whole seconds",
        examples=["2026-03-26T13:30:00Z"],
    ),
]
StatusName = Annotated[Status, one_of(Status)]
RefundStatusName = Annotated[RefundStatus, one_of(RefundStatus)]
SettlementName = Annotated[SettlementStatus, one_of(SettlementStatus)]


class Shape(BaseModel):
    """An answer in which every field is present."""

    model_config = ConfigDict(extra="forbid")
