"""What `scripts/test` hands out to its workers: together what belongs together, first what takes longest, and what
waits in turns with what works.

A worker takes one group after the other (`--dist loadgroup`). Groups are told by the names of tests, which is all that
the process knows which hands them out.
"""

from __future__ import annotations

from itertools import chain, islice

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling, Scheduling

SHARED = {
    "checkout_web/test_access.py": "gallery",
    "checkout_web/test_access_layout.py": "gallery",
    "checkout_web/test_access_moments.py": "gallery",
    "e2e/test_checkout_embedded.py": "market",
    "e2e/test_checkout_endings.py": "ending market",
    "e2e/test_checkout_lookup.py": "market",
    "e2e/test_checkout_paying.py": "market",
    "e2e/test_checkout_wallet.py": "market",
    "e2e/test_checkout_disturbed.py": "disturbed market",
    "e2e/test_demo.py": "dev",
    "e2e/test_dev.py": "dev",
    "e2e/test_shop_page.py": "dev",
    "e2e/test_payments.py": "busy dev",
    "e2e/test_refunds.py": "busy dev",
}
"""Tests of one started program, or of pages made once, which takes seconds. Those of the market are split, or would
come last."""
ALONE = ("e2e", "faults", "test_latency_benchmarks.py", "test_benchmarks.py", "settlement", "watcher", "bootstrap")
"""Places whose tests are handed out one by one; those of others by module, which many of them share something of."""
FIRST = ("e2e", "checkout_web", *ALONE)
"""Places whose tests take long. Those that take little come last, so that no worker waits for another's."""
WAITING = "e2e"
"""Where tests wait most of their time, for blocks and pages: meanwhile others keep the cores busy."""


class Groups(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """For xdist's hook: None leaves the choice to xdist."""
    if config.getoption("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False
    return Groups(config, log)


def group_of(nodeid: str) -> str:
    """What is handed out together has the same group."""
    file = _file(nodeid)
    return SHARED.get(file) or (nodeid if _place(nodeid) in ALONE else file)


def arrange(items: list[pytest.Item]) -> None:
    """Sort the tests by group, those of one group as they are."""
    waiting: dict[str, list[pytest.Item]] = {}
    working: dict[str, list[pytest.Item]] = {}
    for item in sorted(items, key=lambda item: _rank(item.nodeid)):
        groups = waiting if _place(item.nodeid) == WAITING else working
        groups.setdefault(group_of(item.nodeid), []).append(item)
    # Twice as often as if they were to come to their end together: one that takes long is not to be the last.
    often = len(working) // (2 * len(waiting)) if waiting else 0
    others = iter(working.values())
    turns = [turn for group in waiting.values() for turn in (group, *islice(others, max(1, often)))]
    items[:] = chain.from_iterable([*turns, *others])


def _rank(nodeid: str) -> tuple[int, bool]:
    place = _place(nodeid)
    return FIRST.index(place) if place in FIRST else len(FIRST), _file(nodeid) not in SHARED


def _file(nodeid: str) -> str:
    """Path below tests."""
    return nodeid.partition("::")[0].partition("/")[2]


def _place(nodeid: str) -> str:
    """The directory below tests, or the file right there."""
    return _file(nodeid).partition("/")[0]
