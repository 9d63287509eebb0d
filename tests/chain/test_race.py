"""One question, several endpoints: whatever each does, a good answer is found where there is one, and nothing is left
running."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.chain.errors import JsonRpcError, Missing, Throttled, TimedOut
from openpay.chain.member import Member
from openpay.chain.pacing import HedgeBudget
from openpay.chain.race import Outcome, race


class Does(Enum):
    ANSWER = "answer"
    MISS = "miss"
    TIME_OUT = "time out"
    REFUSE = "refuse"
    REVERT = "revert"
    THROTTLE = "throttle"
    THROTTLE_ONCE = "throttle once"
    HANG = "hang"
    """For ever, not even to time out."""


GOOD = {Does.ANSWER, Does.THROTTLE_ONCE}


@dataclass
class Field:
    """Who is being asked at present, and who ever was."""

    running: set[str] = field(default_factory=set)
    most_at_once: int = 0
    asked: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False)
class Scripted:
    """A member that takes `turns` of the event loop, more than two of which are slow, and then does what it does."""

    name: str
    does: Does
    turns: int
    is_ready: bool
    field: Field

    async def ask(self, question: Any, *, slow: asyncio.Future[None], patiently: bool) -> str:
        self.field.running.add(self.name)
        self.field.most_at_once = max(self.field.most_at_once, len(self.field.running))
        self.field.asked[self.name] += 1
        try:
            for turn in range(self.turns):
                await asyncio.sleep(0)
                if turn == 2 and not slow.done():
                    slow.set_result(None)
            if self.does is Does.HANG:
                await asyncio.Event().wait()
            return self._outcome()
        finally:
            self.field.running.remove(self.name)

    def _outcome(self) -> str:
        match self.does:
            case Does.MISS:
                raise Missing(self.name, "null")
            case Does.TIME_OUT:
                raise TimedOut(self.name, "no answer")
            case Does.REFUSE:
                raise JsonRpcError(self.name, method="m", code=-32000, message="no")
            case Does.REVERT:
                raise JsonRpcError(self.name, method="m", code=3, message="execution reverted")
            case Does.THROTTLE:
                raise Throttled(self.name, retry_after_s=None)
            case Does.THROTTLE_ONCE if self.field.asked[self.name] == 1:
                raise Throttled(self.name, retry_after_s=None)
            case _:
                return self.name


scripts = st.lists(
    st.tuples(
        st.sampled_from(sorted(set(Does) - {Does.HANG}, key=str)), st.integers(min_value=0, max_value=8), st.booleans()
    ),
    min_size=1,
    max_size=5,
)


def run(script: list[tuple[Does, int, bool]], *, hedges: int = 5) -> tuple[Outcome[str] | JsonRpcError, Field]:
    play = Field()
    members = [
        Scripted(name=f"{place} {does.value}", does=does, turns=turns, is_ready=is_ready, field=play)
        for place, (does, turns, is_ready) in enumerate(script)
    ]
    budget = HedgeBudget()
    for _ in range(5 - hedges):
        budget.take()

    async def ask() -> Outcome[str] | JsonRpcError:
        before = asyncio.all_tasks()
        try:
            async with asyncio.timeout(20):
                return await race(cast("list[Member]", members), cast("Any", None), budget)
        except JsonRpcError as revert:
            return revert
        finally:
            assert asyncio.all_tasks() == before
            assert not play.running

    return asyncio.run(ask()), play


@given(scripts)
def test_a_good_answer_is_found_where_there_is_one(script: list[tuple[Does, int, bool]]) -> None:
    outcome, play = run(script)
    kinds = {does for does, _, _ in script}
    good = {f"{place} {does.value}" for place, (does, _, _) in enumerate(script) if does in GOOD}
    if isinstance(outcome, JsonRpcError):
        assert outcome.is_revert
        assert Does.REVERT in kinds
    elif outcome.won is not None:
        assert outcome.won.answer in good
    else:
        assert not good
        assert Does.REVERT not in kinds
        assert set(play.asked) == {f"{place} {does.value}" for place, (does, _, _) in enumerate(script)}


@given(scripts)
def test_two_at_most_are_asked_at_once_and_nobody_twice_who_was_not_refused_for_their_number(
    script: list[tuple[Does, int, bool]],
) -> None:
    _, play = run(script)
    assert play.most_at_once <= 2
    for name, times in play.asked.items():
        assert times <= (2 if "throttle" in name else 1)


@given(scripts)
def test_one_after_another_where_the_budget_is_spent(script: list[tuple[Does, int, bool]]) -> None:
    _, play = run(script, hedges=0)
    assert play.most_at_once == 1


@pytest.mark.parametrize(
    ("second", "winner"),
    [((Does.ANSWER, 0, True), "1 answer"), ((Does.TIME_OUT, 0, True), "0 answer"), ((Does.MISS, 0, True), "0 answer")],
)
def test_slow_first_one_loses_to_a_good_answer_only(second: tuple[Does, int, bool], winner: str) -> None:
    outcome, play = run([(Does.ANSWER, 8, True), second])
    assert isinstance(outcome, Outcome)
    assert outcome.won is not None
    assert outcome.won.answer == winner
    assert play.most_at_once == 2


def test_slow_first_one_is_canceled_when_another_answers() -> None:
    outcome, _ = run([(Does.HANG, 8, True), (Does.ANSWER, 0, True)])
    assert isinstance(outcome, Outcome)
    assert outcome.won is not None
    assert outcome.won.answer == "1 answer"
    assert outcome.faults == []


def test_second_one_that_is_not_ready_is_not_asked_early() -> None:
    outcome, play = run([(Does.ANSWER, 8, True), (Does.ANSWER, 0, False)])
    assert isinstance(outcome, Outcome)
    assert outcome.won is not None
    assert outcome.won.answer == "0 answer"
    assert play.most_at_once == 1
