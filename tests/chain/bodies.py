"""Made-up blocks as the one answer that holds all of them."""

from __future__ import annotations

from collections.abc import Sequence

from openpay.domain.chains import Chain, Token
from tests.faults.chain import MadeBlock, Tree, Tx, internal_transfer, native_transfer, token_transfer

USDT, ESCROW = b"\x01" * 20, b"\x44" * 20
CHAIN = Chain(
    chain_id=56,
    name="test",
    escrow=ESCROW,
    tokens=(
        Token(symbol="USDT", asset_index=0, contract=USDT, decimals=18),
        Token(symbol="BNB", asset_index=1, contract=None, decimals=18),
    ),
)


def body_of(block: MadeBlock) -> bytes:
    """The answer to the batch that asks for it."""
    return b'[{"jsonrpc":"2.0","id":1,"result":%b},{"jsonrpc":"2.0","id":2,"result":%b}]' % (
        block.block_json,
        block.receipts_json,
    )


def some_txs(first: int, count: int) -> Sequence[Tx]:
    """Transactions that pay nobody in particular."""
    makers = (
        lambda serial: token_transfer(serial, USDT, bytes([serial % 251]) * 20, serial),
        lambda serial: native_transfer(serial, bytes([serial % 241]) * 20, serial),
        lambda serial: internal_transfer(serial, bytes([serial % 239]) * 20, serial),
    )
    return [makers[serial % 3](serial) for serial in range(first, first + count)]


def made_blocks(count: int, *, txs: int = 4) -> list[MadeBlock]:
    """Blocks 1 to `count` of a chain, with so many transactions each."""
    tree = Tree(chain_id=CHAIN.chain_id)
    blocks, newest = [], tree.root
    for number in range(1, count + 1):
        newest = tree.extend(newest, some_txs(number * 1000, txs))
        blocks.append(newest)
    return blocks
