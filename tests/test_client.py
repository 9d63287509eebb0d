"""The Python SDK against a real HTTP server, blocking and with asyncio; and the webhook verifier."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openpay import client as sdk
from openpay.client import (
    AsyncOpenPay,
    OpenPay,
    WebhookVerificationError,
    calls,
    exchange,
    verification,
    verify_webhook,
)

PAYMENT = {"id": "pay_1", "status": "initiated", "checkout_url": "https://pay.example/checkout/pay_1"}

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """Keeps the requests it gets, and answers with these in turn: a status and a body, or a function."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.answers: list[tuple[int, Any, dict[str, str]] | Answering] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app)

    def answer(self, status: int, body: Any, **headers: str) -> None:
        self.answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    async def start(self) -> None:
        await self.server.start_server()
        self.url = str(self.server.make_url("/")).rstrip("/")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        body = json.loads(content) if content else None
        self.requests.append((request.method, request.path_qs, dict(request.headers), body))
        answer = self.answers.pop(0)
        if not isinstance(answer, tuple):
            return await answer(request)
        status, body, headers = answer
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers, content_type="application/json")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    started = Api()
    await started.start()
    yield started
    await started.server.close()


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_backoff_s", lambda _attempt: 0.0)


Use = Callable[[Callable[[Any], Any]], Awaitable[Any]]


@pytest.fixture(params=["blocking", "asyncio"])
def use(request: pytest.FixtureRequest, api: Api) -> Use:
    """Call something on a client of each kind; iterators come back as lists."""

    async def blocking(call: Callable[[Any], Any]) -> Any:
        def work() -> Any:
            result = call(OpenPay("sk_test_1", api.url, timeout_s=5))
            return list(result) if inspect.isgenerator(result) else result

        return await asyncio.to_thread(work)

    async def with_asyncio(call: Callable[[Any], Any]) -> Any:
        async with AsyncOpenPay("sk_test_1", api.url, timeout_s=5) as client:
            result = call(client)
            return [item async for item in result] if inspect.isasyncgen(result) else await result

    return blocking if request.param == "blocking" else with_asyncio


# --- requests --------------------------------------------------------------------------------------------------------


async def test_creating_a_payment_posts_its_fields_with_key_and_idempotency_key(api: Api, use: Use) -> None:
    api.answer(201, PAYMENT)
    payment = await use(lambda client: client.payments.create(amount="25.00", metadata={"order_id": "1042"}))
    assert payment == PAYMENT
    ((method, path, headers, body),) = api.requests
    assert (method, path) == ("POST", "/v1/payments")
    assert body == {"amount": "25.00", "currency": "USD", "metadata": {"order_id": "1042"}}
    assert headers["Authorization"] == "Bearer sk_test_1"
    assert len(headers["Idempotency-Key"]) == 36


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        (lambda c: c.payments.retrieve("pay_1"), "GET", "/v1/payments/pay_1", None),
        (lambda c: c.payments.retrieve("../x?y"), "GET", "/v1/payments/..%2Fx%3Fy", None),
        (lambda c: c.payments.cancel("pay_1"), "POST", "/v1/payments/pay_1/cancel", {}),
        (lambda c: c.refunds.retrieve("ref_1"), "GET", "/v1/refunds/ref_1", None),
        (lambda c: c.refunds.approve("ref_1"), "POST", "/v1/refunds/ref_1/approve", {}),
        (lambda c: c.refunds.approve("ref_1", "0x1"), "POST", "/v1/refunds/ref_1/approve", {"destination": "0x1"}),
        (lambda c: c.refunds.cancel("ref_1"), "POST", "/v1/refunds/ref_1/cancel", {}),
        (lambda c: c.withdrawals.retrieve("wdr_1"), "GET", "/v1/withdrawals/wdr_1", None),
        (lambda c: c.withdrawals.create(token="USDT"), "POST", "/v1/withdrawals", {"token": "USDT"}),
        (lambda c: c.webhooks.public_key(), "GET", "/v1/webhooks/public-key", None),
        (lambda c: c.webhooks.retrieve("whe_1"), "GET", "/v1/webhooks/endpoints/whe_1", None),
        (
            lambda c: c.webhooks.update("whe_1", disabled=True),
            "POST",
            "/v1/webhooks/endpoints/whe_1",
            {"disabled": True},
        ),
        (lambda c: c.webhooks.delete("whe_1"), "DELETE", "/v1/webhooks/endpoints/whe_1", None),
        (lambda c: c.webhooks.resend("del_1"), "POST", "/v1/webhooks/deliveries/del_1/resend", {}),
        (lambda c: c.webhooks.test(), "POST", "/v1/webhooks/test", {}),
        (
            lambda c: c.webhooks.configure("https://a.example"),
            "POST",
            "/v1/webhooks/configure",
            {"url": "https://a.example"},
        ),
        (
            lambda c: c.webhooks.configure("https://a.example", ["payment.completed"]),
            "POST",
            "/v1/webhooks/configure",
            {"url": "https://a.example", "events": ["payment.completed"]},
        ),
    ],
)
async def test_each_method_makes_one_request(
    api: Api, use: Use, call: Callable[[Any], Any], method: str, path: str, body: Any
) -> None:
    api.answer(200, {"ok": True})
    assert await use(call) == {"ok": True}
    assert [(sent[0], sent[1], sent[3]) for sent in api.requests] == [(method, path, body)]


