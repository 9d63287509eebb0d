"""The hosted checkout page: server-rendered, live where the browser can, complete where it cannot."""

from checkout_web.app import build_app
from checkout_web.deps import Deps

__all__ = ["Deps", "build_app"]
