"""What became of every unit, read from the chain and the API, and held against what the customers did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from openpay.chain.blocks import Log
from openpay.chain.escrow_abi import EscrowEvent, decode_log
from openpay.client import Payment
from openpay.domain.vaults import treasury_address
from scripts.simulation.behaviours import Behaviour, Outcome
from scripts.simulation.order import Order
from scripts.simulation.world import World, reconcile


@dataclass(frozen=True, kw_only=True)
class Money:
    """Where all of one token is, in base units. `sent` is the sum of the rest."""

    token: str
    sent: int
    in_vaults: int
    in_treasury: int
    withdrawn: int
    refunded: int

    @property
    def accounted(self) -> int:
        return self.in_vaults + self.in_treasury + self.withdrawn + self.refunded


@dataclass(kw_only=True)
class Audit:
    """What was found. No disagreement: the simulation succeeded."""

    outcomes: Counter[tuple[Behaviour, str, str]] = field(default_factory=Counter)
    money: list[Money] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)
    webhooks: int = 0
    deliveries: int = 0
    settlements: int = 0
    refunds: int = 0
    kills: int = 0
    reorgs: int = 0
    books: str = ""
    """What `openpay reconcile` printed."""


async def audit(
    world: World, orders: Sequence[Order], abandoned: Sequence[str], withdrawals: Sequence[dict[str, Any]]
) -> Audit:
    """Compare everything. The services have read the whole chain, and the chain is at rest.

    `abandoned`: payments that nobody paid, by id.
    """
    found = Audit(kills=world.services.kills, reorgs=world.reorgs)
    async with world.node.lock:  # no block is made meanwhile
        await _payments(world, orders, abandoned, found)
        await _money(world, orders, withdrawals, found)
    _webhooks(world, orders, found)
    status, found.books = await reconcile(world)
    if status != 0:
        found.disagreements.append(f"openpay reconcile ended with status {status}")
    return found


async def _payments(world: World, orders: Sequence[Order], abandoned: Sequence[str], found: Audit) -> None:
    events: dict[bytes, list[EscrowEvent]] = defaultdict(list)
    for event in await _events(world):
        if event.terms_id is not None:
            events[event.terms_id].append(event)
    held = {
        token.symbol: await world.balances(token.contract, [order.vault for order in orders])
        for token in world.chain.tokens
    }
    seen = await world.payments()
    asked = {order.id for order in orders} | set(abandoned)
    if seen.keys() != asked:
        found.disagreements.append(f"{len(asked)} payments were asked for, and the API lists {len(seen)}")
    for place, order in enumerate(orders):
        own = events.pop(order.terms.id(), [])
        in_vault = {symbol: units[place] for symbol, units in held.items()}
        actual = _actual(world, order, seen[order.id], own, in_vault)
        found.outcomes[order.customer.plan.behaviour, actual.status, actual.places] += 1
        settled = sum(event.name == "Settled" for event in own)
        found.settlements += settled
        found.refunds += sum(event.name == "Refunded" for event in own)
        if settled != (order.expected.status == "paid"):
            found.disagreements.append(f"{order.id}: settled {settled} times")
        if any(event.name == "Refunded" and event.account != order.customer.address for event in own):
            found.disagreements.append(f"{order.id}: refunded to somebody else")
        for name in ("status", "settled", "refunded", "swept", "kept", "reasons"):
            want, got = getattr(order.expected, name), getattr(actual, name)
            if want != got:
                what = f"{order.id} ({order.customer.plan.behaviour}, customer {order.customer.index}): {name}"
                found.disagreements.append(f"{what} is {_plain(got)}, not {_plain(want)}")
    if events:
        found.disagreements.append(f"the escrow moved money of {len(events)} payments that nobody made")


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, dict) else value


def _actual(
    world: World, order: Order, payment: Payment, events: Sequence[EscrowEvent], in_vault: dict[str, int]
) -> Outcome:
    moved: dict[str, dict[str, int]] = {"Settled": {}, "Refunded": {}, "Swept": {}}
    symbols = {token.contract: token.symbol for token in world.chain.tokens}
    for event in events:
        sums = moved.setdefault(event.name, {})
        symbol = symbols[event.contract]
        sums[symbol] = sums.get(symbol, 0) + event.units
    kept = {symbol: units for symbol, units in in_vault.items() if units}
    return Outcome(
        status=payment["status"],
        settled=moved["Settled"],
        refunded=moved["Refunded"],
        swept=moved["Swept"],
        kept=kept,
        reasons=_reasons(payment, kept),
    )


def _reasons(payment: Payment, kept: dict[str, int]) -> frozenset[str]:
    """Why money lies in a vault, by the API's own words."""
    if not kept:
        return frozenset()
    words = {"dust": "dust", "awaiting_claim": "awaits a claim", "requested": "awaits the merchant"}
    named = {words.get(each["status"], each["status"]) for each in payment["refunds"] if each["status"] != "succeeded"}
    return frozenset(named or {"for no reason"})


