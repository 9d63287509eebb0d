"""Looking after endpoints that are out of service, so that they are back soon after they are well again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from openpay.chain import reads
from openpay.chain.blocks import read_bytes
from openpay.chain.errors import EndpointFault, JsonRpcError, ProofFailed
from openpay.chain.member import Member
from openpay.chain.optional import optional
from openpay.chain.proofs import prove_header, prove_receipts, prove_transactions
from openpay.chain.rpc import Endpoint
from openpay.chain.standing import Place

PROBE_EVERY_S = 10.0


async def keep_probing(members: Sequence[Member], *, every_s: float = PROBE_EVERY_S) -> None:
    """Probe again and again, until canceled."""
    while True:
        await asyncio.sleep(every_s)
        await probe(members)


async def probe(members: Sequence[Member]) -> None:
    """Ask each member that needs it something small, and note how it does."""
    await asyncio.gather(*(_probe(member) for member in members))


async def _probe(member: Member) -> None:
    try:
        if member.place is Place.LOW_TRUST:
            if not member.is_aside:
                await member.ask(_prove_newest)
                member.credit(proven=True)
        elif member.is_away:
            member.forget_chain()
            await member.ask(lambda endpoint: endpoint.call(reads.header("latest")))
            member.credit(proven=False)
    except ProofFailed as fault:
        member.blame(fault)
    except (EndpointFault, JsonRpcError):
        pass  # noted by `Member.ask` as far as it matters


async def _prove_newest(endpoint: Endpoint) -> None:
    """Have the newest block proven, as whole as the endpoint offers it."""
    newest = await endpoint.call(reads.header("latest"))
    block_hash = read_bytes(newest.hash)
    block = await endpoint.call(reads.block(block_hash))
    prove_header(block, block_hash=block_hash, endpoint=endpoint.name)
    prove_transactions(block, block.transactions, endpoint=endpoint.name)
    try:
        async with optional(endpoint, reads.RECEIPTS):
            receipts = await endpoint.call(reads.receipts(block_hash))
    except JsonRpcError as refusal:
        if not refusal.is_not_offered:
            raise
    else:
        prove_receipts(block, receipts, endpoint=endpoint.name)
