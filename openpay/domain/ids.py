"""Public identifiers: a prefix naming the kind of object, and random base62 characters."""

from __future__ import annotations

import re
import secrets
import zlib

from openpay.domain.keccak import keccak

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 24
"""24 base62 characters carry 142 bits: nobody guesses a checkout URL."""

API_KEY_LENGTH = 32
CHECKSUM_LENGTH = 6

_PAYMENT_ID = re.compile(r"pay_[0-9A-Za-z]{24}", re.ASCII)
_API_KEY = re.compile(r"sk_(live|test)_([0-9A-Za-z]{32})([0-9A-Za-z]{6})", re.ASCII)


def random_base62(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))


def new_id(prefix: str) -> str:
    """A fresh id such as `pay_` + 24 base62 characters."""
    return f"{prefix}_{random_base62(ID_LENGTH)}"


def derived_id(prefix: str, text: str) -> str:
    """The id of what `text` names, always the same: deriving it twice makes nothing twice."""
    value, digits = int.from_bytes(keccak(text.encode()), "big"), ""
    for _ in range(ID_LENGTH):
        value, digit = divmod(value, len(BASE62))
        digits += BASE62[digit]
    return f"{prefix}_{digits}"


def is_payment_id(text: str) -> bool:
    """Whether `text` could be a payment's id at all."""
    return _PAYMENT_ID.fullmatch(text) is not None


def new_api_key(*, livemode: bool) -> str:
    """A fresh secret key: `sk_live_` or `sk_test_`, 32 random characters and their checksum."""
    mode = "live" if livemode else "test"
    body = random_base62(API_KEY_LENGTH)
    return f"sk_{mode}_{body}{_checksum(body)}"


def is_api_key(text: str) -> bool:
    """Whether `text` has the form and checksum of an API key. Catches mistyping without asking the database."""
    match = _API_KEY.fullmatch(text)
    return match is not None and _checksum(match[2]) == match[3]


def _checksum(body: str) -> str:
    value, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        value, digit = divmod(value, 62)
        digits = BASE62[digit] + digits
    return digits
