"""What the page loads besides itself: static files, the stylesheet of a merchant's colour, a merchant's logo.

Each address holds a hash of what it answers, so browsers may keep it for ever and never ask again.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from checkout_web.drawing.accent import theme
from checkout_web.edge.compression import accepts_gzip, add_vary
from checkout_web.site import Site
from openpay.domain.branding import parse_accent
from openpay.errors import Invalid

FOR_EVER = "public, max-age=31536000, immutable"

_LOGO_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
"""A picture opened by itself may do nothing at all, whatever is in it."""


class Files:
    """Handlers of what never changes under its address."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def static(self, request: web.Request) -> web.Response:
        """A static file. For ever under its current version; a page from before an update gets today's, uncached."""
        asset = self._site.assets.files.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        current = request.match_info["version"] == self._site.assets.version
        response = web.Response(
            body=asset.body,
            content_type=asset.content_type,
            charset="utf-8",
            headers={hdrs.CACHE_CONTROL: FOR_EVER if current else "no-cache"},
        )
        if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            response.body = asset.gzipped
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        add_vary(response)
        return response

    async def theme(self, request: web.Request) -> web.Response:
        """The page's colours for the accent in the address. Made from the address alone: it says nothing of a shop."""
        try:
            made = theme(parse_accent("#" + request.match_info["accent"]))
        except Invalid as error:
            raise web.HTTPNotFound from error
        current = request.match_info["version"] == made.version
        headers = {hdrs.CACHE_CONTROL: FOR_EVER if current else "no-cache"}
        return web.Response(text=made.css, content_type="text/css", headers=headers)

    async def logo(self, request: web.Request) -> web.Response:
        """A merchant's picture, by the hash of its content."""
        async with self._site.deps.db.read() as uow:
            logo = await uow.merchants.logo(request.match_info["hash"])
        if logo is None:
            raise web.HTTPNotFound
        headers = {hdrs.CACHE_CONTROL: FOR_EVER, "Content-Security-Policy": _LOGO_POLICY}
        return web.Response(body=logo.content, content_type=logo.type.value, headers=headers)
