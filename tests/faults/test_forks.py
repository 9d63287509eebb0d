"""A host on another fork, one that mixes forks, one that is stuck; and finality that stands still or goes back."""

from __future__ import annotations

from typing import Any

import pytest

from openpay.domain.payment import Payment, Status
from tests.faults.faults import (
    Fault,
    finality_absent,
    finality_ahead,
    finality_at,
    finality_swinging,
    mixed_forks,
    other_fork,
    slow,
    stale_head,
)
from tests.faults.hosts import behind, mine_patiently, pay_in_parts, watch_patiently
from tests.faults.proxy import Proxy
from tests.watcher.scene import Scene, due

CONFIRMATIONS = 12
STALLED = 240
DEPTH = 6
SWING = 9


class OldBranch:
    """What a node says that never heard of a reorganisation: its blocks are the chain's until there."""

    def __init__(self, scene: Scene, *, depth: int) -> None:
        """Remember the newest `depth` blocks as they are now."""
        anvil = scene.anvil
        self._anvil = anvil
        self._blocks: dict[str, dict[str, Any]] = {}
        self._receipts: dict[str, Any] = {}
        for number in range(anvil.block_number() - depth + 1, anvil.block_number() + 1):
            block = anvil.rpc("eth_getBlockByNumber", hex(number), True)
            self._receipts[block["hash"]] = anvil.rpc("eth_getBlockReceipts", block["hash"])
            for name in (block["hash"], hex(number), "latest"):
                self._blocks[name] = block

    async def ask(self, method: str, params: list[Any]) -> Any:
        match method, params:
            case "eth_blockNumber", _:
                return self._blocks["latest"]["number"]
            case "eth_getBlockByNumber" | "eth_getBlockByHash", [name, full] if name in self._blocks:
                block = self._blocks[name]
                return block if full else block | {"transactions": [each["hash"] for each in block["transactions"]]}
            case "eth_getBlockReceipts", [block_hash] if block_hash in self._receipts:
                return self._receipts[block_hash]
            case "eth_getBlockByNumber", [str(name), _] if name.startswith("0x"):
                if int(name, 16) > int(self._blocks["latest"]["number"], 16):
                    return None
        return self._anvil.rpc(method, *params)


async def left_behind(scene: Scene, host: Proxy) -> tuple[Payment, Payment]:
    """A reorganisation of which `host` never heard; payments that only its branch, and only the new one, hold."""
    vanished = await pay_in_parts(scene)
    scene.anvil.mine(DEPTH - 1)
    await watch_patiently(scene)
    assert await scene.status(vanished) is Status.CONFIRMING
    old = OldBranch(scene, depth=DEPTH)
    scene.anvil.reorg(DEPTH)
    kept = await pay_in_parts(scene)
    host.faults = [other_fork(old.ask)]
    return vanished, kept


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
async def test_host_that_stays_on_a_dead_fork_pays_nothing_and_delays_little(scene: Scene, place: int) -> None:
    async with behind(scene, 3) as hosts:
        vanished, kept = await left_behind(scene, hosts[place])
        for _ in range(CONFIRMATIONS + 6):
            scene.anvil.mine(1)
            await watch_patiently(scene)
        assert await scene.deposits(vanished) == []
        assert await scene.status(vanished) is Status.PENDING
        assert await scene.received(kept, "USDT") == due(kept, "USDT")[0]
        assert (await scene.cursor()).hash.hex() == scene.anvil.block()["hash"][2:]
        # A host that calls another block final at that height would stop it; this one has none that high.
        assert await scene.status(kept) is Status.PAID


async def test_record_does_not_swing_between_forks(scene: Scene) -> None:
    """However often the dead fork is looked at again, what was read of the living one stays."""
    async with behind(scene, 2) as hosts:
        _, kept = await left_behind(scene, hosts[0])
        scene.anvil.mine(8)
        await watch_patiently(scene)
        for _ in range(20):
            await watch_patiently(scene)
        assert await scene.events(kept) == ["confirming"]


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
async def test_receipts_of_another_fork_are_found_out(scene: Scene, place: int) -> None:
    async with behind(scene, 2) as hosts:
        vanished = await pay_in_parts(scene)
        scene.anvil.mine(DEPTH - 1)
        old = OldBranch(scene, depth=DEPTH)
        scene.anvil.reorg(DEPTH)
        hosts[place].faults = [mixed_forks(old.ask)]
        scene.anvil.mine(CONFIRMATIONS)
        await watch_patiently(scene)
        assert await scene.deposits(vanished) == []
        assert (await scene.cursor()).hash.hex() == scene.anvil.block()["hash"][2:]


