"""Draws what the nodes of a soak do wrong, and when. One is honest, and away at times; one may lie; one is mistaken."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from tests.faults import faults
from tests.faults.chain import MadeBlock, Tree, token_transfer
from tests.faults.faults import Fault
from tests.faults.node import SimulatedNode
from tests.faults.server import FaultyServer
from tests.faults.shop import UNIT, USDT
from tests.faults.troubles import LIES, MISTAKES, OUTAGES

LIAR = 1
_CHOICES = (OUTAGES, LIES, MISTAKES)
_WAITED_FOR = ("hang", "drip")
"""Each such answer costs the watcher its whole patience: they are kept rare."""


class Troubles:
    """Troubles of the nodes of one soak. The first node is the honest one."""

    def __init__(self, seed: int, nodes: Sequence[SimulatedNode], servers: Sequence[FaultyServer]) -> None:
        self._random = random.Random(f"troubles {seed}")
        self._nodes = nodes
        self._servers = servers
        self._serial = 10**12
        self._invention: MadeBlock | None = None
        self.counts: Counter[str] = Counter()
        """How often each kind of fault was put in place."""

    def follow(self, tip: MadeBlock, finality_lag: int) -> None:
        """All nodes but one that is on a branch of its own learn of a new head."""
        for node in self._nodes:
            node.finality_lag = finality_lag
            if node.head is not self._invention:
                node.follow(tip)

    def stir(self, tree: Tree, tip: MadeBlock, victims: Sequence[bytes]) -> None:
        """Perhaps something new goes wrong, or everything is well again."""
        draw = self._random.random()
        if draw < 0.25:
            self.heal(tip)
        elif draw < 0.6:
            at = self._random.choices((0, 1, 2), (1, 3, 2))[0]
            self._servers[at].faults = [self._drawn(at)]
        elif draw < 0.7:
            self._invent(tree, tip, victims)

    def heal(self, tip: MadeBlock) -> None:
        """Every node is well, and on the chain."""
        for server in self._servers:
            server.faults = []
        if self._invention is not None:
            liar = self._nodes[LIAR]
            # What it called final on its own branch was part of the lie.
            liar.finalized = self._nodes[0].finalized
            self._invention = None
            liar.follow(tip)

    def _drawn(self, at: int) -> Fault:
        fault = self._random.choice(_CHOICES[at])
        self.counts[fault.name] += 1
        if fault.name.startswith(_WAITED_FOR):
            return faults.sometimes(fault, 0.02, self._random.randrange(2**32))
        share = self._random.choice((0.1, 0.5, 1.0))
        # The honest node is not away for good: nobody could read anything then.
        share = min(share, 0.5) if at == 0 else share
        return faults.sometimes(fault, share, self._random.randrange(2**32))

    def _invent(self, tree: Tree, tip: MadeBlock, victims: Sequence[bytes]) -> None:
        """The liar follows blocks that it made up: transfers that nobody sent, on top of what nobody can take back."""
        self.counts["a branch of its own"] += 1
        room = tip.number - max(1, self._nodes[0].finalized)
        depth = min(room, self._random.randint(0, 20))
        block = tip.ancestor(depth)
        for _ in range(depth + self._random.randint(1, 20)):
            self._serial += 1
            to = self._random.choice(victims)
            block = tree.extend(block, [token_transfer(self._serial, USDT, to, 25 * UNIT)], salt=self._serial)
        self._invention = block
        self._nodes[LIAR].follow(block)
