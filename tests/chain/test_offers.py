"""What an endpoint says it does not offer is remembered, and what it merely could not do is not."""

from __future__ import annotations

import pytest

from openpay.chain.errors import JsonRpcError
from openpay.chain.offers import ASK_AGAIN_S, Offers
from tests.chain.copies import ManualClock

METHOD = "eth_getBlockReceipts"


def refusal(code: int, message: str) -> JsonRpcError:
    return JsonRpcError("node:8545", method=METHOD, code=code, message=message)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32601, "Method not found"),
        (-32601, ""),
        (-32000, "the method eth_getBlockReceipts does not exist/is not available"),
        (-32004, "Method not supported"),
        (-32600, "Unsupported method: eth_getBlockReceipts"),
        (-32001, "method is not whitelisted"),
        (-32000, "This method is unavailable on your plan"),
        (403, "method eth_getBlockReceipts isn't allowed"),
    ],
)
def test_method_that_is_not_offered_is_not_asked_for_again_until_later(code: int, message: str) -> None:
    clock = ManualClock()
    offers = Offers(clock)
    offers.check(METHOD)
    offers.learn(refusal(code, message))
    with pytest.raises(JsonRpcError) as caught:
        offers.check(METHOD)
    assert (caught.value.endpoint, caught.value.code, caught.value.message) == ("node:8545", code, message)
    offers.check("eth_getLogs")
    clock.now += ASK_AGAIN_S
    offers.check(METHOD)


@pytest.mark.parametrize(
    "message",
    [
        "header not found",
        "block not found",
        "unfinalized data is not accessible",
        "missing trie node",
        "internal error",
    ],
)
def test_answer_that_a_node_could_not_give_is_asked_for_again(message: str) -> None:
    offers = Offers(ManualClock())
    offers.learn(refusal(-32000, message))
    offers.check(METHOD)
