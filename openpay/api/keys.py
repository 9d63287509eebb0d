"""Handlers of API keys: a key manages the keys of its own merchant and mode."""

from __future__ import annotations

from openpay.api import render
from openpay.api.call import Call, json_answer
from openpay.api.requests import NoBody, NoQuery
from openpay.app import merchants
from openpay.app.idempotency import Answer
from openpay.app.merchants import Caller
from openpay.app.ports import UnitOfWork
from openpay.app.records import ApiKey
from openpay.errors import NotFound


async def create_key(call: Call[NoQuery, NoBody]) -> Answer:
    async def work(uow: UnitOfWork) -> Answer:
        key, secret = await merchants.issue_key(
            uow, call.caller.merchant.id, livemode=call.caller.livemode, now=call.deps.wall_clock.now()
        )
        return json_answer({**render.api_key(key), "secret": secret}, status=201)

    return await call.write(work)


async def list_keys(call: Call[NoQuery, NoBody]) -> Answer:
    async with call.deps.db.read() as uow:
        found = await _own(uow, call.caller)
    return json_answer(render.whole_list(found, render.api_key))


async def revoke_key(call: Call[NoQuery, NoBody]) -> Answer:
    key_id = call.path["id"]

    async def work(uow: UnitOfWork) -> Answer:
        if key_id not in {key.id for key in await _own(uow, call.caller)}:
            raise NotFound(f"no API key {key_id[:60]!r}", code="api_key_not_found")
        revoked = await merchants.revoke_key(uow, call.caller.merchant.id, key_id, now=call.deps.wall_clock.now())
        return json_answer(render.api_key(revoked))

    answer = await call.write(work)
    call.authenticator.forget(key_id)
    return answer


async def _own(uow: UnitOfWork, caller: Caller) -> list[ApiKey]:
    """The keys of the caller's mode, oldest first."""
    return [key for key in await uow.merchants.keys(caller.merchant.id) if key.livemode == caller.livemode]
