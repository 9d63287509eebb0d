"""The OpenAPI document is valid, complete, and what the server really does."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from openpay.api import openapi
from openpay.api.codes import CODES
from openpay.api.routes import ROUTES
from openpay.app.sealing import Sealer
from openpay.http.problems import STATUS_OF
from openpay.store import Store
from tests.api.shop import Shop, open_shop

ROOT = Path(__file__).parents[2]


def test_document_is_valid_openapi_3_1() -> None:
    document = openapi.document(public_url="https://pay.example", version="1")

    validate(document)
    assert document["openapi"] == "3.1.0"


async def test_document_names_every_path_that_is_served(shop: Shop) -> None:
    document = (await shop.get("/openapi.json", key=None)).body

    served = {
        (route.resource.canonical, route.method.lower())
        for route in shop.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    # The document and the page made of it do not describe themselves.
    assert served - described == {("/", "get"), ("/openapi.json", "get"), ("/docs", "get")}
    assert described <= served


def test_every_post_takes_an_idempotency_key() -> None:
    paths = openapi.document(public_url="https://pay.example", version="1")["paths"]

    for route in ROUTES:
        names = [parameter["name"] for parameter in paths[route.path][route.method.lower()]["parameters"]]
        assert ("Idempotency-Key" in names) is (route.method == "POST")


def test_every_code_that_the_source_raises_is_documented() -> None:
    """Codes of the command line alone, and of the checkout page's forms, are not the API's."""
    raised = {
        code
        for package in ("api", "app", "domain", "http", "store")
        for path in (ROOT / "openpay" / package).rglob("*.py")
        for code in re.findall(r'code="([a-z_]+)"', path.read_text())
    }
    accounts = {"invalid_name", "invalid_bps", "invalid_refund_window", "invalid_time"}
    accounts |= {"invalid_accent", "invalid_logo", "invalid_origin"}
    page = {"malformed_form"}
    mending = {"invalid_block", "invalid_range", "nothing_read", "not_final", "rescan_not_found", "rescan_over"}
    undocumented = raised - set(CODES) - accounts - mending - page
    assert undocumented == set()
    assert {row.status for row in CODES.values()} >= set(STATUS_OF.values()) - {503}


# --- the server against the document ---------------------------------------------------------------------------------


class Running:
    """A server in a thread of its own, for a test tool that is not asynchronous."""

    def __init__(self, url: str, sealer: Sealer) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._store = Store.open(url)
        self._context = open_shop(self._store, sealer)
        self.shop: Shop = self._run(self._context.__aenter__())

    def close(self) -> None:
        self._run(self._context.__aexit__(None, None, None))
        self._run(self._store.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, *args: Any, **options: Any) -> Any:
        return self._run(self.shop.call(*args, **options))

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)


@pytest.fixture(scope="module")
def running(module_database_url: str, sealer: Sealer) -> Iterator[Running]:
    server = Running(module_database_url, sealer)
    yield server
    server.close()


@pytest.fixture(scope="module")
def api_schema(running: Running) -> Any:
    """With something to find under each list."""
    running.call("POST", "/v1/payments", body={"amount": "25", "currency": "USD"})
    running.call("POST", "/v1/webhooks/configure", body={"url": "https://shop.example/hooks"})
    running.call("POST", "/v1/webhooks/test")
    assert running.shop.treasuries.units is not None
    running.shop.treasuries.units["USDT"] = 5
    running.call("POST", "/v1/withdrawals", body={"token": "USDT"})
    return schemathesis.openapi.from_dict(running.call("GET", "/openapi.json", key=None).body)


OPERATIONS = {
    operation["operationId"]: operation
    for methods in openapi.document(public_url="https://pay.example", version="1")["paths"].values()
    for operation in methods.values()
}
GIVEN = [
    pytest.param(name, mode, id=f"{name} with {mode.value} data")
    for name, operation in OPERATIONS.items()
    for mode in GenerationMode
    # Nothing can be wrong where nothing is sent.
    if mode is GenerationMode.POSITIVE or operation["parameters"] or "requestBody" in operation
]


@pytest.mark.parametrize(("name", "mode"), GIVEN)
def test_server_agrees_with_its_document(running: Running, api_schema: Any, name: str, mode: GenerationMode) -> None:
    """Whatever is sent, in the documented form or not, the answer is one that the document describes."""
    operation = api_schema.find_operation_by_id(name)

    @settings(max_examples=10, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def agrees(case: Any) -> None:
        case.call_and_validate(
            base_url=running.shop.base_url,
            headers={"Authorization": f"Bearer {running.shop.live_key}"},
            checks=[
                checks.not_a_server_error,
                checks.negative_data_rejection,
                status_code_conformance,
                content_type_conformance,
                response_headers_conformance,
                response_schema_conformance,
            ],
        )

    agrees()


def test_examples_in_the_document_are_accepted(running: Running, api_schema: Any) -> None:
    document = json.loads(running.call("GET", "/openapi.json", key=None).raw)
    amount = document["components"]["schemas"]["CreatePaymentBody"]["properties"]["amount"]["examples"][0]

    assert running.call("POST", "/v1/payments", body={"amount": amount, "currency": "USD"}).status == 201
