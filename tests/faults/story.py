"""Stories about a chain, its nodes and a watcher that dies now and then: drawn by Hypothesis, told on real parts.

A story is a list of acts. Numbers in acts are taken modulo what there is at that moment, so that every list of acts is
a story, and a shrunk one is one too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from enum import Enum

from openpay.domain.chains import Chain
from openpay.errors import RetryableError
from openpay.store import Store
from tests.faults.chain import (
    MadeBlock,
    Tree,
    Tx,
    batch_transfer,
    internal_transfer,
    native_transfer,
    token_transfer,
)
from tests.faults.node import SimulatedNode, serving_nodes
from tests.faults.server import FaultyServer
from tests.faults.shop import (
    CHAIN_ID,
    ESCROW,
    TOKENS,
    UNIT,
    UNLISTED,
    USDT,
    HonestEscrow,
    make_payment,
    store_merchant,
    store_payments,
)
from tests.faults.troubles import LIES, MISTAKES, OUTAGES
from tests.faults.watching import follower_on, run_until
from watcher.follower import Follower

START = 1_770_000_000
FAR = START + 30 * 86_400
STRANGER = b"\x57" * 20
FAULTY_TIMEOUT_S = 0.05
"""Short, so that a story with nodes that hang is told quickly; a healthy answer that is late only fails a step."""
LONGEST_STEP_S = 3.0
"""A watcher that waits longer, for nodes that ask for patience, dies of it."""
PATIENT_TIMEOUT_S = 20.0
MOST_STEPS = 1_000

PAYMENTS = (
    make_payment(1, created_at=START, expires_at=FAR),
    make_payment(2, created_at=START, expires_at=FAR, symbols=["USDT"]),
    make_payment(3, created_at=START, expires_at=FAR, symbols=["USDT", "BNB"]),
    make_payment(4, created_at=START, expires_at=START + 12),
    make_payment(5, created_at=START, expires_at=START + 25, symbols=["BNB"]),
)


class Kind(Enum):
    """How money moves."""

    USDT = "USDT"
    USDC = "USDC"
    UNLISTED = "a token that is not listed"
    BNB = "BNB"
    INSIDE = "BNB from inside a contract"
    BATCH = "USDT twice in one transaction"


@dataclass(frozen=True, kw_only=True)
class Pay:
    """A transfer. `thirds` of the full amount; `payment` beyond the last is a stranger's address."""

    payment: int
    kind: Kind
    thirds: int
    succeeds: bool = True


@dataclass(frozen=True, kw_only=True)
class Mine:
    """The chain grows by a block with these transfers, then by empty ones."""

    pays: tuple[Pay, ...]
    empty: int = 0


class Fate(Enum):
    """What a reorg does to a transaction that it takes away."""

    KEPT = "in the first block of the new branch"
    MOVED = "in its last block"
    DROPPED = "gone"
    REVERTED = "in the first block, and fails there"
    DOUBLED = "kept, and the same payer pays once more"


@dataclass(frozen=True, kw_only=True)
class Reorg:
    """Blocks are replaced from `depth` below the head on, never at or below a height that some node calls final."""

    depth: int
    longer: int
    fates: tuple[Fate, ...]


@dataclass(frozen=True, kw_only=True)
class Misbehave:
    """A node fails in this way from now on, in addition if it does so already. The first one never lies."""

    node: int
    fault: int


@dataclass(frozen=True, kw_only=True)
class Invent:
    """The second node follows a branch that it made up, with transfers that nobody else knows."""

    depth: int
    longer: int
    pays: tuple[Pay, ...]


@dataclass(frozen=True, kw_only=True)
class Heal:
    """All nodes are honest again, for now."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The watcher takes this many steps; with `dies_at` it dies at that suspension of the first of them. One that
    `restarts` is a new process, to which every node is as good as any other."""

    steps: int
    restarts: bool = False
    dies_at: int | None = None


Act = Mine | Reorg | Misbehave | Invent | Heal | Watch


@dataclass(frozen=True, kw_only=True)
class Story:
    """`nodes` counts the endpoints, of which the first is honest; it is configured after `before` others.
    `finality_lag` is theirs, in blocks."""

    nodes: int
    before: int
    confirmations: int
    finality_lag: int
    acts: tuple[Act, ...]

    @property
    def chain(self) -> Chain:
        return Chain(
            chain_id=CHAIN_ID,
            name="made",
            escrow=ESCROW,
            tokens=TOKENS,
            confirmations=self.confirmations,
            start_block=1,
        )


