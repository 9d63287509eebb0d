"""What is told of the server itself: the JSON shapes that `/livez` and `/readyz` answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from openpay.api.fields import Shape, Time, one_of
from openpay.domain.alerts import AlertKind, Severity

AlertKindName = Annotated[AlertKind, one_of(AlertKind)]
SeverityName = Annotated[Severity, one_of(Severity)]


class LiveShape(Shape):
    """The process answers."""

    status: Literal["live"]


class NodeShape(Shape):
    """A node as this server has found it."""

    host: Annotated[str, Field(description="host:port")]
    transport: Literal["http", "websocket"]
    state: Annotated[
        Literal["in_service", "aside", "low_trust"],
        Field(description="aside: it failed a moment ago; low_trust: it was caught lying"),
    ]
    latency_ms: int | None


class AlertShape(Shape):
    """Something is wrong, and a person should look."""

    id: str
    kind: AlertKindName
    severity: SeverityName
    chain_id: int
    subject: Annotated[
        str, Field(description="What alerts of one kind are told apart by, such as a host; may be empty")
    ]
    detail: str
    runbook: Annotated[str, Field(description="Where to read what to do")]
    raised_at: Time
    seen_at: Annotated[Time, Field(description="When it was last seen, to within half a minute")]


class ChainShape(Shape):
    """How far one chain has been read."""

    chain_id: int
    name: str
    modes: list[Literal["live", "test"]]
    block: Annotated[int | None, Field(description="null: nothing was read yet")]
    head: int | None
    final_block: int | None
    lag_blocks: Annotated[int | None, Field(description="blocks known of and not read")]
    lag_s: Annotated[int | None, Field(description="how old the view of the chain is")]
    read_at: Time | None
    covered_from: int | None
    price_age_s: Annotated[
        dict[str, int | None], Field(description="by token, of the price a payment would get now; null: there is none")
    ]
    endpoints: list[NodeShape]


class ReadyShape(Shape):
    """Whether requests can be served, and what an operator should look at."""

    status: Literal["ready", "unavailable"]
    database: Literal["up", "down"]
    chains: list[ChainShape]
    alerts: Annotated[list[AlertShape], Field(description="those that are not over")]
    warnings: list[str]
