"""What may be asked for, and how each mistake is named."""

from __future__ import annotations

from typing import Any

import pytest

from openpay.app.order import CreatePayment, Order, RequestedLine, parse_order
from openpay.domain.payment import LineItem
from openpay.errors import Invalid
from tests.app.worlds import CHAIN


def order(**fields: Any) -> Order:
    return parse_order(CreatePayment(**{"amount": "25"} | fields), CHAIN)


def test_least_request_is_an_amount() -> None:
    assert order() == Order(
        amount_usd=25_000_000,
        tokens=CHAIN.tokens,
        expires_in=1_800,
        description=None,
        metadata={},
        line_items=(),
        success_url=None,
        cancel_url=None,
        allow_retry=False,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "<script>alert(1)</script> & \"quotes\" 'n' more"},
        {"description": "🚪☕ naïve\tcafé\nsecond line"},
        {"description": "קפה \u202eright to left"},
        {"description": "x" * 500},
        {"metadata": {f"k{n}": "v" for n in range(50)}},
        {"metadata": {"n" * 40: "v" * 500}},
        {"metadata": {'a "quoted".dotted name': ""}},
        {"expires_in": 300},
        {"expires_in": 1_800},
        {"expires_in": 86_400, "accepted_tokens": ("USDT", "USDC")},
        {"success_url": "https://shop.example/thanks?order=1042#top"},
        {"cancel_url": "http://localhost:3000/"},
    ],
)
def test_unusual_but_meaningful_requests_are_accepted_as_they_are(fields: dict[str, Any]) -> None:
    accepted = order(**fields)
    for name in set(fields) & {"description", "metadata", "expires_in", "success_url", "cancel_url"}:
        assert getattr(accepted, name) == fields[name]


def test_line_items_are_priced_exactly() -> None:
    lines = (RequestedLine(name="Flat white", amount="4.50", quantity=2),)
    assert order(line_items=lines).line_items == (LineItem(name="Flat white", quantity=2, amount_usd=4_500_000),)


MISTAKES: list[tuple[str, str, dict[str, Any]]] = [
    ("invalid_amount", "amount", {"amount": "0"}),
    ("invalid_amount", "amount", {"amount": "-1"}),
    ("invalid_currency", "currency", {"currency": "EUR"}),
    ("invalid_currency", "currency", {"currency": "usd"}),
    ("invalid_token", "accepted_tokens", {"accepted_tokens": ()}),
    ("invalid_token", "accepted_tokens", {"accepted_tokens": ("DOGE",)}),
    ("invalid_token", "accepted_tokens", {"accepted_tokens": ("usdt",)}),
    ("invalid_token", "accepted_tokens", {"accepted_tokens": ("USDT", "USDC", "USDT")}),
    ("invalid_expires_in", "expires_in", {"expires_in": 299}),
    ("invalid_expires_in", "expires_in", {"expires_in": 0}),
    ("invalid_expires_in", "expires_in", {"expires_in": -5}),
    ("invalid_expires_in", "expires_in", {"expires_in": 1_801}),
    ("invalid_expires_in", "expires_in", {"expires_in": 86_401, "accepted_tokens": ("USDT",)}),
    ("invalid_description", "description", {"description": "x" * 501}),
    ("invalid_description", "description", {"description": "bell \a"}),
    ("invalid_description", "description", {"description": "NUL \0"}),
    ("invalid_description", "description", {"description": "half an emoji \ud83d"}),
    ("invalid_metadata", "metadata", {"metadata": {f"k{n}": "v" for n in range(51)}}),
    ("invalid_metadata", "metadata", {"metadata": {"": "v"}}),
    ("invalid_metadata", "metadata", {"metadata": {"n" * 41: "v"}}),
    ("invalid_metadata", "metadata.k", {"metadata": {"k": "v" * 501}}),
    ("invalid_metadata", "metadata.k", {"metadata": {"k": "\0"}}),
    ("invalid_url", "success_url", {"success_url": "javascript:alert(1)"}),
    ("invalid_url", "success_url", {"success_url": "java\nscript:alert(1)"}),
    ("invalid_url", "success_url", {"success_url": "data:text/html,hello"}),
    ("invalid_url", "success_url", {"success_url": "//shop.example/"}),
    ("invalid_url", "success_url", {"success_url": "/thanks"}),
    ("invalid_url", "success_url", {"success_url": "https://"}),
    ("invalid_url", "success_url", {"success_url": "https://user:secret@shop.example/"}),
    ("invalid_url", "success_url", {"success_url": "https://user@shop.example/"}),
    ("invalid_url", "success_url", {"success_url": "https://shop.example\\@evil.example/"}),
    ("invalid_url", "success_url", {"success_url": "https://shop.example:port/"}),
    ("invalid_url", "success_url", {"success_url": "https://[::1/"}),
    ("invalid_url", "success_url", {"success_url": "https://shop.example/a b"}),
    ("invalid_url", "cancel_url", {"cancel_url": "https://shop.example/" + "x" * 2_048}),
    ("invalid_line_items", "line_items", {"line_items": (RequestedLine(name="x", amount="1"),) * 51}),
    ("invalid_line_items", "line_items.0.name", {"line_items": (RequestedLine(name=" ", amount="1"),)}),
    ("invalid_line_items", "line_items.0.name", {"line_items": (RequestedLine(name="x" * 201, amount="1"),)}),
    ("invalid_line_items", "line_items.0.quantity", {"line_items": (RequestedLine(name="x", amount="1", quantity=0),)}),
    ("invalid_amount", "line_items.0.amount", {"line_items": (RequestedLine(name="x", amount="free"),)}),
]


@pytest.mark.parametrize(
    ("code", "param", "fields"), MISTAKES, ids=lambda value: None if isinstance(value, dict) else value
)
def test_each_mistake_is_named_with_its_field(code: str, param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        order(**fields)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert len(refused.value.detail) < 300
