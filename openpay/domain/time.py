"""Times as Unix seconds inside, as RFC 3339 in UTC with whole seconds outside."""

from __future__ import annotations

from datetime import UTC, datetime


def format_time(seconds: int) -> str:
    """Write Unix seconds as `2026-03-26T13:30:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
