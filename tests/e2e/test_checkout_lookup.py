"""`I already paid` at the real program: it asks the chain that it was started with."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request

from openpay.client import Payment
from tests.e2e.installation import PATIENCE_S, UNIT
from tests.e2e.market import Market


def ask(payment: Payment, pasted: str) -> str:
    """What kind of answer the page's script is given."""
    request = urllib.request.Request(
        payment["checkout_url"] + "/lookup",
        urllib.parse.urlencode({"transaction": pasted}).encode(),
        {"Accept": "application/json", "Sec-Fetch-Site": "same-origin"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        (kind,) = re.findall(r'data-found="(\w+)"', json.load(answer)["html"])
    return str(kind)


def test_a_transaction_is_found_before_its_block_and_counted_after(market: Market) -> None:
    payment = market.order("USDT")
    assert ask(payment, "0x" + "ab" * 32) == "unknown"
    with market.blocks.held():
        sent = market.customer.transfer(market.contract("USDT"), payment["deposit"]["address"], 10 * UNIT)
        assert ask(payment, sent) == "too_little"
        market.chain.mine()
    deadline = time.monotonic() + PATIENCE_S
    while market.dev.now(payment)["deposit"]["amounts"][0]["received_units"] == "0" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ask(payment, sent) == "counted"