@dataclass
class Telling:
    """A story being told."""

    story: Story
    store: Store
    tree: Tree = field(init=False)
    tip: MadeBlock = field(init=False)
    nodes: list[SimulatedNode] = field(init=False)
    servers: list[FaultyServer] = field(init=False)
    kills: int = 0
    _serial: int = 0
    _follower: Follower | None = None
    _process: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def tell(self) -> MadeBlock:
        """Act by act, then until everything that the chain came to be was read in peace; its newest block."""
        await store_merchant(self.store)
        await store_payments(self.store, PAYMENTS)
        self.tree = Tree(chain_id=CHAIN_ID, time=START)
        self.tip = self.tree.extend(self.tree.root)
        contracts = {ESCROW: HonestEscrow(PAYMENTS)}
        self.nodes = [
            SimulatedNode(self.tip, chain_id=CHAIN_ID, finality_lag=self.story.finality_lag, contracts=dict(contracts))
            for _ in range(self.story.nodes)
        ]
        async with serving_nodes(*self.nodes) as self.servers:
            for act in self.story.acts:
                await self._perform(act)
                await self._check_finality()
            await self._read_in_peace()
        return self.tip

    async def _perform(self, act: Act) -> None:
        match act:
            case Mine(pays=pays, empty=empty):
                self._grow([self._tx(pay) for pay in pays], empty)
            case Reorg():
                self._reorg(act)
            case Misbehave(node=node, fault=fault):
                at = node % len(self.servers)
                choices = (OUTAGES, LIES, MISTAKES)[at]
                self.servers[at].faults.append(choices[fault % len(choices)])
            case Invent():
                self._invent(act)
            case Heal():
                self._heal()
            case Watch():
                await self._watch(act)

    # --- the chain and its nodes -----------------------------------------------------------------------------------

    def _grow(self, txs: Sequence[Tx], empty: int) -> None:
        self._move_to(self.tree.grow(self.tree.extend(self.tip, txs), empty))

    def _move_to(self, tip: MadeBlock) -> None:
        """All nodes but the one that follows an invention of its own learn of the new head."""
        old, self.tip = self.tip, tip
        for node in self.nodes:
            if node.head is old:
                node.follow(tip)

    def _reorg(self, act: Reorg) -> None:
        floor = max(1, *(node.finalized for node in self.nodes if node.head is self.tip))
        room = self.tip.number - floor
        if room <= 0:
            return
        depth = 1 + act.depth % room
        ancestor = self.tip.ancestor(depth)
        first: list[Tx] = []
        last: list[Tx] = []
        taken = [tx for block in self.tip.branch() if block.number > ancestor.number for tx in block.txs]
        for place, tx in enumerate(taken):
            match act.fates[place % len(act.fates)] if act.fates else Fate.KEPT:
                case Fate.KEPT:
                    first.append(tx)
                case Fate.MOVED:
                    last.append(tx)
                case Fate.REVERTED:
                    first.append(replace(tx, succeeds=False))
                case Fate.DOUBLED:
                    self._serial += 1
                    first += [tx, replace(tx, serial=self._serial)]
                case Fate.DROPPED:
                    pass
        self._serial += 1
        salt = self._serial
        tip = self.tree.extend(ancestor, first, salt=salt)
        tip = self.tree.grow(tip, depth - 1 + act.longer, salt=salt)
        self._move_to(self.tree.extend(tip, last, salt=salt))

    def _invent(self, act: Invent) -> None:
        liar = self.nodes[1]
        room = self.tip.number - max(1, self.nodes[0].finalized)
        depth = act.depth % (room + 1)
        self._serial += 1
        tip = self.tree.extend(self.tip.ancestor(depth), [self._tx(pay) for pay in act.pays], salt=self._serial)
        liar.follow(self.tree.grow(tip, depth + act.longer, salt=self._serial))

    def _heal(self) -> None:
        for node, server in zip(self.nodes, self.servers, strict=True):
            server.faults.clear()
            if node.head is not self.tip:
                # What it called final on a branch of its own was part of the lie.
                node.finalized = 0
                node.follow(self.tip)

    def _tx(self, pay: Pay) -> Tx:
        self._serial += 1
        place = pay.payment % (len(PAYMENTS) + 1)
        to = STRANGER if place == len(PAYMENTS) else PAYMENTS[place].address
        units = 25 * UNIT * pay.thirds // 3
        contracts = {token.symbol: token.contract for token in TOKENS}
        match pay.kind:
            case Kind.BNB:
                tx = native_transfer(self._serial, to, units)
            case Kind.INSIDE:
                tx = internal_transfer(self._serial, to, units)
            case Kind.BATCH:
                tx = batch_transfer(self._serial, [(USDT, to, units), (USDT, STRANGER, 1), (USDT, to, units)])
            case _:
                tx = token_transfer(self._serial, contracts.get(pay.kind.value) or UNLISTED, to, units)
        return replace(tx, succeeds=pay.succeeds)

    # --- the watcher -----------------------------------------------------------------------------------------------

    async def _watch(self, act: Watch) -> None:
        """Steps until there is nothing to do or one fails. Errors that stop a watcher for good are not expected."""
        dies_at = act.dies_at
        if act.restarts:
            await self._bury()
        for _ in range(act.steps):
            follower = await self._alive(FAULTY_TIMEOUT_S)
            try:
                async with asyncio.timeout(LONGEST_STEP_S):
                    progressed = await run_until(follower.step(), dies_at)
            except (asyncio.CancelledError, TimeoutError):
                self.kills += 1
                await self._bury()
                return
            except RetryableError:
                return
            dies_at = None
            if not progressed:
                return

    async def _alive(self, timeout_s: float) -> Follower:
        if self._follower is None:
            urls = [server.url for server in self.servers[1:]]
            urls.insert(self.story.before, self.servers[0].url)
            opened = follower_on(urls, self.store, self.story.chain, timeout_s=timeout_s)
            self._follower = await self._process.enter_async_context(opened)
        return self._follower

    async def _bury(self) -> None:
        """What a dead process leaves behind: nothing."""
        self._follower = None
        await self._process.aclose()
        self._process = AsyncExitStack()

    async def _check_finality(self) -> None:
        """Nothing is final for us that the honest node does not call final."""
        async with self.store.read() as uow:
            cursor = await uow.chain.cursor(CHAIN_ID)
        if cursor is not None and cursor.final_number is not None:
            assert cursor.final_number <= self.nodes[0].finalized

    async def _read_in_peace(self) -> None:
        self._heal()
        for node in self.nodes:
            node.finality_lag = 1
        self._grow([], self.story.confirmations + 1)
        await self._bury()
        for _ in range(MOST_STEPS):
            follower = await self._alive(PATIENT_TIMEOUT_S)
            if not await follower.step():
                break
        else:
            raise AssertionError(f"not done after {MOST_STEPS} steps")
        await self._bury()
