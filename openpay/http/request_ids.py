"""One id for each request: in the `X-Request-Id` header, in every problem document, and in the log."""

from __future__ import annotations

import re
import secrets

from aiohttp import web

HEADER = "X-Request-Id"

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._\-]{1,128}", re.ASCII)
_KEY: web.RequestKey[str] = web.RequestKey("openpay.request_id", str)


def request_id(request: web.BaseRequest) -> str:
    """This request's id, the same however often it is asked for.

    The caller's own `X-Request-Id` is kept where it is 1 to 128 letters, digits, dots, dashes or underscores (so that
    it cannot forge a log line); otherwise a fresh one is made.
    """
    known = request.get(_KEY)
    if known is None:
        given = request.headers.get(HEADER)
        known = given if given is not None and _ACCEPTABLE.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        request[_KEY] = known
    return known
