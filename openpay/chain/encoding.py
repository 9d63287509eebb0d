"""The consensus encodings of headers, transactions and receipts, as hex digits without `0x`.

Each encoding is injective: the lengths of all fixed-size fields are checked, so that no two different blocks as served
(apart from upper and lower case) give the same bytes. Functions raise `ValueError` for fields that cannot be encoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from openpay.chain.blocks import AccessListItem, Authorization, Header, Log, Receipt, Transaction, read_quantity
from openpay.chain.rlp_hex import address, data, list_of, quantity, word

_TYPE_PREFIX = {"0x0": "", "0x1": "01", "0x2": "02", "0x3": "03", "0x4": "04"}
KNOWN_TYPES = frozenset(_TYPE_PREFIX)
"""The transaction types whose fields are understood."""
_LATER_TYPE = re.compile(r"0x[1-9a-f]|0x[1-7][0-9a-f]", re.ASCII)
"""EIP-2718: up to 0x7f."""


def header(h: Header) -> str:
    """EIP-1559, 4895, 4844, 4788 and 7685 each appended fields; a header ends with the last one its fork knows."""
    fields = [
        word(h.parent_hash),
        word(h.sha3_uncles),
        address(h.miner),
        word(h.state_root),
        word(h.transactions_root),
        word(h.receipts_root),
        data(h.logs_bloom),
        quantity(h.difficulty),
        quantity(h.number),
        quantity(h.gas_limit),
        quantity(h.gas_used),
        quantity(h.timestamp),
        data(h.extra_data),
        word(h.mix_hash),
        data(h.nonce),
    ]
    appended = (
        (quantity, h.base_fee_per_gas),
        (word, h.withdrawals_root),
        (quantity, h.blob_gas_used),
        (quantity, h.excess_blob_gas),
        (word, h.parent_beacon_block_root),
        (word, h.requests_hash),
    )
    fields += [encode(value) for encode, value in appended if value is not None]
    return list_of("".join(fields))


def receipt(r: Receipt) -> str:
    """EIP-2718: the type's byte, then status, gas used so far, bloom and logs - so far for every type there was, so
    that receipts of a type which is not known yet may well prove."""
    logs: list[str] = []
    for log in r.logs:
        if len(log.topics) == 3:
            # Nearly every log is a transfer or looks like one: three topics and one word of data, 155 bytes in all.
            a, b, c = log.topics
            if len(a) == len(b) == len(c) == len(log.data) == 66 and len(log.address) == 42:
                logs.append(f"f89b94{log.address[2:]}f863a0{a[2:]}a0{b[2:]}a0{c[2:]}a0{log.data[2:]}")
                continue
        logs.append(_log(log))
    if len(r.logs_bloom) != 514:
        raise ValueError(f"not a bloom filter of 256 bytes: {r.logs_bloom[:80]}")
    body = f"{quantity(r.status)}{quantity(r.cumulative_gas_used)}b90100{r.logs_bloom[2:]}{list_of(''.join(logs))}"
    return _receipt_type_prefix(r.type) + list_of(body)


def _log(log: Log) -> str:
    topics = "".join([word(topic) for topic in log.topics])
    return list_of(address(log.address) + list_of(topics) + data(log.data))


def transaction(t: Transaction) -> str:
    """The signed transaction: its keccak is the transaction's hash."""
    return _type_prefix(t.type) + list_of(_unsigned_body(t) + _signature(t.signature_parity, t.r, t.s))


def signing_payload(t: Transaction) -> str:
    """What the sender signed: its keccak is the hash that the signature recovers from (EIP-155 for legacy)."""
    if t.type != "0x0":
        return _type_prefix(t.type) + list_of(_unsigned_body(t))
    if t.v is None:
        raise ValueError("legacy transaction without v")
    v = read_quantity(t.v)
    replay_protection = quantity(hex((v - 35) // 2)) + "8080" if v >= 35 else ""
    return list_of(_unsigned_body(t) + replay_protection)


def _unsigned_body(t: Transaction) -> str:
    to = "80" if t.to is None else address(t.to)
    call = f"{quantity(t.gas)}{to}{quantity(t.value)}{data(t.input)}"
    if t.type == "0x0":
        return f"{quantity(t.nonce)}{quantity(t.gas_price)}{call}"
    start = quantity(t.chain_id) + quantity(t.nonce)
    access_list = _access_list(t.access_list) if t.access_list else "c0"
    if t.type == "0x1":
        return f"{start}{quantity(t.gas_price)}{call}{access_list}"
    body = f"{start}{quantity(t.max_priority_fee_per_gas)}{quantity(t.max_fee_per_gas)}{call}{access_list}"
    if t.type == "0x3":
        return body + quantity(t.max_fee_per_blob_gas) + list_of("".join(map(word, t.blob_versioned_hashes)))
    if t.type == "0x4":
        return body + list_of("".join(map(_authorization, t.authorization_list)))
    return body


def _signature(parity: str | None, r: str, s: str) -> str:
    return quantity(parity) + quantity(r) + quantity(s)


def _access_list(items: Iterable[AccessListItem]) -> str:
    return list_of(
        "".join(list_of(address(item.address) + list_of("".join(map(word, item.storage_keys)))) for item in items)
    )


def _authorization(a: Authorization) -> str:
    return list_of(quantity(a.chain_id) + address(a.address) + quantity(a.nonce) + _signature(a.y_parity, a.r, a.s))


def _type_prefix(transaction_type: str) -> str:
    try:
        return _TYPE_PREFIX[transaction_type]
    except KeyError:
        raise ValueError(f"unknown transaction type {transaction_type[:20]}") from None


def _receipt_type_prefix(receipt_type: str) -> str:
    if receipt_type in _TYPE_PREFIX:
        return _TYPE_PREFIX[receipt_type]
    if _LATER_TYPE.fullmatch(receipt_type) is None:
        raise ValueError(f"not a receipt type: {receipt_type[:20]}")
    return quantity(receipt_type)
