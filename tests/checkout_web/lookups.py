"""Transactions that customers name, the nodes that know of them, and the page's answers as one reads them."""

from __future__ import annotations

import re
from typing import Any

from openpay.domain.finding import SeenTransaction, TransactionState, Transfer
from openpay.domain.payment import Payment
from openpay.errors import ChainUnavailable
from tests.checkout_web.scenes import USDT, WHOLE

SCRIPT = {"Accept": "application/json", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
"""How the page's own script asks."""
HASH = bytes([0xAB]) * 32


class Nodes:
    """What the nodes show of transactions, by hash. `is_away`: none of them answers."""

    def __init__(self) -> None:
        self.known: dict[bytes, SeenTransaction] = {}
        self.asked: list[bytes] = []
        self.is_away = False

    async def seen(self, chain_id: int, tx_hash: bytes) -> SeenTransaction | None:
        self.asked.append(tx_hash)
        if self.is_away:
            raise ChainUnavailable("all nodes are away")
        return self.known.get(tx_hash)

    def show(self, *transfers: Transfer, state: TransactionState = TransactionState.SUCCEEDED, **changes: Any) -> str:
        """Have `HASH` known as this; returns what a customer pastes."""
        block = None if state is TransactionState.PENDING else 5_000
        fields = {"calls_contract": False, "block_number": block, "block_time": None} | changes
        self.known[HASH] = SeenTransaction(state=state, transfers=transfers, **fields)
        return "0x" + HASH.hex()


def to_us(payment: Payment, whole: int = 25, contract: bytes | None = USDT.contract) -> Transfer:
    return Transfer(contract=contract, to=payment.address, units=whole * WHOLE)


def kind(html: str) -> str:
    (found,) = re.findall(r'data-found="(\w+)"', html)
    return str(found)


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html)).strip()
