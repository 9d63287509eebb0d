"""An aiohttp application with what every answer of ours needs; routes come from the api and the checkout page."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from openpay.http import request_ids
from openpay.http.addresses import Network, client_address
from openpay.http.problems import problems_middleware
from openpay.http.rates import RateLimit, RateLimiter, allowance
from openpay.http.request_ids import request_id

MAX_BODY_BYTES = 512 * 1024
"""The largest request body. The fullest sensible payment (50 metadata values, 50 line items) needs about half."""

BODY_TIMEOUT_S = 30.0
"""How long a body may take to arrive; a caller that stalls would otherwise keep its request open for ever."""

DEFAULT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What an answer carries unless its handler chose otherwise: the checkout page brings its own policy."""

SERVER = "openpay"

_PROBES = frozenset({"/livez", "/readyz", "/metrics"})


@dataclass(frozen=True, kw_only=True)
class HttpSettings:
    """Limits of the HTTP side. None, or empty, means no limit.

    `hosts`: the names (with port where it is not the scheme's own) this server answers to. `per_key` counts requests
    with a valid API key, `per_address` all others, by their address; `trusted_proxies`: whose word on that address is
    believed. `https`: served to the world under https, so that browsers may be told to stay there.
    """

    max_body_bytes: int = MAX_BODY_BYTES
    body_timeout_s: float = BODY_TIMEOUT_S
    hosts: frozenset[str] = frozenset()
    per_key: RateLimit | None = None
    per_address: RateLimit | None = None
    trusted_proxies: tuple[Network, ...] = ()
    https: bool = False


@dataclass(frozen=True, kw_only=True)
class Limiters:
    """The limiters of one application; None where there is no limit."""

    per_key: RateLimiter | None
    per_address: RateLimiter | None
    trusted_proxies: tuple[Network, ...]

    def take_key(self, request: web.BaseRequest, key_id: str) -> None:
        """Count a request with a valid key. Raises `RateLimited`."""
        if self.per_key is not None:
            self.per_key.take(request, key_id)

    def take_address(self, request: web.BaseRequest) -> None:
        """Count a request without one. Raises `RateLimited`."""
        if self.per_address is not None:
            self.per_address.take(request, client_address(request, self.trusted_proxies))


SETTINGS: web.AppKey[HttpSettings] = web.AppKey("openpay.http", HttpSettings)
LIMITERS: web.AppKey[Limiters] = web.AppKey("openpay.limiters", Limiters)


def new_application(
    settings: HttpSettings, *, limited_by_key: str | None = None, monotonic: Callable[[], float] = time.monotonic
) -> web.Application:
    """An application whose answers carry request ids, security headers, limits and problem documents.

    Paths below `limited_by_key` are left to their handlers, which know the key and count by it; all others are counted
    by address, except the probes of monitoring.
    """
    limiters = Limiters(
        per_key=_limiter("key", settings.per_key, monotonic),
        per_address=_limiter("address", settings.per_address, monotonic),
        trusted_proxies=settings.trusted_proxies,
    )
    middlewares = [problems_middleware()]
    if settings.hosts:
        middlewares.append(_hosts_middleware(settings.hosts))
    if limiters.per_address is not None:
        middlewares.append(_address_middleware(limiters, limited_by_key))
    app = web.Application(middlewares=middlewares, client_max_size=settings.max_body_bytes)
    app[SETTINGS] = settings
    app[LIMITERS] = limiters
    headers = dict(DEFAULT_HEADERS)
    if settings.https:
        headers["Strict-Transport-Security"] = "max-age=31536000"

    async def finish(request: web.Request, response: web.StreamResponse) -> None:
        # A signal and not a middleware: it also reaches event streams, whose headers leave before their handler ends.
        answer = response.headers
        answer[request_ids.HEADER] = request_id(request)
        answer[hdrs.SERVER] = SERVER
        for name, value in headers.items():
            if name not in answer:
                answer[name] = value
        left = allowance(request)
        if left is not None:
            answer["RateLimit-Policy"] = left.policy_header
            answer["RateLimit"] = left.header

    app.on_response_prepare.append(finish)
    return app


def _limiter(name: str, limit: RateLimit | None, monotonic: Callable[[], float]) -> RateLimiter | None:
    return None if limit is None else RateLimiter(name, limit, monotonic=monotonic)


def _hosts_middleware(hosts: frozenset[str]) -> Middleware:
    """Refuse requests for other names: a page elsewhere may point its own name at this address (DNS rebinding)."""
    known = frozenset(host.lower() for host in hosts)

    @web.middleware
    async def hosts_only(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get(hdrs.HOST, "").lower() not in known and request.path not in _PROBES:
            raise web.HTTPMisdirectedRequest(text="This server does not answer to that Host")
        return await handler(request)

    return hosts_only


def _address_middleware(limiters: Limiters, limited_by_key: str | None) -> Middleware:
    @web.middleware
    async def by_address(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path
        if path not in _PROBES and not (limited_by_key and path.startswith(limited_by_key)):
            limiters.take_address(request)
        return await handler(request)

    return by_address
