"""Which faults a reader must outlast, by who may have them at the same time."""

from __future__ import annotations

from tests.faults import faults
from tests.faults.faults import Fault
from tests.faults.shop import UNIT

OUTAGES: tuple[Fault, ...] = (
    faults.away(),
    faults.hang(),
    faults.slow(0.02),
    faults.drip(0.01),
    faults.throttled(),
    faults.throttled(1),
    faults.server_error(500),
    faults.server_error(502),
    faults.truncated(),
    faults.cut_off(),
    faults.broken_gzip(),
)
"""What happens to an honest node too: it says nothing wrong, but nothing that can be used."""
MISTAKES: tuple[Fault, ...] = (
    *OUTAGES,
    faults.omit_log(0),
    faults.omit_log(3),
    faults.omit_transaction(0),
    faults.omit_transaction(2),
    faults.reorder_logs(),
    faults.forge_amount(UNIT),
    faults.empty_lists(),
    faults.null_blocks(),
    faults.receipts_pruned(),
    faults.without("eth_getBlockReceipts"),
    faults.without("eth_call"),
    faults.rejected("eth_getBlockReceipts"),
    faults.wrong_chain_id(),
    faults.stale_head(1),
    faults.stale_head(7),
    faults.finality_at(0),
    faults.finality_swinging(3),
    faults.finality_absent(),
)
"""What any number of nodes may do beside an honest one without harm."""
LIES: tuple[Fault, ...] = (*MISTAKES, faults.finality_ahead(5), faults.finality_ahead(100))
"""What one node at a time may do: two that lie together could vouch for each other."""
