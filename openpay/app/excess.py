"""Keeping what is to be swept up to date with the chain, in the transaction that judges its payment."""

from __future__ import annotations

from collections.abc import Sequence

from openpay.app.ports import UnitOfWork
from openpay.app.records import EscrowLog
from openpay.app.refunds import outflows_of
from openpay.domain.assessment import Head
from openpay.domain.chains import Token
from openpay.domain.deposit import Deposit
from openpay.domain.payment import Payment
from openpay.domain.sweeping import excess_of


async def keep_excess(
    uow: UnitOfWork,
    payment: Payment,
    *,
    deposits: Sequence[Deposit],
    logs: Sequence[EscrowLog],
    head: Head,
    tokens: Sequence[Token],
    reread: bool = False,
) -> None:
    """Store what the chain makes of a payment's excess. `logs`: the escrow's canonical logs of this payment. `reread`:
    even a settlement that was final may be gone."""
    outflows = outflows_of(logs)
    if reread or any(outflow.name == "Settled" for outflow in outflows):
        found = excess_of(payment, deposits=deposits, outflows=outflows, head=head, tokens=tokens)
        await uow.excess.put(payment.id, found)