async def test_list_fetches_page_after_page(api: Api, use: Use) -> None:
    api.answer(200, {"data": [{"id": "pay_3"}, {"id": "pay_2"}], "has_more": True})
    api.answer(200, {"data": [{"id": "pay_1"}], "has_more": False})
    found = await use(lambda client: client.payments.list(status="paid", metadata={"order_id": "1042"}))
    assert [payment["id"] for payment in found] == ["pay_3", "pay_2", "pay_1"]
    first = "/v1/payments?status=paid&metadata%5Border_id%5D=1042&limit=100"
    assert [sent[1] for sent in api.requests] == [first, first + "&starting_after=pay_2"]


async def test_deliveries_are_listed_to_the_end(api: Api, use: Use) -> None:
    api.answer(200, {"data": [{"id": "del_1"}], "has_more": False})
    assert await use(lambda client: client.webhooks.deliveries()) == [{"id": "del_1"}]


async def test_withdrawals_are_listed_to_the_end(api: Api, use: Use) -> None:
    api.answer(200, {"data": [{"id": "wdr_1"}], "has_more": False})
    assert await use(lambda client: client.withdrawals.list()) == [{"id": "wdr_1"}]


async def test_balances_are_a_list(api: Api, use: Use) -> None:
    api.answer(200, {"data": [{"token": "USDT"}], "has_more": False})
    assert await use(lambda client: client.balances()) == [{"token": "USDT"}]


async def test_redirect_is_not_followed_with_the_key(api: Api, use: Use) -> None:
    api.answer(302, "", Location="/elsewhere")
    with pytest.raises(sdk.ApiError) as refused:
        await use(lambda client: client.balances())
    assert refused.value.code == "http_302"
    assert len(api.requests) == 1


# --- retries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_passing_failure_is_retried_with_the_same_idempotency_key(api: Api, use: Use, status: int) -> None:
    api.answer(status, {"code": "busy"})
    api.answer(status, "<html>not even JSON")
    api.answer(201, PAYMENT)
    assert await use(lambda client: client.payments.create(amount="25.00")) == PAYMENT
    assert len({sent[2]["Idempotency-Key"] for sent in api.requests}) == 1
    assert len(api.requests) == 3


async def test_request_that_is_still_being_carried_out_is_waited_for(api: Api, use: Use) -> None:
    api.answer(409, {"code": "idempotency_in_progress"})
    api.answer(201, PAYMENT)
    assert await use(lambda client: client.payments.create(amount="25.00", idempotency_key="mine")) == PAYMENT
    assert [sent[2]["Idempotency-Key"] for sent in api.requests] == ["mine", "mine"]


async def test_lost_connection_is_retried(api: Api, use: Use) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    api.answers.append(hang_up)
    api.answer(201, PAYMENT)
    assert await use(lambda client: client.payments.create(amount="25.00")) == PAYMENT
    assert len({sent[2]["Idempotency-Key"] for sent in api.requests}) == 1


async def test_failure_that_lasts_is_raised_after_four_requests(api: Api, use: Use) -> None:
    for _ in range(4):
        api.answer(503, {"detail": "the database is away", "code": "unavailable"})
    with pytest.raises(sdk.ServerFailed, match="the database is away"):
        await use(lambda client: client.balances())
    assert api.answers == []


async def test_server_that_is_not_there_is_a_failed_connection(api: Api, use: Use) -> None:
    await api.server.close()
    with pytest.raises(sdk.ConnectionFailed, match=r"127\.0\.0\.1"):
        await use(lambda client: client.balances())


