"""The escrow's calls, events and errors as bytes. Selectors and topics come from the compiled contract alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from openpay.chain.artifacts import load_artifact
from openpay.chain.blocks import Log, read_bytes
from openpay.domain.address import ZERO_ADDRESS
from openpay.domain.keccak import keccak
from openpay.domain.terms import Terms

WORD = 32


@dataclass(frozen=True, kw_only=True)
class EscrowEvent:
    """One decoded log of the escrow that moved money.

    `name` is Settled, Swept, Refunded, Rescued or Withdrawn. `terms_id` is None for Withdrawn, which belongs to no
    payment. `account` is the merchant for Settled, Swept and Withdrawn, the receiver for Refunded and Rescued.
    `contract` is the token's, None for the chain's own coin; `units` in its base unit. `receiver`: where a withdrawal
    went, None for the other names.
    """

    name: str
    terms_id: bytes | None
    account: bytes
    contract: bytes | None
    units: int
    receiver: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where an event keeps what `EscrowEvent` wants: positions among the topics (0 is the signature) and data words."""

    terms_id: int | None
    account: int
    token: int
    units: int
    receiver: int | None = None


_MONEY_EVENTS = {
    "Settled": _Layout(terms_id=1, account=2, token=3, units=1),
    "Swept": _Layout(terms_id=1, account=2, token=3, units=0),
    "Refunded": _Layout(terms_id=1, account=3, token=2, units=1),
    "Rescued": _Layout(terms_id=1, account=3, token=2, units=1),
    "Withdrawn": _Layout(terms_id=None, account=1, token=2, units=0, receiver=3),
}


def decode_log(log: Log) -> EscrowEvent | None:
    """What a log of the escrow's own address says; None for events that move no money."""
    topics = [read_bytes(topic) for topic in log.topics]
    name = event_topics().get(topics[0]) if topics else None
    if name is None:
        return None
    layout, data = _MONEY_EVENTS[name], read_bytes(log.data)
    token = topics[layout.token][-20:]
    return EscrowEvent(
        name=name,
        terms_id=None if layout.terms_id is None else topics[layout.terms_id],
        account=topics[layout.account][-20:],
        contract=None if token == ZERO_ADDRESS else token,
        units=int.from_bytes(data[layout.units * WORD : (layout.units + 1) * WORD], "big"),
        receiver=None if layout.receiver is None else topics[layout.receiver][-20:],
    )


@cache
def event_topics() -> Mapping[bytes, str]:
    """First topics of the events that move money, and their names."""
    topics = {keccak(_signature(entry).encode()): str(entry["name"]) for entry in _entries("event")}
    return {topic: name for topic, name in topics.items() if name in _MONEY_EVENTS}


@cache
def _error_names() -> Mapping[bytes, str]:
    return {keccak(_signature(entry).encode())[:4]: str(entry["name"]) for entry in _entries("error")}


def error_name(revert_data: bytes) -> str | None:
    """The escrow's name for why it reverted; None for anything else, such as a token's or a feed's own reason."""
    return _error_names().get(revert_data[:4])


def settle_data(terms: Terms, asset_index: int) -> bytes:
    """`settle(terms, asset)`. Terms are a static tuple, so their encoding stands in the arguments as it is."""
    return selector("settle") + terms.encode() + asset_index.to_bytes(WORD, "big")


def settle_many_data(items: Sequence[tuple[Terms, int]]) -> bytes:
    """`settleMany(terms[], assets[])`. Terms are static: an array of them is its length and their encodings."""
    count = len(items).to_bytes(WORD, "big")
    terms = count + b"".join(each.encode() for each, _ in items)
    assets = count + b"".join(index.to_bytes(WORD, "big") for _, index in items)
    heads = (2 * WORD).to_bytes(WORD, "big") + (2 * WORD + len(terms)).to_bytes(WORD, "big")
    return selector("settleMany") + heads + terms + assets


def read_settled(answer: bytes, count: int) -> list[bool]:
    """What `settleMany` returns: whether each item was settled. Raises `ValueError` for another shape."""
    words = [int.from_bytes(answer[at : at + WORD], "big") for at in range(0, len(answer), WORD)]
    if len(answer) != (2 + count) * WORD or words[:2] != [WORD, count] or not set(words[2:]) <= {0, 1}:
        raise ValueError(f"settleMany answered {len(answer)} bytes for {count} items")
    return [word == 1 for word in words[2:]]


def due_data(terms: Terms, asset_index: int) -> bytes:
    """`due(terms, asset)`, which answers two words: full and min."""
    return selector("due") + terms.encode() + asset_index.to_bytes(WORD, "big")


def refund_data(terms: Terms, contract: bytes | None, to: bytes, units: int) -> bytes:
    """`refund(terms, token, to, amount)`."""
    return selector("refund") + terms.encode() + address_word(contract) + address_word(to) + units.to_bytes(WORD, "big")


def sweep_data(terms: Terms, contract: bytes | None) -> bytes:
    """`sweep(terms, token)`."""
    return selector("sweep") + terms.encode() + address_word(contract)


def withdraw_data(contract: bytes | None, units: int, to: bytes) -> bytes:
    """`withdraw(token, amount, to)`, which only the merchant itself may call."""
    return selector("withdraw") + address_word(contract) + units.to_bytes(WORD, "big") + address_word(to)


def withdraw_for_data(merchant: bytes, contract: bytes | None) -> bytes:
    """`withdrawFor(merchant, token)`."""
    return selector("withdrawFor") + address_word(merchant) + address_word(contract)


def balance_of_data(merchant: bytes, contract: bytes | None) -> bytes:
    """`balanceOf(merchant, token)`: what the treasury holds, one word."""
    return selector("balanceOf") + address_word(merchant) + address_word(contract)


def address_word(address: bytes | None) -> bytes:
    """An address as an argument; None is the zero address, by which contracts name the chain's own coin."""
    return (address or ZERO_ADDRESS).rjust(WORD, b"\0")


@cache
def selector(function: str, contract: str = "Escrow") -> bytes:
    """The first four bytes of a call. Raises `ValueError` unless the contract has exactly one function of that name."""
    (entry,) = [each for each in _entries("function", contract) if each["name"] == function]
    return keccak(_signature(entry).encode())[:4]


def _entries(kind: str, contract: str = "Escrow") -> list[dict[str, Any]]:
    return [entry for entry in load_artifact(contract).abi if entry["type"] == kind]


def _signature(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']}({','.join(_type(each) for each in entry['inputs'])})"


def _type(parameter: Mapping[str, Any]) -> str:
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(each) for each in parameter['components'])}){kind.removeprefix('tuple')}"
