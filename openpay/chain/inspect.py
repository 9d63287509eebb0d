"""What contracts say of themselves, for comparing it with what was configured. Read at the newest block.

Every function raises `ChainUnavailable` when no node answers, and `Unlike` when the contract is not of the kind asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from openpay.chain import reads
from openpay.chain.blocks import read_bytes
from openpay.chain.errors import JsonRpcError
from openpay.chain.escrow_abi import WORD, selector
from openpay.chain.feeds import ListedAsset, decode_asset, decode_round
from openpay.chain.pool import Pool
from openpay.errors import OpenPayError, PriceUnavailable


class Unlike(OpenPayError):
    """The contract at an address does not answer as one of its kind does. Says how."""


@dataclass(frozen=True, kw_only=True)
class TokenFacts:
    symbol: str
    decimals: int


@dataclass(frozen=True, kw_only=True)
class FeedFacts:
    """`description` as Chainlink writes it ("BNB / USD"); `updated_at` of the newest round in Unix seconds."""

    description: str
    decimals: int
    updated_at: int


async def token_facts(pool: Pool, contract: bytes) -> TokenFacts:
    """A BEP-20 token's own symbol and decimals."""
    return TokenFacts(
        symbol=_text(await _ask(pool, contract, selector("symbol", "TestToken"))),
        decimals=_number(await _ask(pool, contract, selector("decimals", "TestToken"))),
    )


async def feed_facts(pool: Pool, feed: bytes) -> FeedFacts:
    """A Chainlink feed's own description and decimals, and how new its price is."""
    decimals = _number(await _ask(pool, feed, selector("decimals", "IPriceFeed")))
    try:
        newest = decode_round(await _ask(pool, feed, selector("latestRoundData", "IPriceFeed")), decimals=decimals)
    except PriceUnavailable as error:
        raise Unlike(str(error)) from error
    return FeedFacts(
        description=_text(await _ask(pool, feed, selector("description", "IPriceFeed"))),
        decimals=decimals,
        updated_at=newest.updated_at,
    )


async def listed_asset(pool: Pool, escrow: bytes, index: int) -> ListedAsset:
    """What the escrow lists at an index."""
    try:
        return decode_asset(await _ask(pool, escrow, selector("assetAt") + index.to_bytes(WORD, "big")))
    except PriceUnavailable as error:
        raise Unlike(str(error)) from error


async def has_code(pool: Pool, address: bytes) -> bool:
    """Whether there is a contract at all."""
    return bool(read_bytes(await pool.call(reads.code(address, "latest"))))


async def _ask(pool: Pool, contract: bytes, data: bytes) -> bytes:
    try:
        return read_bytes(await pool.call(reads.eth_call(to=contract, data=data, at="latest")))
    except JsonRpcError as error:
        if not error.is_revert:
            raise
        raise Unlike("the contract reverts") from error


def _number(answer: bytes) -> int:
    if len(answer) != WORD:
        raise Unlike(f"the contract answers {len(answer)} bytes instead of a number")
    return int.from_bytes(answer, "big")


def _text(answer: bytes) -> str:
    """An ABI string (offset, length, bytes), or the `bytes32` of some old tokens."""
    if len(answer) == WORD:
        return answer.rstrip(b"\0").decode(errors="replace")
    length = int.from_bytes(answer[WORD : 2 * WORD], "big")
    if len(answer) < 2 * WORD + length:
        raise Unlike(f"the contract answers {len(answer)} bytes instead of a text")
    return answer[2 * WORD : 2 * WORD + length].decode(errors="replace")