async def _events(world: World) -> list[EscrowEvent]:
    logs = await world.node.call(
        "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": "0x" + world.chain.escrow.hex()}
    )
    decoded = (decode_log(Log(**{name: log[name] for name in Log.__struct_fields__ if name in log})) for log in logs)
    return [event for event in decoded if event is not None]


async def _money(world: World, orders: Sequence[Order], withdrawals: Sequence[dict[str, Any]], found: Audit) -> None:
    """By balances alone: what customers sent is in vaults, the treasury or the merchant's wallet, or went back."""
    merchant = world.deployment.merchant.address
    treasury = treasury_address(world.chain.escrow, merchant)
    events = await _events(world)
    for token in world.chain.tokens:
        (in_treasury,) = await world.balances(token.contract, [treasury])
        vaults = await world.balances(token.contract, [order.vault for order in orders])
        sent = sum(units for order in orders for send, units in order.sent if send.token == token.symbol)
        refunded = sum(e.units for e in events if (e.name, e.contract) == ("Refunded", token.contract))
        withdrawn = sum(e.units for e in events if (e.name, e.contract) == ("Withdrawn", token.contract))
        money = Money(
            token=token.symbol,
            sent=sent,
            in_vaults=sum(vaults),
            in_treasury=in_treasury,
            withdrawn=withdrawn,
            refunded=refunded,
        )
        found.money.append(money)
        if money.sent != money.accounted:
            found.disagreements.append(f"{token.symbol}: {money.sent - money.accounted} base units are missing")
        claimed = sum(int(each["amount_units"]) for each in withdrawals if each["token"] == token.symbol)
        (in_wallet,) = await world.balances(token.contract, [merchant])
        if not claimed == withdrawn == in_wallet:
            found.disagreements.append(
                f"{token.symbol}: {claimed} withdrawn by the API, {withdrawn} by the log, {in_wallet} in the wallet"
            )


def _webhooks(world: World, orders: Sequence[Order], found: Audit) -> None:
    """Exactly one `payment.completed` for each paid payment at each endpoint, by webhook-id; none for any other."""
    paid = {order.id for order in orders if order.expected.status == "paid"}
    for number, receiver in enumerate(world.receivers, 1):
        found.disagreements += [f"endpoint {number} refused a webhook: {reason}" for reason in receiver.refused]
        found.deliveries += len(receiver.received)
        ids: dict[str, set[str]] = defaultdict(set)
        every = set()
        for each in receiver.received:
            webhook_id = {name.lower(): value for name, value in each.headers.items()}["webhook-id"]
            every.add(webhook_id)
            if each.event["event"] == "payment.completed":
                ids[each.event["payment_id"]].add(webhook_id)
        found.webhooks += len(every)
        for payment_id in sorted(paid | set(ids)):
            if len(ids[payment_id]) != (payment_id in paid):
                found.disagreements.append(
                    f"endpoint {number}: {payment_id} completed under {len(ids[payment_id])} webhook ids"
                )
