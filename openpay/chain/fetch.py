"""Fetching a block whole: with its proof, or as hosts agree on it where no endpoint can prove it."""

from __future__ import annotations

from typing import TypeVar

from openpay.chain import reads
from openpay.chain.bodies import body_calls, read_body
from openpay.chain.errors import EndpointFault, JsonRpcError, NoEndpointAnswered, ProofFailed, Unreadable
from openpay.chain.fallback import fetch_unproven_block
from openpay.chain.member import Question
from openpay.chain.optional import optional
from openpay.chain.pool import Pool
from openpay.chain.proofs import HEADER_HASH, TRANSACTIONS_ROOT, ProvenBlock
from openpay.chain.rpc import Endpoint

T = TypeVar("T")


async def fetch_block(pool: Pool, block_hash: bytes) -> ProvenBlock:
    """The block with `block_hash`: from whichever endpoint can prove it, in one request, else as hosts agree on it.

    Raises `ChainUnavailable`: with a `ProofFailed` among the faults of `NoEndpointAnswered` when an endpoint's block
    was not whole, or as `NotAgreed` when hosts would have to agree on it and do not.
    """

    async def ask(endpoint: Endpoint) -> ProvenBlock:
        async with endpoint.fetch(body_calls(block_hash)) as body:
            return read_body(body, block_hash=block_hash, endpoint=endpoint.name)

    return await fetch_block_with(pool, block_hash, ask)


async def fetch_block_with(pool: Pool, block_hash: bytes, ask: Question[T]) -> T | ProvenBlock:
    """Like `fetch_block`, the body being fetched and proven by `ask`, which raises what `read_body` does."""

    async def ask_for_receipts(endpoint: Endpoint) -> T:
        async with optional(endpoint, reads.RECEIPTS):
            return await ask(endpoint)

    try:
        return await pool.ask(ask_for_receipts, proven=True)
    except NoEndpointAnswered as error:
        if error.is_outage:
            raise
        is_hopeless = all(_fails_before_receipts(fault) for fault in error.faults.values())
    except JsonRpcError:
        is_hopeless = False  # refused: perhaps only the receipts were
    return await fetch_unproven_block(pool, block_hash, try_to_prove=not is_hopeless)


def _fails_before_receipts(fault: EndpointFault) -> bool:
    if isinstance(fault, ProofFailed):
        return fault.what in (HEADER_HASH, TRANSACTIONS_ROOT)
    return isinstance(fault, Unreadable)
