"""Reading request bodies, bounded in size, depth and time: JSON that means the same to every reader (RFC 8259, RFC
7493), or an HTML form."""

from __future__ import annotations

import asyncio
import json
import math
import re

from aiohttp import web

from openpay.errors import Invalid, Malformed
from openpay.http.application import SETTINGS

MAX_FORM_BYTES = 32 * 1024
"""More than any form of ours holds: a hash or an address, in whatever was pasted with it. To read half a megabyte of
tiny fields takes a quarter of a second, in which nobody else is answered."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MAX_DEPTH = 8
"""Objects and arrays inside one another. The deepest request of ours has three."""

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)

_MAX_INTEGER_DIGITS = 18
"""No field takes a longer number; Python itself takes quadratic time over one of a million digits."""


async def read_json_object(request: web.Request, *, optional: bool, max_bytes: int | None = None) -> dict[str, Json]:
    """The request's body as a JSON object; `optional` allows no body at all, which reads as an empty object.
    `max_bytes`: where less is enough than the application takes.

    Raises `Malformed` (`malformed_json`), `Invalid` (`invalid_string`), or aiohttp's 408 (it did not arrive in
    `HttpSettings.body_timeout_s`), 413 and 415.
    """
    timeout_s = request.config_dict[SETTINGS].body_timeout_s
    limit = min(request.client_max_size, max_bytes or request.client_max_size)
    if request.content_length is not None and request.content_length > limit:
        # Answered before a byte of it is read.
        raise _too_large(limit)
    if not request.can_read_body and optional:
        return {}
    _check_media_type(request)
    try:
        async with asyncio.timeout(timeout_s):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"The body did not arrive within {timeout_s:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(limit) from None
    if len(body) > limit:
        raise _too_large(limit)
    if not body and optional:
        return {}
    value = parse_json(body)
    if not isinstance(value, dict):
        raise Malformed("The body must be a JSON object", code="malformed_json")
    return value


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of an HTML form as browsers send it by default (WHATWG URL, 5.1), the last of each name.

    Files need another encoding, whose reader fails in many ways on what is none: it is not read. Raises `Malformed`
    (`malformed_form`), or aiohttp's 408, 413 and 415 as `read_json_object` does.
    """
    limit = min(request.client_max_size, MAX_FORM_BYTES)
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)
    _refuse_compressed(request)
    # Browsers name no other encoding here. Python knows a hundred more: one takes seconds over half a megabyte
    # (punycode), others make characters that no page can be written with.
    if request.content_type != "application/x-www-form-urlencoded" or not _is_utf8(request):
        raise Malformed("The body must be application/x-www-form-urlencoded in UTF-8", code="malformed_form")
    try:
        async with asyncio.timeout(request.config_dict[SETTINGS].body_timeout_s):
            if len(await request.read()) > limit:
                raise _too_large(limit)
            form = await request.post()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The body did not arrive in time") from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(limit) from None
    except ValueError:
        raise Malformed("The form is not UTF-8", code="malformed_form") from None
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _check_media_type(request: web.Request) -> None:
    _refuse_compressed(request)
    given = request.content_type
    if "Content-Type" not in request.headers or given != "application/json" or not _is_utf8(request):
        shown = request.headers.get("Content-Type", "none")[:100]
        raise web.HTTPUnsupportedMediaType(text=f"The body must be application/json in UTF-8, not {shown!r}")


def _refuse_compressed(request: web.Request) -> None:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise web.HTTPUnsupportedMediaType(text="The body must not be compressed: leave Content-Encoding out")


def _is_utf8(request: web.Request) -> bool:
    return (request.charset or "utf-8").lower() in ("utf-8", "utf8")


def _too_large(limit: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(max_size=limit, text=f"The body may have at most {limit} bytes")


def parse_json(body: bytes) -> Json:
    """Read JSON in UTF-8. Refuses what readers disagree about: NaN, numbers beyond a double, repeated names,
    unpaired surrogates. Raises `Malformed`; `Invalid` for a NUL character, which PostgreSQL's text cannot hold.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not UTF-8: byte {error.start} fits no character", code="malformed_json") from None
    # Before decoding: the decoder recurses in C, and how deep it may go is not ours alone to say.
    if _nests_deeper_than(MAX_DEPTH, text):
        raise _too_deep()
    try:
        value: Json = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Malformed(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}", code="malformed_json"
        ) from None
    _check(value, "")
    return value


def _nests_deeper_than(limit: int, text: str) -> bool:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth > limit:
                return True
        elif match[0] in "]}":
            depth -= 1
    return False


def _check(value: Json, path: str) -> None:
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name, path)
            _check(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{path}.{index}" if path else str(index))


def _check_text(text: str, path: str) -> None:
    if "\0" in text:
        raise Invalid("Text must not contain the NUL character", code="invalid_string", param=path or None)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Malformed("Half of a surrogate pair is no character", code="malformed_json") from None


def _too_deep() -> Malformed:
    return Malformed(f"The body nests more than {MAX_DEPTH} levels deep", code="malformed_json")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Malformed(f"{name[:60]!r} appears twice in one object", code="malformed_json", param=name[:60])
            seen.add(name)
    return value


def _constant(name: str) -> Json:
    raise Malformed(f"{name} is not JSON", code="malformed_json")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Malformed(f"The number {text[:40]} is too large", code="malformed_json")
    return number


def _integer(text: str) -> int:
    if len(text) > _MAX_INTEGER_DIGITS:
        raise Malformed(f"The number {text[:40]} has more than {_MAX_INTEGER_DIGITS} digits", code="malformed_json")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer, strict=True
)
