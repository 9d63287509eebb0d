"""Errors as problem documents (RFC 9457), each status decided in one table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from openpay.errors import (
    CallerError,
    Conflict,
    FatalError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    OpenPayError,
    RateLimited,
    RetryableError,
    Unauthorized,
)
from openpay.http.request_ids import request_id

CONTENT_TYPE = "application/problem+json"

STATUS_OF: Mapping[type[OpenPayError], int] = {
    Malformed: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Invalid: 422,
    RateLimited: 429,
    RetryableError: 503,
    FatalError: 500,
}
"""The one place where an error of ours becomes an HTTP status. A subclass has its parent's unless it is named."""

RETRY_AFTER_S = 2
"""What a 503 asks for: these errors pass by themselves."""

_CODE_OF_STATUS = {
    404: "unknown_path",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    421: "unknown_host",
}
"""Codes of aiohttp's own answers; any other is the status' name in snake case."""

_log = structlog.get_logger("openpay.http")


def status_of(error: OpenPayError) -> int:
    """The HTTP status of an error: its own row of the table, or its nearest ancestor's; 500 without one."""
    return next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 500)


def problem_response(
    request: web.BaseRequest,
    *,
    status: int,
    code: str,
    detail: str,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A problem document. `type` resolves against the request's own address to the code's entry in `/docs`."""
    body = {
        "type": f"/docs#{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "param": param,
        "request_id": request_id(request),
    }
    return web.Response(
        status=status,
        body=json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace"),
        content_type=CONTENT_TYPE,
        headers=headers,
    )


def response_for(request: web.BaseRequest, error: OpenPayError) -> web.Response:
    """The problem that says `error`. Bugs and fatal states keep their words for the log."""
    status = status_of(error)
    if isinstance(error, CallerError):
        return problem_response(
            request, status=status, code=error.code, detail=error.detail, param=error.param, headers=_headers(error)
        )
    if isinstance(error, RetryableError):
        # Its words may name nodes and databases: they are for the log.
        code = _snake_case(type(error).__name__)
        _log.warning("request_unavailable", request_id=request_id(request), path=request.path, reason=str(error))
        return problem_response(
            request,
            status=status,
            code=code,
            detail="Something that this request needs is away for a moment. Nothing was changed: send it again.",
            headers={hdrs.RETRY_AFTER: str(RETRY_AFTER_S)},
        )
    return _unexpected(request, error)


def problems_middleware() -> Middleware:
    """Turn whatever a handler raises into a problem document; an unforeseen error into a 500 that is logged."""

    @web.middleware
    async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as answer:
            if answer.status < 400:
                raise
            return _translated(request, answer)
        except Exception as error:
            if request.writer.output_size > 0:
                # Part of another answer is on the wire (an event stream): only closing it is honest.
                _log.exception("stream_broken", request_id=request_id(request), path=request.path)
                raise
            if isinstance(error, OpenPayError):
                return response_for(request, error)
            return _unexpected(request, error)

    return problems


def _snake_case(name: str) -> str:
    """`ChainUnavailable` is `chain_unavailable`: the code of an error that carries none."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _headers(error: CallerError) -> Mapping[str, str] | None:
    if isinstance(error, Unauthorized):
        return {hdrs.WWW_AUTHENTICATE: 'Bearer realm="openpay"'}
    if isinstance(error, RateLimited):
        return {hdrs.RETRY_AFTER: str(error.retry_after_s)}
    return None


def _unexpected(request: web.BaseRequest, error: BaseException) -> web.Response:
    _log.error(
        "request_failed", request_id=request_id(request), method=request.method, path=request.path, exc_info=error
    )
    return problem_response(
        request,
        status=500,
        code="internal_error",
        detail=f"Something broke on our side. The log has it under {request_id(request)}.",
    )


def _translated(request: web.BaseRequest, answer: web.HTTPException) -> web.Response:
    """aiohttp's own refusal (or one raised in its terms), keeping `Allow`."""
    status = answer.status
    code = _CODE_OF_STATUS.get(status) or HTTPStatus(status).name.lower()
    if isinstance(answer, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(answer.allowed_methods))
        return problem_response(
            request,
            status=status,
            code=code,
            detail=f"{request.method} is not possible here; this path answers {allowed}",
            headers={hdrs.ALLOW: allowed},
        )
    # aiohttp's standard text is "404: Not Found"; ours are sentences.
    detail = answer.text if answer.text and not answer.text.startswith(f"{status}:") else _detail(status, request)
    return problem_response(request, status=status, code=code, detail=detail)


def _detail(status: int, request: web.BaseRequest) -> str:
    if status == 404:
        return f"There is nothing at {request.path[:200]!r}; /docs lists every path"
    return HTTPStatus(status).description or HTTPStatus(status).phrase
