"""Reorganisations of every depth above the final block, and one below it.

What becomes of the customer's transfer in the new branch: it moves to another block, is dropped, is doubled by a second
one, or reverts. Whichever: the ledger ends as the chain is, and every payment as its money says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from enum import Enum

import pytest

from openpay.chain.pool import connect
from openpay.domain.payment import Payment, Status
from openpay.errors import ReorgBelowFinality
from tests.support.anvil import Anvil
from tests.support.databases import SqliteDatabases
from tests.watcher.beginning import Beginning
from tests.watcher.scene import CHAIN_ID, Scene, due
from watcher import catch_up

DEEPEST = 64
USUAL_DEPTHS = (1, 2, 13, DEEPEST)
CONFIRMATIONS = DEEPEST + 6
"""Where the tag is switched off, depth alone decides: a reorg of 64 blocks is to stay above."""
DEPTHS_PER_CHAIN = 8
"""anvil forgets the state of old blocks: after a thousand or so a deep reorg brings back contracts without code."""
SLOTS_PER_EPOCH = CONFIRMATIONS // 2
"""anvil calls final what is two epochs deep."""


class Fate(Enum):
    """What the new branch holds in place of the transfer."""

    MOVED = "moved"
    DROPPED = "dropped"
    DOUBLED = "doubled"
    REVERTED = "reverted"


of_fates = pytest.mark.parametrize(
    "fate",
    [
        Fate.MOVED,
        Fate.DROPPED,
        *(pytest.param(fate, marks=pytest.mark.nightly) for fate in (Fate.DOUBLED, Fate.REVERTED)),
    ],
)


DeepScene = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture(scope="session")
def _deep_beginning(_sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Beginning:
    return Beginning(
        databases=_sqlite_databases,
        directory=tmp_path_factory.mktemp("deep-beginning"),
        options=("--hardfork", "prague", "--slots-in-an-epoch", str(SLOTS_PER_EPOCH)),
    )


@pytest.fixture
def deep_scene(_deep_beginning: Beginning, start_anvil: Callable[..., Anvil]) -> DeepScene:
    """A chain whose final block lies far below its head: by a tag that lags, or by depth alone where it has none."""

    @asynccontextmanager
    async def opened(database_url: str, tag: str = "lags") -> AsyncIterator[Scene]:
        async with _deep_beginning.scene(start_anvil, database_url) as scene:
            if tag == "lags":
                yield scene
                return
            chain = replace(scene.chain, has_finalized_tag=False, confirmations=CONFIRMATIONS)
            async with connect([scene.anvil.rpc_url], chain_id=CHAIN_ID, has_finalized_tag=False) as pool:
                scene.restart(pool=pool, chain=chain)
                await scene.watch()
                yield scene

    return opened


def mine_payment(scene: Scene, payment: Payment) -> str:
    """A block with the customer's transfer; the signed transaction."""
    raw = scene.sign(scene.transfer("USDT", payment.address, due(payment, "USDT")[0]))
    scene.anvil.receipt(scene.anvil.rpc("eth_sendRawTransaction", raw))
    return raw


def new_branch(scene: Scene, payment: Payment, raw: str, fate: Fate, depth: int) -> list[tuple[str, int]]:
    """The transactions of the branch that replaces the newest `depth` blocks, each with the index of its block."""
    later = depth // 2
    match fate:
        case Fate.MOVED:
            return [(raw, later)]
        case Fate.DROPPED:
            return []
        case Fate.DOUBLED:
            again = scene.sign(scene.transfer("USDT", payment.address, due(payment, "USDT")[0]), ahead=0)
            return [(raw, 0), (again, later)]
        case Fate.REVERTED:
            # More than the customer owns: the same wallet's transaction, which moves nothing in this branch.
            nothing = scene.sign(scene.transfer("USDT", payment.address, 10**30), ahead=-1)
            return [(nothing, later)]


async def expect(scene: Scene, payment: Payment, fate: Fate, *, was_read: bool) -> None:
    """Nothing but what is in the new branch counts. A payment whose old branch was never read heard of no money."""
    full = due(payment, "USDT")[0]
    unpaid = Status.PENDING if was_read else Status.INITIATED
    received, status = {
        Fate.MOVED: (full, Status.CONFIRMING),
        Fate.DROPPED: (0, unpaid),
        Fate.DOUBLED: (2 * full, Status.CONFIRMING),
        Fate.REVERTED: (0, unpaid),
    }[fate]
    assert await scene.received(payment, "USDT") == received
    assert await scene.status(payment) is status
    assert (await scene.cursor()).hash.hex() == scene.anvil.block()["hash"][2:]


