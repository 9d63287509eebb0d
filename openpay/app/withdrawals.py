"""A merchant asks for its money: all of one token, from the treasury to the merchant's own address.

Here it is only written down. The settler carries it out, once; anybody could, because the escrow pays nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping

from openpay.app.merchants import Caller
from openpay.app.ports import UnitOfWork
from openpay.app.records import Withdrawal, WithdrawalStatus
from openpay.domain.chains import Chain
from openpay.domain.ids import new_id
from openpay.errors import Invalid, NotFound


async def request_withdrawal(
    uow: UnitOfWork, caller: Caller, symbol: str, *, chain: Chain, treasury_units: Mapping[str, int], now: int
) -> Withdrawal:
    """Record the intent. `treasury_units` was read from the chain before the transaction began.

    Notify "operations" after the commit. Raises `Invalid` (`invalid_token`, `nothing_to_withdraw`).
    """
    token = chain.token(symbol)
    if token is None:
        listed = ", ".join(token.symbol for token in chain.tokens)
        raise Invalid(
            f"{symbol[:60]!r} is not a token of {chain.name}: there are {listed}", code="invalid_token", param="token"
        )
    if treasury_units.get(symbol, 0) == 0:
        raise Invalid(f"the treasury holds no {symbol}", code="nothing_to_withdraw", param="token")
    withdrawal = Withdrawal(
        id=new_id("wd"),
        merchant_id=caller.merchant.id,
        livemode=caller.livemode,
        chain_id=chain.chain_id,
        token=symbol,
        status=WithdrawalStatus.PENDING,
        created_at=now,
    )
    await uow.operations.add_withdrawal(withdrawal)
    return withdrawal


async def find_withdrawal(uow: UnitOfWork, caller: Caller, withdrawal_id: str) -> Withdrawal:
    """The caller's withdrawal. Raises `NotFound` (`withdrawal_not_found`), for another merchant's or mode's too."""
    withdrawal = await uow.operations.withdrawal(withdrawal_id)
    if withdrawal is None or (withdrawal.merchant_id, withdrawal.livemode) != (caller.merchant.id, caller.livemode):
        raise NotFound(f"no withdrawal {withdrawal_id[:60]!r}", code="withdrawal_not_found")
    return withdrawal
