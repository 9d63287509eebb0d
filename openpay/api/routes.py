"""The one table of the merchant API. aiohttp's routes, the OpenAPI document and `/docs` are all made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from openpay.api import answers, keys, money, payments, refunds, webhooks
from openpay.api.call import Call
from openpay.api.requests import (
    ApproveRefundBody,
    ConfigureWebhookBody,
    CreatePaymentBody,
    EventsQuery,
    NoBody,
    NoQuery,
    PageQuery,
    PaymentsQuery,
    RefundBody,
    RefundsQuery,
    UpdateWebhookBody,
    WithdrawBody,
)
from openpay.app.idempotency import Answer

PREFIX = "/v1"
"""Everything below it asks for a key."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One operation of a merchant. `handler` gets it parsed; every POST takes an Idempotency-Key, a DELETE may be
    repeated without one.

    `errors`: the statuses it may answer beyond those of every route (`common_errors`). `shows_secret`: its answer is
    kept sealed for replay.
    """

    method: str
    path: str
    name: str
    summary: str
    tag: str
    handler: Callable[[Call[Any, Any]], Awaitable[Answer]]
    answer: type[BaseModel]
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] = NoBody
    status: int = 200
    errors: tuple[int, ...] = field(default=())
    shows_secret: bool = False

    @property
    def idempotent(self) -> bool:
        return self.method == "POST"

    @property
    def common_errors(self) -> tuple[int, ...]:
        """401 without a good key, 422 for unknown parameters, 429 over the limit, 503 when the database is away."""
        reading = (401, 422, 429, 500, 503)
        return (400, 408, 409, 413, 415, *reading) if self.idempotent else reading


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/payments",
        name="create_payment",
        summary="Create a payment",
        tag="Payments",
        handler=payments.create_payment,
        body=CreatePaymentBody,
        answer=answers.PaymentShape,
        status=201,
        errors=(403,),
    ),
    Route(
        method="GET",
        path="/v1/payments",
        name="list_payments",
        summary="List payments, newest first",
        tag="Payments",
        handler=payments.list_payments,
        query=PaymentsQuery,
        answer=answers.PaymentList,
    ),
    Route(
        method="GET",
        path="/v1/payments/{id}",
        name="retrieve_payment",
        summary="Retrieve a payment",
        tag="Payments",
        handler=payments.retrieve_payment,
        answer=answers.PaymentShape,
        errors=(404,),
    ),
    Route(
        method="POST",
        path="/v1/payments/{id}/cancel",
        name="cancel_payment",
        summary="Cancel a payment that has received nothing",
        tag="Payments",
        handler=payments.cancel_payment,
        answer=answers.PaymentShape,
        errors=(404,),
    ),
    Route(
        method="POST",
        path="/v1/payments/{id}/refund",
        name="refund_payment",
        summary="Give money of an ended payment back, all or part of it",
        tag="Refunds",
        handler=refunds.refund_payment,
        body=RefundBody,
        answer=answers.RefundList,
        status=201,
        errors=(403, 404),
    ),
    Route(
        method="GET",
        path="/v1/refunds",
        name="list_refunds",
        summary="List refunds, newest first",
        tag="Refunds",
        handler=refunds.list_refunds,
        query=RefundsQuery,
        answer=answers.RefundList,
    ),
    Route(
        method="GET",
        path="/v1/refunds/{id}",
        name="retrieve_refund",
        summary="Retrieve a refund",
        tag="Refunds",
        handler=refunds.retrieve_refund,
        answer=answers.RefundShape,
        errors=(404,),
    ),
    Route(
        method="POST",
        path="/v1/refunds/{id}/approve",
        name="approve_refund",
        summary="Approve a refund, and say where it goes",
        tag="Refunds",
        handler=refunds.approve_refund,
        body=ApproveRefundBody,
        answer=answers.RefundShape,
        errors=(403, 404),
    ),
    Route(
        method="POST",
        path="/v1/refunds/{id}/cancel",
        name="cancel_refund",
        summary="Cancel a refund that waits for your signature",
        tag="Refunds",
        handler=refunds.cancel_refund,
        answer=answers.RefundShape,
        errors=(403, 404),
    ),
    Route(
        method="GET",
        path="/v1/events",
        name="list_events",
        summary="List events, newest first",
        tag="Events",
        handler=payments.list_events,
        query=EventsQuery,
        answer=answers.EventList,
    ),
    Route(
        method="POST",
        path="/v1/webhooks/configure",
        name="configure_webhook",
        summary="Add a webhook endpoint, or change the one with this URL",
        tag="Webhooks",
        handler=webhooks.configure_endpoint,
        body=ConfigureWebhookBody,
        answer=answers.ConfiguredEndpointShape,
        shows_secret=True,
    ),
    Route(
        method="GET",
        path="/v1/webhooks/endpoints",
        name="list_webhook_endpoints",
        summary="List webhook endpoints",
        tag="Webhooks",
        handler=webhooks.list_endpoints,
        answer=answers.EndpointList,
    ),
    Route(
        method="GET",
        path="/v1/webhooks/endpoints/{id}",
        name="retrieve_webhook_endpoint",
        summary="Retrieve a webhook endpoint",
        tag="Webhooks",
        handler=webhooks.retrieve_endpoint,
        answer=answers.EndpointShape,
        errors=(404,),
    ),
    Route(
        method="POST",
        path="/v1/webhooks/endpoints/{id}",
        name="update_webhook_endpoint",
        summary="Change a webhook endpoint's URL or events, disable or enable it",
        tag="Webhooks",
        handler=webhooks.update_endpoint,
        body=UpdateWebhookBody,
        answer=answers.EndpointShape,
        errors=(404,),
    ),
    Route(
        method="DELETE",
        path="/v1/webhooks/endpoints/{id}",
        name="delete_webhook_endpoint",
        summary="Delete a webhook endpoint",
        tag="Webhooks",
        handler=webhooks.delete_endpoint,
        answer=answers.DeletedEndpointShape,
        errors=(404,),
    ),
    Route(
        method="GET",
        path="/v1/webhooks/public-key",
        name="webhook_public_key",
        summary="The key that verifies webhooks",
        tag="Webhooks",
        handler=webhooks.public_key,
        answer=answers.PublicKeyShape,
    ),
    Route(
        method="GET",
        path="/v1/webhooks/deliveries",
        name="list_webhook_deliveries",
        summary="List deliveries with their attempts, newest first",
        tag="Webhooks",
        handler=webhooks.list_deliveries,
        query=PageQuery,
        answer=answers.DeliveryList,
    ),
    Route(
        method="POST",
        path="/v1/webhooks/deliveries/{id}/resend",
        name="resend_webhook_delivery",
        summary="Send a delivery again",
        tag="Webhooks",
        handler=webhooks.resend_delivery,
        answer=answers.DeliveryShape,
        errors=(404,),
    ),
    Route(
        method="POST",
        path="/v1/webhooks/test",
        name="send_test_webhook",
        summary="Send a `webhook.test` event to every active endpoint",
        tag="Webhooks",
        handler=webhooks.send_test,
        answer=answers.TestEventShape,
        status=202,
    ),
    Route(
        method="GET",
        path="/v1/balances",
        name="list_balances",
        summary="What the treasury holds, and what is paid but not yet there",
        tag="Money",
        handler=money.list_balances,
        answer=answers.BalanceList,
        errors=(403,),
    ),
    Route(
        method="POST",
        path="/v1/withdrawals",
        name="create_withdrawal",
        summary="Withdraw all of a token to the merchant's own address",
        tag="Money",
        handler=money.create_withdrawal,
        body=WithdrawBody,
        answer=answers.WithdrawalShape,
        status=201,
        errors=(403,),
    ),
    Route(
        method="GET",
        path="/v1/withdrawals",
        name="list_withdrawals",
        summary="List withdrawals, newest first",
        tag="Money",
        handler=money.list_withdrawals,
        query=PageQuery,
        answer=answers.WithdrawalList,
        errors=(403,),
    ),
    Route(
        method="GET",
        path="/v1/withdrawals/{id}",
        name="retrieve_withdrawal",
        summary="Retrieve a withdrawal",
        tag="Money",
        handler=money.retrieve_withdrawal,
        answer=answers.WithdrawalShape,
        errors=(403, 404),
    ),
    Route(
        method="POST",
        path="/v1/api_keys",
        name="create_api_key",
        summary="Create another API key of the same mode",
        tag="API keys",
        handler=keys.create_key,
        answer=answers.NewApiKeyShape,
        status=201,
        shows_secret=True,
    ),
    Route(
        method="GET",
        path="/v1/api_keys",
        name="list_api_keys",
        summary="List the API keys of the same mode, oldest first",
        tag="API keys",
        handler=keys.list_keys,
        answer=answers.ApiKeyList,
    ),
    Route(
        method="POST",
        path="/v1/api_keys/{id}/revoke",
        name="revoke_api_key",
        summary="Revoke an API key of the same mode, at once",
        tag="API keys",
        handler=keys.revoke_key,
        answer=answers.ApiKeyShape,
        errors=(404,),
    ),
)