async def reorganise(scene: Scene, fate: Fate, depth: int, *, read_between: bool = True) -> Payment:
    """A customer pays, `depth` blocks are mined and then replaced; what is read in the end is the new branch."""
    payment = await scene.create("USDT", expires_in=3600)
    raw = mine_payment(scene, payment)
    scene.anvil.mine(depth - 1)
    if read_between:
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING
    scene.anvil.reorg(depth, new_branch(scene, payment, raw, fate, depth))
    await scene.watch()
    await expect(scene, payment, fate, was_read=read_between)
    return payment


async def expect_end(scene: Scene, payment: Payment, fate: Fate) -> None:
    """Once everything is final, what was paid in the new branch is paid, and nothing else."""
    paid = fate in (Fate.MOVED, Fate.DOUBLED)
    assert (await scene.status(payment) is Status.PAID) is paid


@of_fates
@pytest.mark.parametrize("tag", ["lags", pytest.param("is off", marks=pytest.mark.nightly)])
async def test_reorg_above_finality_leaves_what_the_new_branch_holds(
    deep_scene: DeepScene, sqlite_url: str, tag: str, fate: Fate
) -> None:
    async with deep_scene(sqlite_url, tag) as scene:
        payments = [await reorganise(scene, fate, depth) for depth in USUAL_DEPTHS]
        await scene.mine(CONFIRMATIONS + 1)
        for payment in payments:
            await expect_end(scene, payment, fate)


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(1, DEEPEST + 1, DEPTHS_PER_CHAIN))
async def test_reorg_of_every_depth_up_to_64(deep_scene: DeepScene, database_url: str, first: int) -> None:
    """With one fate after another; watched before, and every third time not."""
    async with deep_scene(database_url) as scene:
        reorganised = []
        for depth in range(first, first + DEPTHS_PER_CHAIN):
            fate = list(Fate)[(depth + ("postgresql" in database_url)) % len(Fate)]
            reorganised.append((await reorganise(scene, fate, depth, read_between=depth % 3 != 0), fate))
        await scene.mine(CONFIRMATIONS + 1)
        for payment, fate in reorganised:
            await expect_end(scene, payment, fate)


@of_fates
async def test_reorg_that_nobody_watched_is_read_as_what_came_of_it(
    deep_scene: DeepScene, sqlite_url: str, fate: Fate
) -> None:
    async with deep_scene(sqlite_url) as scene:
        payment = await reorganise(scene, fate, 20, read_between=False)
        await scene.mine(CONFIRMATIONS + 1)
        await expect_end(scene, payment, fate)


@of_fates
async def test_reorg_in_the_middle_of_catching_up(
    deep_scene: DeepScene, sqlite_url: str, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 blocks behind: the first step has read a part of them when the newest 40 are replaced."""
    monkeypatch.setattr(catch_up, "LONGEST_STEP", catch_up.FIRST_STEP)
    async with deep_scene(sqlite_url) as scene:
        payment = await scene.create("USDT", expires_in=3600)
        scene.anvil.mine(260)
        raw = mine_payment(scene, payment)
        scene.anvil.mine(39)
        assert await scene.follower.step()
        assert (await scene.cursor()).number < scene.anvil.block_number() - 40
        scene.anvil.reorg(40, new_branch(scene, payment, raw, fate, 40))
        await scene.watch()
        await expect(scene, payment, fate, was_read=False)
        await scene.mine(CONFIRMATIONS + 1)
        await expect_end(scene, payment, fate)


@of_fates
async def test_reorg_below_the_final_block_stops_the_watcher_whatever_became_of_the_money(
    deep_scene: DeepScene, sqlite_url: str, fate: Fate
) -> None:
    async with deep_scene(sqlite_url) as scene:
        payment = await scene.create("USDT", expires_in=3600)
        raw = mine_payment(scene, payment)
        await scene.mine(CONFIRMATIONS + 2)
        before = await scene.cursor()
        assert await scene.status(payment) is Status.PAID
        depth = CONFIRMATIONS + 3
        scene.anvil.reorg(depth, new_branch(scene, payment, raw, fate, depth))
        with pytest.raises(ReorgBelowFinality, match="openpay rewind"):
            await scene.watch()
        assert await scene.cursor() == before
        assert await scene.status(payment) is Status.PAID
        assert await scene.received(payment, "USDT") == due(payment, "USDT")[0]
