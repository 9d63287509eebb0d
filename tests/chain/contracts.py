"""Contracts made up by a test: each call is answered with fixed words, whatever a real one would say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WORD = 32
MASK = (1 << 256) - 1


def answering(answers: Mapping[bytes, Sequence[int]]) -> bytes:
    """EVM code that returns `answers[selector]` as words, and reverts for any other selector."""
    head = bytes.fromhex("5f3560e01c")  # the selector, from the first word of the call
    body = b""
    entry_size = len(_entry(bytes(4), 0))
    start = len(head) + entry_size * len(answers) + len(_REVERT)
    for selector, words in answers.items():
        head += _entry(selector, start + len(body))
        body += _return(words)
    return head + _REVERT + body


_REVERT = bytes.fromhex("5f5ffd")


def _entry(selector: bytes, destination: int) -> bytes:
    """DUP1 PUSH4 selector EQ PUSH2 destination JUMPI"""
    return b"\x80\x63" + selector + b"\x14\x61" + destination.to_bytes(2, "big") + b"\x57"


def _return(words: Sequence[int]) -> bytes:
    """JUMPDEST, then each word by PUSH32 value PUSH2 offset MSTORE, then PUSH2 length PUSH0 RETURN."""
    stores = b"".join(
        b"\x7f" + (word & MASK).to_bytes(WORD, "big") + b"\x61" + (index * WORD).to_bytes(2, "big") + b"\x52"
        for index, word in enumerate(words)
    )
    return b"\x5b" + stores + b"\x61" + (len(words) * WORD).to_bytes(2, "big") + b"\x5f\xf3"
