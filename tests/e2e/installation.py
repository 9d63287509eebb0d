"""What the tests hold of a running Open Pay: its API, its chain, and a customer who pays."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from openpay.chain.escrow_abi import event_topics, selector
from openpay.chain.signing import Signer
from openpay.client import OpenPay, Payment
from tests.support.anvil import Node

UNIT = 10**18
PATIENCE_S = 180.0
"""For a step of a payment, on a machine that is busy with other tests."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A running Open Pay by the content of its dev.json, or the like of it."""

    facts: Mapping[str, Any]

    @cached_property
    def api(self) -> OpenPay:
        return OpenPay(self.facts["api_key"], self.facts["api_url"])

    @cached_property
    def node(self) -> Node:
        return Node(self.facts["rpc_urls"][0])

    # --- the merchant ------------------------------------------------------------------------------------------------

    def create(self, *tokens: str, amount: str = "25.00") -> Payment:
        """Ask for a payment in `tokens`, by default all there are."""
        if not tokens:
            return self.api.payments.create(amount=amount, currency="USD")
        return self.api.payments.create(amount=amount, currency="USD", accepted_tokens=tokens)

    def now(self, payment: Payment) -> Payment:
        return self.api.payments.retrieve(payment["id"])

    def until(self, payment: Payment, *statuses: str) -> Payment:
        """The payment once it is in one of `statuses`. Raises `TimeoutError` naming the one it is in instead."""
        return self.until_seen(payment, lambda seen: seen["status"] in statuses, " or ".join(statuses))

    def until_settled(self, payment: Payment) -> Payment:
        def settled(seen: Payment) -> bool:
            return seen["settlement"] is not None and seen["settlement"]["status"] == "settled"

        return self.until_seen(payment, settled, "settled")

    def until_seen(self, payment: Payment, wanted: Callable[[Payment], bool], what: str) -> Payment:
        deadline = time.monotonic() + PATIENCE_S
        while not wanted(seen := self.now(payment)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {PATIENCE_S:.0f} s not {what} but {seen}")
            time.sleep(0.05)
        return seen

    # --- the customer ------------------------------------------------------------------------------------------------

    def pay(self, payment: Payment, token: str, units: int | None = None) -> str:
        """Send the customer's transfer of `units`, by default what remains to be paid; its transaction's hash."""
        (offer,) = (each for each in payment["deposit"]["amounts"] if each["token"] == token)
        return self.transfer(token, payment["deposit"]["address"], units or int(offer["remaining_units"]))

    def transfer(self, token: str, to: str, units: int) -> str:
        raw = self.signed_transfer(token, to, units)
        tx_hash: str = self.node.rpc("eth_sendRawTransaction", raw)
        return tx_hash

    def signed_transfer(self, token: str, to: str, units: int, *, nonce: int | None = None) -> str:
        """The customer's transaction as hex; `nonce` by default the next one that the node knows of."""
        customer = self.facts["customer"]
        if nonce is None:
            nonce = int(self.node.rpc("eth_getTransactionCount", customer["address"], "pending"), 16)
        contract = self.facts["contracts"]["tokens"].get(token)
        data = b"" if contract is None else _transfer_data(to, units)
        signed = Signer(bytes.fromhex(customer["private_key"][2:])).sign(
            chain_id=self.facts["chain_id"],
            nonce=nonce,
            to=bytes.fromhex((contract or to)[2:]),
            gas=120_000,
            gas_price=2 * 10**10,
            data=data,
            value=0 if contract else units,
        )
        return "0x" + signed.raw.hex()

    # --- the chain ---------------------------------------------------------------------------------------------------

    def settled_logs(self) -> list[str]:
        """The terms ids of every `Settled` log of the escrow, oldest first."""
        (topic,) = (topic for topic, name in event_topics().items() if name == "Settled")
        logs = self.node.rpc(
            "eth_getLogs",
            {"fromBlock": "0x0", "address": self.facts["contracts"]["escrow"], "topics": ["0x" + topic.hex()]},
        )
        return [log["topics"][1] for log in logs]

    def balance(self, token: str, address: str) -> int:
        """Base units of a token, or of BNB, that an address holds."""
        contract = self.facts["contracts"]["tokens"].get(token)
        if contract is None:
            return int(self.node.rpc("eth_getBalance", address, "latest"), 16)
        data = selector("balanceOf", "TestToken") + bytes.fromhex(address[2:]).rjust(32, b"\0")
        return int(self.node.rpc("eth_call", {"to": contract, "data": "0x" + data.hex()}, "latest"), 16)


def _transfer_data(to: str, units: int) -> bytes:
    return selector("transfer", "TestToken") + bytes.fromhex(to[2:]).rjust(32, b"\0") + units.to_bytes(32, "big")
