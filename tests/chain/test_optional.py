"""What a gateway in front of a node rejects is told apart: one method, or everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web

from openpay.chain.errors import JsonRpcError, Rejected
from openpay.chain.optional import optional
from openpay.chain.reads import RECEIPTS, receipts
from openpay.chain.rpc import Endpoint
from tests.chain.fake_node import FakeNode, serve


def rejecting(is_rejected: Callable[[str], bool], node: FakeNode) -> Callable[[Any], web.Response]:
    def respond(question: Any) -> web.Response:
        if is_rejected(question["method"]):
            return web.Response(text="<html>Forbidden</html>", status=403)
        return web.json_response(node.answer(question))

    return respond


async def ask_for_receipts(endpoint: Endpoint) -> None:
    async with optional(endpoint, RECEIPTS):
        await endpoint.call(receipts(bytes(32)))


async def test_method_that_alone_is_rejected_is_not_offered_and_not_asked_for_again() -> None:
    node = FakeNode()
    node.respond = rejecting(lambda method: method == RECEIPTS, node)
    async with ClientSession() as session, serve(node) as (url,):
        endpoint = Endpoint(url, session)
        for _ in range(2):
            with pytest.raises(JsonRpcError) as caught:
                await ask_for_receipts(endpoint)
            assert (caught.value.method, caught.value.is_not_offered) == (RECEIPTS, True)
            assert "403" in str(caught.value)
        assert node.asked == [RECEIPTS, "eth_chainId"]


async def test_endpoint_that_rejects_everything_is_at_fault_and_asked_again() -> None:
    node = FakeNode()
    node.respond = rejecting(lambda method: True, node)
    async with ClientSession() as session, serve(node) as (url,):
        endpoint = Endpoint(url, session)
        for _ in range(2):
            with pytest.raises(Rejected):
                await ask_for_receipts(endpoint)
        assert node.asked.count(RECEIPTS) == 2
