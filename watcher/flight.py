"""How many blocks are worth fetching at once. Pure: told how it went, it says how to go on.

More at once is faster until the network, the node or the processors are full; beyond that it costs memory, and the
node's patience. Where that point is differs from node to node and from hour to hour, so it is felt out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST = 4
MOST = 64
WORTH_IT = 1.1
"""How many times faster more of them must be to be kept: less may be chance."""
AS_FAST = 0.95
"""How much of the rate must remain for fewer of them to be kept."""
FIRST_REST = 2
"""Windows before another size is tried, after one that brought nothing; doubled each time that it brings nothing
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
    """Windows until another size is tried."""
    next_rest: int = FIRST_REST
    """How long the rest is if that brings nothing."""
    is_downward: bool = False
    """Whether fewer are tried next: after more of them brought nothing, perhaps fewer are as fast."""

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
            return replace(self, rest=self.rest - 1, settled_rate=(self.settled_rate + rate) / 2)
        if self.size == self.settled:
            return replace(self, settled_rate=rate)._try()
        needed = WORTH_IT if self.size > self.settled else AS_FAST
        if rate >= self.settled_rate * needed:
            return replace(self, settled=self.size, settled_rate=rate, next_rest=FIRST_REST)._try()
        longer = min(LONGEST_REST, 2 * self.next_rest)
        return replace(self, size=self.settled, rest=self.next_rest, next_rest=longer, is_downward=not self.is_downward)

    def _try(self) -> Flight:
        """Half more than is settled, or a third less; never fewer than there were at first."""
        if (self.is_downward and self.settled > FIRST) or self.settled == MOST:
            return replace(self, size=max(FIRST, self.settled * 2 // 3), is_downward=True)
        return replace(self, size=min(MOST, self.settled + (self.settled + 1) // 2), is_downward=False)
