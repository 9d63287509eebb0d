"""Whose request it is: the Authorization header, and a memory of one second for the keys in use."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import hdrs, web

from openpay.app.merchants import Caller, authenticate, hash_key
from openpay.app.ports import Database
from openpay.errors import Unauthorized

REMEMBER_S = 1.0
"""A key revoked by another process stops working here within this time; one revoked here, at once."""

_MOST = 1_000
"""Keys remembered at once; with more in use within a second the memory starts afresh."""

_BEARER = re.compile(r"bearer +([^\s\ud800-\udfff]+) *", re.ASCII | re.IGNORECASE)
"""Bytes that are no UTF-8 arrive as surrogates, which cannot even be hashed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    caller: Caller
    until: float


class Authenticator:
    """Looks keys up, and trusts what it found for a second.

    A busy merchant sends many requests a second with one key: without the memory half of the database's work for a new
    payment would be reading that key again. Refusals are not remembered.
    """

    def __init__(self, db: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._monotonic = monotonic
        self._known: dict[bytes, _Known] = {}

    async def caller(self, request: web.BaseRequest) -> Caller:
        """Raises `Unauthorized`: `missing_api_key`, `malformed_authorization`, `invalid_api_key`, `revoked_api_key`."""
        secret = bearer(request)
        key_hash = hash_key(secret)
        asked_at = self._monotonic()
        known = self._known.get(key_hash)
        if known is not None and asked_at < known.until:
            return known.caller
        async with self._db.read() as uow:
            caller = await authenticate(uow, secret)
        if len(self._known) >= _MOST:
            self._known.clear()
        # Counted from before the look-up: what it read may be that old.
        self._known[key_hash] = _Known(caller=caller, until=asked_at + REMEMBER_S)
        return caller

    def forget(self, key_id: str) -> None:
        """Look this key up again the next time. Call it after the commit that revoked it."""
        self._known = {hashed: known for hashed, known in self._known.items() if known.caller.key_id != key_id}


def bearer(request: web.BaseRequest) -> str:
    """The secret in `Authorization: Bearer …` (RFC 6750)."""
    given = request.headers.get(hdrs.AUTHORIZATION)
    if given is None:
        raise Unauthorized(
            "No API key: send the header Authorization: Bearer sk_live_… (or sk_test_…)", code="missing_api_key"
        )
    match = _BEARER.fullmatch(given)
    if match is None:
        raise Unauthorized(
            "The Authorization header must read: Bearer, a space, your API key", code="malformed_authorization"
        )
    return match[1]
