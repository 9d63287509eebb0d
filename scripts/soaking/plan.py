"""Draws the chain of a soak: who is paid in which block, and what reorgs make of it. A seed gives one chain, always.

Nothing here depends on how fast the watcher reads: the chain would be the same without one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from openpay.domain.payment import Payment
from tests.faults.chain import (
    MadeBlock,
    Tree,
    Tx,
    batch_transfer,
    internal_transfer,
    native_transfer,
    token_transfer,
)
from tests.faults.shop import CHAIN_ID, TOKENS, UNIT, UNLISTED, USDC, USDT, make_payment

START = 1_770_000_000
YEARS = 10 * 365 * 86_400
TRANSFERS_PER_PAYMENT = 50
TRANSFERS_PER_VISIT = 15
MOST_PER_BLOCK = 250
DEEPEST_REORG = 64
BNB_ONE_IN = 100
"""Of so many payments one accepts BNB, and is paid in it from inside contracts too."""
STRANGERS = tuple(number.to_bytes(20, "big") for number in range(1, 50))
_LISTED = {token.contract for token in TOKENS}
_SEEMINGLY = 0.15
"""For each transfer so many others that are none of ours: to strangers, of unlisted tokens, failed."""


def make_payments(count: int) -> list[Payment]:
    """The payments of a soak: 25 USD each, none of which expires."""
    return [
        make_payment(
            number,
            created_at=START,
            expires_at=START + YEARS,
            symbols=("USDT", "USDC", "BNB") if number % BNB_ONE_IN == 0 else ("USDT", "USDC"),
        )
        for number in range(count)
    ]


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What happens next: blocks on top of the chain, perhaps in place of some that are there.

    `blocks` in order, the first on top of `ancestor`; `depth` blocks are taken back for them. `finality_lag` is how far
    the nodes' finalized tag stands below the head meanwhile. `gulp`: published all at once.
    """

    ancestor: MadeBlock
    blocks: tuple[MadeBlock, ...]
    depth: int
    finality_lag: int
    gulp: bool


