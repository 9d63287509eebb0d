"""What a benchmark returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table. `aim`: the least (or, with `lower_is_better`, the most) this project wants; None for
    figures that only stand beside others. Speeds depend on the machine; ratios of one run are what to trust.
    """

    name: str
    value: float
    unit: str
    aim: float | None = None
    lower_is_better: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without one."""
        if self.aim is None:
            return None
        return self.value <= self.aim if self.lower_is_better else self.value >= self.aim