def test_pause_is_as_long_as_the_server_asks_and_not_longer_than_half_a_minute() -> None:
    def pause_after(retry_after: str) -> float:
        steps = exchange.exchange(calls.get("/"), retries=1)
        next(steps)
        step = steps.send(exchange.Answer(status=429, headers={"retry-after": retry_after}))
        assert isinstance(step, exchange.Pause)
        return step.seconds

    assert [pause_after(value) for value in ("7", "9999", "Thu, 26 Mar 2026 13:10:00 GMT")] == [7, 30, 0]


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, sdk.BadRequest),
        (401, sdk.AuthenticationFailed),
        (403, sdk.AuthenticationFailed),
        (404, sdk.NotFound),
        (409, sdk.Conflict),
        (413, sdk.BadRequest),
        (422, sdk.Invalid),
    ],
)
async def test_problem_becomes_a_typed_error_at_once(api: Api, use: Use, status: int, kind: type[sdk.ApiError]) -> None:
    api.answer(status, {"detail": "no", "code": "some_code", "param": "amount", "request_id": "req_1"})
    with pytest.raises(kind) as raised:
        await use(lambda client: client.payments.create(amount="-1"))
    error = raised.value
    assert type(error) is kind
    assert (error.status, error.detail, error.code, error.param, error.request_id) == (
        status,
        "no",
        "some_code",
        "amount",
        "req_1",
    )
    assert len(api.requests) == 1


CONSTRUCTORS = pytest.mark.parametrize("make", [OpenPay, AsyncOpenPay])


@CONSTRUCTORS
def test_base_url_must_be_one(make: Any) -> None:
    with pytest.raises(sdk.InvalidSetting, match=r"pay\.example"):
        make("sk_test_1", "pay.example")


@CONSTRUCTORS
@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("sk_live_…", "copied from where keys are shown shortened"),
        ("sk_live_a\u00e4secret", r"U\+00E4 in place 10"),
        ("sk_live_a secret", "white space in place 10"),
        ("sk_live_a\nsecret", "white space in place 10"),
        ("sk_live_a\x00secret", r"U\+0000 in place 10"),
        ("", "empty"),
        (" \n", "empty"),
        (None, "environment variable set"),
        (b"sk_live_secret", "is a bytes, not a string"),
        ("sk_live_", "ends after its prefix"),
        ("whsec_secret", "endpoint's secret"),
        (base64.b64encode(verification._SPKI_HEAD + b"secret" * 5 + b"12").decode(), "is a public key"),
        ("pk_live_secret", "publishable"),
        ("mer_secret", "merchant's id"),
        ("key_secret", "key's id"),
        ("0xsecret", "wallet's private key"),
        ("Bearer sk_live_secret", "added for you"),
        ("secret", "does not begin with sk_live_ or sk_test_"),
        ("SK_LIVE_secret", "does not begin with sk_live_ or sk_test_"),
    ],
)
def test_key_that_is_none_is_refused_without_being_shown(make: Any, key: Any, says: str) -> None:
    with pytest.raises(sdk.InvalidSetting, match=says) as refused:
        make(key, "https://pay.example")
    assert isinstance(refused.value, sdk.OpenPayError)
    assert refused.value.__cause__ is None
    if key and "secret" in str(key):
        assert not any(part in str(refused.value) for part in ("_secret", "asecret", "0xsecret", "'secret"))


async def test_white_space_around_the_key_is_left_out(api: Api) -> None:
    api.answer(200, PAYMENT)
    api.answer(200, PAYMENT)
    await asyncio.to_thread(OpenPay("  sk_test_1\n", api.url).payments.retrieve, "pay_1")
    async with AsyncOpenPay("sk_test_1\r\n", api.url + "/") as client:
        await client.payments.retrieve("pay_1")
    assert [headers["Authorization"] for _, _, headers, _ in api.requests] == ["Bearer sk_test_1"] * 2


def test_module_imports_nothing_else_of_open_pay() -> None:
    script = "import sys, openpay.client; print({n.split('.')[1] for n in sys.modules if n.startswith('openpay.')})"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "{'client'}"


# --- webhooks --------------------------------------------------------------------------------------------------------

NOW = 1_774_530_135
BODY = '{"event":"payment.completed","payment_id":"pay_1","note":"größer"}'.encode()


def new_key() -> tuple[Ed25519PrivateKey, str]:
    key = Ed25519PrivateKey.generate()
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key, base64.b64encode(der).decode()


KEY, PUBLIC_KEY = new_key()


def signed(body: bytes = BODY, timestamp: int | str = NOW, event_id: str | None = "evt_1") -> dict[str, str]:
    """Headers as Open Pay sends them, signed by another library than the one that verifies."""

    def sign(content: bytes) -> str:
        return base64.b64encode(KEY.sign(content)).decode()

    headers = {
        "X-OpenPay-Timestamp": str(timestamp),
        "X-OpenPay-Signature": sign(f"{timestamp}.".encode() + body),
    }
    if event_id is not None:
        headers |= {
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": f"v1a,{sign(f'{event_id}.{timestamp}.'.encode() + body)} v1,c29tZXRoaW5n",
        }
    return headers


