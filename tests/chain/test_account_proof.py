"""Proofs of accounts: what proves a balance, and what does not."""

from __future__ import annotations

from contextlib import suppress

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from openpay.chain.account_proof import MOST_NODE_BYTES, MOST_NODES, proven_balance
from openpay.domain.keccak import keccak
from tests.support.anvil import ACCOUNTS, Anvil

ADDRESS = b"\x11" * 20
EMPTY_CODE, NO_STORAGE = keccak(b""), keccak(b"\x80")


def state(balances: dict[bytes, int]) -> HexaryTrie:
    """A state trie as headers commit to it: keccak of the address to nonce, balance, storage root and code hash."""
    trie = HexaryTrie({})
    for address, wei in balances.items():
        trie[keccak(address)] = rlp.encode([1, wei, NO_STORAGE, EMPTY_CODE])
    return trie


def proof(trie: HexaryTrie, address: bytes) -> list[bytes]:
    return [rlp.encode(node) for node in trie.get_proof(keccak(address))]  # type: ignore[no-untyped-call]


addresses = st.binary(min_size=20, max_size=20)
states = st.dictionaries(addresses, st.integers(0, 2**128), min_size=1, max_size=20)


@given(balances=states, stranger=addresses)
def test_every_account_is_proven_and_so_is_the_absence_of_one(balances: dict[bytes, int], stranger: bytes) -> None:
    trie = state(balances)
    for address in (*balances, stranger):
        found = proven_balance(proof(trie, address), address, state_root=trie.root_hash)
        assert found == balances.get(address, 0)


@given(balances=states, data=st.data())
def test_no_alteration_of_a_proof_proves_another_balance(balances: dict[bytes, int], data: st.DataObject) -> None:
    trie = state(balances)
    address = data.draw(st.sampled_from(sorted(balances)))
    nodes = proof(trie, address)
    altered = bytearray(b"".join(nodes))
    at = data.draw(st.integers(0, len(altered) - 1))
    altered[at] ^= data.draw(st.integers(1, 255))
    cut, served = 0, []
    for node in nodes:
        served.append(bytes(altered[cut : cut + len(node)]))
        cut += len(node)
    dropped = data.draw(st.sets(st.integers(0, len(served) - 1)))
    for attempt in (served, [node for index, node in enumerate(nodes) if index not in dropped]):
        with suppress(ValueError):
            assert proven_balance(attempt, address, state_root=trie.root_hash) == balances[address]


@given(nodes=st.lists(st.binary(max_size=80), max_size=6))
def test_noise_is_refused_in_one_way_only(nodes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="proves no account"):
        proven_balance(nodes, ADDRESS, state_root=b"\x07" * 32)


@pytest.mark.parametrize(
    "nodes",
    [[b"\xc0"] * (MOST_NODES + 1), [b"\xc0" * (MOST_NODE_BYTES + 1)], [b"\xc1" * MOST_NODE_BYTES], []],
    ids=["too many", "too long", "nested a thousand levels deep", "none"],
)
def test_hostile_proofs_are_refused(nodes: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"proves no account|no path"):
        proven_balance(nodes, ADDRESS, state_root=b"\x07" * 32)


def test_balance_of_another_account_proves_nothing() -> None:
    trie = state({ADDRESS: 5, b"\x12" * 20: 7})
    with pytest.raises(ValueError, match="Missing proof node"):
        proven_balance(proof(trie, b"\x12" * 20), ADDRESS, state_root=trie.root_hash)


def test_account_that_is_no_account_is_refused() -> None:
    trie = HexaryTrie({})
    trie[keccak(ADDRESS)] = rlp.encode([1, b"\x00\x05", NO_STORAGE, EMPTY_CODE])
    with pytest.raises(ValueError, match="proves no account"):
        proven_balance(proof(trie, ADDRESS), ADDRESS, state_root=trie.root_hash)


def test_real_node_proves_balances_at_old_and_new_blocks(anvil: Anvil) -> None:
    to = "0x" + ADDRESS.hex()
    for wei in (5, 6):
        anvil.receipt(anvil.send(from_=ACCOUNTS[0].address, to=to, value=wei))
    anvil.mine(3)
    for number, expected in [(0, 0), (1, 5), (2, 11), (anvil.block_number(), 11)]:
        block = anvil.block(number)
        served = anvil.rpc("eth_getProof", to, [], {"blockHash": block["hash"]})["accountProof"]
        nodes = [bytes.fromhex(node[2:]) for node in served]
        assert proven_balance(nodes, ADDRESS, state_root=bytes.fromhex(block["stateRoot"][2:])) == expected
        with pytest.raises(ValueError, match="proves no account"):
            proven_balance(nodes, ADDRESS, state_root=b"\x07" * 32)
