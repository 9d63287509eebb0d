"""A maker of blocks: whole, linked, with true hashes and roots, in a tree that may fork at any depth.

What a header commits to is all there and recomputes: transactions and receipts with their roots, blooms, the parent's
hash. Two things are made up: the state root, so that no account can be proven against it, and the signatures, which
are numbers that may or may not fit a key: a transaction's sender is whoever the signature happens to recover to, or
nobody, and the served `from` is no more than text.

The encodings are those of `openpay.chain`, which other tests hold against a real node's blocks.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import Any

import msgspec

from openpay.chain import encoding
from openpay.chain.blocks import Block, Header, Log, Receipt, Transaction
from openpay.chain.bloom import BLOOM_BYTES, logs_bloom
from openpay.chain.trie import index_trie_root
from openpay.domain.keccak import keccak

TRANSFER_TOPIC = keccak(b"Transfer(address,address,uint256)")
TRANSFER_SELECTOR = keccak(b"transfer(address,uint256)")[:4]
MINER = b"\xb5" * 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A log before it is in a block: the contract's address, up to four 32-byte topics, and data."""

    contract: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tx:
    """A transaction and what running it does. The same value may stand in several branches: its hash is the same.

    `serial` makes it different from every other. `inside`: wei that contracts move to addresses, leaving no log. One
    that does not succeed moves nothing and logs nothing.
    """

    serial: int
    to: bytes
    value: int = 0
    input: bytes = b""
    events: tuple[Event, ...] = ()
    inside: tuple[tuple[bytes, int], ...] = ()
    succeeds: bool = True


def transfer_event(token: bytes, payer: bytes, to: bytes, units: int) -> Event:
    """BEP-20's `Transfer`."""
    topics = (TRANSFER_TOPIC, payer.rjust(32, b"\0"), to.rjust(32, b"\0"))
    return Event(contract=token, topics=topics, data=units.to_bytes(32, "big"))


def token_transfer(serial: int, token: bytes, to: bytes, units: int, *, succeeds: bool = True) -> Tx:
    """A wallet's plain `transfer`."""
    call = TRANSFER_SELECTOR + to.rjust(32, b"\0") + units.to_bytes(32, "big")
    event = transfer_event(token, made_address(serial), to, units)
    return Tx(serial=serial, to=token, input=call, events=(event,), succeeds=succeeds)


def native_transfer(serial: int, to: bytes, wei: int, *, succeeds: bool = True) -> Tx:
    return Tx(serial=serial, to=to, value=wei, succeeds=succeeds)


def batch_transfer(serial: int, transfers: Sequence[tuple[bytes, bytes, int]]) -> Tx:
    """An exchange's payout: one transaction of a contract of its own with many transfers (token, to, units)."""
    contract = made_address(serial)
    events = tuple(transfer_event(token, contract, to, units) for token, to, units in transfers)
    return Tx(serial=serial, to=contract, input=b"\xba\x7c\x4e\x01", events=events)


def internal_transfer(serial: int, to: bytes, wei: int) -> Tx:
    """BNB that a contract sends on: the transaction itself goes to the contract and carries nothing."""
    return Tx(serial=serial, to=made_address(serial), input=b"\x3c\xcf\xd6\x0b", inside=((to, wei),))


def made_address(serial: int) -> bytes:
    return keccak(b"address" + serial.to_bytes(16, "big"))[:20]


