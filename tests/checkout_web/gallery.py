"""Every state of the page at once on one database, for whoever looks at all of them: accessibility tests, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from checkout_web.content.view import Part
from openpay.app.order import RequestedLine
from openpay.domain.payment import Payment
from openpay.domain.refunds import NamedBy, RefundStatus
from tests.checkout_web.scenes import WHOLE, Shop

LONG = {
    "description": "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen " + "x" * 120 + " قهوة",
    "line_items": (RequestedLine(name="W" * 90, quantity=1_000_000, amount="25.00"),),
    "success_url": "https://shop.example/",
    "cancel_url": "https://shop.example/",
    "allow_retry": True,
}
"""The merchant's words at their worst."""

DESTINATION = bytes.fromhex("52908400098527886e0f7030069857d2e4169ee7")

_TROUBLES = {
    "refund_claim": RefundStatus.AWAITING_CLAIM,
    "refund_failed": RefundStatus.FAILED,
    "refund_sent": RefundStatus.SUCCEEDED,
}

# Those that move the clock or make blocks final come before those that must not have expired when looked at.
_ORDER = (
    Part.EXPIRED,
    Part.EXPIRED_RECEIVED,
    Part.LATE,
    *_TROUBLES,
    Part.PAID,
    Part.OVERPAID,
    Part.REVERSED,
    Part.FAILED_REVERTED,
    Part.FAILED_REFUSED,
    Part.CANCELED,
    Part.CLOSING,
    Part.CONFIRMING_REVERTED,
    Part.CONFIRMING,
    Part.UNDERPAID,
    Part.WAITING,
)
assert {name for name in _ORDER if isinstance(name, Part)} == set(Part)  # a new state hangs here as well


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A page to look at: `query` selects what it shows, `behind_s` is how old the network's view is meanwhile."""

    name: str
    payment: Payment
    query: str = ""
    behind_s: int = 0

    @property
    def path(self) -> str:
        return f"/checkout/{self.payment.id}{self.query}"

    def path_with(self, query: str) -> str:
        """The path with this added to the query."""
        return f"{self.path}{'&' if self.query else '?'}{query}"


async def every_state(shop: Shop, names: Sequence[str] = (), **fields: Any) -> list[Exhibit]:
    """One payment, made with `fields`, for each state named (or for all), and what each of them can show besides."""
    payments = {
        str(name): await (shop.scene(name, **fields) if isinstance(name, Part) else _refund(shop, name, **fields))
        for name in _ORDER
        if not names or str(name) in names
    }
    exhibits = [Exhibit(name=name, payment=payment) for name, payment in payments.items()]
    for part, behind_s in ((Part.WAITING, 240), (Part.CLOSING, 400), (Part.CONFIRMING, 60)):
        if part in payments:
            exhibits.append(Exhibit(name=f"{part}_behind", payment=payments[part], behind_s=behind_s))
    if Part.WAITING in payments:
        waiting = payments[Part.WAITING]
        exhibits.append(Exhibit(name="waiting_address", payment=waiting, query="?token=BNB&qr=address"))
    if not names:
        taken_back = await shop.retract(await shop.create(**fields))
        exhibits.append(Exhibit(name="waiting_taken_back", payment=taken_back))
    return exhibits


async def _refund(shop: Shop, name: str, **fields: Any) -> Payment:
    """An expired payment with money from an address that is no person's; one has a speck worth no fee, too."""
    payment = await shop.create(**fields)
    money, dust = shop.deposit(payment, 10 * WHOLE), shop.deposit(payment, 1)
    specks = [replace(dust, position=dust.position + 1)] if name == "refund_failed" else []
    await shop.mine(deposits=[replace(money, sender_nonce=9_000), *specks])
    await shop.expire(payment)
    async with shop.store.write() as uow:
        refunds = (await uow.refunds.of([payment.id]))[payment.id]
        (claimable,) = (refund for refund in refunds if refund.status is RefundStatus.AWAITING_CLAIM)
        if name == "refund_failed":
            failed = replace(claimable, status=RefundStatus.FAILED, destination=DESTINATION)
            await uow.refunds.put([replace(failed, failure="transfer_reverted")])
        elif name == "refund_sent":
            sent = replace(claimable, status=RefundStatus.SUCCEEDED, destination=DESTINATION)
            await uow.refunds.put([replace(sent, named_by=NamedBy.SENDER, tx_hash=bytes(range(32)))])
    return await shop.get(payment)
