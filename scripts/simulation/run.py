"""The phases of a run: trading, everything expired, refunds and withdrawals, and the audit."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from openpay.app.recovery import read_answers
from openpay.chain.escrow_abi import sweep_data
from openpay.client import Invalid, Payment
from openpay.devnet.customer import BROWSER_HEADERS
from openpay.domain.address import to_checksum
from scripts.simulation.audit import Audit, audit
from scripts.simulation.behaviours import UNITS_PER_MICRO, Fate, Quote, When, Word, plans, predict
from scripts.simulation.customer import Customer, Sent, transfer_data
from scripts.simulation.order import Order
from scripts.simulation.world import PATIENCE_S, Stuck, World, open_world

WAVE = 50
"""Payments that are open at the same time, so that each is paid long before its deadline."""
AT_ONCE = 8
HOUR_S, DAY_S = 3_600, 86_400
FINAL_DEPTH = 16
"""Blocks after which everything is final: 12 confirmations, and the node's own 10."""
STRANGER = bytes.fromhex("5e" * 20)
SAY_EVERY_S = 10
LONGEST_PAUSE_S = 5
LOOKING_PAUSE = 4
"""How much longer than it took to look at all payments it lasts until the next look."""
MORE_THAN_ANYBODY_HAS = 10**30


@dataclass(kw_only=True)
class Simulation:
    world: World
    customers: Sequence[Customer]
    seed: int
    echo: Callable[[str], None]
    orders: list[Order] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    """Payments that were canceled at once, because a token was not offered."""

    def __post_init__(self) -> None:
        self._chance = random.Random(f"run {self.seed}")
        self._began = time.monotonic()

    async def run(self) -> Audit:
        """Every phase. Raises `Stuck` when the services do not get on."""
        for start in range(0, len(self.customers), WAVE):
            await self._trade(self.customers[start : start + WAVE])
            self._say(f"{len(self.orders):,} of {len(self.customers):,} payments made")
        await self._until("what was paid is paid", self._unlike(lambda order: order.expected.status in _BY_DEED))
        await self._until("what is paid is settled", self._unsettled)
        await self._expire()
        await self._after_expiry()
        await self._refunds()
        withdrawals = await self._withdraw()
        self.world.services.spared = True
        await self._until("the merchant is told", self._untold)
        await self._read_everything()
        return await audit(self.world, self.orders, self.abandoned, withdrawals)

    def _say(self, what: str) -> None:
        world = self.world
        passed = time.monotonic() - self._began
        self.echo(f"{passed:6.0f} s  {what}  (killed {world.services.kills}, reorganised {world.reorgs} times)")

    # --- trading -----------------------------------------------------------------------------------------------------

    async def _trade(self, customers: Sequence[Customer]) -> None:
        await self.world.move_price()
        limit = asyncio.Semaphore(AT_ONCE)

        async def order(customer: Customer) -> Order:
            async with limit:
                return await self._order(customer)

        wave = await asyncio.gather(*(order(customer) for customer in customers))
        self.orders += wave
        waiting = [each for each in wave if each.queue and each.queue[0].when is When.TRADING]
        struck = [each for each in waiting if any(send.fate is not Fate.STAYS for send in each.customer.plan.sends)]
        calm = [each for each in waiting if each not in struck]
        while calm:
            await self._send(self._chance.sample(calm, min(len(calm), 5)))
            calm = [each for each in calm if each.queue and each.queue[0].when is When.TRADING]
            await asyncio.sleep(self._chance.uniform(0, 0.05))
        if struck:
            await self._storm(struck)
        await asyncio.gather(*(self._fail(each) for each in wave if each.customer.plan.reverts))

    async def _order(self, customer: Customer) -> Order:
        plan, world = customer.plan, self.world
        payment = await self._create(customer)
        (claim,) = read_answers(json.dumps(payment)).claims
        offers = {each["token"]: int(each["amount_units"]) for each in payment["deposit"]["amounts"]}
        quotes = {
            send.token: Quote(full_units=offers[send.token])
            if send.token in offers
            else Quote(full_units=plan.amount * UNITS_PER_MICRO, accepted=False)
            for send in plan.sends
        }
        if plan.opens_page:
            page = payment["checkout_url"]
            await world.persist(lambda: _open(world, page))
        if plan.cancels:
            await world.persist(lambda: world.api.payments.cancel(payment["id"]))
        return Order(
            customer=customer,
            payment=payment,
            terms=claim.terms,
            quotes=quotes,
            expected=predict(plan, quotes),
            queue=deque(plan.sends),
        )

    async def _create(self, customer: Customer) -> Payment:
        """With every token that was asked for: while the node reorganises, the feed may be unusable for a moment."""
        world = self.world
        deadline = time.monotonic() + PATIENCE_S
        attempt = 0
        while True:
            ask = partial(
                world.api.payments.create,
                amount=customer.plan.price,
                currency="USD",
                accepted_tokens=customer.plan.accepted,
                idempotency_key=f"order-{self.seed}-{customer.index}-{attempt}",
            )
            try:
                payment = await world.persist(ask)
            except Invalid as refusal:
                if refusal.code != "token_unavailable":
                    raise
                missing = customer.plan.accepted
            else:
                if not (missing := payment["unavailable_tokens"]):
                    return payment
                self.abandoned.append(payment["id"])
                await world.persist(partial(world.api.payments.cancel, payment["id"]))
            if time.monotonic() > deadline:
                raise Stuck(f"customer {customer.index} is not offered {', '.join(missing)}")
            attempt += 1
            await asyncio.sleep(1)

    async def _send(self, orders: Sequence[Order]) -> list[Sent]:
        """The next transfer of each."""
        transactions = [self._next(order) for order in orders]
        await self.world.send(transactions)
        return transactions

    def _next(self, order: Order) -> Sent:
        send = order.queue.popleft()
        units = send.units(order.quotes[send.token])
        contract = self.world.deployment.tokens.get(send.token)
        if send.fate is not Fate.VANISHES:
            order.sent.append((send, units))
        return order.customer.sign_send(send, contract=contract, vault=order.vault, units=units)

    async def _storm(self, orders: Sequence[Order]) -> None:
        """Their transfers get into a block, which is then reorganised; those that vanish may be paid again."""
        world = self.world
        async with world.node.lock:
            sent = await self._send(orders)
            first = await world.node.head() + 1
            await self._mine_all(sent)
            for _ in range(self._chance.randrange(4)):
                await world.node.mine()
            vanishing = frozenset(each.hash for each in sent if each.send and each.send.fate is Fate.VANISHES)
            await world.reorganise(await world.node.head() - first + 1, vanishing)
            for each in sent:
                found = await world.node.call("eth_getTransactionReceipt", each.hash)
                if (found is None) != (each.hash in vanishing):
                    raise Stuck(f"after the reorganisation {each.hash} is {'missing' if found is None else 'there'}")
                if each.hash in vanishing:
                    each.customer.nonce -= 1
        again = [each for each in orders if each.queue and each.queue[0].when is When.TRADING]
        if again:
            await self._send(again)

    async def _mine_all(self, sent: Sequence[Sent]) -> None:
        for _ in range(10):
            receipts = await self.world.node.batch([("eth_getTransactionReceipt", each.hash) for each in sent])
            if all(receipt is not None for receipt in receipts):
                return
            await self.world.node.mine()
        raise Stuck("transactions are not mined")

    async def _fail(self, order: Order) -> None:
        """A transfer of more than the customer has, which the page's wallet reports."""
        symbol = next(each for each in order.customer.plan.accepted if each in self.world.deployment.tokens)
        data = transfer_data(order.vault, MORE_THAN_ANYBODY_HAS)
        sent = order.customer.sign_call(self.world.deployment.tokens[symbol], data)
        await self.world.send([sent])
        path = f"/checkout/{order.id}/transactions"
        await self.world.request("POST", path, {"tx_hash": sent.hash}, **{"Sec-Fetch-Site": "same-origin"})

    # --- after every deadline ----------------------------------------------------------------------------------------

    async def _expire(self) -> None:
        await self.world.node.jump(2 * HOUR_S)
        await self._until("what was not paid has expired", self._unlike(lambda _: True))

    async def _after_expiry(self) -> None:
        """Late customers, those who pay twice, and the stranger who sweeps."""
        late = [order for order in self.orders if order.queue]
        for start in range(0, len(late), 20):
            await self._send(late[start : start + 20])
            await asyncio.sleep(self._chance.uniform(0, 0.1))
        await self._read_everything()
        swept = [order for order in self.orders if order.customer.plan.swept]
        tokens = self.world.deployment.tokens
        sweeps = []
        for order in swept:
            (token,) = order.expected.swept
            data = sweep_data(order.terms, tokens.get(token))
            sweeps.append(order.customer.sign_call(self.world.chain.escrow, data))
        await self.world.send(sweeps)
        await self._read_everything()
        self._say(f"{len(late):,} paid late or twice, strangers swept {len(swept):,} of them")

    async def _refunds(self) -> None:
        for order in self.orders:
            if order.customer.plan.word is not Word.NOBODY:
                seen = await self.world.request("GET", f"/v1/payments/{order.id}")
                for refund in seen["refunds"]:
                    await self._name_address(order, refund["id"], refund["status"])
        await self.world.node.jump(DAY_S + 2 * HOUR_S)
        await self._until("refunds are made", self._unrefunded)
        await self._until("excess is swept", self._unswept)

    async def _name_address(self, order: Order, refund_id: str, status: str) -> None:
        """The customer's own address, but a visitor's claim."""
        world, word = self.world, order.customer.plan.word
        to = to_checksum(STRANGER if word is Word.VISITOR else order.customer.address)
        if status != "awaiting_claim":
            return
        if word is Word.MERCHANT:
            key = {"Idempotency-Key": f"approve-{refund_id}"}
            await world.request("POST", f"/v1/refunds/{refund_id}/approve", {"destination": to}, **key)
            return
        form = {"refund": refund_id, "destination": to}
        if word is Word.SENDER:
            asked = f"/checkout/{order.id}/claim-message?{urlencode(form)}"
            message = (await world.request("GET", asked))["message"]
            form["signature"] = order.customer.sign_text(message)
        await world.claim(order.id, form)

    async def _withdraw(self) -> list[dict[str, Any]]:
        """All of each token, to the merchant's own account."""
        world = self.world
        made = [
            await world.persist(
                lambda token=token: world.api.withdrawals.create(  # type: ignore[misc]
                    token=token.symbol, idempotency_key=f"all-{token.symbol}"
                )
            )
            for token in world.chain.tokens
        ]

        async def waiting() -> list[str]:
            seen = [await world.persist(lambda id_=each["id"]: world.api.withdrawals.retrieve(id_)) for each in made]  # type: ignore[misc]
            return [f"{each['token']} {each['status']}" for each in seen if each["status"] != "succeeded"]

        await self._until("everything is withdrawn", waiting)
        return [dict(await world.request("GET", f"/v1/withdrawals/{each['id']}")) for each in made]

    # --- waiting -----------------------------------------------------------------------------------------------------

    async def _until(self, what: str, laggards: Callable[[], Awaitable[list[str]]]) -> None:
        """Wait until there are none. Raises `Stuck` when nothing changes for long."""
        before, changed = -1, time.monotonic()
        asked = said = changed
        while left := await laggards():
            now = time.monotonic()
            if len(left) != before:
                before, changed = len(left), now
            if now - changed > PATIENCE_S:
                raise Stuck(f"waiting until {what}: {len(left):,} are left, such as {left[:10]}")
            if now - said > SAY_EVERY_S:
                said = now
                self._say(f"until {what}: {len(left):,} to go, such as {left[0]}")
            # Looking at thousands of payments takes the services' time: most of it should be their own.
            await asyncio.sleep(min(max(0.3, LOOKING_PAUSE * (now - asked)), LONGEST_PAUSE_S))
            asked = time.monotonic()
        self._say(what)

    def _unlike(self, chosen: Callable[[Order], bool]) -> Callable[[], Awaitable[list[str]]]:
        async def laggards() -> list[str]:
            seen = await self.world.payments()
            return [
                f"{order.id} ({order.customer.plan.behaviour}) {seen[order.id]['status']}, not {order.expected.status}"
                for order in self.orders
                if chosen(order) and seen[order.id]["status"] != order.expected.status
            ]

        return laggards

    async def _unsettled(self) -> list[str]:
        return [
            each["id"]
            for each in (await self.world.payments()).values()
            if each["settlement"] is not None and each["settlement"]["status"] != "settled"
        ]

    async def _unrefunded(self) -> list[str]:
        seen = await self.world.payments()
        left = []
        for order in self.orders:
            done: dict[str, int] = {}
            for refund in seen[order.id]["refunds"]:
                if refund["status"] == "succeeded":
                    done[refund["token"]] = done.get(refund["token"], 0) + int(refund["amount_units"])
            if done != dict(order.expected.refunded):
                states = [refund["status"] for refund in seen[order.id]["refunds"]]
                left.append(f"{order.id} ({order.customer.plan.behaviour}) {states}")
        return left

    async def _unswept(self) -> list[str]:
        """Vaults that still hold what is to be swept, by the chain itself."""
        orders = [order for order in self.orders if order.expected.swept]
        vaults = [order.vault for order in orders]
        left = set()
        for token in self.world.chain.tokens:
            held = await self.world.balances(token.contract, vaults)
            left |= {order.id for order, units in zip(orders, held, strict=True) if units}
        return sorted(left)

    async def _untold(self) -> list[str]:
        told = [
            {each.event["payment_id"] for each in receiver.received if each.event["event"] == "payment.completed"}
            for receiver in self.world.receivers
        ]
        return [
            order.id
            for order in self.orders
            if order.expected.status == "paid" and not all(order.id in ids for ids in told)
        ]

    async def _read_everything(self) -> None:
        """Wait until all that is in the node's pool is final, and read."""
        target = await self.world.node.head() + FINAL_DEPTH + 4

        async def behind() -> list[str]:
            lag, head = await self.world.lag(), await self.world.node.head()
            return [f"block {head}, {lag} behind"] if lag is None or head - lag < target else []

        before = time.monotonic()
        while left := await behind():
            if time.monotonic() - before > PATIENCE_S:
                raise Stuck(f"the watcher does not reach block {target}: {left}")
            await asyncio.sleep(0.1)


