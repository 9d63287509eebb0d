"""The database is gone. What is left is a file of API answers, the chain, and somebody's key."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from openpay.api import render
from openpay.domain.payment import Payment
from openpay.domain.vaults import treasury_address
from tests.settlement.till import Till
from tests.support.anvil import ACCOUNTS
from tests.watcher.beginning import OpenScene
from tests.watcher.scene import UNIT, due

EXPIRED_S = 3_600


@dataclass
class Wreck:
    """A shop whose database is lost, and what its merchant kept."""

    till: Till
    answers: Path
    kept: list[str] = field(default_factory=list)

    async def create(self, *tokens: str) -> Payment:
        """A payment whose API answer the merchant keeps."""
        scene = self.till.scene
        payment = await scene.create(*tokens)
        async with scene.store.read() as uow:
            view = await scene.service.view(uow, payment)
        self.kept.append(json.dumps(render.payment(view, public_url="https://pay.example", chain=scene.chain)))
        return payment

    def pay(self, payment: Payment, token: str, units: int) -> None:
        self.till.scene.pay(payment, token, units)

    def treasury(self, token: str) -> int:
        return self.till.treasury(token)

    async def recover(self, *options: str, key: bool = True, status: int = 0) -> list[str]:
        """Run the command, which knows a file, a node and at most the operator's key; the lines it prints."""
        self.answers.write_text("\n".join(self.kept))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENPAY_")}
        if key:
            environment["OPENPAY_OPERATOR_KEY"] = "0x" + self.till.scene.deployment.operator.private_key.hex()
        command = [sys.executable, "-m", "openpay.cli", "recover", str(self.answers)]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, "--rpc-url", self.till.scene.anvil.rpc_url, *options],
            cwd=self.answers.parent,  # where there is no .env
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return (done.stdout + done.stderr).splitlines()


@pytest.fixture
async def wreck(scene_on: OpenScene, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Wreck]:
    async with scene_on(sqlite_url) as scene:
        yield Wreck(till=Till(scene), answers=tmp_path / "answers.ndjson")


def about(lines: list[str], payment: Payment) -> list[str]:
    """The lines under a payment."""
    start = next(index for index, line in enumerate(lines) if line.startswith(payment.id))
    end = next((index for index in range(start + 1, len(lines)) if not lines[index].startswith(" ")), len(lines))
    return lines[start:end]


async def test_every_coin_is_found_and_what_suffices_reaches_the_treasury_by_the_operators_key(wreck: Wreck) -> None:
    scene = wreck.till.scene
    exact, coin, partial, both, settled, untouched = [await wreck.create() for _ in range(6)]
    wreck.pay(exact, "USDT", 25 * UNIT)
    wreck.pay(coin, "BNB", due(coin, "BNB")[0])
    wreck.pay(partial, "USDT", 7 * UNIT)
    wreck.pay(both, "USDC", 30 * UNIT)
    wreck.pay(both, "USDT", UNIT)
    wreck.pay(settled, "USDT", 25 * UNIT)
    scene.send(scene.settle(settled, "USDT"))
    wreck.pay(settled, "USDC", 3 * UNIT)
    scene.anvil.increase_time(EXPIRED_S)
    scene.anvil.mine()

    before = await wreck.recover(key=False)
    assert about(before, exact)[1:] == ["  25.00 USDT: settle, by the operator or merchant"]
    assert about(before, partial)[1].startswith("  7.00 USDT: refund, by the operator or merchant")
    assert about(before, both)[1:] == [
        "  30.00 USDC: settle, by the operator or merchant",
        "  1.00 USDT: sweep, by anyone",
    ]
    assert about(before, settled)[1:] == ["  3.00 USDC: sweep, by anyone"]
    assert about(before, untouched)[0].endswith(": holds nothing")
    assert wreck.treasury("USDT") == 25 * UNIT, "looking moves nothing"

    done = await wreck.recover("--execute")
    assert sum("done in 0x" in line for line in done) == 5
    assert [wreck.treasury(token) for token in ("USDT", "USDC", "BNB")] == [
        51 * UNIT,
        33 * UNIT,
        due(coin, "BNB")[0],
    ]

    customer = scene.customer
    balance = wreck.till.balance("USDT", customer)
    await wreck.recover("--execute", "--refund", partial.id, "--to", "0x" + customer.hex())
    assert wreck.till.balance("USDT", customer) - balance == 7 * UNIT
    after = await wreck.recover(key=False)
    assert not [line for line in after if line.startswith("  ")], "no vault holds anything any more"
    assert len([line for line in after if line.startswith("treasury of ")]) == 3


