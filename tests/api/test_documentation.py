"""`docs/api.md` says what the API does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from openpay.api.codes import CODES
from openpay.api.routes import ROUTES
from openpay.app.idempotency import KEEP_S
from openpay.domain.payment import Status
from openpay.http.application import MAX_BODY_BYTES
from openpay.http.bodies import MAX_DEPTH
from tests.api.shop import Shop

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def test_page_lists_every_operation_with_its_summary() -> None:
    listed = re.findall(r"^\| `(\w+) (/v1\S+)` \| (.+) \|$", PAGE, re.MULTILINE)

    assert listed == [(route.method, route.path, route.summary) for route in ROUTES]


def test_page_lists_every_error_code() -> None:
    listed = re.findall(r"^\| (\d{3}) \| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)

    assert listed == [(str(row.status), code, row.meaning) for code, row in CODES.items()]


def test_page_names_the_limits_in_force() -> None:
    assert f"{MAX_BODY_BYTES // 1024} KiB" in PAGE
    assert f"more than {MAX_DEPTH} deep" in PAGE
    assert f"For {KEEP_S // 3600} hours" in PAGE
    assert all(f"`{status.value}`" in PAGE for status in Status)


async def test_request_and_error_on_the_page_are_real(shop: Shop) -> None:
    order = json.loads(re.search(r"-d '(\{\"amount\".*?\})'", PAGE, re.DOTALL)[1])  # type: ignore[index]
    shown = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])  # type: ignore[index]

    assert (await shop.post("/v1/payments", order)).status == 201
    got = (await shop.pay(amount="25,00")).body
    assert {**got, "request_id": None} == {**shown, "request_id": None}
