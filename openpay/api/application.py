"""The API as an aiohttp application: the route table's operations, and what is public."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.metadata import version

from aiohttp import web
from aiohttp.typedefs import Handler

from openpay.api import docs_page, openapi
from openpay.api.authentication import Authenticator
from openpay.api.deps import ApiDeps
from openpay.api.endpoint import endpoint
from openpay.api.monitoring import RequestMetrics
from openpay.api.routes import PREFIX, ROUTES
from openpay.app import webhooks
from openpay.errors import NotFound
from openpay.http import new_application
from openpay.http.monitoring import add_probes

HOME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>Open Pay</title></head><body><main><h1>Open Pay</h1>
<p>This server takes payments for shops. To pay, follow the link that your shop gave you.</p>
<p>For programmers: <a href="/docs">its API</a>.</p></main></body></html>
"""
"""What is at `/`, for people who come there: customers who shortened an address, and integrators."""


def build_app(deps: ApiDeps) -> web.Application:
    """The API at `/`. The checkout page is added to it as a sub-application."""
    app = new_application(deps.http, limited_by_key=f"{PREFIX}/")
    app.middlewares.insert(0, RequestMetrics(deps.registry).middleware())
    authenticator = Authenticator(deps.db)
    for route in ROUTES:
        handler = endpoint(route, deps, authenticator)
        app.router.add_route(route.method, route.path, handler)
        if route.method == "GET":
            app.router.add_route("HEAD", route.path, handler)
    described = openapi.document(public_url=deps.public_url, version=version("openpay"))
    app.router.add_get("/", _constant(HOME, "text/html") if deps.home is None else _leading_to(deps.home))
    app.router.add_get("/openapi.json", _constant(json.dumps(described, indent=1), "application/json"))
    app.router.add_get("/docs", _docs(docs_page.page(described)))
    add_probes(app, deps.monitored)
    app.router.add_get("/jwks/{merchant_id}.json", _jwks(deps))
    return app


def _constant(text: str, content_type: str, headers: dict[str, str] | None = None) -> Handler:
    body = text.encode()

    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)

    return handle


def _leading_to(path: str) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(path)

    return handle


def _docs(page: str) -> Handler:
    """The page may use its own one style sheet and nothing else."""
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in styles)
    policy = f"default-src 'none'; style-src {hashes}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return _constant(page, "text/html", {"Content-Security-Policy": policy})


def _jwks(deps: ApiDeps) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        merchant_id = request.match_info["merchant_id"]
        if not re.fullmatch(r"[0-9A-Za-z_]{1,64}", merchant_id, re.ASCII):
            raise NotFound(f"no merchant {merchant_id[:60]!r}", code="merchant_not_found")
        async with deps.db.read() as uow:
            keys = await webhooks.jwks(uow, merchant_id, now=deps.wall_clock.now())
        return web.json_response(keys, headers={"Cache-Control": "public, max-age=300"})

    return handle
