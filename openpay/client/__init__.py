"""Open Pay for Python programs: the API, with and without asyncio, and the check of a webhook's signature.

    client = OpenPay("sk_live_…", "https://pay.example")
    payment = client.payments.create(amount="25.00", currency="USD", description="Order #1042")
    print(payment["checkout_url"])

Answers are the API's JSON objects, typed as `TypedDict`. Every POST carries an Idempotency-Key, so that a request whose
answer was lost is repeated safely, as a DELETE is by nature. Network errors, 429 and 5xx are retried a few times before
they are raised.

Nothing else of Open Pay is imported: other people's programs may copy this directory.
"""

from openpay.client.aio import AsyncOpenPay, AsyncPayments, AsyncRefunds, AsyncWebhooks, AsyncWithdrawals
from openpay.client.blocking import OpenPay, Payments, Refunds, Webhooks, Withdrawals
from openpay.client.errors import (
    ApiError,
    AuthenticationFailed,
    BadRequest,
    Conflict,
    ConnectionFailed,
    Invalid,
    InvalidSetting,
    NotFound,
    OpenPayError,
    RateLimited,
    ServerFailed,
    WebhookVerificationError,
)
from openpay.client.shapes import (
    Balance,
    ConfiguredEndpoint,
    DeletedEndpoint,
    Delivery,
    DeliveryAttempt,
    DepositAddress,
    EndpointChanges,
    Payment,
    PaymentParams,
    PaymentQuery,
    PaymentStatus,
    PreparedTransaction,
    PublicKey,
    Refund,
    RefundParams,
    RefundQuery,
    RefundsMade,
    Settlement,
    TokenAmount,
    UsdWorth,
    WebhookEndpoint,
    Withdrawal,
)
from openpay.client.verification import verify_webhook

__all__ = [
    "ApiError",
    "AsyncOpenPay",
    "AsyncPayments",
    "AsyncRefunds",
    "AsyncWebhooks",
    "AsyncWithdrawals",
    "AuthenticationFailed",
    "BadRequest",
    "Balance",
    "ConfiguredEndpoint",
    "Conflict",
    "ConnectionFailed",
    "DeletedEndpoint",
    "Delivery",
    "DeliveryAttempt",
    "DepositAddress",
    "EndpointChanges",
    "Invalid",
    "InvalidSetting",
    "NotFound",
    "OpenPay",
    "OpenPayError",
    "Payment",
    "PaymentParams",
    "PaymentQuery",
    "PaymentStatus",
    "Payments",
    "PreparedTransaction",
    "PublicKey",
    "RateLimited",
    "Refund",
    "RefundParams",
    "RefundQuery",
    "Refunds",
    "RefundsMade",
    "ServerFailed",
    "Settlement",
    "TokenAmount",
    "UsdWorth",
    "WebhookEndpoint",
    "WebhookVerificationError",
    "Webhooks",
    "Withdrawal",
    "Withdrawals",
    "verify_webhook",
]
