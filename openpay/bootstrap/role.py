"""What a process may do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A part of the program that can run in a process of its own."""

    API = "api"
    """The merchant API and the checkout page."""
    WATCHER = "watcher"
    WEBHOOKS = "webhooks"
    SETTLER = "settler"
