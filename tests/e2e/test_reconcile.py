"""The books are held against the chain: they agree after everything that can happen, and every kind of lie is found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, delete, update

from openpay.app.reconcile import Reconciliation, reconcile
from openpay.bootstrap.books import reconcile_all, report
from openpay.chain.escrow_abi import refund_data, sweep_data, withdraw_data
from openpay.chain.holdings import ChainHoldings
from openpay.chain.spec import save_chain
from openpay.config import given_settings
from openpay.domain.address import to_checksum
from openpay.domain.payment import Payment
from openpay.domain.refunds import RefundStatus
from openpay.domain.vaults import treasury_address
from openpay.errors import ConfigurationError
from openpay.store.tables import deposits, escrow_logs, payments, refunds, withdrawals
from tests.settlement.refund_desk import ELSEWHERE, HOUR_S, RefundDesk
from tests.settlement.till import Till
from tests.support.anvil import ACCOUNTS, Anvil
from tests.support.databases import POSTGRESQL_BY_NIGHT
from tests.watcher.beginning import OpenScene
from tests.watcher.rewinding import rewound
from tests.watcher.scene import CHAIN_ID, UNIT, open_scene

pytestmark = POSTGRESQL_BY_NIGHT


@dataclass
class Books:
    """A shop with a history, and the comparison of its books with the chain."""

    till: Till
    url: str

    async def compare(self) -> Reconciliation:
        scene = self.till.scene
        return await reconcile(scene.store, ChainHoldings({CHAIN_ID: scene.pool}), scene.chain)

    async def disagreements(self) -> list[tuple[str, str, str, str]]:
        return [(each.subject, each.what, each.books, each.found) for each in (await self.compare()).differences]

    async def surplus(self) -> list[tuple[str, str, int]]:
        return [(each.subject, each.token, each.units) for each in (await self.compare()).surplus]

    async def tamper(self, statement: Any) -> None:
        async with self.till.scene.store.write() as uow:
            await uow.connection.execute(statement)

    async def history(self) -> dict[str, Payment]:
        """One of each: settled with a late deposit swept, underpaid and refunded, paid, partly paid, untouched; and
        a withdrawal."""
        till, scene = self.till, self.till.scene
        settled = await till.paid("USDT")
        await till.settler().step()
        await till.until_final()
        scene.pay(settled, "USDC", 3 * UNIT)
        till.stranger_sends(sweep_data(settled.terms, scene.deployment.tokens["USDC"]))
        withdrawal = await till.request_withdrawal("USDT")
        settler = till.settler()
        await settler.step()
        await till.until_final()
        await settler.step()
        assert (await till.withdrawal(withdrawal)).units == 25 * UNIT
        refunded = await scene.create("USDT")
        scene.pay(refunded, "USDT", 9 * UNIT)
        self.merchant_refunds(refunded, "USDT", 4 * UNIT)
        paid = await till.paid("BNB")
        partial = await scene.create("USDC")
        scene.pay(partial, "USDC", 2 * UNIT)
        untouched = await scene.create()
        await till.until_final()
        return {"settled": settled, "refunded": refunded, "paid": paid, "partial": partial, "untouched": untouched}

    def merchant_refunds(self, payment: Payment, token: str, units: int) -> None:
        scene = self.till.scene
        merchant = "0x" + scene.deployment.merchant.address.hex()
        data = refund_data(payment.terms, scene.deployment.tokens[token], scene.customer, units)
        scene.anvil.rpc("anvil_setBalance", merchant, hex(10**18))
        scene.anvil.rpc("anvil_impersonateAccount", merchant)
        scene.anvil.send(from_=merchant, to="0x" + scene.chain.escrow.hex(), data="0x" + data.hex())
        scene.anvil.rpc("anvil_stopImpersonatingAccount", merchant)


@pytest.fixture
async def books(scene_on: OpenScene, database_url: str) -> AsyncIterator[Books]:
    async with scene_on(database_url) as scene:
        yield Books(till=Till(scene), url=database_url)


async def test_books_agree_after_settling_sweeping_withdrawing_and_refunding(books: Books) -> None:
    history = await books.history()
    result = await books.compare()
    assert result.differences == []
    assert (result.payments, result.treasuries, result.withdrawals) == (len(history), 1, 1)
    for total in result.totals.values():
        where = total.in_vaults + total.in_treasuries + total.withdrawn + total.refunded + total.rescued
        assert total.deposited == where
    usdt = result.totals["USDT"]
    assert (usdt.deposited, usdt.withdrawn, usdt.refunded) == (34 * UNIT, 25 * UNIT, 4 * UNIT)
    assert (usdt.in_vaults, usdt.in_treasuries) == (5 * UNIT, 0)
    text = "\n".join(report(books.till.scene.chain, result))
    assert "Books and chain agree." in text


async def test_nothing_is_compared_beyond_the_final_block(books: Books) -> None:
    payment = await books.till.scene.create("USDT")
    await books.till.until_final()
    books.till.scene.pay(payment, "USDT", 25 * UNIT)
    await books.till.scene.watch()
    result = await books.compare()
    assert result.differences == []
    assert result.totals["USDT"].deposited == 0


async def test_every_lie_in_the_books_is_found(books: Books) -> None:
    history = await books.history()

    async def lie(table: Table, where: Any, **values: Any) -> None:
        await books.tamper(update(table).where(where).values(**values))

    await lie(deposits, deposits.c.payment_id == history["partial"].id, units=3 * UNIT)
    await lie(payments, payments.c.id == history["settled"].id, settlement_units=24 * UNIT)
    await lie(payments, payments.c.id == history["paid"].id, settlement_status="settled")
    await lie(payments, payments.c.id == history["untouched"].id, address=b"\x09" * 20)
    await lie(withdrawals, withdrawals.c.token == "USDT", units=26 * UNIT)
    await books.tamper(delete(escrow_logs).where(escrow_logs.c.name == "Refunded"))
    found = {(subject, what): (books_, chain) for subject, what, books_, chain in await books.disagreements()}
    names = {payment.id: name for name, payment in history.items()}
    assert {(names.get(subject, subject[:3]), what) for subject, what in found} == {
        ("partial", "USDC in the vault"),
        ("settled", "settled units"),
        ("paid", "settlement"),
        ("untouched", "deposit address"),
        ("wd_", "withdrawn USDT"),
        ("refunded", "USDT in the vault"),
        ("refunded", "state in the escrow"),
        ("ref", "refunded USDT"),
    }
    assert found[history["partial"].id, "USDC in the vault"] == (str(3 * UNIT), str(2 * UNIT))


async def test_settlement_that_the_books_missed_is_found(books: Books) -> None:
    history = await books.history()
    await books.tamper(delete(escrow_logs).where(escrow_logs.c.name == "Settled"))
    what = {(subject, what) for subject, what, _, _ in await books.disagreements()}
    settled, owner = history["settled"].id, books.till.scene.deployment.merchant.address
    assert what == {
        (settled, "USDT in the vault"),
        (settled, "state in the escrow"),
        (settled, "settlement"),
    }
    assert ("0x" + owner.hex(), "USDT", 25 * UNIT) in await books.surplus()


async def test_paid_payment_without_the_deposits_for_it_is_found(books: Books) -> None:
    history = await books.history()
    await books.tamper(delete(deposits).where(deposits.c.payment_id == history["paid"].id))
    what = {what for subject, what, _, _ in await books.disagreements() if subject == history["paid"].id}
    assert what == {"BNB in the vault", "BNB received for a paid payment"}


async def test_refund_is_held_against_its_own_log(books: Books) -> None:
    desk = RefundDesk(books.till)
    partial = [await desk.expired_with(9 * UNIT) for _ in range(2)]
    paid = await books.till.paid("USDT")
    await desk.settle_up()
    (by_hand,) = await desk.request(paid, token="USDT", amount="5", destination="0x" + ELSEWHERE.hex())
    usdt = books.till.scene.deployment.tokens["USDT"]
    desk.merchant_sends(withdraw_data(usdt, 5 * UNIT, ELSEWHERE))
    await desk.pass_time(HOUR_S)
    for _ in range(3):
        await desk.settle_up()
    result = await books.compare()
    assert (result.differences, result.refunds) == ([], 3)
    first, second = [(await desk.refund(payment)).id for payment in partial]
    assert (result.totals["USDT"].refunded, result.totals["USDT"].withdrawn) == (18 * UNIT, 5 * UNIT)

    async with books.till.scene.store.read() as uow:
        original = await uow.refunds.get(first)
    assert original is not None
    same_log = {"tx_hash": original.tx_hash, "log_index": original.log_index}
    await books.tamper(update(refunds).where(refunds.c.id == second).values(**same_log))
    await books.tamper(update(refunds).where(refunds.c.id == by_hand.id).values(units=6 * UNIT))
    assert {(subject, found) for subject, _, _, found in await books.disagreements()} == {
        (second, "no log of its own"),
        (by_hand.id, f"{5 * UNIT} USDT by Withdrawn"),
    }


async def test_refund_whose_deposit_is_gone_is_found(books: Books) -> None:
    desk = RefundDesk(books.till)
    expired = await desk.expired_with(9 * UNIT)
    await desk.pass_time(HOUR_S)
    await desk.settle_up()
    await books.till.until_final()
    assert await books.disagreements() == []
    await books.tamper(delete(deposits).where(deposits.c.payment_id == expired.id))
    given = [each for each in await books.disagreements() if "given back" in each[1]]
    assert [(subject, paid, moved) for subject, _, paid, moved in given] == [(expired.id, "at most 0", str(9 * UNIT))]


async def test_money_sent_straight_to_a_treasury_is_surplus_and_no_difference(books: Books) -> None:
    scene = books.till.scene
    merchant = scene.deployment.merchant.address
    treasury = treasury_address(scene.chain.escrow, merchant)
    scene.send(scene.transfer("USDT", treasury, 7))
    await books.till.until_final()
    result = await books.compare()
    assert result.differences == []
    assert [(it.address, it.place, it.token, it.units) for it in result.surplus] == [(treasury, "treasury", "USDT", 7)]
    text = report(scene.chain, result)
    assert any(line.startswith("Surplus:") for line in text)
    assert any(line.startswith(to_checksum(treasury)) and line.split()[-1] == "7" for line in text)
    assert text[-1] == "Books and chain agree."


async def test_dust_in_one_token_never_hides_what_is_missing_in_another(books: Books) -> None:
    scene = books.till.scene
    merchant = scene.deployment.merchant.address
    await books.history()
    await books.tamper(update(escrow_logs).where(escrow_logs.c.name == "Swept").values(units=3 * UNIT + 9))
    scene.send(scene.transfer("USDT", treasury_address(scene.chain.escrow, merchant), 9))
    await books.till.until_final()
    owner = "0x" + merchant.hex()
    differences = await books.disagreements()
    assert (owner, "USDC in the treasury", str(3 * UNIT + 9), str(3 * UNIT)) in differences
    assert await books.surplus() == [(owner, "USDT", 9)]


async def test_deposit_that_the_watcher_missed_is_a_difference_even_after_the_payment_ended(books: Books) -> None:
    desk = RefundDesk(books.till)
    expired = await desk.expired_with(9 * UNIT)
    await books.till.until_final()
    await books.tamper(delete(deposits).where(deposits.c.payment_id == expired.id))
    assert (expired.id, "USDT in the vault", "0", str(9 * UNIT)) in await books.disagreements()
    assert await books.surplus() == []


async def test_bnb_without_a_trace_is_surplus_only_once_the_payment_has_ended(books: Books) -> None:
    desk = RefundDesk(books.till)
    expired = await desk.expired_with(9 * UNIT)
    open_ = await books.till.scene.create("USDT")
    for payment in (expired, open_):
        # As a contract sends it: the balance grows, no log or transaction names the vault.
        books.till.scene.anvil.rpc("anvil_setBalance", "0x" + payment.address.hex(), hex(5))
    await books.till.until_final()
    assert await books.surplus() == [(expired.id, "BNB", 5)]
    assert await books.disagreements() == [(open_.id, "BNB in the vault", "0", "5")]


async def test_there_is_nothing_to_compare_before_a_final_block_was_read(anvil: Anvil, database_url: str) -> None:
    async with open_scene(anvil, database_url) as scene:
        with pytest.raises(ConfigurationError, match="let it run"):
            await Books(till=Till(scene), url=database_url).compare()


async def test_command_prints_the_tables_and_fails_on_a_difference(books: Books, tmp_path: Path) -> None:
    scene = books.till.scene
    history = await books.history()
    save_chain(scene.chain, tmp_path / "chain.json")
    settings = given_settings(
        database_url=books.url, live_chain=str(tmp_path / "chain.json"), live_rpc_urls=(scene.anvil.rpc_url,)
    )
    lines: list[str] = []
    assert await reconcile_all(settings, echo=lines.append)
    assert lines[-1] == "Books and chain agree."
    scene.anvil.send(from_=ACCOUNTS[0].address, to="0x" + history["untouched"].address.hex(), value=1, gas=21_000)
    await books.till.until_final()
    assert await reconcile_all(settings, echo=lines.append), "a deposit that was read is in the books"
    await books.tamper(delete(deposits).where(deposits.c.payment_id == history["untouched"].id))
    assert not await reconcile_all(settings, echo=lines.append)
    assert any(line.startswith(history["untouched"].id) and line.split()[-2:] == ["0", "1"] for line in lines)


async def test_payments_that_are_read_again_after_a_rewind_are_left_out_until_they_were_judged(books: Books) -> None:
    """Their deposits are not on record yet, and what their refunds gave back still is."""
    desk, scene = RefundDesk(books.till), books.till.scene
    before = scene.anvil.block_number()
    await scene.create("USDT")  # of another customer, who has paid nothing
    refunded = await scene.create("USDT")
    scene.pay(refunded, "USDT", 5 * UNIT)
    await desk.pass_time(2 * HOUR_S)
    await desk.settle_up()
    assert (await desk.refund(refunded)).status is RefundStatus.SUCCEEDED
    assert await books.disagreements() == []

    await rewound(scene, before)
    result = await books.compare()
    assert (result.differences, result.payments, result.left_out) == ([], 1, 1)
    text = "\n".join(report(scene.chain, result))
    assert "Left out: 1 payments" in text
    assert "Books and chain agree." not in text

    for _ in range(3):
        await books.till.until_final()
    result = await books.compare()
    assert (result.differences, result.payments, result.left_out) == ([], 2, 0)
