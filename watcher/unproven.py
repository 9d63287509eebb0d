"""Telling the operator of blocks that hosts agree on in place of a proof: once for each streak of them."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from openpay.chain.digest import DigestedBlock
from openpay.chain.errors import NotAgreed, Part
from openpay.chain.proofs import ProvenBlock
from openpay.domain.alerts import Alarm, AlertKind

_WHAT = {
    Part.HEADER: "its header has a form that Open Pay does not know, and is followed as hosts agree on it. "
    "Look for an update of Open Pay.",
    Part.TRANSACTIONS: "it holds transactions of a type that Open Pay does not know, which are not read, and listed as "
    "hosts agree on them. Look for an update of Open Pay.",
    Part.LOGS: "no endpoint gives its receipts, and its logs are those that hosts agree on. "
    "Add an endpoint that offers eth_getBlockReceipts.",
}

_log = structlog.get_logger(__name__)


class Unproven:
    """What of the newest blocks of one chain was not proven."""

    def __init__(self, alarm: Alarm, chain_id: int) -> None:
        self._alarm = alarm
        self._chain_id = chain_id
        self._told: set[Part] = set()
        self._may_be_open: set[Part] = set(Part)
        """Alerts that may still stand; at first all, because an earlier process may have raised them."""

    def committed(self, blocks: Sequence[ProvenBlock | DigestedBlock]) -> None:
        """These blocks were committed: the streak of each part begins, goes on, or is over."""
        agreed = {part: block.number for block in reversed(blocks) for part in block.agreed}
        for part, number in agreed.items():
            if part not in self._told:
                self._told.add(part)
                self._raise(part, f"block {number} is not proven: {_WHAT[part]}")
        newest = blocks[-1]
        over = self._may_be_open - newest.agreed
        for part in over:
            self._alarm.clear(AlertKind.BLOCK_NOT_PROVEN, self._chain_id, subject=part.value)
        self._may_be_open -= over
        self._told -= over

    def held(self, error: NotAgreed) -> None:
        """Hosts would have to agree, and do not: the chain is not followed any further."""
        self._told.discard(error.part)
        self._raise(error.part, str(error))

    def _raise(self, part: Part, detail: str) -> None:
        self._may_be_open.add(part)
        _log.error("block not proven", chain_id=self._chain_id, part=part.value, detail=detail)
        self._alarm.raise_(AlertKind.BLOCK_NOT_PROVEN, self._chain_id, subject=part.value, detail=detail)
