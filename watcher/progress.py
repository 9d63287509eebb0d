"""How far a catch-up has come, and when it will be done. Pure: times are passed in, in monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass

TELL_EVERY_S = 5.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, kw_only=True)
class Report:
    """`seconds_left` counts the blocks that the chain makes meanwhile, too; None when it makes them faster than they
    are read."""

    blocks_left: int
    blocks_per_s: float
    seconds_left: float | None

    @property
    def time_left(self) -> str:
        return "never at this rate" if self.seconds_left is None else duration(self.seconds_left)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A catch-up under way: where it began, and where it was when that was last told."""

    first: int
    began_at: float
    told: int
    told_at: float

    @classmethod
    def begin(cls, number: int, now: float) -> Progress:
        """Block `number` was the last one read when it began."""
        return cls(first=number, began_at=now, told=number, told_at=now)

    def is_due(self, now: float) -> bool:
        return now - self.told_at >= TELL_EVERY_S

    def report(self, number: int, now: float, *, head: int, block_interval_s: float) -> Report:
        """The state with block `number` read last and `head` the chain's newest; the rate is that since the last one
        told."""
        rate = (number - self.told) / max(now - self.told_at, 1e-3)
        left = max(0, head - number)
        gain = rate - (1 / block_interval_s if block_interval_s > 0 else 0.0)
        return Report(blocks_left=left, blocks_per_s=rate, seconds_left=left / gain if gain > 0 else None)

    def at(self, number: int, now: float) -> Progress:
        """Told."""
        return Progress(first=self.first, began_at=self.began_at, told=number, told_at=now)


def duration(seconds: float) -> str:
    """A duration as people say it, in at most two units."""
    whole = round(seconds)
    for unit, name, smaller, smaller_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // smaller} {smaller_name}"
    return f"{whole} s"
