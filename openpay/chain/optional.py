"""Asking for what an endpoint need not offer: refused once, it is not asked for again for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openpay.chain import reads
from openpay.chain.errors import METHOD_NOT_FOUND, JsonRpcError, Rejected
from openpay.chain.rpc import Endpoint


@asynccontextmanager
async def optional(endpoint: Endpoint, method: str) -> AsyncIterator[None]:
    """Around a request that uses `method`. Raises `JsonRpcError` where the endpoint does not offer it.

    Some providers have no JSON-RPC error for that: a gateway in front of the node rejects the request with an HTTP
    status. Where it lets another request pass, the rejection was about the method; else the endpoint is as good as
    away, and the fault is raised as it is.
    """
    endpoint.offers.check(method)
    try:
        yield
    except JsonRpcError as refusal:
        endpoint.offers.learn(refusal)
        raise
    except Rejected as fault:
        await endpoint.call(reads.chain_id())
        not_offered = JsonRpcError(endpoint.name, method=method, code=METHOD_NOT_FOUND, message=fault.detail)
        endpoint.offers.learn(not_offered)
        raise not_offered from fault
