"""What is no transaction's hash is told so, and not looked for in vain: the words, not only their kind."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from openpay.domain.finding import Finding
from openpay.domain.pasted import Form
from tests.checkout_web.scenes import Shop

Connect = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]


@pytest.mark.parametrize(
    "pasted", ["I paid you yesterday!", "deadbeef", "<script>alert(1)</script>", "https://shop.example/order/7", "…"]
)
async def test_junk_is_said_to_be_no_hash_and_nobody_is_told_to_wait_for_it(
    shop: Shop, aiohttp_client: Connect, pasted: str
) -> None:
    client = await aiohttp_client(shop.application())
    payment = await shop.create()
    answer = await client.post(
        f"/checkout/{payment.id}/lookup",
        data={"transaction": pasted},
        headers={"Accept": "application/json", "Sec-Fetch-Site": "same-origin"},
    )
    said = re.sub(r"<[^>]*>|\s+", " ", (await answer.json())["html"])
    assert "This is not the hash of a transaction." in said
    assert "0x followed by 64 digits" in said
    assert "wait a minute" not in said


def test_what_was_pasted_and_what_was_found_never_share_a_name() -> None:
    """One text chooses the words for both."""
    kinds: list[Any] = [*Form, *Finding]
    assert len({str(kind) for kind in kinds}) == len(kinds)
