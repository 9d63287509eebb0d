"""Handlers of refunds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openpay.api import render
from openpay.api.call import Call, json_answer
from openpay.api.requests import ApproveRefundBody, NoBody, NoQuery, RefundBody, RefundsQuery
from openpay.app.idempotency import Answer
from openpay.app.ports import UnitOfWork
from openpay.app.records import RefundFilter
from openpay.app.refund_requests import RefundRequest, is_settled
from openpay.domain.payment import Payment
from openpay.domain.refunds import Refund
from openpay.errors import InvariantViolated


async def refund_payment(call: Call[NoQuery, RefundBody]) -> Answer:
    deps, caller = call.deps, call.caller
    chain = deps.chain_of(caller)
    wanted = RefundRequest(amount=call.body.amount, token=call.body.token, destination=call.body.destination)
    async with deps.db.read() as uow:
        payment = await deps.payments.find(uow, caller, call.path["id"])
        settled = await is_settled(uow, payment)
    # Read before the transaction, judged inside it; only settled money lies there.
    treasury: Mapping[str, int] = (
        await deps.balances.treasury_units(chain.chain_id, payment.terms.merchant) if settled else {}
    )

    async def work(uow: UnitOfWork) -> Answer:
        own = await deps.payments.find(uow, caller, call.path["id"])
        made = await deps.refunds.request(uow, own, wanted, treasury_units=treasury)
        return json_answer(render.whole_list(made, lambda it: _render(call, it, own)), status=201)

    return await call.write(work, wake=("payments", "operations"))


async def approve_refund(call: Call[NoQuery, ApproveRefundBody]) -> Answer:
    deps = call.deps
    deps.chain_of(call.caller)

    async def work(uow: UnitOfWork) -> Answer:
        own = await deps.refunds.find(uow, call.caller, call.path["id"])
        approved = await deps.refunds.approve(uow, own, call.body.destination)
        return json_answer(_render(call, approved, await _payment(uow, approved)))

    return await call.write(work, wake=("payments", "operations"))


async def cancel_refund(call: Call[NoQuery, NoBody]) -> Answer:
    deps = call.deps
    deps.chain_of(call.caller)

    async def work(uow: UnitOfWork) -> Answer:
        own = await deps.refunds.find(uow, call.caller, call.path["id"])
        canceled = await deps.refunds.cancel(uow, own)
        return json_answer(_render(call, canceled, await _payment(uow, canceled)))

    return await call.write(work, wake=("payments",))


async def retrieve_refund(call: Call[NoQuery, NoBody]) -> Answer:
    async with call.deps.db.read() as uow:
        refund = await call.deps.refunds.find(uow, call.caller, call.path["id"])
        payment = await _payment(uow, refund)
    return json_answer(_render(call, refund, payment))


async def list_refunds(call: Call[RefundsQuery, NoBody]) -> Answer:
    query = call.query
    wanted = RefundFilter(
        merchant_id=call.caller.merchant.id,
        livemode=call.caller.livemode,
        limit=query.limit,
        starting_after=query.starting_after,
        statuses=tuple(query.status),
    )
    async with call.deps.db.read() as uow:
        found = await uow.refunds.page(wanted)
        payments = await _payments(uow, found.items)
    return json_answer(render.page(found, lambda it: _render(call, it, payments[it.payment_id])))


async def _payments(uow: UnitOfWork, refunds: Sequence[Refund]) -> Mapping[str, Payment]:
    return {refund.payment_id: await _payment(uow, refund) for refund in refunds}


async def _payment(uow: UnitOfWork, refund: Refund) -> Payment:
    payment = await uow.payments.get(refund.payment_id)
    if payment is None:
        raise InvariantViolated(f"{refund.id} belongs to no payment: {refund.payment_id}")
    return payment


def _render(call: Call[Any, Any], refund: Refund, payment: Payment) -> render.Object:
    return render.refund(refund, payment, chain=call.deps.chains.get(refund.livemode))
