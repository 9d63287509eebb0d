"""At most once: the answer to an Idempotency-Key is kept in the transaction of the work that it answers.

Only work that was done leaves an answer. An error undoes the whole transaction, the claim on the key included, so a
request that failed may be mended and sent again under the same key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from openpay.app.merchants import Caller
from openpay.app.ports import Database, UnitOfWork
from openpay.app.records import IdempotentAnswer
from openpay.errors import Conflict, Malformed

KEEP_S = 86_400
"""How long an answer is kept."""

MAX_KEY_LENGTH = 255

_BARE = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,510})"', re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request is answered: an HTTP status and the body's exact bytes. `replayed`: it was given before."""

    status: int
    body: bytes
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One merchant's key in one mode (`key_hash`), and what it was sent with (`fingerprint`); both SHA-256."""

    key_hash: bytes
    fingerprint: bytes


class Seals(Protocol):
    """How answers that show a secret are kept (`openpay.app.sealing`)."""

    def seal(self, plaintext: bytes, context: str) -> bytes: ...
    def open(self, sealed: bytes, context: str) -> bytes: ...


def parse_key(header: str) -> str:
    """Read an `Idempotency-Key`: a structured-field string (RFC 9651) or the bare characters; 1 to 255 of them.

    Raises `Malformed` (`invalid_idempotency_key`).
    """
    quoted = _QUOTED.fullmatch(header)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else header
    if len(key) > MAX_KEY_LENGTH or not (quoted or (_BARE.fullmatch(header) and '"' not in header)):
        raise Malformed(
            f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters, plain or in double quotes",
            code="invalid_idempotency_key",
            param="Idempotency-Key",
        )
    return key


def claim_for(caller: Caller, key: str, *, method: str, path: str, body: Mapping[str, object]) -> Claim:
    """The claim of this request. Bodies that say the same in another field order have the same fingerprint."""
    mode = "live" if caller.livemode else "test"
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return Claim(
        key_hash=hashlib.sha256(f"{caller.merchant.id} {mode} {key}".encode()).digest(),
        fingerprint=hashlib.sha256(f"{method} {path} {canonical}".encode()).digest(),
    )


async def once(
    db: Database,
    claim: Claim | None,
    work: Callable[[UnitOfWork], Awaitable[Answer]],
    *,
    now: int,
    seals: Seals | None = None,
) -> Answer:
    """Do `work` in one transaction, or give the answer it had before. Without a claim it is simply done.

    With `seals` the answer is stored sealed. Raises `Conflict`: `idempotency_mismatch` where the key came with another
    request, `idempotency_in_progress` where that one is still running after 2 s.
    """
    async with db.write() as uow:
        if claim is None:
            return await work(uow)
        context = f"idempotency:{claim.key_hash.hex()}"
        earlier = await _earlier(uow, claim, now)
        if earlier is not None:
            body = earlier.body if seals is None else seals.open(earlier.body, context)
            return Answer(status=earlier.status, body=body, replayed=True)
        answer = await work(uow)
        stored = IdempotentAnswer(fingerprint=claim.fingerprint, status=answer.status, body=answer.body, created_at=now)
        if seals is not None:
            stored = replace(stored, body=seals.seal(answer.body, context))
        await uow.idempotency.store(claim.key_hash, stored)
        return answer


async def _earlier(uow: UnitOfWork, claim: Claim, now: int) -> IdempotentAnswer | None:
    earlier = await uow.idempotency.claim(claim.key_hash, fingerprint=claim.fingerprint, now=now)
    if earlier is not None and earlier.created_at <= now - KEEP_S:
        await uow.idempotency.forget_before(now - KEEP_S + 1)
        earlier = await uow.idempotency.claim(claim.key_hash, fingerprint=claim.fingerprint, now=now)
    if earlier is not None and earlier.fingerprint != claim.fingerprint:
        raise Conflict(
            "This Idempotency-Key was used for another request in the last 24 hours: use a new one",
            code="idempotency_mismatch",
            param="Idempotency-Key",
        )
    return earlier
