"""Hypothesis strategies for blocks as nodes serve them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def hex_bytes(*, min_size: int = 0, max_size: int = 80) -> st.SearchStrategy[str]:
    return st.binary(min_size=min_size, max_size=max_size).map(lambda data: "0x" + data.hex())


def quantities(bits: int = 256) -> st.SearchStrategy[str]:
    """Small and large numbers alike: the encodings differ at 0, 0x80 and 0x100."""
    return st.one_of(st.integers(0, 300), st.integers(0, 2**bits - 1)).map(hex)


words = hex_bytes(min_size=32, max_size=32)
addresses = hex_bytes(min_size=20, max_size=20)
blooms = st.one_of(st.just("0x" + "00" * 256), hex_bytes(min_size=256, max_size=256))

logs = st.fixed_dictionaries(
    {
        "address": addresses,
        "topics": st.lists(words, max_size=4),
        "data": st.one_of(words, hex_bytes(), hex_bytes(min_size=200, max_size=300)),
    }
)

receipts = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["0x0", "0x1", "0x2", "0x3", "0x4"]),
        "status": st.sampled_from(["0x0", "0x1"]),
        "cumulativeGasUsed": quantities(64),
        "logsBloom": blooms,
        "logs": st.lists(logs, max_size=4),
    }
)

_access_lists = st.lists(
    st.fixed_dictionaries({"address": addresses, "storageKeys": st.lists(words, max_size=2)}), max_size=2
)
_authorizations = st.fixed_dictionaries(
    {
        "chainId": quantities(64),
        "address": addresses,
        "nonce": quantities(64),
        "yParity": st.sampled_from(["0x0", "0x1"]),
        "r": quantities(),
        "s": quantities(),
    }
)


@st.composite
def transactions(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.integers(0, 4))
    fields: dict[str, st.SearchStrategy[Any]] = {
        "nonce": quantities(60),
        "gas": quantities(64),
        "to": st.one_of(st.none(), addresses),
        "value": quantities(),
        "input": hex_bytes(max_size=300),
        "r": quantities(),
        "s": quantities(),
    }
    if kind == 0:
        fields |= {"gasPrice": quantities(), "v": st.sampled_from(["0x1b", "0x1c", "0x93", "0x94", "0xf4f5"])}
    else:
        fields |= {"chainId": quantities(64), "accessList": _access_lists, "yParity": st.sampled_from(["0x0", "0x1"])}
    if kind == 1:
        fields |= {"gasPrice": quantities()}
    if kind >= 2:
        fields |= {"maxPriorityFeePerGas": quantities(), "maxFeePerGas": quantities()}
    if kind == 3:
        fields |= {"maxFeePerBlobGas": quantities(), "blobVersionedHashes": st.lists(words, max_size=3)}
    if kind == 4:
        fields |= {"authorizationList": st.lists(_authorizations, max_size=2)}
    return {"type": hex(kind)} | draw(st.fixed_dictionaries(fields))


_APPENDED = (
    ("baseFeePerGas", quantities(64)),
    ("withdrawalsRoot", words),
    ("blobGasUsed", quantities(64)),
    ("excessBlobGas", quantities(64)),
    ("parentBeaconBlockRoot", words),
    ("requestsHash", words),
)


@st.composite
def headers(draw: st.DrawFn) -> dict[str, Any]:
    """A header of any fork: from none of the appended fields to all of them, in their order."""
    fields = {
        "hash": words,
        "parentHash": words,
        "sha3Uncles": words,
        "miner": addresses,
        "stateRoot": words,
        "transactionsRoot": words,
        "receiptsRoot": words,
        "logsBloom": blooms,
        "difficulty": quantities(64),
        "number": quantities(60),
        "gasLimit": quantities(64),
        "gasUsed": quantities(64),
        "timestamp": quantities(36),
        "extraData": hex_bytes(max_size=600),
        "mixHash": words,
        "nonce": hex_bytes(min_size=8, max_size=8),
    }
    known_forks = draw(st.sampled_from([0, 1, 2, 5, 6]))
    return draw(st.fixed_dictionaries(fields | dict(_APPENDED[:known_forks])))
