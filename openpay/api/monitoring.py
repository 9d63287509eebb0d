"""Figures about the API's own requests. What else monitoring asks is in `openpay.http.monitoring`."""

from __future__ import annotations

import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter, Histogram


class RequestMetrics:
    """Requests by route and status in `registry`. One per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "openpay_http_requests", "Requests answered", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram("openpay_http_request_seconds", "Time to answer", ("route",), registry=registry)

    def middleware(self) -> Middleware:
        @web.middleware
        async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
            started = time.perf_counter()
            status = 500
            try:
                response = await handler(request)
                status = response.status
                return response
            except web.HTTPException as answer:
                status = answer.status
                raise
            finally:
                resource = request.match_info.route.resource
                # Unknown paths share one label: a scanner must not fill the memory.
                route = "unknown" if resource is None else resource.canonical
                self._requests.labels(request.method if resource else "any", route, status).inc()
                self._seconds.labels(route).observe(time.perf_counter() - started)

        return measure
