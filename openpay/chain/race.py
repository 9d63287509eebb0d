"""Putting one question to several endpoints: one after another, and to a second one early where the first is slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from openpay.chain.errors import EndpointFault, JsonRpcError, Missing, Resting, Throttled
from openpay.chain.member import Member, Question
from openpay.chain.pacing import HedgeBudget

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Won(Generic[T]):
    """The first answer that passed its check, and who gave it."""

    member: Member
    answer: T


@dataclass(kw_only=True)
class Outcome(Generic[T]):
    """What came of a question. Without `won`, nobody gave an answer."""

    won: Won[T] | None = None
    faults: list[tuple[Member, EndpointFault]] = field(default_factory=list)
    refusal: JsonRpcError | None = None
    """The newest error that is no revert: the node's own, so that others were asked too."""

    @property
    def is_answer(self) -> bool:
        """Whether somebody answered, if only with `null` or an error: then those that are away are not waited for."""
        return self.refusal is not None or any(isinstance(fault, Missing) for _, fault in self.faults)


async def race(members: Sequence[Member], question: Question[T], budget: HedgeBudget) -> Outcome[T]:
    """Ask `members` in their order until one answers.

    When the first is slow the second is asked too, if it is ready and `budget` allows it: the first good answer wins,
    and the others are canceled, which is no fault of theirs. A question may thus be on its way twice; so may any that
    was sent again after a timeout. One that was refused for their number is asked a second time, after the others and
    after a pause. A revert is an answer, and raised at once.
    """
    outcome: Outcome[T] = Outcome()
    upcoming = deque(members)
    once_more = set(members)
    running: dict[asyncio.Task[T], Member] = {}
    slow: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start() -> None:
        member = upcoming.popleft()
        asking = member.ask(question, slow=slow, patiently=not outcome.is_answer)
        running[asyncio.create_task(asking)] = member

    budget.asked()
    may_hedge = True
    try:
        while running or upcoming:
            if not running:
                start()
            waiting: set[asyncio.Future[Any]] = {*running, slow} if may_hedge else {*running}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                member = running.pop(task)
                try:
                    outcome.won = Won(member=member, answer=task.result())
                except JsonRpcError as error:
                    if error.is_revert:
                        raise
                    outcome.refusal = error
                except EndpointFault as fault:
                    outcome.faults.append((member, fault))
                    if isinstance(fault, Throttled) and not isinstance(fault, Resting) and member in once_more:
                        once_more.remove(member)
                        upcoming.append(member)
                else:
                    return outcome
            if slow.done() and may_hedge:
                may_hedge = False
                if running and upcoming and upcoming[0].is_ready and budget.take():
                    start()
        return outcome
    finally:
        slow.cancel()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
