"""A customer's payment: what the API answered, what is to be sent, and what was."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from openpay.client import Payment
from openpay.domain.terms import Terms
from scripts.simulation.behaviours import Outcome, Quote, Send
from scripts.simulation.customer import Customer


@dataclass(kw_only=True)
class Order:
    """A customer and the payment made for it."""

    customer: Customer
    payment: Payment
    terms: Terms
    quotes: dict[str, Quote]
    expected: Outcome
    queue: deque[Send] = field(default_factory=deque)
    sent: list[tuple[Send, int]] = field(default_factory=list)
    """Transfers that are in the canonical chain, with their base units."""

    @property
    def id(self) -> str:
        return self.payment["id"]

    @property
    def vault(self) -> bytes:
        return bytes.fromhex(self.payment["deposit"]["address"][2:])