def reason_for(body: bytes, headers: dict[str, str], key: str | list[str] = PUBLIC_KEY, now: float = NOW) -> str:
    with pytest.raises(WebhookVerificationError) as refused:
        verify_webhook(body, headers, key, now=now)
    return refused.value.reason


def test_genuine_webhook_is_returned_as_its_event() -> None:
    assert verify_webhook(BODY, signed(), PUBLIC_KEY, now=NOW) == json.loads(BODY)
    assert verify_webhook(BODY, signed(event_id=None), PUBLIC_KEY, now=NOW) == json.loads(BODY)


def test_header_names_may_be_in_any_case() -> None:
    for change in (str.lower, str.upper):
        headers = {change(name): value for name, value in signed().items()}
        assert verify_webhook(BODY, headers, PUBLIC_KEY, now=NOW) == json.loads(BODY)


def test_one_of_several_keys_is_enough_during_a_rotation() -> None:
    _, other = new_key()
    assert verify_webhook(BODY, signed(), [other, PUBLIC_KEY], now=NOW) == json.loads(BODY)
    assert reason_for(BODY, signed(), [other]) == "wrong_signature"
    assert reason_for(BODY, signed(), []) == "wrong_signature"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"X-OpenPay-Signature": ""}, "missing_header"),
        ({"X-OpenPay-Timestamp": ""}, "missing_header"),
        ({"webhook-signature": ""}, "missing_header"),
        ({"webhook-timestamp": ""}, "missing_header"),
        ({"X-OpenPay-Signature": "not base64!"}, "wrong_signature"),
        ({"X-OpenPay-Signature": "größer"}, "wrong_signature"),
        ({"X-OpenPay-Signature": "c2hvcnQ="}, "wrong_signature"),
        ({"X-OpenPay-Timestamp": str(NOW + 1)}, "wrong_signature"),
        ({"webhook-id": "evt_2"}, "wrong_signature"),
        ({"webhook-timestamp": str(NOW + 1)}, "wrong_signature"),
        ({"webhook-signature": "v1,c29tZXRoaW5n"}, "wrong_signature"),
        ({"webhook-signature": "v1a"}, "wrong_signature"),
    ],
)
def test_changed_header_is_refused_with_the_reason(change: dict[str, str], reason: str) -> None:
    assert reason_for(BODY, signed() | change) == reason


def test_changed_body_is_refused() -> None:
    assert reason_for(BODY + b" ", signed()) == "wrong_signature"
    assert reason_for(b"", signed()) == "wrong_signature"


def test_age_beyond_the_tolerance_is_refused_both_ways() -> None:
    assert verify_webhook(BODY, signed(), PUBLIC_KEY, now=NOW + 300)
    assert verify_webhook(BODY, signed(), PUBLIC_KEY, now=NOW - 300)
    assert reason_for(BODY, signed(), now=NOW + 301) == "too_old"
    assert reason_for(BODY, signed(), now=NOW - 301) == "too_new"
    assert verify_webhook(BODY, signed(), PUBLIC_KEY, tolerance_s=3_600, now=NOW + 3_600)


@pytest.mark.parametrize("timestamp", ["soon", "-5", "1e9", "9" * 20, "١٢"])
def test_signed_nonsense_for_a_time_is_refused(timestamp: str) -> None:
    assert reason_for(BODY, signed(timestamp=timestamp)) == "invalid_timestamp"


@pytest.mark.parametrize("name", ["X-OpenPay-Timestamp", "X-OpenPay-Signature", "webhook-id", "webhook-timestamp"])
@pytest.mark.parametrize("value", ["\udcff", "…", "\x00"])
def test_header_that_is_no_text_is_refused_like_any_other(name: str, value: str) -> None:
    assert reason_for(BODY, {**signed(), name: value}) in ("wrong_signature", "missing_header")


def test_signed_body_that_is_no_json_is_refused() -> None:
    assert reason_for(b"hello", signed(b"hello")) == "not_json"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "not base64!",
        "c2hvcnQ=",
        base64.b64encode(b"\x30" * 44).decode(),
        "MCow…",
        "whsec_c2hvcnQ=",
        "sk_live_1",
        None,
        {"public_key": PUBLIC_KEY},
        ["sk_live_1"],
    ],
)
def test_public_key_that_is_none_is_the_callers_mistake(key: Any) -> None:
    with pytest.raises(sdk.InvalidSetting, match="public key"):
        verify_webhook(BODY, signed(), key, now=NOW)
