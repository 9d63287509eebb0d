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
FIRST_REST = 2
"""Windows before another step up is tried, after one that brought nothing; doubled each time that it brings nothing
again."""
LONGEST_REST = 32
REST_AFTER_TROUBLE = 8


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
    next_rest: int = FIRST_REST
    """How long the rest is if that brings nothing."""

    @property
    def window(self) -> int:
        """How many blocks tell how fast this size is."""
        return max(16, 2 * self.size)

    def after(self, *, rate: float, troubled: bool) -> Flight:
        """The next window's size, after one with `rate` blocks a second; `troubled` when a node asked for fewer
        requests or did not answer in time."""
        if troubled:
            halved = max(1, self.size // 2)
            return Flight(size=halved, settled=halved, rest=REST_AFTER_TROUBLE)
        if self.rest > 0:
            return replace(self, rest=self.rest - 1)
        is_tried = self.size > self.settled
        if is_tried and rate < self.settled_rate * WORTH_IT:
            longer = min(LONGEST_REST, 2 * self.next_rest)
            return replace(self, size=self.settled, rest=self.next_rest, next_rest=longer)
        # Either this size has proven itself, or the rest is over: try more.
        larger = min(MOST, self.size + (self.size + 1) // 2)
        next_rest = FIRST_REST if is_tried else self.next_rest
        return Flight(size=larger, settled=self.size, settled_rate=rate, next_rest=next_rest)
