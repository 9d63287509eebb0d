"""What lies in a settled payment's vault beyond what settled it: the merchant's, and to be swept to its treasury.

Nothing is accumulated: the same record gives the same sums, whether a block was read for the first time or undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openpay.domain.assessment import Head
from openpay.domain.chains import Token
from openpay.domain.deposit import Deposit
from openpay.domain.ids import derived_id
from openpay.domain.payment import Payment
from openpay.domain.receipts import Outflow
from openpay.domain.refunding import MIN_WORTH_USD, vault_units, worth_usd_down

MIN_WORTH_WEI = 10**15
"""Of the chain's own coin where no quote prices it: 0.001, what sweeping costs at 10 gwei."""


@dataclass(frozen=True, kw_only=True)
class Excess:
    """Units of one token in the vault of a settled payment; above zero, and worth the gas of moving them.

    `id` is the same for as long as the payment exists: what arrives later is added.
    """

    id: str
    payment_id: str
    chain_id: int
    token: str
    units: int


def excess_of(
    payment: Payment,
    *,
    deposits: Sequence[Deposit],
    outflows: Sequence[Outflow],
    head: Head,
    tokens: Sequence[Token],
) -> tuple[Excess, ...]:
    """What is to be swept, by token. Nothing before the settlement is final: until then it may be undone, and what did
    not count would go back to the customer. What is not worth its gas stays, and counts with what comes later.
    """
    if not any(log.name == "Settled" and head.is_final(log.block_number) for log in outflows):
        return ()
    held = vault_units(deposits, outflows)
    return tuple(
        Excess(
            id=derived_id("swp", f"{payment.id}:{token}"),
            payment_id=payment.id,
            chain_id=payment.chain_id,
            token=token,
            units=held[token],
        )
        for token in sorted(held)
        if _is_worth_moving(payment, token, held[token], tokens)
    )


def _is_worth_moving(payment: Payment, token: str, units: int, tokens: Sequence[Token]) -> bool:
    worth = worth_usd_down(payment, token, units, tokens)
    return units >= MIN_WORTH_WEI if worth is None else worth >= MIN_WORTH_USD
