"""Block hashing as the specifications describe it, without regard for speed: what the fast proofs are held against.

Works on JSON as nodes serve it (dicts of hex text), on top of the `rlp` package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rlp

from openpay.domain.keccak import keccak

Json = Mapping[str, Any]


def number(text: str) -> bytes:
    value = int(text, 16)
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def raw(text: str | None) -> bytes:
    return bytes.fromhex((text or "0x")[2:])


def header_hash(header: Json) -> bytes:
    fields = [
        raw(header["parentHash"]),
        raw(header["sha3Uncles"]),
        raw(header["miner"]),
        raw(header["stateRoot"]),
        raw(header["transactionsRoot"]),
        raw(header["receiptsRoot"]),
        raw(header["logsBloom"]),
        number(header["difficulty"]),
        number(header["number"]),
        number(header["gasLimit"]),
        number(header["gasUsed"]),
        number(header["timestamp"]),
        raw(header["extraData"]),
        raw(header["mixHash"]),
        raw(header["nonce"]),
    ]
    for name, encode in (
        ("baseFeePerGas", number),
        ("withdrawalsRoot", raw),
        ("blobGasUsed", number),
        ("excessBlobGas", number),
        ("parentBeaconBlockRoot", raw),
        ("requestsHash", raw),
    ):
        if header.get(name) is not None:
            fields.append(encode(header[name]))
    return keccak(rlp.encode(fields))


def transaction(t: Json) -> bytes:
    kind = int(t["type"], 16)
    call = [number(t["gas"]), raw(t["to"]), number(t["value"]), raw(t["input"])]
    parity = t["yParity"] if kind else t["v"]
    signature = [number(parity), number(t["r"]), number(t["s"])]
    if kind == 0:
        return rlp.encode([number(t["nonce"]), number(t["gasPrice"]), *call, *signature])
    access_list = [[raw(item["address"]), [raw(key) for key in item["storageKeys"]]] for item in t["accessList"]]
    start = [number(t["chainId"]), number(t["nonce"])]
    fees = [number(t["gasPrice"])] if kind == 1 else [number(t["maxPriorityFeePerGas"]), number(t["maxFeePerGas"])]
    body = [*start, *fees, *call, access_list]
    if kind == 3:
        body += [number(t["maxFeePerBlobGas"]), [raw(blob) for blob in t["blobVersionedHashes"]]]
    if kind == 4:
        body.append(
            [
                [number(a["chainId"]), raw(a["address"]), *(number(a[name]) for name in ("nonce", "yParity", "r", "s"))]
                for a in t["authorizationList"]
            ]
        )
    return bytes([kind]) + rlp.encode([*body, *signature])


def receipt(r: Json) -> bytes:
    kind = int(r["type"], 16)
    logs = [[raw(log["address"]), [raw(topic) for topic in log["topics"]], raw(log["data"])] for log in r["logs"]]
    body = rlp.encode([number(r["status"]), number(r["cumulativeGasUsed"]), raw(r["logsBloom"]), logs])
    return bytes([kind]) + body if kind else body


def index_trie_root(values: Sequence[bytes]) -> bytes:
    """The root by inserting position by position into sets of (nibbles, value), splitting from the top."""
    if not values:
        return keccak(rlp.encode(b""))
    return keccak(rlp.encode(_node([(rlp.encode(i).hex(), value) for i, value in enumerate(values)])))


def _node(entries: list[tuple[str, bytes]]) -> list[Any]:
    if len(entries) == 1:
        path, value = entries[0]
        return [_path(path, flag=2), value]
    shared = 0
    while len({path[: shared + 1] for path, _ in entries}) == 1:
        shared += 1
    if shared:
        below = _child([(path[shared:], value) for path, value in entries])
        return [_path(entries[0][0][:shared], flag=0), below]
    children: list[Any] = []
    for nibble in "0123456789abcdef":
        group = [(path[1:], value) for path, value in entries if path[0] == nibble]
        children.append(_child(group) if group else b"")
    return [*children, b""]


def _child(entries: list[tuple[str, bytes]]) -> Any:
    node = _node(entries)
    encoded = rlp.encode(node)
    return node if len(encoded) < 32 else keccak(encoded)


def _path(nibbles: str, *, flag: int) -> bytes:
    odd = len(nibbles) % 2
    return bytes.fromhex(f"{flag + odd:x}" + ("" if odd else "0") + nibbles)
