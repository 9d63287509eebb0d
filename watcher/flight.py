"""How many blocks are worth fetching at once. Pure: told how it went, it says how to go on.

More at once is faster until the network, the node or the processors are full; beyond that it costs memory, and the
node's patience. Where that point is differs from node to node and from hour to hour, so it is felt out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST = 4
MOST = 64
WORTH_IT = 1.1
"""How many times faster a step up must be to be kept: less may be chance."""
PATIENCE = 20
"""Windows before another step up is tried, after one that brought nothing."""
PATIENCE_AFTER_TROUBLE = 5


@dataclass(frozen=True, kw_only=True)
class Flight:
    """The number of blocks in flight. A window is some blocks read with one and the same `size`."""

    size: int = FIRST
    settled: int = FIRST
    """The size to go back to when the present one, which is being tried, is not worth it."""
    settled_rate: float = 0.0
    """Blocks a second at `settled`."""
    rest: int = 0
    """Windows until something larger is tried."""

    @property
    def window(self) -> int:
        """How many blocks tell how fast this size is."""
        return max(16, 2 * self.size)

    def after(self, *, rate: float, troubled: bool) -> Flight:
        """The next window's size, after one with `rate` blocks a second; `troubled` when a node asked for fewer
        requests or did not answer in time."""
        if troubled:
            halved = max(1, self.size // 2)
            return Flight(size=halved, settled=halved, rest=PATIENCE_AFTER_TROUBLE)
        if self.rest > 0:
            return replace(self, rest=self.rest - 1)
        if self.size > self.settled and rate < self.settled_rate * WORTH_IT:
            return replace(self, size=self.settled, rest=PATIENCE)
        # Either this size has proven itself, or the rest is over: try more.
        return Flight(size=min(MOST, self.size + (self.size + 1) // 2), settled=self.size, settled_rate=rate)
