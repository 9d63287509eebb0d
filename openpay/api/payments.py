"""Handlers of payments and their events."""

from __future__ import annotations

from typing import Any

from openpay.api import render
from openpay.api.call import Call, json_answer
from openpay.api.requests import CreatePaymentBody, EventsQuery, NoBody, NoQuery, PaymentsQuery
from openpay.app.idempotency import Answer
from openpay.app.payments import PaymentView
from openpay.app.ports import UnitOfWork
from openpay.app.records import Page, PaymentFilter


async def create_payment(call: Call[NoQuery, CreatePaymentBody]) -> Answer:
    call.deps.chain_of(call.caller)
    command = call.body.command()

    async def work(uow: UnitOfWork) -> Answer:
        payment = await call.deps.payments.create(uow, call.caller, command)
        # Just made: nothing can have arrived, so there is nothing to ask the database for.
        view = PaymentView(payment=payment, deposits=(), attempts=(), cursor=None)
        return json_answer(_render(call, view), status=201)

    return await call.write(work, wake=("payments",))


async def retrieve_payment(call: Call[NoQuery, NoBody]) -> Answer:
    payments = call.deps.payments
    async with call.deps.db.read() as uow:
        payment = await payments.find(uow, call.caller, call.path["id"])
        view = await payments.view(uow, payment)
    return json_answer(_render(call, view))


async def list_payments(call: Call[PaymentsQuery, NoBody]) -> Answer:
    query = call.query
    wanted = PaymentFilter(
        merchant_id=call.caller.merchant.id,
        livemode=call.caller.livemode,
        limit=query.limit,
        starting_after=query.starting_after,
        statuses=tuple(query.status),
        metadata=query.metadata,
    )
    async with call.deps.db.read() as uow:
        found = await uow.payments.page(wanted)
        views = await call.deps.payments.views(uow, found.items)
    page = Page(items=tuple(views), has_more=found.has_more)
    return json_answer(render.page(page, lambda view: _render(call, view)))


async def cancel_payment(call: Call[NoQuery, NoBody]) -> Answer:
    payments = call.deps.payments

    async def work(uow: UnitOfWork) -> Answer:
        own = await payments.find(uow, call.caller, call.path["id"])
        canceled = await payments.cancel(uow, own.id)
        view = await payments.view(uow, canceled)
        return json_answer(_render(call, view))

    return await call.write(work, wake=("payments", "events"))


def _render(call: Call[Any, Any], view: PaymentView) -> render.Object:
    deps = call.deps
    return render.payment(view, public_url=deps.public_url, chain=deps.chains.get(view.payment.livemode))


async def list_events(call: Call[EventsQuery, NoBody]) -> Answer:
    query = call.query
    async with call.deps.db.read() as uow:
        found = await uow.events.page(
            call.caller.merchant.id,
            call.caller.livemode,
            limit=query.limit,
            starting_after=query.starting_after,
            payment_id=query.payment_id,
        )
    return json_answer(render.page(found, render.event))
