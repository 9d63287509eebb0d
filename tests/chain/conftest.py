"""Fixtures for tests of reading a chain."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.chain.real_blocks import Chain, mine_chain
from tests.support.anvil import Anvil


@pytest.fixture(scope="package")
def chain() -> Iterator[Chain]:
    """Blocks with everything in them that the proofs distinguish. Not to be changed: copy what a test alters."""
    anvil = Anvil.start()
    try:
        yield mine_chain(anvil)
    finally:
        anvil.stop()


@pytest.fixture
def recursion_limit_of_the_program() -> Iterator[None]:
    """Libraries of other tests raise this process's limit; the program keeps Python's own (tests/test_recursion.py)."""
    raised = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(raised)
