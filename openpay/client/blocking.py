"""The API without asyncio."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Unpack, cast

from openpay.client import calls
from openpay.client.errors import ConnectionFailed
from openpay.client.exchange import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S, Answer, Pause, Request, exchange
from openpay.client.given import checked_base_url, checked_key
from openpay.client.shapes import (
    Balance,
    ConfiguredEndpoint,
    DeletedEndpoint,
    Delivery,
    EndpointChanges,
    Payment,
    PaymentParams,
    PaymentQuery,
    PublicKey,
    Refund,
    RefundParams,
    RefundQuery,
    RefundsMade,
    WebhookEndpoint,
    Withdrawal,
)


class OpenPay:
    """The API, blocking. May be shared between threads: each request has a connection of its own.

    White space around `api_key` is left out. Raises `InvalidSetting` for a key or a URL that cannot be one.
    """

    def __init__(
        self, api_key: str, base_url: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, retries: int = DEFAULT_RETRIES
    ) -> None:
        self._api_key = checked_key(api_key)
        self._base = checked_base_url(base_url)
        self._timeout_s = timeout_s
        self._retries = retries
        self.payments = Payments(self)
        self.webhooks = Webhooks(self)
        self.refunds = Refunds(self)
        self.withdrawals = Withdrawals(self)

    def balances(self) -> list[Balance]:
        """What each listed token amounts to."""
        return cast(list[Balance], self._run(calls.get("/v1/balances"))["data"])

    def _run(self, request: Request) -> Any:
        steps = exchange(request, retries=self._retries)
        outcome: Answer | ConnectionFailed | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                return done.value
            outcome = None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                outcome = self._send(step)

    def _send(self, request: Request) -> Answer | ConnectionFailed:
        host, port = cast(str, self._base.hostname), self._base.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=ssl.create_default_context())
            if self._base.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        )
        try:
            connection.request(
                request.method, self._base.path + request.target, request.content(), request.headers(self._api_key)
            )
            response = connection.getresponse()
            return Answer(status=response.status, headers=dict(response.getheaders()), body=response.read())
        except (OSError, http.client.HTTPException) as error:
            return ConnectionFailed(f"no answer from {self._base.netloc}: {error!r}")
        finally:
            connection.close()

    def _list(self, path: str, query: Mapping[str, Any]) -> Iterator[Any]:
        page = None
        while (request := calls.next_page(path, query, page)) is not None:
            page = self._run(request)
            yield from page["data"]


class Payments:
    """`client.payments`"""

    def __init__(self, client: OpenPay) -> None:
        self._client = client

    def create(self, **params: Unpack[PaymentParams]) -> Payment:
        """Ask for money. Send the customer to the answer's `checkout_url`."""
        return cast(Payment, self._client._run(calls.create_payment(params)))

    def retrieve(self, payment_id: str) -> Payment:
        return cast(Payment, self._client._run(calls.get(calls.payment_path(payment_id))))

    def cancel(self, payment_id: str) -> Payment:
        """Call a payment off; `Conflict` once money is on its way."""
        return cast(Payment, self._client._run(calls.post(calls.payment_path(payment_id) + "/cancel")))

    def refund(self, payment_id: str, **params: Unpack[RefundParams]) -> RefundsMade:
        """Give money of an ended payment back; the refunds that this made or approved."""
        return cast(RefundsMade, self._client._run(calls.refund_payment(payment_id, params))["data"])

    def list(self, **query: Unpack[PaymentQuery]) -> Iterator[Payment]:
        """Every payment, newest first; pages are fetched as they are needed."""
        return self._client._list("/v1/payments", query)


class Webhooks:
    """`client.webhooks`"""

    def __init__(self, client: OpenPay) -> None:
        self._client = client

    def configure(self, url: str, events: Sequence[str] | None = None) -> ConfiguredEndpoint:
        """Add an endpoint, or change which events it gets; None means all."""
        return cast(ConfiguredEndpoint, self._client._run(calls.configure(url, events)))

    def endpoints(self) -> list[WebhookEndpoint]:
        """Every endpoint, oldest first."""
        return cast(list[WebhookEndpoint], self._client._run(calls.get("/v1/webhooks/endpoints"))["data"])

    def retrieve(self, endpoint_id: str) -> WebhookEndpoint:
        return cast(WebhookEndpoint, self._client._run(calls.get(calls.endpoint_path(endpoint_id))))

    def update(self, endpoint_id: str, **changes: Unpack[EndpointChanges]) -> WebhookEndpoint:
        """Move an endpoint to another URL, change its events, disable it or enable it again."""
        return cast(WebhookEndpoint, self._client._run(calls.update_endpoint(endpoint_id, changes)))

    def delete(self, endpoint_id: str) -> DeletedEndpoint:
        """Send nothing to it any more. May be repeated; its deliveries can still be read."""
        return cast(DeletedEndpoint, self._client._run(calls.delete(calls.endpoint_path(endpoint_id))))

    def public_key(self) -> PublicKey:
        return cast(PublicKey, self._client._run(calls.get("/v1/webhooks/public-key")))

    def deliveries(self) -> Iterator[Delivery]:
        """Every delivery with its attempts, newest first."""
        return self._client._list("/v1/webhooks/deliveries", {})

    def resend(self, delivery_id: str) -> Delivery:
        return cast(Delivery, self._client._run(calls.post(calls.delivery_path(delivery_id) + "/resend")))

    def test(self) -> dict[str, Any]:
        """Send `webhook.test` to every endpoint."""
        return cast(dict[str, Any], self._client._run(calls.post("/v1/webhooks/test")))


class Refunds:
    """`client.refunds`"""

    def __init__(self, client: OpenPay) -> None:
        self._client = client

    def retrieve(self, refund_id: str) -> Refund:
        return cast(Refund, self._client._run(calls.get(calls.refund_path(refund_id))))

    def approve(self, refund_id: str, destination: str | None = None) -> Refund:
        """Send it there; None for the address that the sender's signature or the rules named."""
        return cast(Refund, self._client._run(calls.approve(refund_id, destination)))

    def cancel(self, refund_id: str) -> Refund:
        """One that waits for your own wallet's signature, and will not get it."""
        return cast(Refund, self._client._run(calls.post(calls.refund_path(refund_id) + "/cancel")))

    def list(self, **query: Unpack[RefundQuery]) -> Iterator[Refund]:
        """Every refund, newest first."""
        return self._client._list("/v1/refunds", query)


class Withdrawals:
    """`client.withdrawals`"""

    def __init__(self, client: OpenPay) -> None:
        self._client = client

    def create(self, *, token: str, idempotency_key: str | None = None) -> Withdrawal:
        """Move all of one token from the treasury to the merchant's own address."""
        return cast(Withdrawal, self._client._run(calls.withdraw(token, idempotency_key)))

    def retrieve(self, withdrawal_id: str) -> Withdrawal:
        return cast(Withdrawal, self._client._run(calls.get(calls.withdrawal_path(withdrawal_id))))

    def list(self) -> Iterator[Withdrawal]:
        """Every withdrawal, newest first."""
        return self._client._list("/v1/withdrawals", {})