_BY_DEED = frozenset({"paid", "failed", "canceled"})
"""Ends that need no deadline."""


async def _open(world: World, page: str) -> None:
    async with world.session.get(page, headers=BROWSER_HEADERS) as response:
        await response.read()


async def simulate(
    *,
    payments: int,
    seed: int,
    database_url: str,
    directory: Path,
    kill_every_s: tuple[float, float],
    reorganise_every_s: tuple[float, float],
    most_kills: int | None = None,
    echo: Callable[[str], None],
) -> Audit:
    """One whole run. Services are killed (`most_kills` times, or without an end), and blocks reorganised, after random
    times between the given bounds in seconds.

    Raises `Stuck`.
    """
    customers = [Customer(index=index, plan=plan) for index, plan in enumerate(plans(seed, payments))]
    async with open_world(directory, database_url, customers, seed) as world:
        simulation = Simulation(world=world, customers=customers, seed=seed, echo=echo)
        run = asyncio.create_task(simulation.run())
        beside = [
            asyncio.create_task(world.keep_mining()),
            asyncio.create_task(world.keep_reorganising(reorganise_every_s)),
            asyncio.create_task(world.keep_killing(kill_every_s, at_most=most_kills)),
        ]
        try:
            await asyncio.wait([run, *beside], return_when=asyncio.FIRST_COMPLETED)
            for task in beside:
                if task.done():
                    task.result()
            return await run
        finally:
            for each in (run, *beside):
                each.cancel()
            await asyncio.gather(run, *beside, return_exceptions=True)