class MadeBlock:
    """A block of a tree. `parent` is None for the root, and for a block whose past was let go of.

    `coins` is the wei of every address that ever received some, after this block.
    """

    def __init__(
        self,
        *,
        header: Header,
        txs: tuple[Tx, ...],
        transactions: tuple[Transaction, ...],
        receipts: tuple[Receipt, ...],
        parent: MadeBlock | None,
    ) -> None:
        self.hash = keccak(unhexlify(encoding.header(header)))
        self.header = msgspec.structs.replace(header, hash=_hex(self.hash))
        self.number = int(header.number, 16)
        self.time = int(header.timestamp, 16)
        self.txs = txs
        self.transactions = transactions
        self.receipts = receipts
        self.parent = parent
        self.coins: Mapping[bytes, int] = _coins({} if parent is None else parent.coins, txs)

    def __repr__(self) -> str:
        return f"<block {self.number} {self.hash.hex()[:8]}>"

    def branch(self) -> Iterator[MadeBlock]:
        """This block and its ancestors, newest first."""
        block: MadeBlock | None = self
        while block is not None:
            yield block
            block = block.parent

    def ancestor(self, depth: int) -> MadeBlock:
        """The block `depth` below. Raises `LookupError` for one that is not kept."""
        block = self
        for _ in range(depth):
            if block.parent is None:
                raise LookupError(f"nothing is kept below block {block.number}")
            block = block.parent
        return block

    # --- as nodes serve it: JSON text ------------------------------------------------------------------------------

    @cached_property
    def header_json(self) -> bytes:
        return self._json([_hex(keccak(raw)) for raw in self._raw])

    @cached_property
    def block_json(self) -> bytes:
        rows = []
        for index, (tx, raw) in enumerate(zip(self.transactions, self._raw, strict=True)):
            extra = self._place(index) | {"hash": _hex(keccak(raw)), "from": _hex(made_address(self.txs[index].serial))}
            rows.append({name: value for name, value in _fields(tx).items() if value is not None or name == "to"})
            rows[-1] |= extra
        return self._json(rows)

    @cached_property
    def receipts_json(self) -> bytes:
        rows = []
        position = 0
        for index, (receipt, raw) in enumerate(zip(self.receipts, self._raw, strict=True)):
            place = self._place(index) | {"transactionHash": _hex(keccak(raw))}
            logs = []
            for log in receipt.logs:
                logs.append(_fields(log) | place | {"logIndex": hex(position), "removed": False})
                position += 1
            extra = {
                "from": _hex(made_address(self.txs[index].serial)),
                "to": self.transactions[index].to,
                "contractAddress": None,
                "gasUsed": "0x5208",
                "effectiveGasPrice": "0x3b9aca00",
            }
            rows.append(_fields(receipt) | {"logs": logs} | place | extra)
        return msgspec.json.encode(rows)

    @cached_property
    def _raw(self) -> list[bytes]:
        return [unhexlify(encoding.transaction(each)) for each in self.transactions]

    def transaction_hash(self, index: int) -> bytes:
        return keccak(self._raw[index])

    def _place(self, index: int) -> dict[str, Any]:
        return {"blockHash": self.header.hash, "blockNumber": self.header.number, "transactionIndex": hex(index)}

    def _json(self, transactions: Sequence[object]) -> bytes:
        fields = {name: value for name, value in _fields(self.header).items() if value is not None}
        return msgspec.json.encode(fields | {"transactions": transactions, "uncles": [], "size": "0x20000"})


class Tree:
    """Makes blocks. `interval_s` between a block's time and its child's, unless told otherwise.

    `root` has this `number`; what lies below one that is not 0 was never made.
    """

    def __init__(self, *, chain_id: int, number: int = 0, time: int = 1_770_000_000, interval_s: int = 1) -> None:
        self.chain_id = chain_id
        self._interval_s = interval_s
        self.root = self._block(None, (), number=number, time=time, salt=0)

    def extend(self, parent: MadeBlock, txs: Sequence[Tx] = (), *, time: int | None = None, salt: int = 0) -> MadeBlock:
        """A child of `parent` with these transactions. `salt` tells siblings with the same content apart."""
        after = parent.time + self._interval_s if time is None else time
        return self._block(parent, tuple(txs), number=parent.number + 1, time=after, salt=salt)

    def grow(self, parent: MadeBlock, count: int, *, salt: int = 0) -> MadeBlock:
        """The newest of `count` empty blocks on top of `parent`."""
        for _ in range(count):
            parent = self.extend(parent, salt=salt)
        return parent

    def _block(self, parent: MadeBlock | None, txs: tuple[Tx, ...], *, number: int, time: int, salt: int) -> MadeBlock:
        transactions = tuple(_transaction(tx, self.chain_id) for tx in txs)
        receipts = tuple(_receipt(tx, index) for index, tx in enumerate(txs))
        bloom = reduce(or_, (int(receipt.logs_bloom, 16) for receipt in receipts), 0)
        header = Header(
            hash=_hex(bytes(32)),
            parent_hash=_hex(bytes(32) if parent is None else parent.hash),
            sha3_uncles=_hex(keccak(b"\xc0")),
            miner=_hex(MINER),
            state_root=_hex(keccak(b"state" + number.to_bytes(8, "big") + salt.to_bytes(8, "big"))),
            transactions_root=_hex(index_trie_root(map(encoding.transaction, transactions), count=len(txs))),
            receipts_root=_hex(index_trie_root(map(encoding.receipt, receipts), count=len(txs))),
            logs_bloom=_hex(bloom.to_bytes(BLOOM_BYTES, "big")),
            difficulty="0x2",
            number=hex(number),
            gas_limit=hex(55_000_000),
            gas_used=hex(21_000 * len(txs)),
            timestamp=hex(time),
            extra_data=_hex(salt.to_bytes(97, "big")),
            mix_hash=_hex(bytes(32)),
            nonce=_hex(bytes(8)),
            base_fee_per_gas="0x0",
            withdrawals_root=_hex(keccak(b"\x80")),
            blob_gas_used="0x0",
            excess_blob_gas="0x0",
            parent_beacon_block_root=_hex(bytes(32)),
            requests_hash=_hex(keccak(b"requests")),
        )
        return MadeBlock(header=header, txs=txs, transactions=transactions, receipts=receipts, parent=parent)


