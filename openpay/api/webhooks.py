"""Handlers of webhook endpoints, deliveries and the signing key."""

from __future__ import annotations

from openpay.api import render
from openpay.api.call import Call, json_answer
from openpay.api.requests import ConfigureWebhookBody, NoBody, NoQuery, PageQuery, UpdateWebhookBody
from openpay.app import webhooks
from openpay.app.idempotency import Answer
from openpay.app.ports import UnitOfWork
from openpay.errors import NotFound


async def configure_endpoint(call: Call[NoQuery, ConfigureWebhookBody]) -> Answer:
    deps = call.deps

    async def work(uow: UnitOfWork) -> Answer:
        endpoint, secret = await webhooks.configure(
            uow,
            call.caller,
            call.body.url,
            call.body.events,
            sealer=deps.sealer,
            now=deps.wall_clock.now(),
            allow_insecure=deps.allow_insecure_webhooks,
        )
        return json_answer(render.configured_endpoint(endpoint, secret))

    return await call.write(work)


async def list_endpoints(call: Call[NoQuery, NoBody]) -> Answer:
    async with call.deps.db.read() as uow:
        found = await uow.webhooks.endpoints(call.caller.merchant.id, call.caller.livemode)
    return json_answer(render.whole_list(found, render.endpoint))


async def retrieve_endpoint(call: Call[NoQuery, NoBody]) -> Answer:
    async with call.deps.db.read() as uow:
        return json_answer(render.endpoint(await webhooks.find(uow, call.caller, call.path["id"])))


async def update_endpoint(call: Call[NoQuery, UpdateWebhookBody]) -> Answer:
    async def work(uow: UnitOfWork) -> Answer:
        endpoint = await webhooks.change(
            uow,
            call.caller,
            call.path["id"],
            url=call.body.url,
            events=call.body.events,
            disabled=call.body.disabled,
            allow_insecure=call.deps.allow_insecure_webhooks,
        )
        return json_answer(render.endpoint(endpoint))

    return await call.write(work)


async def delete_endpoint(call: Call[NoQuery, NoBody]) -> Answer:
    endpoint_id = call.path["id"]

    async def work(uow: UnitOfWork) -> Answer:
        await webhooks.delete(uow, call.caller, endpoint_id, now=call.deps.wall_clock.now())
        return json_answer({"id": endpoint_id, "deleted": True})

    return await call.write(work)


async def public_key(call: Call[NoQuery, NoBody]) -> Answer:
    deps, now = call.deps, call.deps.wall_clock.now()
    try:
        async with deps.db.read() as uow:
            return json_answer(await webhooks.public_key(uow, call.caller, now=now))
    except NotFound:
        # The key is made when it is first needed, and asking for it is a need.
        async with deps.db.write() as uow:
            owner = call.caller.merchant.id
            await webhooks.ensure_signing_key(uow, owner, call.caller.livemode, sealer=deps.sealer, now=now)
            return json_answer(await webhooks.public_key(uow, call.caller, now=now))


async def list_deliveries(call: Call[PageQuery, NoBody]) -> Answer:
    query = call.query
    async with call.deps.db.read() as uow:
        found = await webhooks.deliveries(uow, call.caller, limit=query.limit, starting_after=query.starting_after)
    return json_answer(render.page(found, render.delivery))


async def resend_delivery(call: Call[NoQuery, NoBody]) -> Answer:
    async def work(uow: UnitOfWork) -> Answer:
        view = await webhooks.resend(uow, call.caller, call.path["id"], now=call.deps.wall_clock.now())
        return json_answer(render.delivery(view))

    return await call.write(work, wake=("events",))


async def send_test(call: Call[NoQuery, NoBody]) -> Answer:
    async def work(uow: UnitOfWork) -> Answer:
        event = await webhooks.send_test(uow, call.caller, now=call.deps.wall_clock.now())
        return json_answer(render.sent_test(event), status=202)

    return await call.write(work, wake=("events",))
