"""Asking nodes on visitors' behalf costs the nodes little, whoever asks."""

from __future__ import annotations

import asyncio

import pytest

from checkout_web.edge import sightings
from checkout_web.edge.sightings import ASKED_A_MINUTE, AT_A_TIME, FRESH_S, MOST_KEPT, Sightings
from openpay.domain.finding import SeenTransaction, TransactionState
from openpay.errors import ChainUnavailable

PENDING = SeenTransaction(state=TransactionState.PENDING, transfers=(), calls_contract=False)


class Nodes:
    """Answer `PENDING` to even hashes, None to odd ones; only when let."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.at_once = 0
        self.most_at_once = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_away = False

    async def seen(self, chain_id: int, tx_hash: bytes) -> SeenTransaction | None:
        self.asked.append(tx_hash)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.may_answer.wait()
        finally:
            self.at_once -= 1
        if self.is_away:
            raise ChainUnavailable("away")
        return None if tx_hash[-1] % 2 else PENDING


def name(n: int) -> bytes:
    return n.to_bytes(32, "big")


async def test_an_answer_is_given_again_for_a_few_seconds_the_unknown_too() -> None:
    nodes, now = Nodes(), 0.0
    asking = Sightings(nodes, monotonic=lambda: now)
    for _ in range(3):
        assert await asking.seen(56, name(2)) == PENDING
        assert await asking.seen(56, name(3)) is None
    assert nodes.asked == [name(2), name(3)]
    now = FRESH_S
    assert await asking.seen(56, name(2)) == PENDING
    assert nodes.asked == [name(2), name(3), name(2)]


async def test_the_same_hash_on_another_chain_is_another_question() -> None:
    nodes = Nodes()
    asking = Sightings(nodes)
    await asking.seen(56, name(2))
    await asking.seen(97, name(2))
    assert nodes.asked == [name(2), name(2)]


async def test_only_so_many_transactions_are_asked_for_at_once() -> None:
    nodes = Nodes()
    nodes.may_answer.clear()
    asking = Sightings(nodes)
    tasks = [asyncio.create_task(asking.seen(56, name(2 * n))) for n in range(1, 3 * AT_A_TIME)]
    while len(nodes.asked) < AT_A_TIME:
        await asyncio.sleep(0)
    nodes.may_answer.set()
    await asyncio.gather(*tasks)
    assert nodes.most_at_once == AT_A_TIME


async def test_a_node_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "PATIENCE_S", 0.01)
    nodes = Nodes()
    nodes.may_answer.clear()
    with pytest.raises(ChainUnavailable, match="no node answered within"):
        await Sightings(nodes).seen(56, name(2))
    assert nodes.at_once == 0


async def test_a_failure_is_not_kept() -> None:
    nodes = Nodes()
    asking = Sightings(nodes)
    nodes.is_away = True
    with pytest.raises(ChainUnavailable):
        await asking.seen(56, name(2))
    nodes.is_away = False
    assert await asking.seen(56, name(2)) == PENDING


async def test_without_a_connection_to_the_chain_it_says_so() -> None:
    with pytest.raises(ChainUnavailable, match="no connection"):
        await Sightings(None).seen(56, name(2))


async def test_what_is_kept_does_not_grow_without_end() -> None:
    nodes, now = Nodes(), 0.0
    asking = Sightings(nodes, monotonic=lambda: now)
    for n in range(3 * MOST_KEPT):
        now += FRESH_S / MOST_KEPT / 2
        asking._asked_at.clear()
        await asking.seen(56, name(n))
    assert len(asking._kept) <= MOST_KEPT


async def test_many_visitors_together_ask_no_more_than_so_often_in_a_minute() -> None:
    nodes, now = Nodes(), 0.0
    asking = Sightings(nodes, monotonic=lambda: now)
    for n in range(ASKED_A_MINUTE):
        await asking.seen(56, name(n))
    with pytest.raises(ChainUnavailable, match="within a minute"):
        await asking.seen(56, name(ASKED_A_MINUTE))
    assert await asking.seen(56, name(2)) == PENDING  # what is fresh costs nothing
    now = 60.0
    await asking.seen(56, name(ASKED_A_MINUTE))
    assert len(nodes.asked) == ASKED_A_MINUTE + 1
