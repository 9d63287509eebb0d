"""What every answer has: problem documents, ids, headers, limits. Nothing here depends on the kind of database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer, make_mocked_request
from multidict import CIMultiDict
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

import openpay.errors
from openpay.api import ApiDeps, build_app
from openpay.api.monitoring import RequestMetrics
from openpay.app.sealing import Sealer
from openpay.errors import CallerError, FatalError, OpenPayError, RateLimited, RetryableError
from openpay.http import STATUS_OF, HttpSettings, RateLimit, new_application, status_of
from openpay.http.addresses import client_address
from openpay.http.rates import RateLimiter
from openpay.store import Store
from tests.api.shop import Away, Shop, add_merchant, open_shop, problem


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = Store.open(sqlite_url)
    yield opened
    await opened.close()


# --- paths and methods -----------------------------------------------------------------------------------------------


async def test_a_person_at_the_root_is_told_where_they_are_and_nothing_else(shop: Shop) -> None:
    answer = await shop.get("/", key=None)

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = answer.raw.decode()
    assert 'href="/docs"' in text
    assert "follow the link that your shop gave you" in text
    assert not re.search(r"\d+\.\d+\.\d+|python|aiohttp", text)
    assert (await shop.call("HEAD", "/", key=None)).status == 200


async def test_unknown_paths_are_problems(shop: Shop) -> None:
    for path in ("/v1", "/v1/payments/", "/v2/payments", "/%00", "/favicon.ico", "/..%2f..%2fetc"):
        for key in ("live", None):
            problem(await shop.get(path, key=key), 404, "unknown_path")


async def test_wrong_method_is_a_problem_that_names_the_right_ones(shop: Shop) -> None:
    for method, path, allow in (
        ("DELETE", "/v1/payments", "GET, HEAD, POST"),
        ("PUT", "/v1/payments/pay_1", "GET, HEAD"),
        ("GET", "/v1/payments/pay_1/cancel", "POST"),
        ("OPTIONS", "/v1/payments", "GET, HEAD, POST"),
        ("TRACE", "/livez", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
    ):
        reply = await shop.call(method, path)
        problem(reply, 405, "method_not_allowed")
        assert reply.headers["Allow"] == allow


async def test_head_answers_as_get_would_without_a_body(shop: Shop) -> None:
    payment_id = (await shop.pay()).body["id"]
    for path in (f"/v1/payments/{payment_id}", "/v1/payments", "/livez", "/docs"):
        get, head = await shop.get(path), await shop.call("HEAD", path)
        assert (head.status, head.raw) == (200, b"")
        assert head.headers["Content-Length"] == str(len(get.raw))
    assert (await shop.call("HEAD", "/v1/payments", key=None)).status == 401


# --- headers ---------------------------------------------------------------------------------------------------------


async def test_every_answer_has_a_request_id_and_security_headers(shop: Shop) -> None:
    for path in ("/v1/payments", "/nowhere", "/livez", "/docs", "/openapi.json"):
        headers = (await shop.get(path)).headers
        assert re.fullmatch(r"req_[0-9a-f]{24}", headers["X-Request-Id"])
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"] == "openpay"
        assert "Strict-Transport-Security" not in headers


async def test_callers_request_id_is_kept_where_it_is_harmless(shop: Shop) -> None:
    for given, kept in (
        ("abc-1.2_3", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ('"quoted"', False),
    ):
        answered = (await shop.get("/livez", headers={"X-Request-Id": given})).headers["X-Request-Id"]
        assert (answered == given) is kept


async def test_https_installations_tell_browsers_to_stay_there(store: Store, sealer: Sealer) -> None:
    async with open_shop(store, sealer, http=HttpSettings(https=True)) as shop:
        assert (await shop.get("/livez")).headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_other_hosts_are_refused_where_hosts_are_named(store: Store, sealer: Sealer) -> None:
    async with open_shop(store, sealer, http=HttpSettings(hosts=frozenset({"Pay.example"}))) as shop:
        problem(await shop.get("/v1/payments", headers={"Host": "evil.example"}), 421, "unknown_host")
        assert (await shop.get("/v1/payments", headers={"Host": "pay.Example"})).status == 200
        # Probes come by address.
        assert (await shop.get("/livez", headers={"Host": "10.0.0.7"})).status == 200


# --- errors ----------------------------------------------------------------------------------------------------------


def test_every_error_of_the_tree_has_a_status() -> None:
    tree = [kind for kind in vars(openpay.errors).values() if isinstance(kind, type) and issubclass(kind, OpenPayError)]
    for kind in tree:
        if kind in (OpenPayError, CallerError):
            continue  # never raised themselves
        if issubclass(kind, CallerError):
            assert kind in STATUS_OF, f"{kind.__name__} needs a row in STATUS_OF"
        assert 400 <= next(STATUS_OF[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS_OF) <= 503
    assert status_of(FatalError("x")) == 500
    assert status_of(RetryableError("x")) == 503


async def failing_with(error: BaseException) -> tuple[int, dict[str, object], list[dict[str, object]]]:
    """The answer, and what was logged, when a handler raises `error`."""

    async def handler(_request: web.Request) -> web.StreamResponse:
        raise error

    app = new_application(HttpSettings())
    app.router.add_get("/", handler)
    server = TestServer(app)
    await server.start_server()
    with capture_logs() as logs:
        async with ClientSession() as session, session.get(server.make_url("/")) as answer:
            body = await answer.json(content_type="application/problem+json")
    await server.close()
    return answer.status, body, [dict(entry) for entry in logs]


async def test_unforeseen_error_is_logged_under_its_request_id_and_tells_the_caller_nothing() -> None:
    status, body, logs = await failing_with(ZeroDivisionError("the secret of the house"))

    assert (status, body["code"]) == (500, "internal_error")
    assert "secret" not in str(body)
    (entry,) = logs
    assert entry["event"] == "request_failed"
    assert entry["request_id"] == body["request_id"]
    assert isinstance(entry["exc_info"], ZeroDivisionError)


async def test_fatal_error_keeps_its_words_for_the_log() -> None:
    status, body, logs = await failing_with(FatalError("the operator key is 0x1234"))

    assert (status, body["code"]) == (500, "internal_error")
    assert "0x1234" not in str(body)
    assert len(logs) == 1


async def test_error_in_the_middle_of_a_stream_closes_it_instead_of_mixing_answers() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        raise ZeroDivisionError

    app = new_application(HttpSettings())
    app.router.add_get("/", handler)
    server = TestServer(app)
    await server.start_server()
    received = b""
    with capture_logs() as logs:
        async with ClientSession() as session, session.get(server.make_url("/")) as answer:
            assert answer.headers["X-Request-Id"].startswith("req_")
            with pytest.raises(Exception, match=r"not completed|closed|payload"):
                received = await answer.read()
    await server.close()
    assert b"problem" not in received
    assert "stream_broken" in [entry["event"] for entry in logs]


# --- rate limits -----------------------------------------------------------------------------------------------------


async def test_no_limit_and_no_limit_headers_unless_configured(shop: Shop) -> None:
    assert "RateLimit" not in (await shop.get("/v1/payments")).headers


async def test_key_over_its_quota_is_told_when_to_return(store: Store, sealer: Sealer) -> None:
    http = HttpSettings(per_key=RateLimit(requests=2, window_s=3600))
    async with open_shop(store, sealer, http=http) as shop:
        first, second, third = [await shop.get("/v1/payments") for _ in range(3)]

        assert [first.status, second.status] == [200, 200]
        assert first.headers["RateLimit-Policy"] == '"key";q=2;w=3600'
        assert re.fullmatch(r'"key";r=1;t=1800', first.headers["RateLimit"])
        assert second.headers["RateLimit"].startswith('"key";r=0;t=')
        problem(third, 429, "rate_limited")
        assert 1790 <= int(third.headers["Retry-After"]) <= 1800
        assert third.headers["RateLimit"].startswith('"key";r=0;t=')
        # Other keys have quotas of their own, and public pages are not counted by key.
        assert (await shop.get("/v1/payments", key="test")).status == 200
        _, stranger, _ = await add_merchant(store, b"\xbb" * 20)
        assert (await shop.get("/v1/payments", key=stranger)).status == 200
        assert (await shop.get("/docs")).status == 200


async def test_guessing_keys_and_public_pages_are_counted_by_address(store: Store, sealer: Sealer) -> None:
    http = HttpSettings(per_address=RateLimit(requests=3, window_s=3600))
    async with open_shop(store, sealer, http=http) as shop:
        for path, key in (("/v1/payments", None), ("/v1/payments", "wrong"), ("/docs", None)):
            assert (await shop.get(path, key=key)).status in (200, 401)

        problem(await shop.get("/v1/payments", key="another"), 429, "rate_limited")
        problem(await shop.get("/docs"), 429, "rate_limited")
        assert (await shop.get("/v1/payments")).status == 200
        assert (await shop.get("/livez")).status == 200


async def test_behind_a_trusted_proxy_each_customer_has_a_quota_of_its_own(store: Store, sealer: Sealer) -> None:
    http = HttpSettings(per_address=RateLimit(requests=1, window_s=3600), trusted_proxies=(ip_network("127.0.0.0/8"),))
    async with open_shop(store, sealer, http=http) as shop:

        async def asked_by(*forwarded: str) -> int:
            headers = CIMultiDict([("X-Forwarded-For", each) for each in forwarded])
            async with shop.session.get(shop.base_url + "/docs", headers=headers) as answer:
                return answer.status

        assert await asked_by("203.0.113.7") == 200
        assert await asked_by("203.0.113.8, 127.0.0.2") == 200
        # What a customer writes itself comes before what the proxy appends.
        assert await asked_by("198.51.100.1, 203.0.113.7") == 429
        assert await asked_by("198.51.100.1", "203.0.113.8") == 429
        assert await asked_by("nonsense, 203.0.113.7") == 429
        assert await asked_by("2001:db8:0:1::a") == 200
        assert await asked_by("2001:db8:0:1:ffff::b") == 429


@pytest.mark.parametrize(
    ("remote", "forwarded", "client"),
    [
        ("192.0.2.1", "203.0.113.7", "192.0.2.1"),
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "203.0.113.7", "2001:db8::/64"),
        # Some write the port too (Azure's gateways do): all customers would be one client.
        ("10.0.0.1", "198.51.100.1, 203.0.113.7:51234", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, 10.0.0.2:8080", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::1]:51234", "2001:db8::/64"),
        ("10.0.0.1", "[2001:db8::1]", "2001:db8::/64"),
        ("10.0.0.1", "203.0.113.7:51234:1", "10.0.0.1"),
    ],
)
def test_only_what_trusted_proxies_wrote_is_believed(remote: str, forwarded: str, client: str) -> None:
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": forwarded}).clone(remote=remote)
    assert client_address(request, (ip_network("10.0.0.0/8"),)) == client


def test_with_no_trusted_proxy_nobody_is_believed() -> None:
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": "203.0.113.7"}).clone(remote="192.0.2.1")
    assert client_address(request, ()) == "192.0.2.1"


def test_quota_refills_evenly() -> None:
    now = 1000.0
    limiter = RateLimiter("test", RateLimit(requests=3, window_s=60), monotonic=lambda: now)
    request: web.BaseRequest = {}  # type: ignore[assignment]

    def wait_s() -> int:
        try:
            limiter.take(request, "a")
        except RateLimited as refused:
            return refused.retry_after_s
        return 0

    assert [wait_s() for _ in range(4)] == [0, 0, 0, 20]
    now += 15
    assert wait_s() == 5
    now += 5
    assert [wait_s() for _ in range(2)] == [0, 20]
    now += 600
    assert [wait_s() for _ in range(4)] == [0, 0, 0, 20]


def test_clients_are_forgotten_and_a_flood_of_them_is_gone_through_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openpay.http.rates._FORGET_ABOVE", 10)
    now, gone_through = 1000.0, 0
    limiter = RateLimiter("test", RateLimit(requests=1, window_s=60), monotonic=lambda: now)
    request: web.BaseRequest = {}  # type: ignore[assignment]
    for number in range(1_000):
        before = limiter._whole_at
        limiter.take(request, f"invented-{number}")
        gone_through += limiter._whole_at is not before
    assert gone_through < 10
    assert len(limiter._whole_at) == 1_000, "none of them may ask again yet"
    now += 61
    for number in range(1_000):
        limiter.take(request, f"other-{number}")
    assert len(limiter._whole_at) < 2_000


# --- monitoring and documentation ------------------------------------------------------------------------------------


async def test_live_and_ready_without_a_key(shop: Shop) -> None:
    assert (await shop.get("/livez", key=None)).body == {"status": "live"}

    ready = await shop.get("/readyz", key=None)

    assert (ready.status, ready.body["status"], ready.body["database"]) == (200, "ready", "up")
    assert [chain["chain_id"] for chain in ready.body["chains"]] == [56, 97]
    assert ready.body["chains"][0]["block"] is None
    assert ready.body["warnings"] == [
        "bsc: only one endpoint is configured",
        "bsc: no block was read yet; is the watcher running?",
        "bsc-testnet: no block was read yet; is the watcher running?",
    ]


async def test_ready_tells_how_far_each_chain_was_read(shop: Shop) -> None:
    await read_to(shop, number=90, seen_head=100)

    chain = (await shop.get("/readyz")).body["chains"][0]

    assert (chain["block"], chain["head"], chain["lag_blocks"]) == (90, 100, 10)
    assert chain["read_at"] == "2026-03-26T13:00:00Z"
    shop.clock.seconds += 61
    assert "bsc: no block was read for 61 s" in (await shop.get("/readyz")).body["warnings"]


async def test_ready_tells_of_a_clock_that_is_behind_the_chain(shop: Shop) -> None:
    await read_to(shop, number=90, seen_head=90)
    shop.clock.seconds -= 3_600

    warnings = (await shop.get("/readyz")).body["warnings"]

    assert "this server's clock is 3600 s behind the blocks of bsc: set it right" in warnings


async def test_ready_and_metrics_tell_the_age_of_prices_and_which_tokens_are_not_offered(shop: Shop) -> None:
    chain = (await shop.get("/readyz")).body["chains"][0]
    assert chain["price_age_s"] == {"BNB": 10}
    assert b'openpay_price_age_seconds{chain_id="56",token="BNB"} 10.0' in (await shop.get("/metrics")).raw

    shop.quotes.bnb, shop.quotes.off_peg = None, frozenset({"USDC"})
    body = (await shop.get("/readyz")).body
    assert body["chains"][0]["price_age_s"] == {"BNB": None}
    assert "bsc: BNB is not offered, because its feed gives no fresh price" in body["warnings"]
    assert "bsc: USDC is not offered, because it is off its peg" in body["warnings"]
    assert b'openpay_price_age_seconds{chain_id="56",token="BNB"} NaN' in (await shop.get("/metrics")).raw


async def read_to(shop: Shop, *, number: int, seen_head: int) -> None:
    from openpay.app.records import Cursor

    now = shop.clock.now()
    cursor = Cursor(
        chain_id=56, number=number, hash=b"\x01" * 32, time=now, tip_time=now, final_number=None, final_time=None,
        seen_head=seen_head, read_at=now,
    )  # fmt: skip
    async with shop.store.write() as uow:
        await uow.chain.move_cursor(None, cursor)


async def test_not_ready_without_its_database(shop: Shop) -> None:
    async with serving(replace(shop.deps, db=Away(), registry=CollectorRegistry())) as base_url:
        down = replace(shop, base_url=base_url)
        reply = await down.get("/readyz")

        assert (reply.status, reply.body["status"], reply.body["database"]) == (503, "unavailable", "down")
        assert (await down.get("/livez")).status == 200
        refused = await down.get("/v1/payments")
        problem(refused, 503, "database_busy")
        assert b"secret" not in refused.raw


@asynccontextmanager
async def serving(deps: ApiDeps) -> AsyncIterator[str]:
    server = TestServer(build_app(deps))
    await server.start_server()
    yield str(server.make_url("")).rstrip("/")
    await server.close()


async def test_metrics_count_requests_by_route_and_tell_the_chains_lag(shop: Shop) -> None:
    await read_to(shop, number=90, seen_head=100)
    await shop.pay()
    await shop.get("/v1/payments/pay_1")
    await shop.get("/wp-login.php")

    reply = await shop.get("/metrics", key=None)

    text = reply.raw.decode()
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert 'openpay_http_requests_total{method="POST",route="/v1/payments",status="201"} 1.0' in text
    assert 'openpay_http_requests_total{method="GET",route="/v1/payments/{id}",status="404"} 1.0' in text
    assert 'openpay_http_requests_total{method="any",route="unknown",status="404"} 1.0' in text
    assert 'openpay_chain_lag_blocks{chain_id="56"} 10.0' in text
    assert "wp-login" not in text


async def test_docs_page_loads_nothing_from_anywhere(shop: Shop) -> None:
    reply = await shop.get("/docs", key=None)

    page = reply.raw.decode()
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "/v1/payments/{id}/cancel" in page
    assert 'id="invalid_amount"' in page
    assert re.findall(r"<(?:script|link|img|iframe)\b|\bsrc=|url\(|@import", page) == []
    assert re.findall(r'href="(?!#|/openapi\.json)', page) == []


def test_registry_is_the_applications_own() -> None:
    """Two applications in one process do not collide."""
    RequestMetrics(CollectorRegistry())
    RequestMetrics(CollectorRegistry())
