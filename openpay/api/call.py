"""One request on its way through the API: who asks, what for, and how its work is done once."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from openpay.api.authentication import Authenticator
from openpay.api.deps import ApiDeps
from openpay.app.idempotency import Answer, Claim, Seals, once
from openpay.app.merchants import Caller
from openpay.app.ports import UnitOfWork

QueryT = TypeVar("QueryT", bound=BaseModel)
BodyT = TypeVar("BodyT", bound=BaseModel)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(Generic[QueryT, BodyT]):
    """A parsed request of a merchant. `path` holds the ids in its path; `seals` keeps an answer that shows a secret."""

    deps: ApiDeps
    authenticator: Authenticator
    caller: Caller
    path: Mapping[str, str]
    query: QueryT
    body: BodyT
    claim: Claim | None
    seals: Seals | None

    async def write(self, work: Callable[[UnitOfWork], Awaitable[Answer]], *, wake: tuple[str, ...] = ()) -> Answer:
        """Do `work` in one transaction, at most once for the request's Idempotency-Key; then wake who waits for it."""
        answer = await once(self.deps.db, self.claim, work, now=self.deps.wall_clock.now(), seals=self.seals)
        if not answer.replayed:
            self.deps.signals.notify(*wake)
        return answer


def json_answer(value: Mapping[str, object], *, status: int = 200) -> Answer:
    """An answer of JSON in UTF-8, fields in the order given."""
    return Answer(status=status, body=json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
