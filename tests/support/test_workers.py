"""Which tests go to one worker together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.workers import ALONE, FIRST, SHARED, arrange, group_of

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", [*SHARED, *ALONE, *FIRST])
def test_places_that_are_named_are_there(name: str) -> None:
    assert (TESTS / name).exists()


def test_tests_of_one_program_go_together_whatever_their_files() -> None:
    groups = {group_of(f"tests/e2e/{file}.py::test_any[a::b/c]") for file in ("test_payments", "test_refunds")}
    assert groups == {"busy dev"}


def test_long_tests_go_alone_and_short_ones_by_module() -> None:
    one, two = (f"tests/watcher/test_nodes.py::test_{name}" for name in ("one", "two"))
    assert group_of(one) != group_of(two)
    assert group_of("tests/domain/test_money.py::test_one") == group_of("tests/domain/test_money.py::test_two[x]")
    assert group_of("tests/test_client.py::test_one") == group_of("tests/test_client.py::test_two")


@dataclass(frozen=True)
class Item:
    nodeid: str


def test_what_waits_takes_turns_with_what_works_and_what_is_short_comes_last() -> None:
    files = ("api/test_a", "watcher/test_b", "e2e/test_alerts", "watcher/test_b", "e2e/test_dev", "checkout_web/test_c")
    items = [Item(f"tests/{file}.py::test_{number}") for number, file in enumerate(files)]
    arrange(items)  # type: ignore[arg-type]
    assert [item.nodeid.partition("::test_")[2] for item in items] == ["4", "5", "2", "1", "3", "0"]