async def test_calls_are_printed_for_the_merchants_own_wallet_and_do_what_they_say(wreck: Wreck) -> None:
    partial = await wreck.create("USDT")
    wreck.pay(partial, "USDT", 7 * UNIT)
    receiver = ACCOUNTS[4].address
    lines = about(await wreck.recover("--calldata", "--refund", partial.id, "--to", receiver, key=False), partial)
    assert "; by the operator from " in lines[1]
    words = lines[2].split()
    anvil = wreck.till.scene.anvil
    merchant = "0x" + wreck.till.scene.deployment.merchant.address.hex()
    anvil.rpc("anvil_setBalance", merchant, hex(10**18))
    anvil.rpc("anvil_impersonateAccount", merchant)
    anvil.receipt(anvil.send(from_=merchant, to=words[1], data=words[3]))
    assert wreck.till.balance("USDT", bytes.fromhex(receiver[2:])) == 7 * UNIT


@pytest.mark.nightly
async def test_operator_is_not_sent_where_it_may_not_go_yet(wreck: Wreck) -> None:
    partial = await wreck.create("USDT")
    wreck.pay(partial, "USDT", 7 * UNIT)
    lines = await wreck.recover("--execute", "--refund", partial.id, "--to", ACCOUNTS[4].address)
    assert any("not sent: " in line for line in about(lines, partial))
    assert wreck.till.balance("USDT", partial.address) == 7 * UNIT


@pytest.mark.nightly
async def test_altered_answer_is_named_and_the_others_are_used(wreck: Wreck) -> None:
    fine = await wreck.create("USDT")
    altered: dict[str, Any] = json.loads(wreck.kept[0])
    altered["deposit"]["terms"]["usd"] = "1"
    wreck.kept = [json.dumps(altered), "{", json.dumps({"data": [json.loads(wreck.kept[0])], "has_more": False})]
    lines = await wreck.recover(key=False, status=1)
    assert lines[0].startswith("! line 2: not JSON")
    assert lines[1].startswith(f"! line 1: {fine.id} cannot be used: its terms do not lead to its deposit address")
    assert about(lines, fine)[0].endswith(": holds nothing")


@pytest.mark.nightly
async def test_answer_of_an_unknown_chain_keeps_no_other_from_being_recovered(wreck: Wreck) -> None:
    altered, other = await wreck.create("USDT"), await wreck.create("USDT")
    wreck.pay(other, "USDT", due(other, "USDT")[0])
    await wreck.till.until_final()
    answer = json.loads(wreck.kept[0])
    answer["deposit"]["chain_id"] = 4
    wreck.kept[0] = json.dumps(answer)
    printed = await wreck.recover(key=False, status=1)
    assert any(line.startswith("! chain 4 is not done, with 1 payments in the file:") for line in printed), printed
    assert any(other.id in line for line in printed), printed
    assert not any(altered.id in line for line in printed), printed


async def test_treasury_is_found_although_no_answer_mentions_it(wreck: Wreck) -> None:
    paid = await wreck.create("USDT")
    wreck.pay(paid, "USDT", 25 * UNIT)
    await wreck.recover("--execute")
    merchant = wreck.till.scene.deployment.merchant.address
    treasury = treasury_address(wreck.till.scene.chain.escrow, merchant)
    assert wreck.till.balance("USDT", treasury) == 25 * UNIT
    (line,) = [line for line in await wreck.recover(key=False) if line.startswith("treasury of ")]
    assert line.endswith("25.00 USDT, which anyone may withdraw to the merchant")
