"""What a request may get wrong: each has one clear answer, and none changes anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_asyncio

from openpay.http.bodies import MAX_DEPTH
from tests.api.shop import Shop, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def shop(module_shop: Shop) -> Shop:
    """Shared by all: nothing here may create anything."""
    return module_shop


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _nothing_is_created(shop: Shop) -> Any:
    yield
    assert (await shop.get("/v1/payments")).body == {"data": [], "has_more": False}


# --- fields ----------------------------------------------------------------------------------------------------------

AMOUNTS = {
    "zero": "0",
    "zero with decimals": "0.00",
    "below the least": "0.009999",
    "negative": "-25.00",
    "7 decimals": "25.0000001",
    "19 decimals": "25.0000000000000000001",
    "exponent": "1e3",
    "not a number": "NaN",
    "infinity": "Infinity",
    "comma": "25,00",
    "thousands": "1,000.00",
    "plus": "+25",
    "spaces": " 25 ",
    "empty": "",
    "hexadecimal": "0x19",
    "leading zero": "025",
    "no whole part": ".5",
    "no fraction": "25.",
    "other digits": "٢٥",
    "10^30": "1" + "0" * 30,
    "just above the most": "1000000.000001",
    "very long": "9" * 100_000,
    "underscore": "1_000",
    "line break": "25\n",
}


@pytest.mark.parametrize("amount", AMOUNTS.values(), ids=AMOUNTS)
async def test_amount_that_is_no_plain_decimal_in_range_is_refused(shop: Shop, amount: str) -> None:
    detail = problem(await shop.pay(amount=amount), 422, "invalid_amount", param="amount")

    assert len(detail) < 300


@pytest.mark.parametrize("amount", [25, 25.0, None, True, ["25"], {"value": "25"}])
async def test_amount_must_be_a_json_string(shop: Shop, amount: object) -> None:
    detail = problem(await shop.pay(amount=amount), 422, "invalid_amount", param="amount")

    assert "must be a JSON string" in detail


@pytest.mark.parametrize("currency", ["EUR", "usd", "", "USDT", "$", "U" * 1000])
async def test_unknown_currency_is_refused(shop: Shop, currency: str) -> None:
    problem(await shop.pay(currency=currency), 422, "invalid_currency", param="currency")


@pytest.mark.parametrize(
    ("tokens", "param"),
    [
        (["DOGE"], "accepted_tokens"),
        (["usdt"], "accepted_tokens"),
        ([""], "accepted_tokens"),
        ([], "accepted_tokens"),
        (["USDT", "USDT"], "accepted_tokens"),
        ("USDT", "accepted_tokens"),
        ([1], "accepted_tokens.0"),
        ([None], "accepted_tokens.0"),
        (["USDT"] * 5000, "accepted_tokens"),
    ],
)
async def test_accepted_tokens_must_be_known_and_named_once(shop: Shop, tokens: object, param: str) -> None:
    problem(await shop.pay(accepted_tokens=tokens), 422, "invalid_token", param=param)


async def test_unknown_fields_are_all_named(shop: Shop) -> None:
    detail = problem(await shop.pay(colour="red", webhook="x"), 422, "unknown_field", param="colour")

    assert "colour" in detail
    assert "webhook" in detail


@pytest.mark.parametrize("field", ["amount", "currency"])
async def test_missing_field_is_named(shop: Shop, field: str) -> None:
    problem(await shop.pay(**{field: ...}), 422, "missing_field", param=field)


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ({f"k{i}": "v" for i in range(51)}, "metadata"),
        ({"n" * 41: "v"}, "metadata"),
        ({"": "v"}, "metadata"),
        ({"k": "v" * 501}, "metadata.k"),
        ({"k": {"nested": "v"}}, "metadata.k"),
        ({"k": ["v"]}, "metadata.k"),
        ({"k": 1}, "metadata.k"),
        ({"k": None}, "metadata.k"),
        (["k", "v"], "metadata"),
        ("k=v", "metadata"),
    ],
)
async def test_metadata_is_flat_text_within_its_limits(shop: Shop, metadata: object, param: str) -> None:
    problem(await shop.pay(metadata=metadata), 422, "invalid_metadata", param=param)


@pytest.mark.parametrize("description", ["x" * 501, 7, ["x"], "bell \u0007", "escape \u001b[31m"])
async def test_description_is_bounded_text_that_can_be_shown(shop: Shop, description: object) -> None:
    problem(await shop.pay(description=description), 422, "invalid_description", param="description")


@pytest.mark.parametrize("expires_in", [0, -1, 299, 1801, 86_401, 10**17, 600.0, 600.5, "600", True])
async def test_expires_in_is_whole_seconds_within_its_range(shop: Shop, expires_in: object) -> None:
    """1,800 s at most here, because BNB is accepted."""
    problem(await shop.pay(expires_in=expires_in), 422, "invalid_expires_in", param="expires_in")


@pytest.mark.parametrize("field", ["success_url", "cancel_url"])
@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,hi",
        "//shop.example/thanks",
        "/thanks",
        "shop.example",
        "",
        "https://",
        "https://user:password@shop.example/",
        "https://user@shop.example/",
        "https://shop.example\\@evil.example/",
        "https://shop.example/\r\nSet-Cookie: a=b",
        "https://shop.example:port/",
        "https://[::1/",
        "ftp://shop.example/",
        "https://shop.example/" + "x" * 2048,
        5,
        ["https://shop.example"],
    ],
)
async def test_unsafe_links_are_refused(shop: Shop, field: str, url: object) -> None:
    problem(await shop.pay(**{field: url}), 422, "invalid_url", param=field)


@pytest.mark.parametrize(
    ("line_items", "param", "code"),
    [
        ([{"name": "Tea"}], "line_items.0.amount", "missing_field"),
        ([{"name": "Tea", "amount": "1", "sku": "7"}], "line_items.0.sku", "unknown_field"),
        ([{"name": "", "amount": "1"}], "line_items.0.name", "invalid_line_items"),
        ([{"name": "Tea", "amount": "1", "quantity": 0}], "line_items.0.quantity", "invalid_line_items"),
        ([{"name": "Tea", "amount": "1", "quantity": "2"}], "line_items.0.quantity", "invalid_line_items"),
        ([{"name": "Tea", "amount": "1,5"}], "line_items.0.amount", "invalid_amount"),
        (["Tea"], "line_items.0", "invalid_line_items"),
        ([{"name": "Tea", "amount": "1"}] * 51, "line_items", "invalid_line_items"),
        ({}, "line_items", "invalid_line_items"),
    ],
)
async def test_line_items_are_checked_one_by_one(shop: Shop, line_items: object, param: str, code: str) -> None:
    problem(await shop.pay(line_items=line_items), 422, code, param=param)


@pytest.mark.parametrize("allow_retry", ["true", 1, "yes"])
async def test_allow_retry_is_true_or_false(shop: Shop, allow_retry: object) -> None:
    problem(await shop.pay(allow_retry=allow_retry), 422, "invalid_allow_retry", param="allow_retry")


# --- JSON itself -----------------------------------------------------------------------------------------------------

BROKEN = {
    "empty": b"",
    "white space": b"  \n",
    "cut off": b'{"amount": "25.00"',
    "trailing comma": b'{"amount": "25.00",}',
    "single quotes": b"{'amount': '25.00'}",
    "comment": b'{"amount": "25.00"} // please',
    "two documents": b"{}{}",
    "NaN": b'{"amount": NaN}',
    "Infinity": b'{"amount": -Infinity}',
    "a number beyond a double": b'{"amount": 1e999}',
    "an integer of a thousand digits": b'{"amount": ' + b"9" * 1000 + b"}",
    "an integer of 19 digits": b'{"expires_in": 1000000000000000000}',
    "a field twice": b'{"amount": "25.00", "amount": "1.00", "currency": "USD"}',
    "not UTF-8": b'{"amount": "\xff"}',
    "UTF-16": '{"amount": "25.00"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "half a surrogate pair": rb'{"description": "\ud83c", "amount": "25.00", "currency": "USD"}',
    "half a surrogate pair in a name": rb'{"metadata": {"\udf75": "x"}, "amount": "25.00", "currency": "USD"}',
    "raw control character": b'{"description": "\x01"}',
    "too deep": b'{"metadata": ' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    "far too deep": b"[" * 200_000,
    "array": b"[]",
    "string": b'"25.00"',
    "null": b"null",
    "number": b"25",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
async def test_body_that_is_not_one_clear_json_object_is_malformed(shop: Shop, raw: bytes) -> None:
    reply = await shop.post("/v1/payments", raw=raw)

    assert reply.status == 400
    assert reply.body["code"] == "malformed_json"
    assert len(reply.body["detail"]) < 300


async def test_field_given_twice_is_named(shop: Shop) -> None:
    reply = await shop.post("/v1/payments", raw=b'{"metadata": {"a": "1", "b": "2", "a": "3"}}')

    assert "'a'" in problem(reply, 400, "malformed_json", param="a")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"amount": "25.00", "currency": "USD", "description": "a\0b"}, "description"),
        ({"amount": "25.00", "currency": "USD", "metadata": {"k": "\0"}}, "metadata.k"),
        ({"amount": "25.00", "currency": "USD", "accepted_tokens": ["US\0DT"]}, "accepted_tokens.0"),
    ],
)
async def test_nul_character_is_refused_by_field(shop: Shop, body: object, param: str) -> None:
    problem(await shop.post("/v1/payments", body), 422, "invalid_string", param=param)


async def test_nul_character_in_a_name_is_refused(shop: Shop) -> None:
    reply = await shop.pay(metadata={"a\0b": "x"})

    assert reply.status == 422
    assert reply.body["code"] == "invalid_string"


# --- size and type ---------------------------------------------------------------------------------------------------


async def test_body_of_two_megabytes_is_too_large(shop: Shop) -> None:
    raw = json.dumps({"amount": "25.00", "currency": "USD", "description": "x" * 2_000_000}).encode()

    problem(await shop.post("/v1/payments", raw=raw), 413, "body_too_large")


async def test_body_of_two_megabytes_without_announced_length_is_too_large(shop: Shop) -> None:
    async def chunks() -> Any:
        for _ in range(200):
            yield b" " * 10_000

    async with shop.session.post(
        f"{shop.base_url}/v1/payments",
        data=chunks(),
        headers={"Authorization": f"Bearer {shop.live_key}", "Content-Type": "application/json"},
    ) as answer:
        assert answer.status == 413
        assert (await answer.json(content_type=None))["code"] == "body_too_large"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "text/json", "json", ""],
)
async def test_other_content_types_are_refused(shop: Shop, content_type: str) -> None:
    reply = await shop.post(
        "/v1/payments", {"amount": "25.00", "currency": "USD"}, headers={"Content-Type": content_type}
    )

    problem(reply, 415, "unsupported_media_type")


async def test_missing_content_type_is_refused(shop: Shop) -> None:
    async with shop.session.post(
        f"{shop.base_url}/v1/payments",
        data=b'{"amount": "25.00", "currency": "USD"}',
        headers={"Authorization": f"Bearer {shop.live_key}"},
        skip_auto_headers=("Content-Type",),
    ) as answer:
        assert answer.status == 415


async def test_compressed_body_is_refused(shop: Shop) -> None:
    """A few kilobytes may unfold into gigabytes; no request of this API needs it."""
    reply = await shop.post("/v1/payments", raw=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    problem(reply, 415, "unsupported_media_type")


# --- ids and query strings ------------------------------------------------------------------------------------------


IMPOSSIBLE_IDS = (
    *("pay_" + "0" * 24, "pay_short", "1", "pay_" + "x" * 500, "pay_" + "é" * 24),
    *("%00", "%ff", "..%2f..", "'--", "pay_%0a"),
)


@pytest.mark.parametrize("payment_id", IMPOSSIBLE_IDS)
async def test_impossible_and_unknown_ids_are_not_found(shop: Shop, payment_id: str) -> None:
    assert (await shop.get(f"/v1/payments/{payment_id}")).status == 404
    assert (await shop.post(f"/v1/payments/{payment_id}/cancel")).status == 404


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("limit=0", "invalid_limit", "limit"),
        ("limit=101", "invalid_limit", "limit"),
        ("limit=ten", "invalid_limit", "limit"),
        ("limit=1e1", "invalid_limit", "limit"),
        ("limit=", "invalid_limit", "limit"),
        ("limit=1&limit=2", "invalid_limit", "limit"),
        ("limit=99999999999999999999", "invalid_limit", "limit"),
        ("status=done", "invalid_status", "status.0"),
        ("status=paid,", "invalid_status", "status.1"),
        ("starting_after=%00", "invalid_string", "starting_after"),
        ("starting_after=a%20b", "invalid_starting_after", "starting_after"),
        ("starting_after=pay_000000000000000000000000", "invalid_starting_after", "starting_after"),
        ("metadata=1", "unknown_parameter", "metadata"),
        ("metadata[a]=1&metadata[a]=2", "invalid_metadata", "metadata[a]"),
        ("metadata[a]=%00", "invalid_string", "metadata[a]"),
        ("limit[a]=1", "unknown_parameter", "limit[a]"),
        ("page=2", "unknown_parameter", "page"),
    ],
)
async def test_bad_query_is_refused_and_named(shop: Shop, query: str, code: str, param: str) -> None:
    problem(await shop.get(f"/v1/payments?{query}"), 422, code, param=param)
