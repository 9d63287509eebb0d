"""RLP encoding on hex text: nodes serve hex, so the proofs join text and turn it into bytes once.

Every function returns the encoding as hex digits without `0x`. Arguments that come from a node start with two
characters of prefix, which are cut off unread. Lengths are checked here; characters that are no hex digits surface
when the joined text is turned into bytes (`binascii.unhexlify`, which skips nothing, unlike `bytes.fromhex`).

Ethereum Yellow Paper, appendix B.
"""

from __future__ import annotations

from functools import lru_cache

_QUANTITY_PREFIX = tuple(
    # By the length of the text, prefix `0x` included: the header for its bytes, and the nibble that evens the digits.
    f"{0x80 + (length - 1) // 2:02x}" + ("0" if length % 2 else "")
    for length in range(67)
)
_SMALL_QUANTITY = {"0x0": "80"} | {f"0x{n:x}": f"{n:02x}" if n < 0x80 else f"81{n:02x}" for n in range(1, 0x100)}


def quantity(text: str | None) -> str:
    """Encode a JSON-RPC quantity (`0x0`, `0x1f`: at most 256 bits, no leading zeros).

    Raises `ValueError` when it is not written like that, or missing.
    """
    try:
        size = len(text)  # type: ignore[arg-type]
        return _QUANTITY_PREFIX[size] + text[2:] if size > 4 else _SMALL_QUANTITY[text]  # type: ignore[index]
    except (TypeError, IndexError, KeyError):
        raise ValueError(f"not a quantity as JSON-RPC writes it: {text!r:.80}") from None


def data(text: str) -> str:
    """Encode a JSON-RPC byte string of any length (`0x` is the empty one). Raises `ValueError` for half a byte."""
    size, half = divmod(len(text) - 2, 2)
    if half:
        raise ValueError(f"an odd number of hex digits: {text[:80]}")
    if size == 1 and text[2] < "8":
        return text[2:]
    return string_header(size) + text[2:]


def word(text: str) -> str:
    """Encode exactly 32 bytes. Raises `ValueError` for another length."""
    if len(text) != 66:
        raise ValueError(f"not 32 bytes: {text[:80]}")
    return "a0" + text[2:]


def address(text: str) -> str:
    """Encode exactly 20 bytes. Raises `ValueError` for another length."""
    if len(text) != 42:
        raise ValueError(f"not 20 bytes: {text[:80]}")
    return "94" + text[2:]


def list_of(payload: str) -> str:
    """Encode a list whose items, already encoded, are `payload`."""
    return list_header(len(payload) // 2) + payload


@lru_cache(maxsize=4096)
def string_header(size: int) -> str:
    """The header of a byte string of `size` bytes (not for single bytes below 0x80, which have none)."""
    return _header(0x80, size)


@lru_cache(maxsize=4096)
def list_header(size: int) -> str:
    """The header of a list whose encoded items take `size` bytes."""
    return _header(0xC0, size)


def _header(base: int, size: int) -> str:
    if size < 56:
        return f"{base + size:02x}"
    if size < 0x100:
        return f"{base + 56:02x}{size:02x}"
    if size < 0x10000:
        return f"{base + 57:02x}{size:04x}"
    if size < 0x1000000:
        return f"{base + 58:02x}{size:06x}"
    raise ValueError(f"{size} bytes in one item: no block is that large")
