"""What stays for as long as the process runs is looked at by no collection."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from openpay.bootstrap.garbage import spare_what_stays


class Kept:
    """Something that lives on."""


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


async def test_what_stays_is_spared_once_the_process_has_settled() -> None:
    kept = Kept()
    assert any(each is kept for each in gc.get_objects())
    spare_what_stays(after_s=0)
    await asyncio.sleep(0.01)
    assert gc.get_freeze_count() > 0
    assert not any(each is kept for each in gc.get_objects())


async def test_process_that_ends_before_that_spares_nothing() -> None:
    spare_what_stays(after_s=0.01).cancel()
    await asyncio.sleep(0.02)
    assert gc.get_freeze_count() == 0
