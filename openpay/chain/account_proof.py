"""Proofs of an account's balance against the state root of a header, so that one node's word is enough.

EIP-1186 (`eth_getProof`): the nodes of the state trie from the root down to the account. Yellow Paper, section 4.1 and
appendix D.
"""

from __future__ import annotations

from collections.abc import Sequence

import rlp
from msgspec import Struct
from rlp.exceptions import RLPException
from trie.exceptions import BadTrieProof, InvalidNode, ValidationError
from trie.hexary import HexaryTrie

from openpay.chain.blocks import HexBytes
from openpay.chain.reads import BlockName, hex_text, state_at
from openpay.chain.rpc import Call
from openpay.domain.keccak import keccak

PROOF = "eth_getProof"
MOST_NODES = 64
"""A path has as many digits as a hash."""
MOST_NODE_BYTES = 1_024
"""A branch has at most 17 entries, of 33 bytes each."""

_MALFORMED = (
    BadTrieProof,
    InvalidNode,
    ValidationError,
    RLPException,
    ValueError,
    TypeError,
    LookupError,
    RecursionError,
)
"""What reading a node that is none may raise."""


class AccountProof(Struct, frozen=True, gc=False, rename="camel"):
    """The encoded nodes, root first. The values that a node serves beside them are not read."""

    account_proof: tuple[HexBytes, ...]


def account_proof(address: bytes, at: BlockName) -> Call[AccountProof]:
    return Call(AccountProof, PROOF, (hex_text(address), (), state_at(at)))


def proven_balance(nodes: Sequence[bytes], address: bytes, *, state_root: bytes) -> int:
    """Wei of `address` in the state with this root; 0 for an account that is proven not to be there.

    Raises `ValueError` when the nodes prove neither.
    """
    if len(nodes) > MOST_NODES or any(len(node) > MOST_NODE_BYTES for node in nodes):
        raise ValueError(f"{len(nodes)} nodes of up to {max(map(len, nodes), default=0)} bytes are no path in a trie")
    try:
        decoded = [rlp.decode(node) for node in nodes]
        account: bytes = HexaryTrie.get_from_proof(state_root, keccak(address), decoded)  # type: ignore[no-untyped-call]
        if not account:
            return 0
        _, balance, _, _ = rlp.decode(account)
        return rlp.sedes.big_endian_int.deserialize(balance)  # type: ignore[no-any-return]
    except _MALFORMED as error:
        raise ValueError(f"proves no account of {hex_text(address)}: {error}") from error
