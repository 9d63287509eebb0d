"""Compressed answers: a page's text shrinks to a fifth, which on a telephone's network is most of its wait.

Nothing secret stands beside what a stranger can put into an answer (there are no tokens in the page, and its address is
its only secret), so the length of a compressed answer betrays nothing (BREACH).
"""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

WORTH_IT = 512
"""Bytes. Below this the saving is less than a packet's header."""


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an `Accept-Encoding` names gzip or everything, with a weight above zero (RFC 9110, 12.5.3)."""
    weights = dict(_weighted(part) for part in accept_encoding.split(","))
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _weighted(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0


@web.middleware
async def compress_texts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Compress whole documents, JSON and stylesheets made for this request.

    Event streams pass as they are: a compressor holds little things back, and a heartbeat has to arrive.
    """
    response = await handler(request)
    if not isinstance(response, web.Response) or response.prepared or hdrs.CONTENT_ENCODING in response.headers:
        return response
    if not isinstance(response.body, bytes) or len(response.body) < WORTH_IT or not _is_text(response.content_type):
        return response
    add_vary(response)
    if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        response.enable_compression(web.ContentCoding.gzip)
        etag = response.headers.get(hdrs.ETAG)
        if etag is not None and not etag.startswith("W/"):
            # The same content, but not the same bytes as without compression (RFC 9110, 8.8.1).
            response.headers[hdrs.ETAG] = f"W/{etag}"
    return response


def add_vary(response: web.StreamResponse) -> None:
    """Say that the answer depends on `Accept-Encoding`, beside what else it depends on."""
    others = [name for name in response.headers.getall(hdrs.VARY, ()) if name.lower() != hdrs.ACCEPT_ENCODING.lower()]
    response.headers[hdrs.VARY] = ", ".join([*others, hdrs.ACCEPT_ENCODING])


def has_current(request: web.Request, etag: str) -> bool:
    """Whether the asker holds what `etag` names, compressed or not (RFC 9110, 13.1.2)."""
    held = (each.strip().removeprefix("W/") for each in request.headers.get(hdrs.IF_NONE_MATCH, "").split(","))
    return etag in held


def _is_text(content_type: str) -> bool:
    return content_type.startswith("text/") or content_type in {"application/json", "image/svg+xml"}
