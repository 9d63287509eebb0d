"""What lies in a settled payment's vault reaches the merchant's treasury, on a real chain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.app.records import EscrowLog, OperatorTransaction, TransactionStatus
from openpay.chain.escrow_abi import sweep_data
from openpay.domain.payment import Status
from openpay.settlement import sweeps
from openpay.settlement.decisions import MOST_SWEEPS_IN_VAIN, sweep_may_be_tried
from openpay.settlement.sweeps import Sweeps
from tests.settlement.till import DyingPool, DyingSigner, Killed, Till, sweep_id
from tests.watcher.scene import UNIT, due


def make_transaction(*, tx_hash: bytes, status: TransactionStatus) -> OperatorTransaction:
    return OperatorTransaction(
        id="otx_1",
        chain_id=1,
        kind="sweep",
        subjects=("swp_1",),
        sender=b"\x01" * 20,
        nonce=0,
        tx_hash=tx_hash,
        raw=b"",
        gas=1,
        gas_price=1,
        status=status,
        created_at=0,
    )


def make_swept(*, tx_hash: bytes) -> EscrowLog:
    return EscrowLog(
        chain_id=1,
        name="Swept",
        terms_id=b"\x01" * 32,
        payment_id="pay_1",
        account=b"\x02" * 20,
        token="USDT",
        units=1,
        receiver=None,
        tx_hash=tx_hash,
        log_index=0,
        block_number=1,
        block_hash=b"\x03" * 32,
        block_time=1,
    )


async def test_what_is_paid_again_is_swept_once(either_till: Till) -> None:
    till = either_till
    payment = await till.settled()
    till.scene.pay(payment, "USDT", 7 * UNIT)
    await till.scene.mine(1)
    settler = till.settler()
    await settler.step()
    assert await till.sweeps(payment) == [], "the deposit is not final yet"

    await till.until_final()
    await settler.step()
    await settler.step()
    (sent,) = await till.sweeps(payment)
    await till.until_final()
    assert till.treasury("USDT") == 32 * UNIT
    assert till.balance("USDT", payment.address) == 0
    await settler.step()
    await settler.step()
    (ended,) = await till.sweeps(payment)
    assert (ended.id, ended.status) == (sent.id, TransactionStatus.MINED)

    # And again, should somebody pay a third time.
    till.scene.pay(payment, "USDT", 2 * UNIT)
    await till.until_final()
    await settler.step()
    await till.until_final()
    assert till.treasury("USDT") == 34 * UNIT


@pytest.mark.parametrize(("token", "units"), [("USDC", 3 * UNIT), ("BNB", UNIT // 100)])
async def test_other_tokens_are_swept_too_whether_accepted_or_not(till: Till, token: str, units: int) -> None:
    payment = await till.scene.create("USDT")
    till.scene.pay(payment, token, units)
    till.scene.pay(payment, "USDT", due(payment, "USDT")[0])
    await till.until_final()
    settler = till.settler()
    await settler.step()
    await till.until_final()
    await settler.step()
    await till.until_final()
    assert (till.treasury("USDT"), till.treasury(token)) == (25 * UNIT, units)
    async with till.scene.store.read() as uow:
        assert await uow.excess.of_chain(till.scene.chain.chain_id, limit=10) == []


@pytest.mark.parametrize(("token", "units"), [("USDT", UNIT // 2 - 1), ("BNB", 10**15 - 1)])
async def test_what_is_not_worth_its_gas_waits_for_more(till: Till, token: str, units: int) -> None:
    payment = await till.settled()
    till.scene.pay(payment, token, units)
    await till.until_final()
    settler = till.settler()
    await settler.step()
    assert await till.sweeps(payment, token) == []

    till.scene.pay(payment, token, 1)
    await till.until_final()
    await settler.step()
    await till.until_final()
    assert till.balance(token, payment.address) == 0


async def test_those_that_cannot_be_swept_hide_no_other(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "PAGE", 1)
    first, second = await till.settled(), await till.settled()
    for payment in (first, second):
        till.scene.pay(payment, "USDT", 5 * UNIT)
        await till.scene.mine(1)
    await till.until_final()
    till.scene.pay(first, "USDT", 1 * UNIT)  # not final: all of it waits
    await till.scene.mine(1)
    source = Sweeps(till.scene.chain)
    async with till.scene.store.read() as uow:
        due_ = await source.due(uow, now=0, limit=1)
    assert [work.subject for work in due_] == [sweep_id(second)]


async def test_nothing_is_swept_of_a_payment_that_is_not_settled(till: Till) -> None:
    payment = await till.scene.create("USDT")
    till.scene.pay(payment, "USDT", 10 * UNIT)
    await till.until_final()
    await till.settler().step()
    assert await till.scene.status(payment) is Status.PENDING
    assert await till.sweeps(payment) == []
    assert till.operator_nonce() == 0


async def test_stranger_who_sweeps_first_saves_us_the_gas(till: Till) -> None:
    payment = await till.overpaid(5 * UNIT)
    nonce = till.operator_nonce()
    till.scene.anvil.receipt(till.stranger_sends(sweep_data(payment.terms, till.scene.deployment.tokens["USDT"])))
    settler = till.settler()
    await settler.step()  # the watcher has not read it: the call would revert
    await till.until_final()
    await settler.step()
    assert till.operator_nonce() == nonce
    assert till.treasury("USDT") == 30 * UNIT


async def test_sweep_lost_in_a_reorg_is_made_again(till: Till) -> None:
    payment = await till.overpaid(5 * UNIT)
    settler = till.settler()
    await settler.step()
    await till.scene.mine(2)
    till.scene.anvil.reorg(3)
    await till.scene.watch()
    assert till.balance("USDT", payment.address) == 5 * UNIT
    await settler.step()
    await till.until_final()
    await settler.step()
    await till.until_final()
    assert till.treasury("USDT") == 30 * UNIT
    assert len(await till.sweeps(payment)) == 1


@pytest.mark.parametrize("dies", ["after-signing", "before-sending", "after-sending"])
async def test_process_killed_around_sending_sweeps_once(till: Till, dies: str) -> None:
    await till.overpaid(5 * UNIT)
    nonce = till.operator_nonce()
    if dies == "after-signing":
        dying = till.settler(signer=DyingSigner(till.scene.deployment.operator.private_key))
    else:
        dying = till.settler(DyingPool(till.scene.pool, sent=dies == "after-sending"))
    with pytest.raises(Killed):
        await dying.step()
    settler = till.settler()
    await settler.step()
    await till.until_final()
    await settler.step()
    await till.until_final()
    assert till.operator_nonce() == nonce + 1
    assert till.treasury("USDT") == 30 * UNIT


async def test_stranger_who_is_quicker_in_the_same_block_costs_one_transaction(till: Till) -> None:
    payment = await till.overpaid(5 * UNIT)
    settler = till.settler()
    till.scene.anvil.rpc("evm_setAutomine", False)
    contract = till.scene.deployment.tokens["USDT"]
    till.stranger_sends(sweep_data(payment.terms, contract), gasPrice=hex(10**12))
    await settler.step()
    await till.until_final()
    await settler.step()
    await settler.step()
    (sent,) = await till.sweeps(payment)
    assert sent.status is TransactionStatus.MINED
    assert till.treasury("USDT") == 30 * UNIT


@given(st.lists(st.sampled_from(["swept", "in vain", "dropped", "signed"]), max_size=8))
def test_sweeps_in_vain_come_to_an_end_and_none_is_made_twice_at_once(story: list[str]) -> None:
    status = {"dropped": TransactionStatus.DROPPED, "signed": TransactionStatus.SIGNED}
    transactions = [
        make_transaction(tx_hash=bytes([place] * 32), status=status.get(fate, TransactionStatus.MINED))
        for place, fate in enumerate(story)
    ]
    logs = [make_swept(tx_hash=bytes([place] * 32)) for place, fate in enumerate(story) if fate == "swept"]
    last = [fate for fate in story if fate != "dropped"]
    ends_in_vain = last[-MOST_SWEEPS_IN_VAIN:] == ["in vain"] * MOST_SWEEPS_IN_VAIN
    assert sweep_may_be_tried(transactions, logs) is ("signed" not in story and not ends_in_vain)
