"""The newest block, alone: what needs none of its content is found out while it is on its way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from openpay.chain.fetch import fetch_block
from openpay.chain.pool import Pool
from openpay.chain.proofs import ProvenBlock
from openpay.domain.payment import Status
from tests.watcher.nodes import paid_up
from tests.watcher.scene import Scene
from watcher import catch_up, follower
from watcher.facts import FactFinder

PATIENCE_S = 5


async def test_whom_to_look_for_and_what_is_final_is_known_before_the_block_is_here(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.watch()
    prepared, judged = asyncio.Event(), asyncio.Event()
    prepare, verdicts = FactFinder.prepare, follower.Follower._verdicts

    async def noted(self: FactFinder, *args: Any, **options: Any) -> Any:
        sought = await prepare(self, *args, **options)
        prepared.set()
        return sought

    async def heard(self: follower.Follower, *args: Any) -> Any:
        verdict = await verdicts(self, *args)
        judged.set()
        return verdict

    async def slow(pool: Pool, block_hash: bytes) -> ProvenBlock:
        async with asyncio.timeout(PATIENCE_S):
            await prepared.wait()
            await judged.wait()
        return await fetch_block(pool, block_hash)

    monkeypatch.setattr(FactFinder, "prepare", noted)
    monkeypatch.setattr(follower.Follower, "_verdicts", heard)
    monkeypatch.setattr(follower, "fetch_block", slow)
    payment = await paid_up(scene)
    await scene.watch()
    assert await scene.status(payment) is Status.CONFIRMING


async def test_payment_made_after_the_block_before_was_read_is_found(scene: Scene) -> None:
    await scene.watch()
    for _ in range(3):
        payment = await paid_up(scene)
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING


async def test_freed_memory_is_kept_from_the_first_step_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a block took is given back to the system while it waits for its commit, otherwise."""
    told: list[str] = []
    monkeypatch.setattr(catch_up, "keep_freed_memory", lambda: told.append("kept"))
    near = catch_up.CatchUp(scene.chain, scene.pool)
    for tip in (5, 6):
        await near.begin_step(tip, tip + 1)
    assert told == ["kept"]
