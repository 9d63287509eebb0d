"""A watcher stopped below finality, and what an operator does about it."""

from __future__ import annotations

import pytest

from openpay.app.reconcile import reconcile
from openpay.app.records import Cursor
from openpay.app.rewind import rewind, survey
from openpay.bootstrap.rewinding import vouched_block
from openpay.chain.holdings import ChainHoldings
from openpay.errors import ReorgBelowFinality
from tests.watcher.scene import CHAIN_ID, Scene


async def stopped_below_finality(scene: Scene) -> None:
    with pytest.raises(ReorgBelowFinality):
        await scene.watch()


async def rewound(scene: Scene, target: int) -> Cursor:
    """Do what `openpay rewind` does, and start a new watcher."""
    position = await survey(scene.store, CHAIN_ID, target)
    block = await vouched_block(scene.pool, scene.store, scene.chain, position)
    cursor = await rewind(scene.store, position, block, wall_now=1, tokens=scene.chain.tokens)
    scene.restart()
    return cursor


async def differences(scene: Scene) -> list[object]:
    return list((await reconcile(scene.store, ChainHoldings({CHAIN_ID: scene.pool}), scene.chain)).differences)
