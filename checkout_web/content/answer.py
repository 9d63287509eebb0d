"""What the page says of a transaction that a customer named, ready to be written."""

from __future__ import annotations

from dataclasses import dataclass

TOO_OFTEN = "too_often"
"""Not a finding: the visitor asked more often than allowed."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the page says. `kind` is a `Finding`, a `Form` or `TOO_OFTEN`, and chooses the words.

    `text` stays in the field: the hash as it was read, and nothing else that somebody typed. Amounts are text in whole
    tokens, addresses have their capitals; what does not belong to the kind is None, False or 0.
    """

    kind: str
    text: str = ""
    token: str | None = None
    amount: str | None = None
    remaining: str | None = None
    confirmations: int | None = None
    contract: str | None = None
    sent_to: str | None = None
    is_pending: bool = False
    may_be_internal: bool = False
    has_prefix: bool = True
    other_network: str | None = None
    """Where a link's host says that the transaction is, unless that is this payment's own network."""
    digits: int = 0
    is_our_address: bool = False
