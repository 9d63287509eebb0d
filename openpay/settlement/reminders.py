"""What lasts is said once, again every hour, and once more when it is over."""

from __future__ import annotations

AGAIN_AFTER_S = 3_600


class Reminders:
    """Remembers what was said. `key` names one condition, such as a gas price above the cap."""

    def __init__(self) -> None:
        self._said_at: dict[str, int] = {}

    def is_due(self, key: str, *, now: int) -> bool:
        """Whether to say it now; then it counts as said."""
        said_at = self._said_at.get(key)
        if said_at is not None and now - said_at < AGAIN_AFTER_S:
            return False
        self._said_at[key] = now
        return True

    def is_over(self, key: str) -> bool:
        """Forget a condition; whether it had been said."""
        return self._said_at.pop(key, None) is not None
