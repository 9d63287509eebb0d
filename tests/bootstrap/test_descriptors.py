"""The process raises its own limit of open files as far as it may."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from openpay.bootstrap.descriptors import allow_connections


@pytest.fixture(autouse=True)
def limits() -> Iterator[tuple[int, int]]:
    """The limits of this process, as they are again afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_soft_limit_is_raised_to_what_is_wanted(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))
    assert allow_connections(700) == 700
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (700, hard)


def test_limit_that_is_high_enough_is_left_alone(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (700, hard))
    assert allow_connections(600) == 700
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (700, hard)


def test_no_more_is_taken_than_the_operator_allows_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Lowering the hard limit for real could not be undone without rights.
    monkeypatch.setattr(resource, "getrlimit", lambda _: (600, 800))
    taken: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: taken.append(limits))
    assert allow_connections(1_000) == 800
    assert taken == [(800, 800)]
    assert "few connections are allowed" in capsys.readouterr().out