async def test_heights_of_another_branch_take_nothing_back(scene: Scene) -> None:
    """The faster host's head is right, and by height it names the blocks of a dead branch."""
    async with behind(scene, 2) as hosts:
        scene.anvil.mine(20)
        old = OldBranch(scene, depth=20)
        scene.anvil.rpc("anvil_rollback", 20)
        kept = await pay_in_parts(scene)
        await watch_patiently(scene)

        async def by_height(method: str, params: list[Any], ask: Any) -> Any:
            is_height = method == "eth_getBlockByNumber" and params[0].startswith("0x")
            return await (old.ask if is_height else ask)(method, params)

        hosts[0].faults = [Fault(name="by_height", answer=by_height)]
        hosts[1].faults = [slow(0.25)]
        for _ in range(4):
            scene.anvil.mine(3)
            await watch_patiently(scene)
        assert (await scene.cursor()).hash.hex() == scene.anvil.block()["hash"][2:]
        assert await scene.events(kept) == ["confirming"]


async def test_host_that_is_stuck_is_not_waited_for(scene: Scene) -> None:
    async with behind(scene, 2) as hosts:
        hosts[0].faults = [stale_head(30)]
        payment = await pay_in_parts(scene)
        await watch_patiently(scene)
        assert await scene.status(payment) is Status.CONFIRMING


@pytest.mark.parametrize("fault", [finality_swinging(SWING), finality_ahead(50)], ids=str)
async def test_tag_that_wavers_or_runs_ahead_pays_nothing_before_twelve_confirmations(
    scene: Scene, fault: Fault
) -> None:
    async with behind(scene, 1) as (host,):
        host.faults = [fault]
        payment = await pay_in_parts(scene)
        finals = []
        for _ in range(CONFIRMATIONS - 1):
            await watch_patiently(scene)
            finals.append((await scene.cursor()).final_number)
            assert await scene.status(payment) is Status.CONFIRMING
            scene.anvil.mine(1)
        for _ in range(SWING + 1):
            scene.anvil.mine(1)
            await watch_patiently(scene)
        assert await scene.status(payment) is Status.PAID
        assert finals == sorted(finals)


@pytest.mark.parametrize("hosts", [1, 2])
async def test_tag_that_stands_still_is_replaced_by_depth(scene: Scene, hosts: int) -> None:
    async with behind(scene, hosts) as made:
        for host in made:
            host.faults = [finality_at(scene.anvil.block_number() - 10)]
        payment = await pay_in_parts(scene)
        await mine_patiently(scene, STALLED - 2)
        assert await scene.status(payment) is Status.CONFIRMING
        await mine_patiently(scene, 1)
        assert await scene.status(payment) is Status.PAID


async def test_tag_that_went_back_takes_back_nothing_and_holds_what_is_not_final_yet(scene: Scene) -> None:
    async with behind(scene, 1) as (host,):
        early = await pay_in_parts(scene)
        await mine_patiently(scene, CONFIRMATIONS)
        assert await scene.status(early) is Status.PAID
        before = await scene.cursor()
        host.faults = [finality_at(before.final_number - 15)]
        late = await pay_in_parts(scene)
        await mine_patiently(scene, 2 * CONFIRMATIONS)
        assert (await scene.cursor()).final_number == before.final_number
        assert await scene.status(early) is Status.PAID
        assert await scene.status(late) is Status.CONFIRMING
        host.faults = []
        await mine_patiently(scene, 1)
        assert await scene.status(late) is Status.PAID


async def test_host_that_has_lost_its_tag_is_not_asked_for_it_alone(scene: Scene) -> None:
    async with behind(scene, 2) as hosts:
        hosts[0].faults = [finality_absent()]
        payment = await pay_in_parts(scene)
        await watch_patiently(scene)
        assert await scene.status(payment) is Status.CONFIRMING
        hosts[0].faults = []
        scene.anvil.mine(CONFIRMATIONS)
        await watch_patiently(scene)
        assert await scene.status(payment) is Status.PAID
