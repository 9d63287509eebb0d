"""The API for asyncio programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack, cast

import aiohttp

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


class AsyncOpenPay:
    """The API for asyncio programs. Use as `async with`, or call `close()` at the end. Raises what `OpenPay` does."""

    def __init__(
        self, api_key: str, base_url: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, retries: int = DEFAULT_RETRIES
    ) -> None:
        self._api_key = checked_key(api_key)
        self._base_url = checked_base_url(base_url).geturl()
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._retries = retries
        self._session: aiohttp.ClientSession | None = None
        self.payments = AsyncPayments(self)
        self.webhooks = AsyncWebhooks(self)
        self.refunds = AsyncRefunds(self)
        self.withdrawals = AsyncWithdrawals(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def balances(self) -> list[Balance]:
        """What each listed token amounts to."""
        return cast(list[Balance], (await self._run(calls.get("/v1/balances")))["data"])

    async def _run(self, request: Request) -> Any:
        steps = exchange(request, retries=self._retries)
        outcome: Answer | ConnectionFailed | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                return done.value
            outcome = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                outcome = await self._send(step)

    async def _send(self, request: Request) -> Answer | ConnectionFailed:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.request(
                request.method,
                self._base_url + request.target,
                data=request.content(),
                headers=request.headers(self._api_key),
                allow_redirects=False,
            ) as response:
                return Answer(status=response.status, headers=response.headers, body=await response.read())
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
            return ConnectionFailed(f"no answer from {self._base_url}: {error!r}")

    async def _list(self, path: str, query: Mapping[str, Any]) -> AsyncIterator[Any]:
        page = None
        while (request := calls.next_page(path, query, page)) is not None:
            page = await self._run(request)
            for item in page["data"]:
                yield item


class AsyncPayments:
    """`client.payments`, see `Payments`."""

    def __init__(self, client: AsyncOpenPay) -> None:
        self._client = client

    async def create(self, **params: Unpack[PaymentParams]) -> Payment:
        return cast(Payment, await self._client._run(calls.create_payment(params)))

    async def retrieve(self, payment_id: str) -> Payment:
        return cast(Payment, await self._client._run(calls.get(calls.payment_path(payment_id))))

    async def cancel(self, payment_id: str) -> Payment:
        return cast(Payment, await self._client._run(calls.post(calls.payment_path(payment_id) + "/cancel")))

    async def refund(self, payment_id: str, **params: Unpack[RefundParams]) -> RefundsMade:
        return cast(RefundsMade, (await self._client._run(calls.refund_payment(payment_id, params)))["data"])

    def list(self, **query: Unpack[PaymentQuery]) -> AsyncIterator[Payment]:
        return self._client._list("/v1/payments", query)


class AsyncWebhooks:
    """`client.webhooks`, see `Webhooks`."""

    def __init__(self, client: AsyncOpenPay) -> None:
        self._client = client

    async def configure(self, url: str, events: Sequence[str] | None = None) -> ConfiguredEndpoint:
        return cast(ConfiguredEndpoint, await self._client._run(calls.configure(url, events)))

    async def endpoints(self) -> list[WebhookEndpoint]:
        return cast(list[WebhookEndpoint], (await self._client._run(calls.get("/v1/webhooks/endpoints")))["data"])

    async def retrieve(self, endpoint_id: str) -> WebhookEndpoint:
        return cast(WebhookEndpoint, await self._client._run(calls.get(calls.endpoint_path(endpoint_id))))

    async def update(self, endpoint_id: str, **changes: Unpack[EndpointChanges]) -> WebhookEndpoint:
        return cast(WebhookEndpoint, await self._client._run(calls.update_endpoint(endpoint_id, changes)))

    async def delete(self, endpoint_id: str) -> DeletedEndpoint:
        return cast(DeletedEndpoint, await self._client._run(calls.delete(calls.endpoint_path(endpoint_id))))

    async def public_key(self) -> PublicKey:
        return cast(PublicKey, await self._client._run(calls.get("/v1/webhooks/public-key")))

    def deliveries(self) -> AsyncIterator[Delivery]:
        return self._client._list("/v1/webhooks/deliveries", {})

    async def resend(self, delivery_id: str) -> Delivery:
        return cast(Delivery, await self._client._run(calls.post(calls.delivery_path(delivery_id) + "/resend")))

    async def test(self) -> dict[str, Any]:
        return cast(dict[str, Any], await self._client._run(calls.post("/v1/webhooks/test")))


class AsyncRefunds:
    """`client.refunds`, see `Refunds`."""

    def __init__(self, client: AsyncOpenPay) -> None:
        self._client = client

    async def retrieve(self, refund_id: str) -> Refund:
        return cast(Refund, await self._client._run(calls.get(calls.refund_path(refund_id))))

    async def approve(self, refund_id: str, destination: str | None = None) -> Refund:
        return cast(Refund, await self._client._run(calls.approve(refund_id, destination)))

    async def cancel(self, refund_id: str) -> Refund:
        return cast(Refund, await self._client._run(calls.post(calls.refund_path(refund_id) + "/cancel")))

    def list(self, **query: Unpack[RefundQuery]) -> AsyncIterator[Refund]:
        return self._client._list("/v1/refunds", query)


class AsyncWithdrawals:
    """`client.withdrawals`, see `Withdrawals`."""

    def __init__(self, client: AsyncOpenPay) -> None:
        self._client = client

    async def create(self, *, token: str, idempotency_key: str | None = None) -> Withdrawal:
        return cast(Withdrawal, await self._client._run(calls.withdraw(token, idempotency_key)))

    async def retrieve(self, withdrawal_id: str) -> Withdrawal:
        return cast(Withdrawal, await self._client._run(calls.get(calls.withdrawal_path(withdrawal_id))))

    def list(self) -> AsyncIterator[Withdrawal]:
        return self._client._list("/v1/withdrawals", {})
