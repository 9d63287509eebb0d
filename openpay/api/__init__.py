"""The merchant API: one route table, from which the routes and the OpenAPI document are made."""

from openpay.api.application import build_app
from openpay.api.deps import ApiDeps

__all__ = ["ApiDeps", "build_app"]
