"""Handlers of balances and withdrawals."""

from __future__ import annotations

from openpay.api import render
from openpay.api.call import Call, json_answer
from openpay.api.requests import NoBody, NoQuery, PageQuery, WithdrawBody
from openpay.app.balances import token_balances
from openpay.app.idempotency import Answer
from openpay.app.ports import UnitOfWork
from openpay.app.records import Withdrawal
from openpay.app.withdrawals import find_withdrawal, request_withdrawal


async def list_balances(call: Call[NoQuery, NoBody]) -> Answer:
    chain = call.deps.chain_of(call.caller)
    found = await token_balances(call.deps.db, call.deps.balances, call.deps.payments.quotes, chain, call.caller)
    return json_answer(render.whole_list(found, render.balance))


async def create_withdrawal(call: Call[NoQuery, WithdrawBody]) -> Answer:
    deps, caller = call.deps, call.caller
    chain = deps.chain_of(caller)
    # Read before the transaction, judged inside it: a repeated request gets its first answer even though the treasury
    # is empty by then.
    treasury_units = await deps.balances.treasury_units(chain.chain_id, caller.merchant.address)

    async def work(uow: UnitOfWork) -> Answer:
        withdrawal = await request_withdrawal(
            uow, caller, call.body.token, chain=chain, treasury_units=treasury_units, now=deps.clock.now()
        )
        return json_answer(_render(call, withdrawal), status=201)

    return await call.write(work, wake=("operations",))


async def retrieve_withdrawal(call: Call[NoQuery, NoBody]) -> Answer:
    async with call.deps.db.read() as uow:
        withdrawal = await find_withdrawal(uow, call.caller, call.path["id"])
    return json_answer(_render(call, withdrawal))


async def list_withdrawals(call: Call[PageQuery, NoBody]) -> Answer:
    query, caller = call.query, call.caller
    async with call.deps.db.read() as uow:
        found = await uow.operations.withdrawals(
            caller.merchant.id, caller.livemode, limit=query.limit, starting_after=query.starting_after
        )
    return json_answer(render.page(found, lambda it: _render(call, it)))


def _render(
    call: Call[NoQuery, WithdrawBody] | Call[NoQuery, NoBody] | Call[PageQuery, NoBody], withdrawal: Withdrawal
) -> render.Object:
    return render.withdrawal(withdrawal, address=call.caller.merchant.address, chain=call.deps.chain_of(call.caller))
