"""One host of three with branches of its own, ever higher: payments go on by the other two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from openpay.chain.words import majority
from openpay.domain.payment import Status
from openpay.errors import ChainUnavailable
from tests.watcher.nodes import behind, child, paid_up
from tests.watcher.scene import Scene
from watcher.branches import TURNS_APART, Branches
from watcher.lookout import Lookout

STEPS_PER_BLOCK = 8
A, B, C = b"a", b"b", b"c"


class EverHigher:
    """Names a higher head each time that it is asked, and serves what is below it. It contradicts no final block: that
    would hold payments, which is another matter."""

    def __init__(self, scene: Scene, *, depth: int | None, above: int) -> None:
        """Each is a branch of its own that leaves the chain `depth` blocks below its head; None: one branch grows."""
        self._anvil = scene.anvil
        self._depth = depth
        self._above = above
        self._known: dict[str, dict[str, Any]] = {}
        self._heights: dict[str, dict[str, Any]] = {}
        self._tip = scene.anvil.block()
        self._salts: Iterator[int] = iter(range(10**9))

    def lie(self, method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockReceipts" and params[0] in self._known:
            return []
        if not method.startswith("eth_getBlockBy"):
            return result
        if params[0] == "latest":
            self._invent()
            return self._tip
        if params[0] in self._known:
            return self._known[params[0]]
        is_above = result is None or self._depth is not None
        return self._heights.get(params[0], result) if is_above else result

    def _invent(self) -> None:
        salt = f"0x{next(self._salts):08x}"
        wanted = max(self._anvil.block_number(), int(self._tip["number"], 16)) + self._above
        if self._depth is not None:
            wanted = self._anvil.block_number() + self._above
            self._tip = self._anvil.block(self._anvil.block_number() - self._depth)
            self._heights = {}
        while int(self._tip["number"], 16) < wanted:
            self._tip = child(self._tip, extraData=salt)
            self._known[self._tip["hash"]] = self._heights[self._tip["number"]] = self._tip


async def follow(scene: Scene, blocks: int) -> None:
    for _ in range(blocks):
        scene.anvil.mine(1)
        for _ in range(STEPS_PER_BLOCK):
            with suppress(ChainUnavailable):
                await scene.follower.step()


@pytest.mark.parametrize(
    ("depth", "above"),
    [
        (5, 3),
        pytest.param(5, 40, marks=pytest.mark.nightly),
        pytest.param(0, 3, marks=pytest.mark.nightly),
        pytest.param(None, 3, marks=pytest.mark.nightly),
    ],
    ids=["from below", "far from below", "on top", "growing"],
)
async def test_ever_higher_branches_of_one_host_do_not_keep_payments_from_being_paid(
    scene: Scene, depth: int | None, above: int
) -> None:
    await scene.mine(20)
    async with behind(scene, 3) as (liar, *_):
        liar.lie = EverHigher(scene, depth=depth, above=above).lie
        payment = await paid_up(scene)
        await follow(scene, 16)
        assert await scene.status(payment) is Status.PAID
        if depth == 5:
            assert (await scene.cursor()).number <= scene.anvil.block_number(), "the record is on no invention"


async def test_reorganisation_that_one_host_heard_of_first_is_followed_once_another_has_it(scene: Scene) -> None:
    await scene.mine(20)
    async with behind(scene, 3) as hosts:
        await scene.watch()
        old = {number: scene.anvil.block(number) for number in range(scene.anvil.block_number() + 1)}
        tip = await scene.cursor()
        scene.anvil.reorg(3)
        scene.anvil.mine(1)

        def lie(method: str, params: list[Any], result: Any) -> Any:
            """As a node that has not heard of it."""
            if method != "eth_getBlockByNumber":
                return result
            return old[tip.number] if params[0] == "latest" else old.get(int(result["number"], 16))

        for host in hosts[1:]:
            host.lie = lie
        await scene.watch()
        assert (await scene.cursor()).hash == tip.hash
        hosts[1].lie = None
        await scene.watch()
        for _ in range(4):
            await scene.mine(1)
        assert (await scene.cursor()).hash.hex() == scene.anvil.block()["hash"][2:]


async def test_hosts_on_a_branch_that_most_left_long_ago_are_not_followed(scene: Scene) -> None:
    async with behind(scene, 3) as (liar, *_):
        number = scene.anvil.block_number()
        invented = child(scene.anvil.block(number - 1), extraData="0x1234")
        liar.lie = lambda method, params, result: invented if params[:1] == [hex(number)] else result
        lookout = Lookout(scene.chain, scene.pool)
        branches = Branches(scene.pool, lookout)
        ours = bytes.fromhex(invented["hash"][2:])
        real = bytes.fromhex(scene.anvil.block(number)["hash"][2:])
        newest = dict.fromkeys(sorted(scene.pool.hosts)[:2], (number, real))
        for _ in range(TURNS_APART):
            assert lookout.left_out == set()
            await branches.watch(newest, lambda at: ours if at == number else None)
        assert lookout.left_out == {liar.url.removeprefix("http://").rstrip("/")}
        assert (await lookout.look()).host not in lookout.left_out


@pytest.mark.parametrize(
    ("hashes", "most"),
    [({}, None), ([A], None), ([A, A], A), ([A, B], None), ([A, A, B], A), ([A, A, B, B], None), ([A, B, B, C], B)],
)
def test_majority_is_two_hosts_at_least_and_more_than_have_any_other(hashes: list[bytes], most: bytes | None) -> None:
    assert majority({f"host{at}": each for at, each in enumerate(hashes)}) == most
