"""Open Pay for Python programs: the API, with and without asyncio, and the check of a webhook's signature.

    client = OpenPay("sk_live_…", "https://pay.example")
    payment = client.payments.create(amount="25.00", currency="USD", description="Order #1042")
    print(payment["checkout_url"])

Answers are the API's JSON objects, typed as `TypedDict`. Every POST carries an Idempotency-Key, so that a request whose
answer was lost is repeated safely, as a DELETE is by nature. Network errors, 429 and 5xx are retried a few times before
they are raised.

What to send and when to retry is decided once, in generators that yield requests and pauses (`_exchange`, `_pages`);
the two clients only differ in how they carry these out. Nothing else of Open Pay is imported.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import random
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, NotRequired, Self, TypedDict, Unpack, cast
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import aiohttp
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_RETRIES = 3
MAX_PAUSE_S = 30.0
PAGE_SIZE = 100


# --- errors ----------------------------------------------------------------------------------------------------------


class OpenPayError(Exception):
    """Whatever goes wrong in this module."""


class InvalidSetting(OpenPayError, ValueError):
    """A client or a verifier was given what cannot work: no request was made. Keys are never part of the message."""


class ConnectionFailed(OpenPayError):
    """No answer came, after all retries. A POST may be repeated with the same `idempotency_key`."""


class ApiError(OpenPayError):
    """The API said no. `code` is the stable word to program against; `param` the field at fault, if any."""

    def __init__(
        self, status: int, *, detail: str, code: str, param: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(f"{detail} ({status} {code})" + (f", request {request_id}" if request_id else ""))
        self.status = status
        self.detail = detail
        self.code = code
        self.param = param
        self.request_id = request_id


class BadRequest(ApiError):
    """400, 405, 413 or 415: the request itself was malformed."""


class AuthenticationFailed(ApiError):
    """401 or 403."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409: the object's state, or another request, does not allow this."""


class Invalid(ApiError):
    """422: understood, and not acceptable. `param` names the field."""


class RateLimited(ApiError):
    """429, after all retries."""


class ServerFailed(ApiError):
    """5xx, after all retries."""


_ERRORS: Mapping[int, type[ApiError]] = {
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    429: RateLimited,
}


# --- what is sent and answered ---------------------------------------------------------------------------------------

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


# --- what a client is given ------------------------------------------------------------------------------------------

_KEY_PREFIXES = ("sk_live_", "sk_test_")

_MISTAKEN_FOR_A_KEY: Mapping[str, str] = {
    "whsec_": "is a webhook endpoint's secret, which only verifies webhooks",
    "MCow": "is a public key, which only verifies webhooks",
    "pk_": "looks like a publishable key, and Open Pay has none: the checkout page needs no key",
    "mer_": "is a merchant's id",
    "key_": "is the key's id, not the key",
    "0x": "looks like an address or a wallet's private key",
    "Bearer ": "begins with `Bearer`, which is added for you",
}


def _checked_key(api_key: object) -> str:
    """The key without white space around it. Raises `InvalidSetting`, which does not show it."""
    if not isinstance(api_key, str):
        raise InvalidSetting(
            f"the API key is a {type(api_key).__name__}, not a string: is the environment variable set that it is from?"
        )
    key = api_key.strip()
    if not key:
        raise InvalidSetting("the API key is empty: is the environment variable or the file empty that it is from?")
    wrong = next((words for prefix, words in _MISTAKEN_FOR_A_KEY.items() if key.startswith(prefix)), None)
    if wrong is None:
        wrong = _wrong_with(key)
    if wrong is not None:
        raise InvalidSetting(
            f"the API key {wrong}. Pass what `openpay keys create` or `POST /v1/api_keys` showed: sk_live_ or "
            "sk_test_, then letters and digits"
        )
    return key


