"""The database. Every SQL statement of Open Pay is in this package."""

from openpay.store.store import Store

__all__ = ["Store"]
