"""Every way in which a node can fail to answer is told apart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from openpay.chain import reads
from openpay.chain.errors import BadAnswer, EndpointFault, JsonRpcError, Missing, Throttled, TimedOut, Unreachable
from openpay.chain.rpc import Call, Endpoint, decode
from openpay.chain.transport import request_of
from tests.chain.fake_node import FakeNode, serve
from tests.chain.pools import NUMBER
from tests.support.process import free_port

GAS_PRICE = Call(str, "eth_gasPrice")


@asynccontextmanager
async def endpoint_of(node: FakeNode, **options: Any) -> AsyncIterator[Endpoint]:
    async with serve(node) as (url,), aiohttp.ClientSession() as session:
        yield Endpoint(url, session, **options)


def text(body: str, status: int = 200, **headers: str) -> Any:
    return lambda question: web.Response(text=body, status=status, headers=headers)


async def test_answer_is_decoded_into_the_type_that_was_asked_for() -> None:
    async with endpoint_of(FakeNode(eth_blockNumber="0x10")) as endpoint:
        assert await endpoint.call(NUMBER) == "0x10"


async def test_batch_is_one_request_answered_in_order() -> None:
    node = FakeNode(eth_blockNumber="0x10", eth_gasPrice="0x5")
    async with endpoint_of(node) as endpoint:
        assert await endpoint.batch([NUMBER, GAS_PRICE, NUMBER]) == ["0x10", "0x5", "0x10"]
        assert node.requests == 1


async def test_empty_batch_asks_nothing() -> None:
    node = FakeNode()
    async with endpoint_of(node) as endpoint:
        assert await endpoint.batch([]) == []
        assert node.requests == 0


async def test_batch_answered_in_another_order_is_put_in_order() -> None:
    node = FakeNode(eth_blockNumber="0x10", eth_gasPrice="0x5")
    node.respond = lambda question: web.json_response([node.answer(each) for each in reversed(question)])
    async with endpoint_of(node) as endpoint:
        assert await endpoint.batch([NUMBER, GAS_PRICE]) == ["0x10", "0x5"]


async def test_batch_with_an_answer_left_out_is_a_bad_answer() -> None:
    node = FakeNode(eth_blockNumber="0x10", eth_gasPrice="0x5")
    node.respond = lambda question: web.json_response([node.answer(question[0])])
    async with endpoint_of(node) as endpoint:
        with pytest.raises(BadAnswer, match="eth_gasPrice was left out"):
            await endpoint.batch([NUMBER, GAS_PRICE])


async def test_answer_to_another_question_is_a_bad_answer() -> None:
    node = FakeNode()
    node.respond = text('[{"jsonrpc": "2.0", "id": 999, "result": "0x1"}]')
    async with endpoint_of(node) as endpoint:
        with pytest.raises(BadAnswer):
            await endpoint.batch([NUMBER])


async def test_error_about_a_whole_batch_is_raised() -> None:
    node = FakeNode()
    node.respond = text('{"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "batch too large"}}')
    async with endpoint_of(node) as endpoint:
        with pytest.raises(JsonRpcError, match="batch too large"):
            await endpoint.batch([NUMBER, GAS_PRICE])


async def test_null_answer_is_missing() -> None:
    async with endpoint_of(FakeNode(eth_blockNumber=None)) as endpoint:
        with pytest.raises(Missing):
            await endpoint.call(NUMBER)


async def test_node_error_keeps_code_message_and_revert_data() -> None:
    error = ValueError({"code": 3, "message": "execution reverted", "data": "0x08c379a0"})
    async with endpoint_of(FakeNode(eth_blockNumber=error)) as endpoint:
        with pytest.raises(JsonRpcError) as caught:
            await endpoint.call(NUMBER)
    assert (caught.value.code, caught.value.message, caught.value.data) == (
        3,
        "execution reverted",
        bytes.fromhex("08c379a0"),
    )
    assert caught.value.is_revert


@pytest.mark.parametrize("data", ["Reverted 0x1234", {"data": "0x1234"}, {"result": "0x1234"}])
async def test_revert_data_is_found_in_each_form_nodes_use(data: object) -> None:
    error = ValueError({"code": -32000, "message": "VM error", "data": data})
    async with endpoint_of(FakeNode(eth_blockNumber=error)) as endpoint:
        with pytest.raises(JsonRpcError) as caught:
            await endpoint.call(NUMBER)
    assert caught.value.data == b"\x12\x34"


async def test_error_beside_a_null_result_is_the_error() -> None:
    node = FakeNode()
    node.respond = text('{"jsonrpc": "2.0", "id": 1, "result": null, "error": {"code": -32000, "message": "no"}}')
    async with endpoint_of(node) as endpoint:
        with pytest.raises(JsonRpcError) as caught:
            await endpoint.call(NUMBER)
    assert not caught.value.is_revert


async def test_server_error_of_a_proxy_says_that_the_node_behind_it_is_away() -> None:
    node = FakeNode()
    node.respond = text("<html>Bad gateway</html>", 502)
    async with endpoint_of(node) as endpoint:
        with pytest.raises(Unreachable, match="502"):
            await endpoint.call(NUMBER)


async def test_http_429_is_throttled_with_the_wait_it_names() -> None:
    node = FakeNode()
    node.respond = text("slow down", 429, **{"Retry-After": "7"})
    async with endpoint_of(node) as endpoint:
        with pytest.raises(Throttled) as caught:
            await endpoint.call(NUMBER)
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32005, "limit"),
        (429, "slow down"),
        (-32007, "50/second request limit reached"),
        (-32000, "Too Many Requests, upgrade your plan"),
        (-32016, "over rate limit"),
    ],
)
async def test_json_rpc_limit_error_is_throttled(code: int, message: str) -> None:
    async with endpoint_of(FakeNode(eth_blockNumber=ValueError({"code": code, "message": message}))) as endpoint:
        with pytest.raises(Throttled):
            await endpoint.call(NUMBER)


async def test_contract_that_reverts_with_a_word_about_limits_throttles_nobody() -> None:
    error = ValueError({"code": 3, "message": "execution reverted: rate limit", "data": "0x1234"})
    async with endpoint_of(FakeNode(eth_blockNumber=error)) as endpoint:
        with pytest.raises(JsonRpcError) as caught:
            await endpoint.call(NUMBER)
    assert caught.value.is_revert


async def test_node_error_with_http_error_status_is_still_the_node_speaking() -> None:
    node = FakeNode()
    node.respond = text(json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no"}}), 400)
    async with endpoint_of(node) as endpoint:
        with pytest.raises(JsonRpcError):
            await endpoint.call(NUMBER)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("<html>Forbidden</html>", 403),
        ('{"message": "Forbidden"}', 403),
        ('{"error": "Forbidden"}', 403),
        ('{"message": "no route matched"}', 200),
        ("", 200),
        ("nonsense", 200),
        ('{"jsonrpc": "2.0", "id": 1, "result": {"not": "a string"}}', 200),
        ('{"jsonrpc": "2.0", "id": 1, "result": "0x1"', 200),
        ("[]", 200),
        ('"0x1"', 200),
    ],
)
async def test_answer_that_is_not_what_was_asked_for_is_a_bad_answer(body: str, status: int) -> None:
    node = FakeNode()
    node.respond = text(body, status)
    async with endpoint_of(node) as endpoint:
        with pytest.raises(BadAnswer):
            await endpoint.call(NUMBER)


@pytest.mark.usefixtures("recursion_limit_of_the_program")
@pytest.mark.parametrize("field", ["result", "error"])
async def test_answer_nested_thousands_of_levels_deep_is_a_bad_answer(field: str) -> None:
    nested = "[" * 100_000 + "]" * 100_000
    value = nested if field == "result" else f'{{"code": 1, "data": {nested}}}'
    node = FakeNode()
    node.respond = text(f'{{"jsonrpc": "2.0", "id": 1, "{field}": {value}}}')
    async with endpoint_of(node) as endpoint:
        with pytest.raises(BadAnswer):
            await endpoint.call(NUMBER)


async def test_bytes_that_are_not_utf8_are_a_bad_answer() -> None:
    node = FakeNode()
    node.respond = lambda question: web.Response(body=b'{"jsonrpc": "2.0", "id": 1, "result": "\xff\xfe"}')
    async with endpoint_of(node) as endpoint:
        with pytest.raises(BadAnswer):
            await endpoint.call(NUMBER)


async def test_answer_beyond_the_size_limit_is_a_bad_answer() -> None:
    async with endpoint_of(FakeNode(eth_blockNumber="0x" + "1" * 5000), max_answer_bytes=4096) as endpoint:
        with pytest.raises(BadAnswer, match="larger than 4096"):
            await endpoint.call(NUMBER)


async def test_redirect_is_not_followed() -> None:
    node = FakeNode(eth_blockNumber="0x1")
    node.respond = text("", 307, Location="http://127.0.0.1:9/")
    async with endpoint_of(node) as endpoint:
        with pytest.raises(BadAnswer):
            await endpoint.call(NUMBER)


async def test_node_that_hangs_is_timed_out() -> None:
    node = FakeNode(eth_blockNumber="0x1")
    node.hang = True
    async with endpoint_of(node, timeout_s=0.05) as endpoint:
        with pytest.raises(TimedOut):
            await endpoint.call(NUMBER)


async def test_closed_port_is_unreachable() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unreachable):
            await Endpoint(f"http://127.0.0.1:{free_port()}", session).call(NUMBER)


async def test_name_is_host_and_port_and_no_error_shows_the_key_in_the_url() -> None:
    async with aiohttp.ClientSession() as session:
        endpoint = Endpoint(f"http://127.0.0.1:{free_port()}/v3/secret-key", session)
        with pytest.raises(EndpointFault) as caught:
            await endpoint.call(NUMBER)
    assert "secret-key" not in str(caught.value) + endpoint.name
    assert Endpoint("https://node.example/v3/secret-key", session).name == "node.example:443"


def test_state_is_asked_for_by_hash_so_that_a_reorg_is_an_error() -> None:
    assert reads.state_at(b"\x11" * 32) == {"blockHash": "0x" + "11" * 32, "requireCanonical": True}
    assert (reads.state_at(16), reads.state_at("finalized")) == ("0x10", "finalized")


async def test_fetched_body_is_decoded_later_and_needs_no_connection_for_that() -> None:
    calls = [NUMBER, GAS_PRICE]
    async with endpoint_of(FakeNode(eth_blockNumber="0x10", eth_gasPrice="0x5")) as endpoint:
        await endpoint.call(NUMBER)
        async with endpoint.fetch(calls) as body:
            pass
    assert decode(body, calls, endpoint="elsewhere") == endpoint.decode(body, calls) == ["0x10", "0x5"]


async def test_fetched_body_that_answers_another_request_is_a_bad_answer() -> None:
    node = FakeNode(eth_blockNumber="0x10")
    async with endpoint_of(node) as endpoint:
        async with endpoint.fetch([NUMBER]) as old:
            pass
        node.respond = lambda question: web.Response(body=old)
        with pytest.raises(BadAnswer, match="answered request 0, not 1"):
            async with endpoint.fetch([NUMBER]):
                pass


@pytest.mark.parametrize(
    ("body", "request_number"),
    [
        ('{"jsonrpc":"2.0","id":1,"result":"0x1"}', 0),
        (' [ { "id" : 131073, "jsonrpc" : "2.0"}]', 2),
        ('[{"jsonrpc":"2.0","id":196612,"result":{"id":1}', 3),
        ('[{"jsonrpc":"2.0","result":{"id":7},"id":65540},{"id":1}]', 1),
        ('{"jsonrpc":"2.0","id":null,"error":{}}', None),
        ('{"jsonrpc":"2.0","method":"eth_subscription","params":{"id":1}}', None),
        ("[]", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_request_is_recognised_by_any_of_its_ids(body: str, request_number: int | None) -> None:
    assert request_of(body.encode()) == request_number
