"""What a node's answers may take of memory, all together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from yarl import URL

from openpay.chain.errors import BadAnswer
from openpay.chain.http import LARGEST_AT_ONCE, HttpTransport

LARGEST = 1000


def answer(bytes_: int, end: asyncio.Event) -> Any:
    """A response whose last byte comes at the end."""

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(bytes_)
        await end.wait()

    return SimpleNamespace(content=SimpleNamespace(iter_any=chunks))


async def test_large_answers_to_many_questions_at_once_are_stopped_at_a_limit_for_all() -> None:
    transport = HttpTransport(URL("http://node"), None, name="node", timeout_s=1, max_answer_bytes=LARGEST)  # type: ignore[arg-type]
    end = asyncio.Event()
    for _ in range(2):
        end.clear()
        within = [asyncio.create_task(transport._read(answer(LARGEST, end))) for _ in range(LARGEST_AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(BadAnswer, match="at once"):
            await transport._read(answer(1, end))
        end.set()
        assert [len(body) for body in await asyncio.gather(*within)] == [LARGEST] * LARGEST_AT_ONCE
