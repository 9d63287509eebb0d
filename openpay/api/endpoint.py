"""From a row of the route table to an aiohttp handler: authenticate, parse, act, answer."""

from __future__ import annotations

import re

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from openpay.api.authentication import Authenticator
from openpay.api.call import Call
from openpay.api.deps import ApiDeps
from openpay.api.parse import parse_body, parse_query
from openpay.api.routes import Route
from openpay.app.idempotency import Answer, claim_for, parse_key
from openpay.app.merchants import Caller
from openpay.errors import Malformed, NotFound, Unauthorized
from openpay.http.application import LIMITERS
from openpay.http.bodies import read_json_object

IDEMPOTENCY_KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

_ID = re.compile(r"[0-9A-Za-z_]{1,64}", re.ASCII)


def endpoint(route: Route, deps: ApiDeps, authenticator: Authenticator) -> Handler:
    """The aiohttp handler of one route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = await _caller(request, authenticator)
        call = await _parse(request, route, deps, authenticator, caller)
        return _response(await route.handler(call))

    return handle


async def _caller(request: web.Request, authenticator: Authenticator) -> Caller:
    """Whose request this is, counted against its quota. Raises `Unauthorized`, `RateLimited`."""
    limiters = request.app[LIMITERS]
    try:
        caller = await authenticator.caller(request)
    except Unauthorized:
        # Counted by address, so that guessing keys is not free.
        limiters.take_address(request)
        raise
    limiters.take_key(request, caller.key_id)
    return caller


async def _parse(
    request: web.Request, route: Route, deps: ApiDeps, authenticator: Authenticator, caller: Caller
) -> Call[BaseModel, BaseModel]:
    path = request.match_info
    for value in path.values():
        if not _ID.fullmatch(value):
            raise NotFound(f"There is no {value[:60]!r}", code="not_found")
    query = parse_query(route.query, request.query)
    claim, raw = None, {}
    if route.method == "POST":
        key = _idempotency_key(request)
        raw = await read_json_object(request, optional=not route.body.model_fields)
        if key is not None:
            claim = claim_for(caller, key, method=route.method, path=request.path, body=raw)
    return Call(
        deps=deps,
        authenticator=authenticator,
        caller=caller,
        path=path,
        query=query,
        body=parse_body(route.body, raw),
        claim=claim,
        seals=deps.sealer if route.shows_secret else None,
    )


def _idempotency_key(request: web.Request) -> str | None:
    given = request.headers.getall(IDEMPOTENCY_KEY, ())
    if len(given) > 1:
        raise Malformed(f"{IDEMPOTENCY_KEY} is given twice", code="invalid_idempotency_key", param=IDEMPOTENCY_KEY)
    return parse_key(given[0]) if given else None


def _response(answer: Answer) -> web.Response:
    headers = {REPLAYED: "true"} if answer.replayed else None
    return web.Response(status=answer.status, body=answer.body, content_type="application/json", headers=headers)
