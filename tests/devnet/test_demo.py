"""The demo's own parts, and the whole of it against a running `openpay dev`."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from nacl.signing import SigningKey

from openpay.chain.pool import connect
from openpay.chain.signing import Signer
from openpay.devnet import demo
from openpay.devnet.receiver import receive_webhooks
from openpay.devnet.shop import ShopFacts, build_shop
from tests.support.anvil import Anvil
from tests.support.process import spawn, stop, wait_until

DER_HEAD = bytes.fromhex("302a300506032b6570032100")
KEY = SigningKey(b"\x07" * 32)
OPENPAY = str(Path(sys.executable).with_name("openpay"))
PUBLIC_KEY = base64.b64encode(DER_HEAD + KEY.verify_key.encode()).decode()


async def deliver(url: str, key: SigningKey, body: bytes) -> int:
    timestamp = str(int(time.time()))
    signature = base64.b64encode(key.sign(timestamp.encode() + b"." + body).signature).decode()
    headers = {"X-OpenPay-Timestamp": timestamp, "X-OpenPay-Signature": signature}
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status


async def test_receiver_takes_what_the_merchants_key_signed() -> None:
    body = json.dumps({"event": "payment.completed", "payment_id": "pay_1"}).encode()
    async with receive_webhooks(PUBLIC_KEY) as (url, receiver):
        expected = asyncio.create_task(receiver.expect("payment.completed", "pay_1", timeout_s=60))
        assert await deliver(url, KEY, body) == 204
        assert (await expected).event["payment_id"] == "pay_1"


async def test_receiver_refuses_another_signature_and_keeps_waiting() -> None:
    body = json.dumps({"event": "payment.completed", "payment_id": "pay_1"}).encode()
    async with receive_webhooks(PUBLIC_KEY) as (url, receiver):
        assert await deliver(url, SigningKey(b"\x08" * 32), body) == 400
        assert (receiver.received, len(receiver.refused)) == ([], 1)
        with pytest.raises(TimeoutError):
            await receiver.expect("payment.completed", "pay_1", timeout_s=0.05)


async def test_demo_without_an_open_pay_to_talk_to_fails_and_says_so() -> None:
    lines: list[str] = []
    dev = {
        "api_url": "http://127.0.0.1:9",
        "rpc_urls": ["http://127.0.0.1:9"],
        "chain_id": 31337,
        "api_key": "sk_live_x",
        "webhook_public_key": PUBLIC_KEY,
    }
    assert await demo.run(dev, echo=lines.append) is False
    assert any(line.strip().startswith("failed") for line in lines)


class Api:
    """An Open Pay that knows webhook endpoints and no more: creating a payment does what `on_payment` does."""

    def __init__(self) -> None:
        self.endpoints = {"whe_others": "https://shop.example/hook"}
        self.asked_for_payment = asyncio.Event()
        self.on_payment: Callable[[], Awaitable[web.Response]] = self._refuse
        app = web.Application()
        app.router.add_post("/v1/webhooks/configure", self._configure)
        app.router.add_get("/v1/webhooks/endpoints", self._list)
        app.router.add_delete("/v1/webhooks/endpoints/{id}", self._delete)
        app.router.add_post("/v1/payments", self._pay)
        self.server = TestServer(app)

    @property
    def dev(self) -> dict[str, Any]:
        """What dev.json would say."""
        return {
            "api_url": str(self.server.make_url("/")).rstrip("/"),
            "rpc_urls": ["http://127.0.0.1:9"],
            "chain_id": 31337,
            "api_key": "sk_live_x",
            "webhook_public_key": PUBLIC_KEY,
        }

    async def _configure(self, request: web.Request) -> web.Response:
        self.endpoints["whe_demo"] = (await request.json())["url"]
        return web.json_response({"id": "whe_demo"})

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": id_, "url": url} for id_, url in self.endpoints.items()]})

    async def _delete(self, request: web.Request) -> web.Response:
        del self.endpoints[request.match_info["id"]]
        return web.json_response({"id": request.match_info["id"], "deleted": True})

    async def _pay(self, _request: web.Request) -> web.Response:
        assert "whe_demo" in self.endpoints
        self.asked_for_payment.set()
        return await self.on_payment()

    async def _refuse(self) -> web.Response:
        return web.json_response({"code": "invalid_token", "detail": "none is known here"}, status=422)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    started = Api()
    await started.server.start_server()
    yield started
    await started.server.close()


async def test_demo_that_fails_deletes_its_webhook_endpoint_and_no_other(api: Api) -> None:
    assert await demo.run(api.dev, echo=lambda _line: None) is False
    assert api.asked_for_payment.is_set()
    assert list(api.endpoints) == ["whe_others"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_demo_that_is_interrupted_deletes_its_webhook_endpoint(
    api: Api, tmp_path: Path, number: signal.Signals
) -> None:
    never = asyncio.Event()

    async def hang() -> web.Response:
        await never.wait()
        raise AssertionError("unreachable")

    api.on_payment = hang
    (tmp_path / "dev.json").write_text(json.dumps(api.dev))
    program = spawn([OPENPAY, "demo", "--state-dir", str(tmp_path)], log=tmp_path / "log")
    try:
        async with asyncio.timeout(60):
            await api.asked_for_payment.wait()
        program.send_signal(number)
        assert await asyncio.to_thread(program.wait, 60) == 130
    finally:
        stop(program)
    assert list(api.endpoints) == ["whe_others"]
    assert "Traceback" not in (tmp_path / "log").read_text()


async def test_shop_listens_at_its_port_of_today_and_no_more_at_an_earlier_one(api: Api, anvil: Anvil) -> None:
    api.endpoints["whe_yesterday"] = "http://127.0.0.1:8079/demo/webhooks"
    api.endpoints["whe_mine"] = "http://127.0.0.1:8079/webhooks"
    async with connect([anvil.rpc_url], chain_id=31337) as pool:
        facts = ShopFacts(
            url=api.dev["api_url"],
            api_key=api.dev["api_key"],
            webhook_public_key=PUBLIC_KEY,
            pool=pool,
            chain_id=31337,
            customer=Signer(b"\x01" * 32),
        )
        shop = web.Application()
        shop.add_subapp("/demo", build_shop(facts))
        host = facts.url.removeprefix("http://")
        async with TestClient(TestServer(shop)) as visitor:
            assert (await visitor.get("/demo", headers={"Host": host})).status == 200
    assert api.endpoints == {
        "whe_others": "https://shop.example/hook",
        "whe_mine": "http://127.0.0.1:8079/webhooks",
        "whe_demo": f"{facts.url}/demo/webhooks",
    }


@pytest.mark.nightly
async def test_demo_shows_each_step_on_a_node_that_was_running_already(
    start_anvil: Callable[..., Anvil], tmp_path: Path
) -> None:
    anvil = start_anvil("--block-time", "0.25")
    state = tmp_path / "state"
    program = spawn(
        [OPENPAY, "dev", "--port", "0", "--state-dir", str(state), "--rpc-url", anvil.rpc_url], log=tmp_path / "log"
    )
    try:
        ready = state / "dev.json"
        wait_until(lambda: ready.exists() or program.poll() is not None, timeout_s=60, what="openpay dev is ready")
        assert ready.exists(), (tmp_path / "log").read_text()
        dev = json.loads(ready.read_text())
        assert dev["rpc_urls"] == [anvil.rpc_url]
        assert not (state / "chain").exists()
        lines: list[str] = []
        assert await demo.run(dev, echo=lines.append, tokens=("USDC",)), "\n".join(lines)
    finally:
        stop(program)
    steps = [line[2:12].strip() for line in lines if line.startswith("  ")]
    shown = [step for step, before in zip(steps, ["", *steps], strict=False) if step and step != before]
    assert shown == ["create", "open", "pay", "confirm", "paid", "webhook", "settle", "withdraw"]
    assert lines[-1] == "\nAll steps happened."
