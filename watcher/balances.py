"""Vaults' balances at a block: what one node says, what no node hides, and what is sure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from openpay.app.records import Block
from openpay.chain import reads
from openpay.chain.account_proof import PROOF, account_proof, proven_balance
from openpay.chain.artifacts import load_artifact
from openpay.chain.blocks import Header, read_bytes, read_quantity
from openpay.chain.errors import METHOD_NOT_FOUND, BadAnswer, JsonRpcError, ProofFailed
from openpay.chain.headers import header_by_hash, lineage
from openpay.chain.optional import optional
from openpay.chain.poll import GRACE_S
from openpay.chain.pool import Pool
from openpay.chain.rpc import Endpoint
from openpay.chain.words import NEEDED
from openpay.errors import ChainUnavailable

ADDRESSES_PER_CALL = 700
"""A node treats the answer as new contract code, at most 24,576 bytes: 766 balances."""
PROOFS_PER_REQUEST = 50
HEADERS_PER_REQUEST = 50
_WORD = 32

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A block whose state can be asked for. `time` in Unix seconds; `state_root`: the hash of all accounts in it."""

    number: int
    hash: bytes
    time: int
    state_root: bytes


class Balances:
    """Reads wei of many addresses, in few requests. All methods raise `ChainUnavailable` when no node answers."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, addresses: Sequence[bytes], block_hash: bytes) -> list[int]:
        """As one node says."""
        balances: list[int] = []
        for part in _parts(addresses, ADDRESSES_PER_CALL):
            balances += await self._pool.ask(partial(read_balances, addresses=part, block_hash=block_hash))
        return balances

    async def highest(self, addresses: Sequence[bytes], block_hash: bytes) -> list[int]:
        """The most that any host says of each: what one of them hides is seen."""
        balances: list[int] = []
        for part in _parts(addresses, ADDRESSES_PER_CALL):
            words = await self._words(part, block_hash)
            if not words:
                raise ChainUnavailable(f"no host gives balances at block 0x{block_hash.hex()}")
            balances += [max(said) for said in zip(*words, strict=True)]
        return balances

    async def sure(self, addresses: Sequence[bytes], place: Place) -> dict[bytes, int]:
        """Those that a node proves, or else those on which two hosts agree (one, where only one is configured)."""
        try:
            balances: list[int] = []
            for part in _parts(addresses, PROOFS_PER_REQUEST):
                balances += await self._pool.ask(partial(_prove, addresses=part, place=place), proven=True)
            return dict(zip(addresses, balances, strict=True))
        except ChainUnavailable:
            return await self._agreed(addresses, place)

    async def _agreed(self, addresses: Sequence[bytes], place: Place) -> dict[bytes, int]:
        needed = min(NEEDED, len(self._pool.hosts))
        agreed: dict[bytes, int] = {}
        for part in _parts(addresses, ADDRESSES_PER_CALL):
            for address, *said in zip(part, *await self._words(part, place.hash), strict=True):
                ranked = Counter(said).most_common(2)
                is_clear = len(ranked) == 1 or (len(ranked) == 2 and ranked[0][1] > ranked[1][1])
                if is_clear and ranked[0][1] >= needed:
                    agreed[address] = ranked[0][0]
                else:
                    _log.warning("hosts do not agree about a balance", block=place.number, address=address.hex())
        return agreed

    async def _words(self, addresses: Sequence[bytes], block_hash: bytes) -> list[list[int]]:
        question = partial(read_balances, addresses=addresses, block_hash=block_hash)
        words = await self._pool.ask_hosts(question, grace_s=GRACE_S)
        return [word for word in words.values() if isinstance(word, list)]


class Past:
    """The blocks just read, and their ancestors, by number: each proven by the next one's parent hash.

    `blocks` are consecutive, and their own hashes known to be right.
    """

    def __init__(self, pool: Pool, blocks: Sequence[Block]) -> None:
        self._pool = pool
        self._hashes = {block.number: block.hash for block in blocks}
        self._oldest = blocks[0].number
        self._hashes[self._oldest - 1] = blocks[0].parent_hash
        self._places: dict[int, Place] = {}

    async def at(self, number: int) -> Place:
        """The block at a height, at most that of the newest. Raises `ChainUnavailable`."""
        while number < self._oldest:
            numbers = range(max(number, self._oldest - HEADERS_PER_REQUEST), self._oldest)
            child_of = self._hashes[self._oldest - 1]
            for header in await lineage(self._pool, child_of, numbers):
                self._add(header, child_of)
                child_of = read_bytes(header.parent_hash)
                self._hashes[read_quantity(header.number) - 1] = child_of
            self._oldest = numbers[0]
        if number not in self._places:
            self._add(await header_by_hash(self._pool, self._hashes[number]), self._hashes[number])
        return self._places[number]

    def _add(self, header: Header, block_hash: bytes) -> None:
        number = read_quantity(header.number)
        self._places[number] = Place(
            number=number,
            hash=block_hash,
            time=read_quantity(header.timestamp),
            state_root=read_bytes(header.state_root),
        )


async def read_balances(endpoint: Endpoint, *, addresses: Sequence[bytes], block_hash: bytes) -> list[int]:
    """Wei of each address at a block, in one `eth_call` without a contract. Raises `BadAnswer` for another length."""
    data = load_artifact("BalanceReader").bytecode + _encode_addresses(addresses)
    answer = read_bytes(await endpoint.call(reads.eth_call(to=None, data=data, at=block_hash)))
    words = [int.from_bytes(answer[at : at + _WORD], "big") for at in range(0, len(answer), _WORD)]
    if len(answer) % _WORD or words[:2] != [_WORD, len(addresses)] or len(words) != len(addresses) + 2:
        raise BadAnswer(endpoint.name, f"{len(answer)} bytes instead of {len(addresses)} balances")
    return words[2:]


async def _prove(endpoint: Endpoint, *, addresses: Sequence[bytes], place: Place) -> list[int]:
    """Wei of each address, proven. Raises `ProofFailed`, and does not ask that endpoint again for a while."""
    async with optional(endpoint, PROOF):
        proofs = await endpoint.batch([account_proof(address, place.hash) for address in addresses])
    balances = []
    for address, proof in zip(addresses, proofs, strict=True):
        nodes = [read_bytes(node) for node in proof.account_proof]
        try:
            balances.append(proven_balance(nodes, address, state_root=place.state_root))
        except ValueError as error:
            endpoint.offers.learn(JsonRpcError(endpoint.name, method=PROOF, code=METHOD_NOT_FOUND, message=str(error)))
            raise ProofFailed(
                "account",
                expected=place.state_root.hex(),
                got=str(error),
                block=hex(place.number),
                endpoint=endpoint.name,
            ) from error
    return balances


def _parts(addresses: Sequence[bytes], size: int) -> Iterable[Sequence[bytes]]:
    return (addresses[start : start + size] for start in range(0, len(addresses), size))


def _encode_addresses(addresses: Sequence[bytes]) -> bytes:
    """`abi.encode(address[])`: offset, length, then a word each."""
    head = _WORD.to_bytes(_WORD, "big") + len(addresses).to_bytes(_WORD, "big")
    return head + b"".join(address.rjust(_WORD, b"\0") for address in addresses)