def common_ancestor(one: MadeBlock, other: MadeBlock) -> MadeBlock:
    """The newest block that both branches hold. Raises `LookupError` when none is kept."""
    while one.hash != other.hash:
        if one.number >= other.number:
            one = one.ancestor(1)
        else:
            other = other.ancestor(1)
    return one


def _transaction(tx: Tx, chain_id: int) -> Transaction:
    # Odd serials are legacy transactions, even ones EIP-1559's; each has half of the chain's.
    word = keccak(b"signature" + tx.serial.to_bytes(16, "big"))
    parity = word[0] & 1
    common: dict[str, Any] = {
        "nonce": hex(tx.serial % 2**32),
        "gas": hex(300_000),
        "to": _hex(tx.to),
        "value": hex(tx.value),
        "input": _hex(tx.input),
        "r": hex(int.from_bytes(word, "big") >> 1 or 1),
        "s": hex((int.from_bytes(word[::-1], "big") >> 2) or 1),
        "chain_id": hex(chain_id),
        "gas_price": "0x3b9aca00",
    }
    if tx.serial % 2:
        return Transaction(type="0x0", v=hex(35 + 2 * chain_id + parity), **common)
    fees: dict[str, Any] = {"max_fee_per_gas": "0x3b9aca00", "max_priority_fee_per_gas": "0x3b9aca00"}
    return Transaction(type="0x2", v=hex(parity), y_parity=hex(parity), **common, **fees)


def _receipt(tx: Tx, index: int) -> Receipt:
    logs = tuple(
        Log(address=_hex(each.contract), topics=tuple(map(_hex, each.topics)), data=_hex(each.data))
        for each in (tx.events if tx.succeeds else ())
    )
    return Receipt(
        type="0x0" if tx.serial % 2 else "0x2",
        status="0x1" if tx.succeeds else "0x0",
        cumulative_gas_used=hex(21_000 * (index + 1)),
        logs_bloom=_hex(logs_bloom(logs)),
        logs=logs,
    )


def _coins(before: Mapping[bytes, int], txs: Sequence[Tx]) -> Mapping[bytes, int]:
    after: dict[bytes, int] = {}
    for tx in txs:
        if tx.succeeds:
            for address, wei in ((tx.to, tx.value), *tx.inside):
                if wei:
                    after[address] = after.get(address, before.get(address, 0)) + wei
    return {**before, **after} if after else before


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    """A struct's fields under the names that JSON-RPC gives them."""
    builtin: dict[str, Any] = msgspec.to_builtins(struct)
    return builtin


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def read_back(block: MadeBlock) -> tuple[Block, tuple[Receipt, ...]]:
    """What a reader makes of the served text."""
    return (
        msgspec.json.decode(block.block_json, type=Block),
        msgspec.json.decode(block.receipts_json, type=tuple[Receipt, ...]),
    )
