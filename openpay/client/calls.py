"""The requests, written once for both clients."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from openpay.client.exchange import Request
from openpay.client.shapes import EndpointChanges, PaymentParams, RefundParams

PAGE_SIZE = 100


def get(path: str, query: Mapping[str, Any] | None = None) -> Request:
    pairs: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        if isinstance(value, Mapping):
            pairs += [(f"{name}[{key}]", str(entry)) for key, entry in value.items()]
        elif value is not None:
            pairs.append((name, str(value)))
    return Request(method="GET", path=path, query=pairs)


def post(path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Request:
    return Request(method="POST", path=path, body=body, idempotency_key=idempotency_key or str(uuid.uuid4()))


def delete(path: str) -> Request:
    return Request(method="DELETE", path=path)


def next_page(path: str, query: Mapping[str, Any], page: Mapping[str, Any] | None) -> Request | None:
    """The request for the page after `page` (None: the first), or None after the last."""
    if page is None:
        return get(path, {**query, "limit": PAGE_SIZE})
    if not page["has_more"] or not page["data"]:
        return None
    return get(path, {**query, "limit": PAGE_SIZE, "starting_after": page["data"][-1]["id"]})


def create_payment(params: PaymentParams) -> Request:
    body: dict[str, Any] = {"currency": "USD", **params}
    idempotency_key = body.pop("idempotency_key", None)
    return post("/v1/payments", body, idempotency_key=idempotency_key)


def payment_path(payment_id: str) -> str:
    return f"/v1/payments/{quote(payment_id, safe='')}"


def delivery_path(delivery_id: str) -> str:
    return f"/v1/webhooks/deliveries/{quote(delivery_id, safe='')}"


def refund_payment(payment_id: str, params: RefundParams) -> Request:
    body: dict[str, Any] = {**params}
    idempotency_key = body.pop("idempotency_key", None)
    return post(payment_path(payment_id) + "/refund", body, idempotency_key=idempotency_key)


def refund_path(refund_id: str) -> str:
    return f"/v1/refunds/{quote(refund_id, safe='')}"


def approve(refund_id: str, destination: str | None) -> Request:
    return post(refund_path(refund_id) + "/approve", {} if destination is None else {"destination": destination})


def withdraw(token: str, idempotency_key: str | None) -> Request:
    return post("/v1/withdrawals", {"token": token}, idempotency_key=idempotency_key)


def withdrawal_path(withdrawal_id: str) -> str:
    return f"/v1/withdrawals/{quote(withdrawal_id, safe='')}"


def configure(url: str, events: Sequence[str] | None) -> Request:
    return post("/v1/webhooks/configure", {"url": url} | ({} if events is None else {"events": list(events)}))


def endpoint_path(endpoint_id: str) -> str:
    return f"/v1/webhooks/endpoints/{quote(endpoint_id, safe='')}"


def update_endpoint(endpoint_id: str, changes: EndpointChanges) -> Request:
    body: dict[str, Any] = {**changes}
    if "events" in changes:
        body["events"] = list(changes["events"])
    idempotency_key = body.pop("idempotency_key", None)
    return post(endpoint_path(endpoint_id), body, idempotency_key=idempotency_key)
