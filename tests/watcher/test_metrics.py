"""What the watcher counts, on a real chain."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from openpay.app.clock import SystemClock
from openpay.app.signals import Signals
from openpay.chain.escrow import EscrowClient
from tests.watcher.nodes import behind, everywhere, without_receipts
from tests.watcher.scene import CHAIN_ID, Scene
from watcher.facts import FactFinder
from watcher.follower import Follower
from watcher.metrics import WatcherMetrics
from watcher.watch_set import WatchSet


class Counted:
    """The figures of a scene whose watcher was just started."""

    def __init__(self, scene: Scene) -> None:
        self.registry = CollectorRegistry()
        watched = WatchSet(CHAIN_ID, monotonic=lambda: 0.0)
        scene.follower = Follower(
            scene.chain,
            scene.pool,
            scene.store,
            EscrowClient(scene.pool, scene.chain, operator=scene.deployment.operator.address),
            FactFinder(scene.chain, scene.pool, scene.store, watched),
            signals=Signals(),
            wall=SystemClock(),
            metrics=WatcherMetrics(self.registry).of(CHAIN_ID),
        )

    def __getitem__(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"openpay_watcher_{name}", {"chain_id": str(CHAIN_ID)})


async def test_blocks_and_commits_are_counted(scene: Scene) -> None:
    counted = Counted(scene)
    await scene.mine(5)
    assert (counted["blocks_total"], counted["blocks_agreed_total"], counted["commit_seconds_count"]) == (5, 0, 5)


async def test_far_behind_blocks_outnumber_commits(scene: Scene) -> None:
    counted = Counted(scene)
    await scene.mine(150)
    blocks, commits = counted["blocks_total"], counted["commit_seconds_count"]
    assert blocks == 150
    assert commits is not None
    assert commits < 150


async def test_reorgs_are_counted_with_the_last_and_the_greatest_depth(scene: Scene) -> None:
    counted = Counted(scene)
    await scene.mine(12)
    assert counted["reorgs_total"] == 0
    for depth in (3, 6, 2):
        scene.anvil.reorg(depth)
        await scene.mine(2)  # a branch of equal length is not followed
    assert (counted["reorgs_total"], counted["reorg_last_depth"], counted["reorg_greatest_depth"]) == (3, 2, 6)


async def test_block_that_is_not_wholly_proven_is_counted_as_agreed(scene: Scene) -> None:
    async with behind(scene, hosts=2) as nodes:
        counted = Counted(scene)
        everywhere(nodes, without_receipts)
        await scene.mine(3)
    assert (counted["blocks_total"], counted["blocks_agreed_total"]) == (3, 3)
