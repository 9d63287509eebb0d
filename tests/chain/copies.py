"""Hosts that serve copies of one real block, each changed as a test wishes."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from openpay.chain.offers import Offers
from openpay.chain.pool import Pool
from openpay.chain.rpc import Endpoint
from tests.chain.fake_node import FakeNode, serve
from tests.chain.real_blocks import Served

NOT_OFFERED = ValueError({"code": -32601, "message": "the method eth_getBlockReceipts does not exist/is not available"})
NO_BLOCK = ValueError({"code": -32000, "message": "header not found"})


class Copy(FakeNode):
    """A host that has one block: `block`, `receipts` and `logs` are its own JSON, free to be changed."""

    def __init__(self, served: Served) -> None:
        self.block: dict[str, Any] = copy.deepcopy(served.block)
        self.receipts: list[dict[str, Any]] = copy.deepcopy(served.receipts)
        self.logs: list[dict[str, Any]] = [log for receipt in self.receipts for log in copy.deepcopy(receipt["logs"])]
        self.listed = [each["hash"] for each in self.block["transactions"]]
        super().__init__(
            eth_chainId="0x7a69",
            eth_getBlockByHash=self._by_hash,
            eth_getBlockByNumber=lambda name, full: self.block if name in ("latest", self.block["number"]) else None,
            eth_getBlockReceipts=lambda name: self.receipts,
            eth_getLogs=lambda wanted: self.logs,
            eth_getTransactionReceipt=self._receipt,
        )

    def _by_hash(self, name: str, full: bool) -> dict[str, Any] | None:
        if name != self.block["hash"]:
            return None
        return self.block if full else {**self.block, "transactions": self.listed}

    def _receipt(self, name: str) -> dict[str, Any] | None:
        return next((each for each in self.receipts if each["transactionHash"] == name), None)

    def hide_field(self) -> None:
        """Have a header of a later fork: one of the fields that its hash covers has a name that nobody knows yet."""
        self.block["fieldOfALaterFork"] = self.block.pop("requestsHash")

    def make_transaction_unknown(self, index: int) -> None:
        """Have a transaction of a later type at `index`."""
        self.block["transactions"][index] |= {"type": "0x6", "calls": [{"to": "0x" + "11" * 20}]}

    def offer_no_receipts(self) -> None:
        self.results["eth_getBlockReceipts"] = NOT_OFFERED


class ManualClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def pool_of(*nodes: FakeNode, clock: ManualClock | None = None) -> AsyncIterator[Pool]:
    """A pool over these hosts. `clock` tells how long ago an endpoint refused a method."""
    async with serve(*nodes) as urls, aiohttp.ClientSession() as session:
        endpoints = [Endpoint(url, session, timeout_s=2) for url in urls]
        if clock is not None:
            for endpoint in endpoints:
                endpoint.offers = Offers(clock)
        yield Pool(endpoints, chain_id=31337)
