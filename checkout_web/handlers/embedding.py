"""The script by which shops embed the page."""

from __future__ import annotations

import hashlib

from aiohttp import hdrs, web

from checkout_web.edge.compression import add_vary, has_current
from checkout_web.site import Site

SCRIPT = "openpay.js"
KEPT_S = 300
"""How long a shop's visitors may use a script that is no longer today's: its address never changes."""


class Embedding:
    """The handler of `openpay.js`, the one file here that other sites load."""

    def __init__(self, site: Site) -> None:
        asset = site.assets.files[SCRIPT]
        self._body, self._type = site.pages.with_embed_words(asset.body), asset.content_type
        self._etag = f'"{hashlib.sha256(self._body).hexdigest()[:16]}"'

    async def script(self, request: web.Request) -> web.Response:
        """The script, or 304 where the browser has today's."""
        headers = {
            hdrs.ETAG: self._etag,
            hdrs.CACHE_CONTROL: f"public, max-age={KEPT_S}",
            "Cross-Origin-Resource-Policy": "cross-origin",
        }
        if has_current(request, self._etag):
            response = web.Response(status=304, headers=headers)
            add_vary(response)
            return response
        return web.Response(body=self._body, content_type=self._type, charset="utf-8", headers=headers)
