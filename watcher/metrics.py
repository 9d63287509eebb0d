"""What the watcher counts, for Prometheus. How far it has come is in the database, and told from there by any process
(`openpay.http.monitoring`)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

COMMIT_BUCKETS_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class WatcherMetrics:
    """The figures of all chains that this process watches. One per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ("chain_id",)
        self.blocks = Counter("openpay_watcher_blocks", "Blocks read and committed", label, registry=registry)
        self.agreed = Counter(
            "openpay_watcher_blocks_agreed",
            "Blocks of which something is taken on the word of hosts that agree",
            label,
            registry=registry,
        )
        self.commits = Histogram(
            "openpay_watcher_commit_seconds",
            "Time of the transaction that stores one block, or, far behind, some",
            label,
            registry=registry,
            buckets=COMMIT_BUCKETS_S,
        )
        self.failed_steps = Counter(
            "openpay_watcher_steps_failed", "Steps that are taken again: no usable answer", label, registry=registry
        )
        self.reorgs = Counter("openpay_watcher_reorgs", "Branches left for another", label, registry=registry)
        self.last_depth = Gauge(
            "openpay_watcher_reorg_last_depth", "Blocks taken back by the last reorg", label, registry=registry
        )
        self.greatest_depth = Gauge(
            "openpay_watcher_reorg_greatest_depth",
            "Most blocks taken back by one reorg since the start",
            label,
            registry=registry,
        )
        self.addresses = Gauge("openpay_watcher_addresses", "Deposit addresses watched for", label, registry=registry)

    def of(self, chain_id: int) -> ChainMetrics:
        return ChainMetrics(self, str(chain_id))


class ChainMetrics:
    """The figures of one chain."""

    def __init__(self, families: WatcherMetrics, label: str) -> None:
        self._blocks = families.blocks.labels(label)
        self._agreed = families.agreed.labels(label)
        self._commits = families.commits.labels(label)
        self._failed_steps = families.failed_steps.labels(label)
        self._reorgs = families.reorgs.labels(label)
        self._last_depth = families.last_depth.labels(label)
        self._greatest_depth = families.greatest_depth.labels(label)
        self._addresses = families.addresses.labels(label)
        self._deepest = 0

    def committed(self, *, blocks: int, agreed: int, seconds: float) -> None:
        """One transaction: how many blocks it stored, `agreed` of them without a whole proof."""
        self._blocks.inc(blocks)
        self._agreed.inc(agreed)
        self._commits.observe(seconds)

    def watching(self, addresses: int) -> None:
        self._addresses.set(addresses)

    def step_failed(self) -> None:
        self._failed_steps.inc()

    def reorg(self, depth: int) -> None:
        self._deepest = max(self._deepest, depth)
        self._reorgs.inc()
        self._last_depth.set(depth)
        self._greatest_depth.set(self._deepest)


def uncounted(chain_id: int) -> ChainMetrics:
    """For where nobody asks."""
    return WatcherMetrics(CollectorRegistry()).of(chain_id)