class Plan:
    """Draws one episode after another. `transfers` is how many the chain is meant to hold in the end."""

    def __init__(self, seed: int, transfers: int) -> None:
        self._random = random.Random(f"chain {seed}")
        self.goal = transfers
        self.payments = make_payments(max(20, transfers // TRANSFERS_PER_PAYMENT))
        self._per_block = min(MOST_PER_BLOCK, max(10, transfers // 100))
        self._window = max(10, len(self.payments) // 20)
        self._serial = 0
        self._held: dict[bytes, int] = {}
        """How many transfers to payments each block's branch holds, by hash."""
        self._watched = {payment.address for payment in self.payments}
        self.tree = Tree(chain_id=CHAIN_ID, time=START)
        self.tip = self.tree.extend(self.tree.root)
        self._held[self.tip.hash] = 0
        self._finality_lag = 2
        self._finalized = 0
        self._lag_lasts = 0

    @property
    def transfers(self) -> int:
        """How many transfers to payments the chain holds now."""
        return self._held[self.tip.hash]

    @property
    def is_complete(self) -> bool:
        return self.transfers >= self.goal

    def next_episode(self) -> Episode:
        """Draw an episode; the chain's tip is its last block."""
        self._draw_finality()
        room = min(DEEPEST_REORG, self.tip.number - max(1, self._finalized))
        depth = 0
        if room > 0 and self._random.random() < 0.3:
            # Shallow ones are common; each doubling of the depth is as likely as the one before.
            depth = min(room, math.floor(2 ** self._random.uniform(0, math.log2(DEEPEST_REORG + 1))))
        ancestor = self.tip.ancestor(depth)
        blocks = self._replacing(ancestor, depth) if depth else []
        grow = self._random.choices((1, self._random.randint(2, 10), self._random.randint(10, 40)), (3, 5, 2))[0]
        for _ in range(grow):
            blocks.append(self._block(blocks[-1] if blocks else ancestor, self._fresh()))
        self.tip = blocks[-1]
        self._finalized = max(self._finalized, self.tip.number - self._finality_lag)
        self._lag_lasts -= len(blocks)
        return Episode(
            ancestor=ancestor,
            blocks=tuple(blocks),
            depth=depth,
            finality_lag=self._finality_lag,
            gulp=depth > 0 or self._random.random() < 0.5,
        )

    def last_episode(self, confirmations: int) -> Episode:
        """Empty blocks, until all that holds a transfer is final."""
        ancestor = self.tip
        blocks: list[MadeBlock] = []
        for _ in range(confirmations + 3):
            blocks.append(self._block(blocks[-1] if blocks else ancestor, []))
        self.tip = blocks[-1]
        return Episode(ancestor=ancestor, blocks=tuple(blocks), depth=0, finality_lag=2, gulp=True)

    def forget(self, below: int) -> None:
        """Let go of what is known of blocks below this height."""
        kept = {block.hash for block in self.tip.branch() if block.number >= below}
        self._held = {block_hash: held for block_hash, held in self._held.items() if block_hash in kept}

    # --- blocks ----------------------------------------------------------------------------------------------------

    def _draw_finality(self) -> None:
        """For a while the finalized tag stands just below the head, then far below it, as when finality stalls."""
        if self._lag_lasts > 0:
            return
        self._finality_lag = self._random.choices((2, 15, DEEPEST_REORG + 6), (6, 3, 2))[0]
        self._lag_lasts = self._random.randint(20, 80) + 2 * self._finality_lag

    def _replacing(self, ancestor: MadeBlock, depth: int) -> list[MadeBlock]:
        """As many blocks as are taken back and one more, with what becomes of their transactions."""
        places: list[list[Tx]] = [[] for _ in range(depth + 1)]
        for block in self.tip.branch():
            if block.number <= ancestor.number:
                break
            for tx in block.txs:
                place = block.number - ancestor.number - 1
                fate = self._random.random()
                if fate < 0.7:
                    places[place].append(tx)
                elif fate < 0.85:
                    places[self._random.randint(place, depth)].append(tx)
                elif fate < 0.9:
                    places[place].append(replace(tx, succeeds=not tx.succeeds))
                elif fate < 0.94:
                    places[place] += [tx, replace(tx, serial=self._next())]
        blocks: list[MadeBlock] = []
        for txs in places:
            blocks.append(self._block(blocks[-1] if blocks else ancestor, txs))
        return blocks

    def _block(self, parent: MadeBlock, txs: Sequence[Tx]) -> MadeBlock:
        block = self.tree.extend(parent, txs, salt=self._next())
        self._held[block.hash] = self._held[parent.hash] + sum(self._count(tx) for tx in txs)
        return block

    def _count(self, tx: Tx) -> int:
        """How many transfers to payments a transaction holds, other than from inside a contract."""
        if not tx.succeeds:
            return 0
        return (tx.value > 0 and tx.to in self._watched) + sum(
            event.contract in _LISTED and event.topics[2][12:] in self._watched for event in tx.events
        )

    def _fresh(self) -> list[Tx]:
        """The transactions of a new block: exchanges' payouts, wallets' transfers, and what is none of ours.

        A block pays a few payments often rather than many once: each that it touches is judged anew.
        """
        txs: list[Tx] = []
        left = self._per_block
        paid = self._random.choices(self._nearby(), k=max(2, left // TRANSFERS_PER_VISIT))
        while left > 0:
            kind = self._random.random()
            if kind < 0.3 and left > 1:
                count = min(left, self._random.randint(2, 25))
                rows = [(self._token(), self._random.choice(paid).address, self._units()) for _ in range(count)]
                txs.append(batch_transfer(self._next(), rows))
                left -= count
            elif kind < 0.95:
                to = self._random.choice(paid).address
                txs.append(token_transfer(self._next(), self._token(), to, self._units()))
                left -= 1
            else:
                txs.append(native_transfer(self._next(), self._random.choice(paid).address, self._units()))
                left -= 1
            if self._random.random() < _SEEMINGLY:
                txs.append(self._none_of_ours(self._random.choice(paid).address))
        if self._random.random() < 0.1:
            payable = [payment for payment in self._nearby() if payment.offer("BNB") is not None]
            if payable:
                txs.append(internal_transfer(self._next(), self._random.choice(payable).address, self._units()))
        return txs

    def _none_of_ours(self, to: bytes) -> Tx:
        """A transaction that looks like a payment to this address, and is none."""
        units = self._units()
        match self._random.randrange(4):
            case 0:
                return token_transfer(self._next(), UNLISTED, to, units)
            case 1:
                return token_transfer(self._next(), self._token(), to, units, succeeds=False)
            case 2:
                return native_transfer(self._next(), to, units, succeeds=False)
        return token_transfer(self._next(), self._token(), self._random.choice(STRANGERS), units)

    def _nearby(self) -> list[Payment]:
        """The payments that are being paid now: a window that moves over all of them in the course of the soak."""
        room = len(self.payments) - self._window
        start = min(room, room * self.transfers // self.goal)
        return self.payments[start : start + self._window]

    def _token(self) -> bytes:
        return self._random.choice((USDT, USDT, USDC))

    def _units(self) -> int:
        return self._random.choice((1, 2, 5, 5, 10, 25, 25, 25, 30)) * UNIT

    def _next(self) -> int:
        self._serial += 1
        return self._serial