def _wrong_with(key: str) -> str | None:
    """What makes a text other than a key, in words that follow "the API key"; None: nothing that is seen from here."""
    place, character = next(((n, each) for n, each in enumerate(key, 1) if not "!" <= each <= "~"), (0, ""))
    if character == "…":
        return "holds `…`: it was copied from where keys are shown shortened"
    if character:
        what = "white space" if character.isspace() else f"U+{ord(character):04X}"
        return f"holds {what} in place {place}, which no key does"
    if not key.startswith(_KEY_PREFIXES):
        return "does not begin with sk_live_ or sk_test_"
    return None if len(key) > len(_KEY_PREFIXES[0]) else "ends after its prefix"


def _checked_base_url(base_url: object) -> SplitResult:
    """Raises `InvalidSetting`."""
    if not isinstance(base_url, str):
        raise InvalidSetting(f"base_url is a {type(base_url).__name__}, not a string such as https://pay.example")
    base = urlsplit(base_url.strip().rstrip("/"))
    if base.scheme not in ("http", "https") or not base.hostname:
        raise InvalidSetting(f"base_url must look like https://pay.example, not {base_url!r}")
    return base


# --- one exchange, without a network ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Request:
    method: Literal["GET", "POST", "DELETE"]
    path: str
    query: Sequence[tuple[str, str]] = ()
    body: Mapping[str, Any] | None = None
    idempotency_key: str | None = None

    @property
    def target(self) -> str:
        return self.path + (f"?{urlencode(self.query)}" if self.query else "")

    def headers(self, api_key: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json", "User-Agent": "openpay-python/1"}
        if self.method == "POST":
            headers["Content-Type"] = "application/json"
            headers["Idempotency-Key"] = self.idempotency_key or ""
        return headers

    def content(self) -> bytes | None:
        return json.dumps(self.body or {}).encode() if self.method == "POST" else None


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class _Pause:
    seconds: float


# A step asks its driver for one thing and is sent the answer; an exception means that none came.
_Steps = Generator[_Request | _Pause, _Answer | ConnectionFailed | None, Any]


def _exchange(request: _Request, *, retries: int) -> _Steps:
    """Send `request` until it is answered for good; returns the decoded JSON or raises."""
    for attempt in range(retries + 1):
        outcome = yield request
        last = attempt == retries
        if isinstance(outcome, ConnectionFailed):
            if last:
                raise outcome
            yield _Pause(seconds=_backoff_s(attempt))
            continue
        answer = cast(_Answer, outcome)
        if answer.status < 300:
            return _decoded(answer)
        error = _error(answer)
        if last or not _may_pass(error):
            raise error
        yield _Pause(seconds=max(_retry_after_s(answer), _backoff_s(attempt)))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _may_pass(error: ApiError) -> bool:
    """Whether the same request may succeed later. The last: our own earlier attempt is still being carried out."""
    return error.status == 429 or error.status >= 500 or error.code == "idempotency_in_progress"


def _backoff_s(attempt: int) -> float:
    """0.5 s, doubling, less up to a half at random: many clients must not return at one moment."""
    return min(0.5 * float(2**attempt), MAX_PAUSE_S) * random.uniform(0.5, 1.0)


def _retry_after_s(answer: _Answer) -> float:
    text = _header(answer.headers, "Retry-After") or ""
    return min(float(text), MAX_PAUSE_S) if text.isascii() and text.isdigit() else 0.0


def _decoded(answer: _Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise ServerFailed(answer.status, detail="the answer is not JSON", code="unreadable_answer") from error


def _error(answer: _Answer) -> ApiError:
    """The exception for a problem document (RFC 9457), or for whatever a proxy answered instead."""
    try:
        problem = json.loads(answer.body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    kind = _ERRORS.get(answer.status) or (ServerFailed if answer.status >= 500 else BadRequest)
    return kind(
        answer.status,
        detail=str(problem.get("detail") or problem.get("title") or f"HTTP status {answer.status}"),
        code=str(problem.get("code") or f"http_{answer.status}"),
        param=problem.get("param"),
        request_id=problem.get("request_id") or _header(answer.headers, "X-Request-Id"),
    )


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name.lower()), None)


# --- the requests, written once --------------------------------------------------------------------------------------


def _get(path: str, query: Mapping[str, Any] | None = None) -> _Request:
    pairs: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        if isinstance(value, Mapping):
            pairs += [(f"{name}[{key}]", str(entry)) for key, entry in value.items()]
        elif value is not None:
            pairs.append((name, str(value)))
    return _Request(method="GET", path=path, query=pairs)


def _post(path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> _Request:
    return _Request(method="POST", path=path, body=body, idempotency_key=idempotency_key or str(uuid.uuid4()))


def _create_payment(params: PaymentParams) -> _Request:
    body: dict[str, Any] = {"currency": "USD", **params}
    idempotency_key = body.pop("idempotency_key", None)
    return _post("/v1/payments", body, idempotency_key=idempotency_key)


def _payment(payment_id: str) -> str:
    return f"/v1/payments/{quote(payment_id, safe='')}"


def _delivery(delivery_id: str) -> str:
    return f"/v1/webhooks/deliveries/{quote(delivery_id, safe='')}"


def _refund_payment(payment_id: str, params: RefundParams) -> _Request:
    body: dict[str, Any] = {**params}
    idempotency_key = body.pop("idempotency_key", None)
    return _post(_payment(payment_id) + "/refund", body, idempotency_key=idempotency_key)


def _refund(refund_id: str) -> str:
    return f"/v1/refunds/{quote(refund_id, safe='')}"


def _approve(refund_id: str, destination: str | None) -> _Request:
    return _post(_refund(refund_id) + "/approve", {} if destination is None else {"destination": destination})


def _withdraw(token: str, idempotency_key: str | None) -> _Request:
    return _post("/v1/withdrawals", {"token": token}, idempotency_key=idempotency_key)


def _withdrawal(withdrawal_id: str) -> str:
    return f"/v1/withdrawals/{quote(withdrawal_id, safe='')}"


def _configure(url: str, events: Sequence[str] | None) -> _Request:
    return _post("/v1/webhooks/configure", {"url": url} | ({} if events is None else {"events": list(events)}))


def _endpoint(endpoint_id: str) -> str:
    return f"/v1/webhooks/endpoints/{quote(endpoint_id, safe='')}"


def _update_endpoint(endpoint_id: str, changes: EndpointChanges) -> _Request:
    body: dict[str, Any] = {**changes}
    if "events" in changes:
        body["events"] = list(changes["events"])
    idempotency_key = body.pop("idempotency_key", None)
    return _post(_endpoint(endpoint_id), body, idempotency_key=idempotency_key)


def _delete(path: str) -> _Request:
    return _Request(method="DELETE", path=path)


def _next_page(path: str, query: Mapping[str, Any], page: Mapping[str, Any] | None) -> _Request | None:
    """The request for the page after `page` (None: the first), or None after the last."""
    if page is None:
        return _get(path, {**query, "limit": PAGE_SIZE})
    if not page["has_more"] or not page["data"]:
        return None
    return _get(path, {**query, "limit": PAGE_SIZE, "starting_after": page["data"][-1]["id"]})


# --- without asyncio -------------------------------------------------------------------------------------------------


class OpenPay:
    """The API, blocking. May be shared between threads: each request has a connection of its own.

    White space around `api_key` is left out. Raises `InvalidSetting` for a key or a URL that cannot be one.
    """

    def __init__(
        self, api_key: str, base_url: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, retries: int = DEFAULT_RETRIES
    ) -> None:
        self._api_key = _checked_key(api_key)
        self._base = _checked_base_url(base_url)
        self._timeout_s = timeout_s
        self._retries = retries
        self.payments = Payments(self)
        self.webhooks = Webhooks(self)
        self.refunds = Refunds(self)
        self.withdrawals = Withdrawals(self)

    def balances(self) -> list[Balance]:
        """What each listed token amounts to."""
        return cast(list[Balance], self._run(_get("/v1/balances"))["data"])

    def _run(self, request: _Request) -> Any:
        steps = _exchange(request, retries=self._retries)
        outcome: _Answer | ConnectionFailed | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                return done.value
            outcome = None
            if isinstance(step, _Pause):
                time.sleep(step.seconds)
            else:
                outcome = self._send(step)

    def _send(self, request: _Request) -> _Answer | ConnectionFailed:
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
            return _Answer(status=response.status, headers=dict(response.getheaders()), body=response.read())
        except (OSError, http.client.HTTPException) as error:
            return ConnectionFailed(f"no answer from {self._base.netloc}: {error!r}")
        finally:
            connection.close()

    def _list(self, path: str, query: Mapping[str, Any]) -> Iterator[Any]:
        page = None
        while (request := _next_page(path, query, page)) is not None:
            page = self._run(request)
            yield from page["data"]


class Payments:
    """`client.payments`"""

    def __init__(self, client: OpenPay) -> None:
        self._client = client

    def create(self, **params: Unpack[PaymentParams]) -> Payment:
        """Ask for money. Send the customer to the answer's `checkout_url`."""
        return cast(Payment, self._client._run(_create_payment(params)))

    def retrieve(self, payment_id: str) -> Payment:
        return cast(Payment, self._client._run(_get(_payment(payment_id))))

    def cancel(self, payment_id: str) -> Payment:
        """Call a payment off; `Conflict` once money is on its way."""
        return cast(Payment, self._client._run(_post(_payment(payment_id) + "/cancel")))

    def refund(self, payment_id: str, **params: Unpack[RefundParams]) -> RefundsMade:
        """Give money of an ended payment back; the refunds that this made or approved."""
        return cast(RefundsMade, self._client._run(_refund_payment(payment_id, params))["data"])

    def list(self, **query: Unpack[PaymentQuery]) -> Iterator[Payment]:
        """Every payment, newest first; pages are fetched as they are needed."""
        return self._client._list("/v1/payments", query)


class Webhooks:
    """`client.webhooks`"""

    def __init__(self, client: OpenPay) -> None:
        self._client = client

    def configure(self, url: str, events: Sequence[str] | None = None) -> ConfiguredEndpoint:
        """Add an endpoint, or change which events it gets; None means all."""
        return cast(ConfiguredEndpoint, self._client._run(_configure(url, events)))

    def endpoints(self) -> list[WebhookEndpoint]:
        """Every endpoint, oldest first."""
        return cast(list[WebhookEndpoint], self._client._run(_get("/v1/webhooks/endpoints"))["data"])

    def retrieve(self, endpoint_id: str) -> WebhookEndpoint:
        return cast(WebhookEndpoint, self._client._run(_get(_endpoint(endpoint_id))))

    def update(self, endpoint_id: str, **changes: Unpack[EndpointChanges]) -> WebhookEndpoint:
        """Move an endpoint to another URL, change its events, disable it or enable it again."""
        return cast(WebhookEndpoint, self._client._run(_update_endpoint(endpoint_id, changes)))

    def delete(self, endpoint_id: str) -> DeletedEndpoint:
        """Send nothing to it any more. May be repeated; its deliveries can still be read."""
        return cast(DeletedEndpoint, self._client._run(_delete(_endpoint(endpoint_id))))

    def public_key(self) -> PublicKey:
        return cast(PublicKey, self._client._run(_get("/v1/webhooks/public-key")))

    def deliveries(self) -> Iterator[Delivery]:
        """Every delivery with its attempts, newest first."""
        return self._client._list("/v1/webhooks/deliveries", {})

    def resend(self, delivery_id: str) -> Delivery:
        return cast(Delivery, self._client._run(_post(_delivery(delivery_id) + "/resend")))

    def test(self) -> dict[str, Any]:
        """Send `webhook.test` to every endpoint."""
        return cast(dict[str, Any], self._client._run(_post("/v1/webhooks/test")))


class Refunds:
    """`client.refunds`"""

    def __init__(self, client: OpenPay) -> None:
        self._client = client

    def retrieve(self, refund_id: str) -> Refund:
        return cast(Refund, self._client._run(_get(_refund(refund_id))))

    def approve(self, refund_id: str, destination: str | None = None) -> Refund:
        """Send it there; None for the address that the sender's signature or the rules named."""
        return cast(Refund, self._client._run(_approve(refund_id, destination)))

    def cancel(self, refund_id: str) -> Refund:
        """One that waits for your own wallet's signature, and will not get it."""
        return cast(Refund, self._client._run(_post(_refund(refund_id) + "/cancel")))

    def list(self, **query: Unpack[RefundQuery]) -> Iterator[Refund]:
        """Every refund, newest first."""
        return self._client._list("/v1/refunds", query)


class Withdrawals:
    """`client.withdrawals`"""

    def __init__(self, client: OpenPay) -> None:
        self._client = client

    def create(self, *, token: str, idempotency_key: str | None = None) -> Withdrawal:
        """Move all of one token from the treasury to the merchant's own address."""
        return cast(Withdrawal, self._client._run(_withdraw(token, idempotency_key)))

    def retrieve(self, withdrawal_id: str) -> Withdrawal:
        return cast(Withdrawal, self._client._run(_get(_withdrawal(withdrawal_id))))

    def list(self) -> Iterator[Withdrawal]:
        """Every withdrawal, newest first."""
        return self._client._list("/v1/withdrawals", {})


# --- with asyncio ----------------------------------------------------------------------------------------------------


class AsyncOpenPay:
    """The API for asyncio programs. Use as `async with`, or call `close()` at the end. Raises what `OpenPay` does."""

    def __init__(
        self, api_key: str, base_url: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, retries: int = DEFAULT_RETRIES
    ) -> None:
        self._api_key = _checked_key(api_key)
        self._base_url = _checked_base_url(base_url).geturl()
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
        return cast(list[Balance], (await self._run(_get("/v1/balances")))["data"])

    async def _run(self, request: _Request) -> Any:
        steps = _exchange(request, retries=self._retries)
        outcome: _Answer | ConnectionFailed | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                return done.value
            outcome = None
            if isinstance(step, _Pause):
                await asyncio.sleep(step.seconds)
            else:
                outcome = await self._send(step)

    async def _send(self, request: _Request) -> _Answer | ConnectionFailed:
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
                return _Answer(status=response.status, headers=response.headers, body=await response.read())
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
            return ConnectionFailed(f"no answer from {self._base_url}: {error!r}")

    async def _list(self, path: str, query: Mapping[str, Any]) -> AsyncIterator[Any]:
        page = None
        while (request := _next_page(path, query, page)) is not None:
            page = await self._run(request)
            for item in page["data"]:
                yield item


class AsyncPayments:
    """`client.payments`, see `Payments`."""

    def __init__(self, client: AsyncOpenPay) -> None:
        self._client = client

    async def create(self, **params: Unpack[PaymentParams]) -> Payment:
        return cast(Payment, await self._client._run(_create_payment(params)))

    async def retrieve(self, payment_id: str) -> Payment:
        return cast(Payment, await self._client._run(_get(_payment(payment_id))))

    async def cancel(self, payment_id: str) -> Payment:
        return cast(Payment, await self._client._run(_post(_payment(payment_id) + "/cancel")))

    async def refund(self, payment_id: str, **params: Unpack[RefundParams]) -> RefundsMade:
        return cast(RefundsMade, (await self._client._run(_refund_payment(payment_id, params)))["data"])

    def list(self, **query: Unpack[PaymentQuery]) -> AsyncIterator[Payment]:
        return self._client._list("/v1/payments", query)


class AsyncWebhooks:
    """`client.webhooks`, see `Webhooks`."""

    def __init__(self, client: AsyncOpenPay) -> None:
        self._client = client

    async def configure(self, url: str, events: Sequence[str] | None = None) -> ConfiguredEndpoint:
        return cast(ConfiguredEndpoint, await self._client._run(_configure(url, events)))

    async def endpoints(self) -> list[WebhookEndpoint]:
        return cast(list[WebhookEndpoint], (await self._client._run(_get("/v1/webhooks/endpoints")))["data"])

    async def retrieve(self, endpoint_id: str) -> WebhookEndpoint:
        return cast(WebhookEndpoint, await self._client._run(_get(_endpoint(endpoint_id))))

    async def update(self, endpoint_id: str, **changes: Unpack[EndpointChanges]) -> WebhookEndpoint:
        return cast(WebhookEndpoint, await self._client._run(_update_endpoint(endpoint_id, changes)))

    async def delete(self, endpoint_id: str) -> DeletedEndpoint:
        return cast(DeletedEndpoint, await self._client._run(_delete(_endpoint(endpoint_id))))

    async def public_key(self) -> PublicKey:
        return cast(PublicKey, await self._client._run(_get("/v1/webhooks/public-key")))

    def deliveries(self) -> AsyncIterator[Delivery]:
        return self._client._list("/v1/webhooks/deliveries", {})

    async def resend(self, delivery_id: str) -> Delivery:
        return cast(Delivery, await self._client._run(_post(_delivery(delivery_id) + "/resend")))

    async def test(self) -> dict[str, Any]:
        return cast(dict[str, Any], await self._client._run(_post("/v1/webhooks/test")))


class AsyncRefunds:
    """`client.refunds`, see `Refunds`."""

    def __init__(self, client: AsyncOpenPay) -> None:
        self._client = client

    async def retrieve(self, refund_id: str) -> Refund:
        return cast(Refund, await self._client._run(_get(_refund(refund_id))))

    async def approve(self, refund_id: str, destination: str | None = None) -> Refund:
        return cast(Refund, await self._client._run(_approve(refund_id, destination)))

    async def cancel(self, refund_id: str) -> Refund:
        return cast(Refund, await self._client._run(_post(_refund(refund_id) + "/cancel")))

    def list(self, **query: Unpack[RefundQuery]) -> AsyncIterator[Refund]:
        return self._client._list("/v1/refunds", query)


class AsyncWithdrawals:
    """`client.withdrawals`, see `Withdrawals`."""

    def __init__(self, client: AsyncOpenPay) -> None:
        self._client = client

    async def create(self, *, token: str, idempotency_key: str | None = None) -> Withdrawal:
        return cast(Withdrawal, await self._client._run(_withdraw(token, idempotency_key)))

    async def retrieve(self, withdrawal_id: str) -> Withdrawal:
        return cast(Withdrawal, await self._client._run(_get(_withdrawal(withdrawal_id))))

    def list(self) -> AsyncIterator[Withdrawal]:
        return self._client._list("/v1/withdrawals", {})


# --- webhooks --------------------------------------------------------------------------------------------------------

# SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) is this constant, then the 32 bytes.
_SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")


class WebhookVerificationError(OpenPayError):
    """Do not act on this request. `reason` says why in one word."""

    def __init__(
        self,
        reason: Literal["missing_header", "invalid_timestamp", "too_old", "too_new", "wrong_signature", "not_json"],
        detail: str,
    ) -> None:
        super().__init__(detail)
        self.reason = reason


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    public_key: str | Sequence[str],
    tolerance_s: float = 300,
    *,
    now: float | None = None,
) -> dict[str, Any]:
    """The event in a webhook, once its signature and its age have been checked.

    `body` is the request's body exactly as it arrived, before any JSON library touched it; `public_key` what
    `webhooks.public_key()` answers, or several of them while keys are being rotated. `now` replaces the clock in tests.
    The same event may arrive twice: keep the `webhook-id` header of those you have handled. That header is signed too
    (`webhook-signature`), and it is checked here wherever it is present.

    Raises `WebhookVerificationError`; `InvalidSetting` for a public key that is none.
    """
    keys = _verify_keys(public_key)
    given = {name.lower(): value for name, value in headers.items()}
    timestamp = _required(given, "x-openpay-timestamp")
    _require_signature(keys, _as_sent(f"{timestamp}.") + body, [_required(given, "x-openpay-signature")])
    _require_recent(timestamp, tolerance_s=tolerance_s, now=time.time() if now is None else now)
    event_id = given.get("webhook-id")
    if event_id is not None:
        signed = _as_sent(f"{event_id}.{_required(given, 'webhook-timestamp')}.") + body
        versions = (entry.partition(",") for entry in _required(given, "webhook-signature").split())
        _require_signature(keys, signed, [signature for version, _, signature in versions if version == "v1a"])
    try:
        event = json.loads(body)
    except ValueError as error:
        raise WebhookVerificationError("not_json", "the signed body is not JSON") from error
    return cast(dict[str, Any], event)


def _verify_keys(public_key: object) -> list[VerifyKey]:
    if isinstance(public_key, Sequence) and not isinstance(public_key, str):
        return [_verify_key(key) for key in public_key]
    return [_verify_key(public_key)]


def _as_sent(header: str) -> bytes:
    """Bytes of a header that are no UTF-8 reach us as half surrogates: they are no reason to fail."""
    return header.encode("utf-8", "surrogateescape")


def _verify_key(public_key: object) -> VerifyKey:
    wanted = "pass the `public_key` of what GET /v1/webhooks/public-key answers"
    if not isinstance(public_key, str):
        raise InvalidSetting(f"the public key is a {type(public_key).__name__}, not a string: {wanted}")
    for prefix, what in (("whsec_", "an endpoint's secret"), ("sk_", "an API key")):
        if public_key.startswith(prefix):
            raise InvalidSetting(f"the public key is {what}: {wanted}")
    try:
        der = base64.b64decode(public_key.strip(), validate=True)
    except ValueError as error:  # not base64, or not even ASCII
        raise InvalidSetting(f"the public key is not base64: {wanted}") from error
    if len(der) != len(_SPKI_HEAD) + 32 or not der.startswith(_SPKI_HEAD):
        raise InvalidSetting(f"the public key is not an Ed25519 key in DER: {wanted}")
    return VerifyKey(der[len(_SPKI_HEAD) :])


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise WebhookVerificationError("missing_header", f"the header {name} is missing")
    return value


def _require_signature(keys: Sequence[VerifyKey], content: bytes, signatures: Sequence[str]) -> None:
    """One of the keys made one of the base64 signatures over `content`."""
    for text in signatures:
        try:
            signature = base64.b64decode(text, validate=True)
        except ValueError:  # not base64, or not even ASCII
            continue
        for key in keys:
            try:
                key.verify(content, signature)
            except (BadSignatureError, ValueError):  # ValueError: not 64 bytes
                continue
            return
    raise WebhookVerificationError("wrong_signature", "no signature in the request was made by this key over this body")


def _require_recent(timestamp: str, *, tolerance_s: float, now: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise WebhookVerificationError("invalid_timestamp", f"{timestamp[:40]!r} is not a time in Unix seconds")
    age_s = now - int(timestamp)
    if age_s > tolerance_s:
        raise WebhookVerificationError("too_old", f"signed {age_s:.0f} s ago: repeated by somebody, or a slow clock")
    if age_s < -tolerance_s:
        raise WebhookVerificationError("too_new", f"signed {-age_s:.0f} s ahead of this clock")
