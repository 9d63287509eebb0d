"""Payments known only by old API answers: the terms back from their JSON, checked against the address they give.

The answers are all that is needed to find, settle or refund every coin, because the deposit address is computed from
the terms. Here they are read and checked; `openpay.domain.custody` says what can be done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from openpay.domain.address import parse_address
from openpay.domain.terms import Terms, payment_key
from openpay.domain.vaults import vault_address
from openpay.errors import Invalid, InvariantViolated


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One payment as its API answer describes it. `symbols` by contract, None being the chain's own coin."""

    payment_id: str
    chain_id: int
    escrow: bytes
    terms: Terms
    address: bytes
    symbols: Mapping[bytes | None, str]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a file holds: claims, each deposit address once, and in words what could not be used."""

    claims: tuple[Claim, ...]
    faults: tuple[str, ...]


def read_answers(text: str) -> Answers:
    """Read saved API answers: payments, lists of them as `GET /v1/payments` gives them, as one JSON or one per line.

    An answer whose terms do not lead to its deposit address was altered or cut, and is named as a fault.
    """
    claims: dict[tuple[int, bytes], Claim] = {}
    faults: list[str] = []
    for place, answer in _answers(text, faults):
        try:
            claim = _claim(answer)
        except (KeyError, TypeError, ValueError, OverflowError, Invalid, InvariantViolated) as error:
            faults.append(f"{place}: {_payment_id(answer)} cannot be used: {_words(error)}")
            continue
        claims.setdefault((claim.chain_id, claim.address), claim)
    return Answers(claims=tuple(claims.values()), faults=tuple(faults))


def _answers(text: str, faults: list[str]) -> Iterator[tuple[str, Any]]:
    """Each payment with the place where it stands."""
    try:
        documents = [("the file", json.loads(text))]
    except (ValueError, RecursionError):  # not one document: one on each line, then
        documents = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    documents.append((f"line {number}", json.loads(line)))
                except (ValueError, RecursionError) as error:
                    faults.append(f"line {number}: not JSON: {error}")
    for place, document in documents:
        yield from _payments(place, document)


def _payments(place: str, document: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        document = document["data"]
    if isinstance(document, list):
        for number, each in enumerate(document, 1):
            yield f"{place}, item {number}", each
    else:
        yield place, document


def _claim(answer: Any) -> Claim:
    deposit = answer["deposit"]
    given = deposit["terms"]
    terms = Terms(
        merchant=parse_address(given["merchant"], param="merchant"),
        operator=parse_address(given["operator"], param="operator"),
        usd=int(given["usd"]),
        slippage_bps=int(given["slippageBps"]),
        underpayment_bps=int(given["underpaymentBps"]),
        quoted_at=int(given["quotedAt"]),
        expiry=int(given["expiry"]),
        round=int(given["round"]),
        assets=int(given["assets"]),
        payment_key=bytes.fromhex(str(given["paymentId"]).removeprefix("0x")),
    )
    escrow = parse_address(deposit["escrow"], param="escrow")
    address = parse_address(deposit["address"], param="address")
    if vault_address(escrow, terms.id()) != address:
        raise ValueError("its terms do not lead to its deposit address, so one of them was changed")
    payment_id = _payment_id(answer)
    if payment_key(payment_id) != terms.payment_key:
        # `--refund` names a payment by its id: another's id must not lead to this one's money.
        raise ValueError("its id is not the one in its terms, so one of them was changed")
    return Claim(
        payment_id=payment_id,
        chain_id=int(deposit["chain_id"]),
        escrow=escrow,
        terms=terms,
        address=address,
        symbols={
            None if each["contract"] is None else parse_address(each["contract"]): str(each["token"])
            for each in deposit.get("amounts", ())
        },
    )


def _payment_id(answer: Any) -> str:
    """As the answer writes it; printable, because it is shown on terminals."""
    if not isinstance(answer, dict):
        return "what stands there"
    text = str(answer.get("id", "a payment without id"))[:60]
    return text if text.isprintable() else ascii(text)


def _words(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
