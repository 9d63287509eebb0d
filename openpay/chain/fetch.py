"""Fetching a block whole: with its proof, or as hosts agree on it where no endpoint can prove it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from openpay.chain.bodies import body_calls, read_body
from openpay.chain.errors import JsonRpcError, NoEndpointAnswered
from openpay.chain.fallback import RECEIPTS, fetch_unproven_block
from openpay.chain.pool import Pool
from openpay.chain.proofs import ProvenBlock
from openpay.chain.rpc import Endpoint

T = TypeVar("T")


async def fetch_block(pool: Pool, block_hash: bytes) -> ProvenBlock:
    """The block with `block_hash`: from whichever endpoint can prove it, in one request, else as hosts agree on it.

    Raises `ChainUnavailable`: with a `ProofFailed` among the faults of `NoEndpointAnswered` when an endpoint's block was
    not whole, or as `NotAgreed` when hosts would have to agree on it and do not.
    """

    async def read(endpoint: Endpoint, body: bytes) -> ProvenBlock:
        return read_body(body, block_hash=block_hash, endpoint=endpoint.name)

    return await fetch_block_with(pool, block_hash, read)


async def fetch_block_with(
    pool: Pool, block_hash: bytes, read: Callable[[Endpoint, bytes], Awaitable[T]]
) -> T | ProvenBlock:
    """Like `fetch_block`, a body being proven by `read`, perhaps elsewhere: it raises what `read_body` does."""

    async def fetch(endpoint: Endpoint) -> T:
        endpoint.offers.check(RECEIPTS)
        try:
            return await read(endpoint, await endpoint.fetch(body_calls(block_hash)))
        except JsonRpcError as refusal:
            endpoint.offers.learn(refusal)
            raise

    try:
        return await pool.ask(fetch)
    except NoEndpointAnswered as error:
        if error.is_outage:
            raise
    except JsonRpcError:
        pass  # refused: perhaps only the receipts were
    return await fetch_unproven_block(pool, block_hash)
