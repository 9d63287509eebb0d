"""The demo's own parts, and the whole of it against a running `openpay dev`."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from nacl.signing import SigningKey

from openpay.devnet import demo
from openpay.devnet.receiver import receive_webhooks
from tests.support.anvil import Anvil
from tests.support.process import spawn, stop, wait_until

DER_HEAD = bytes.fromhex("302a300506032b6570032100")
KEY = SigningKey(b"\x07" * 32)
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


@pytest.mark.nightly
async def test_demo_shows_each_step_on_a_node_that_was_running_already(
    start_anvil: Callable[..., Anvil], tmp_path: Path
) -> None:
    anvil = start_anvil("--block-time", "0.25")
    state = tmp_path / "state"
    command = [str(Path(sys.executable).with_name("openpay")), "dev", "--port", "0"]
    program = spawn([*command, "--state-dir", str(state), "--rpc-url", anvil.rpc_url], log=tmp_path / "log")
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
