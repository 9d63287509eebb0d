"""The fast encodings give the bytes that the specifications give."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from openpay.chain import encoding, rlp_hex
from openpay.chain.blocks import Header, Log, Receipt, Transaction, read_bytes, read_quantity
from openpay.chain.trie import index_trie_root
from tests.chain import naive, strategies


@given(strategies.quantities())
def test_quantity_is_encoded_like_its_big_endian_bytes(text: str) -> None:
    assert rlp_hex.quantity(text) == rlp.encode(naive.number(text)).hex()


@given(st.one_of(strategies.hex_bytes(), strategies.hex_bytes(min_size=250, max_size=260)))
def test_byte_string_is_encoded_like_rlp(text: str) -> None:
    assert rlp_hex.data(text) == rlp.encode(naive.raw(text)).hex()


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 65535, 65536, 70000])
def test_lengths_around_each_header_size_are_encoded_like_rlp(size: int) -> None:
    text = "0x" + "ab" * size
    assert rlp_hex.data(text) == rlp.encode(bytes.fromhex(text[2:])).hex()
    assert rlp_hex.list_of("ab" * size)[: -2 * size or None] == rlp.codec.length_prefix(size, 0xC0).hex()


@pytest.mark.parametrize("text", ["0x", "0x00", "0x01", "", "5", "0x" + "1" * 65])
def test_quantity_not_written_as_json_rpc_writes_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        rlp_hex.quantity(text)


def test_half_a_byte_is_refused() -> None:
    with pytest.raises(ValueError):
        rlp_hex.data("0x123")


@given(strategies.transactions())
def test_transaction_is_encoded_like_its_specification(served: dict[str, Any]) -> None:
    transaction = msgspec.convert(served, Transaction)
    assert bytes.fromhex(encoding.transaction(transaction)) == naive.transaction(served)


@given(strategies.receipts)
def test_receipt_is_encoded_like_its_specification(served: dict[str, Any]) -> None:
    receipt = msgspec.convert(served, Receipt)
    assert bytes.fromhex(encoding.receipt(receipt)) == naive.receipt(served)


@given(strategies.headers())
def test_header_of_every_fork_is_encoded_like_its_specification(served: dict[str, Any]) -> None:
    header = msgspec.convert(served, Header)
    assert naive.keccak(bytes.fromhex(encoding.header(header))) == naive.header_hash(served)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=300))
def test_trie_root_equals_the_naive_one(values: list[bytes]) -> None:
    assert index_trie_root((value.hex() for value in values), count=len(values)) == naive.index_trie_root(values)


@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 127, 128, 129, 130, 255, 256, 257, 1000])
def test_trie_root_is_right_where_keys_grow_longer(count: int) -> None:
    values = [b"\x80" + i.to_bytes(40, "big") for i in range(count)]
    assert index_trie_root((value.hex() for value in values), count=len(values)) == naive.index_trie_root(values)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_count_is_refused(count: int) -> None:
    with pytest.raises(ValueError):
        index_trie_root(["aa" * 40, "bb" * 40], count=count)


def test_yparity_and_its_older_name_v_mean_the_same() -> None:
    served = {"type": "0x2", "chainId": "0x38", "nonce": "0x1", "gas": "0x5208", "value": "0x1", "input": "0x"}
    served |= {"maxPriorityFeePerGas": "0x1", "maxFeePerGas": "0x2", "r": "0x3", "s": "0x4"}
    encoded = {
        encoding.transaction(msgspec.convert(served | parity, Transaction))
        for parity in ({"v": "0x1"}, {"yParity": "0x1"}, {"yParity": "0x1", "v": "0x25"})
    }
    assert len(encoded) == 1


def _log(**changes: Any) -> Log:
    return Log(**({"address": "0x" + "aa" * 20, "topics": ("0x" + "bb" * 32,) * 3, "data": "0x" + "cc" * 32} | changes))


@pytest.mark.parametrize(
    "log",
    [
        _log(address="0x" + "aa" * 21),
        _log(address="0x" + "aa" * 19),
        _log(topics=("0x" + "bb" * 33, "0x" + "bb" * 31, "0x" + "bb" * 32)),
        _log(topics=("0x" + "bb" * 32, "0x")),
        _log(data="0x" + "c" * 65),
    ],
)
def test_fields_of_the_wrong_length_are_refused_rather_than_shifted_into_each_other(log: Log) -> None:
    receipt = Receipt(status="0x1", cumulative_gas_used="0x1", logs_bloom="0x" + "00" * 256, logs=(log,))
    with pytest.raises(ValueError):
        encoding.receipt(receipt)


@pytest.mark.parametrize("text", ["0x10", "0b10", "0o10", "1_10", " +10"])
def test_prefix_never_changes_the_value_that_is_read(text: str) -> None:
    # int("0b10", 16) would be 0xb10 while the proofs hash 0x10.
    assert read_quantity(text) == 0x10
    assert read_bytes(text) == b"\x10"
    assert rlp_hex.quantity("0x10") == "10"


@given(strategies.receipts, st.integers(5, 0x7F))
def test_receipt_of_a_later_type_is_encoded_like_every_typed_receipt_so_far(served: dict[str, Any], later: int) -> None:
    known = naive.receipt(served | {"type": "0x2"})
    receipt = msgspec.convert(served | {"type": hex(later)}, Receipt)
    assert bytes.fromhex(encoding.receipt(receipt)) == bytes([later]) + known[1:]


@pytest.mark.parametrize("text", ["", "0x", "0x80", "0x05", "0x100", "5", "0xA", "0x1\n", "-0x5"])
def test_receipt_type_that_none_can_be_is_refused(text: str) -> None:
    receipt = Receipt(status="0x1", cumulative_gas_used="0x1", logs_bloom="0x" + "00" * 256, logs=(), type=text)
    with pytest.raises(ValueError):
        encoding.receipt(receipt)
