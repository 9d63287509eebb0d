"""Hosts whose blocks cannot be proven whole, and what comes of reading them."""

from __future__ import annotations

from openpay.chain.blocks import read_bytes
from openpay.chain.errors import Part
from openpay.chain.fetch import fetch_block
from openpay.chain.proofs import ProvenBlock
from tests.chain.copies import Copy, ManualClock, pool_of
from tests.chain.real_blocks import Chain

HEADER, TRANSACTIONS, LOGS = frozenset({Part.HEADER}), frozenset({Part.TRANSACTIONS}), frozenset({Part.LOGS})


async def read(*hosts: Copy, clock: ManualClock | None = None) -> ProvenBlock:
    async with pool_of(*hosts, clock=clock) as pool:
        return await fetch_block(pool, read_bytes(hosts[0].block["hash"]))


def later_fork(chain: Chain, count: int) -> list[Copy]:
    """Hosts that serve one block whose header no code of today can hash."""
    hosts = [Copy(chain.many_logs) for _ in range(count)]
    for host in hosts:
        host.hide_field()
    return hosts


def logs_only(chain: Chain, count: int) -> list[Copy]:
    hosts = [Copy(chain.many_logs) for _ in range(count)]
    for host in hosts:
        host.offer_no_receipts()
    return hosts


def raise_an_amount(host: Copy) -> None:
    host.block["transactions"][0]["value"] = "0x999"
