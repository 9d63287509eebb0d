"""What a customer pasted where a transaction's hash was asked for: the hash, or what it is instead.

Forms only: nothing here asks a network. A hash says nothing of its own network (64 hex digits are one on most of
them), so what could be ours is looked for first, and a link's host, or the missing `0x`, says where else to look.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

MAX_TEXT = 2_000
"""Longer is not looked at: the longest explorer's link is far below."""


class Form(StrEnum):
    """What a text that holds no transaction of a chain like ours looks like."""

    EMPTY = "empty"
    TOO_LONG = "too_long"
    ADDRESS = "address"
    """An account's or contract's address instead of a transaction."""
    INCOMPLETE = "incomplete"
    """`0x` with too few or too many digits, or a hash shortened by dots in its middle."""
    SEVERAL = "several"
    PAYMENT_NUMBER = "payment_number"
    """Our own number, or the page's own address."""
    RECOVERY_PHRASE = "recovery_phrase"
    """Twelve or more plain words: a wallet's recovery phrase, which nobody may be told."""
    TRON = "tron"
    BITCOIN = "bitcoin"
    SOLANA = "solana"
    TON = "ton"
    LINK = "link"
    """A link that holds no hash."""
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class PastedHash:
    """A hash of 32 bytes. `has_prefix`: it was written with `0x`. `host`: of the link that it stood in, None without
    one. `network`: the name of the network whose explorer that is; None for a host that is not known."""

    hash: bytes
    has_prefix: bool
    host: str | None = None
    network: str | None = None


@dataclass(frozen=True, kw_only=True)
class NoHash:
    """Anything else. `digits`: how many hex digits an incomplete hash has, 0 where that cannot be said."""

    form: Form
    digits: int = 0
    address: bytes | None = None


Pasted = PastedHash | NoHash

_EXPLORERS = {
    "bscscan.com": "BNB Smart Chain",
    "testnet.bscscan.com": "BNB Smart Chain Testnet",
    "bsctrace.com": "BNB Smart Chain",
    "opbnbscan.com": "opBNB",
    "etherscan.io": "Ethereum",
    "polygonscan.com": "Polygon",
    "arbiscan.io": "Arbitrum",
    "basescan.org": "Base",
    "snowtrace.io": "Avalanche",
    "optimistic.etherscan.io": "Optimism",
    "tronscan.org": "Tron",
    "solscan.io": "Solana",
    "explorer.solana.com": "Solana",
    "solana.fm": "Solana",
    "tonviewer.com": "TON",
    "tonscan.org": "TON",
    "mempool.space": "Bitcoin",
    "blockstream.info": "Bitcoin",
    "xrpscan.com": "XRP Ledger",
}
_OTHER_FORMS = {"Tron": Form.TRON, "Solana": Form.SOLANA, "TON": Form.TON, "Bitcoin": Form.BITCOIN}

_PREFIXED_HASH = re.compile(r"(?<![0-9a-z])0x([0-9a-f]{64})(?![0-9a-f])", re.IGNORECASE | re.ASCII)
_BARE_HASH = re.compile(r"(?<![0-9a-z])([0-9a-f]{64})(?![0-9a-z])", re.IGNORECASE | re.ASCII)
_ADDRESS = re.compile(r"(?<![0-9a-z])0x([0-9a-f]{40})(?![0-9a-f])", re.IGNORECASE | re.ASCII)
_HEX_START = re.compile(r"0x([0-9a-f]*)(.*)", re.IGNORECASE | re.ASCII)
_SHORTENED = re.compile(r"(0x)?[0-9a-f]{2,}(\.{2,}|…)[0-9a-f]{2,}", re.IGNORECASE | re.ASCII)
_PAYMENT_NUMBER = re.compile(r"(?<![0-9A-Za-z])pay_[0-9A-Za-z]{24}(?![0-9A-Za-z])", re.ASCII)
_BASE58 = r"[1-9A-HJ-NP-Za-km-z]"
_FORMS = (
    (re.compile(rf"T{_BASE58}{{33}}", re.ASCII), Form.TRON),
    (re.compile(rf"[13]{_BASE58}{{25,33}}|(bc1|tb1)[0-9a-z]{{25,80}}", re.ASCII | re.IGNORECASE), Form.BITCOIN),
    (re.compile(r"[EUk0]Q[0-9A-Za-z_\-]{46}|[0-9A-Za-z+/_\-]{43}=", re.ASCII), Form.TON),
    (re.compile(rf"{_BASE58}{{86,88}}|{_BASE58}{{43,44}}", re.ASCII), Form.SOLANA),
)
"""Whole texts, the narrower form first."""

_LINK = re.compile(r"(https?://\S+)", re.IGNORECASE)
_WORDS = re.compile(r"[a-z]{3,10}( [a-z]{3,10}){11,24}", re.ASCII | re.IGNORECASE)


def read_pasted(text: str) -> Pasted:
    """Read what was pasted, whatever stands around it: white space, invisible characters, a link, a sentence."""
    if len(text) > MAX_TEXT:
        return NoHash(form=Form.TOO_LONG)
    words = " ".join(_visible(text).split())
    # Where a message was wrapped, a hash has a line break in its middle.
    compact = words.replace(" ", "")
    if not compact:
        return NoHash(form=Form.EMPTY)
    host = _host_of(words)
    network = _network_of(host)
    for pattern, has_prefix in ((_PREFIXED_HASH, True), (_BARE_HASH, False)):
        for candidate in (words, compact):
            hashes = {bytes.fromhex(digits) for digits in pattern.findall(candidate)}
            if len(hashes) > 1:
                return NoHash(form=Form.SEVERAL)
            if hashes:
                return PastedHash(hash=hashes.pop(), has_prefix=has_prefix, host=host, network=network)
    return _instead(words, compact, network)


def _visible(text: str) -> str:
    """The text in its usual characters (Unicode NFKC), without those that show nothing: zero-width ones, marks of
    direction, soft hyphens. Line breaks stay."""
    usual = unicodedata.normalize("NFKC", text)
    return "".join(
        " " if char.isspace() else char for char in usual if char.isspace() or unicodedata.category(char)[0] != "C"
    )


def _instead(words: str, compact: str, network: str | None) -> NoHash:
    if _WORDS.fullmatch(words):
        return NoHash(form=Form.RECOVERY_PHRASE)
    if _PAYMENT_NUMBER.search(words):
        return NoHash(form=Form.PAYMENT_NUMBER)
    if network in _OTHER_FORMS:
        return NoHash(form=_OTHER_FORMS[network])
    for candidate in (words, compact):
        if (address := _ADDRESS.search(candidate)) is not None:
            return NoHash(form=Form.ADDRESS, address=bytes.fromhex(address[1]))
    if _SHORTENED.fullmatch(compact):
        return NoHash(form=Form.INCOMPLETE)
    if (start := _HEX_START.fullmatch(compact)) is not None:
        return NoHash(form=Form.INCOMPLETE, digits=0 if start[2] else len(start[1]))
    for pattern, form in _FORMS:
        if pattern.fullmatch(compact):
            return NoHash(form=form)
    return NoHash(form=Form.LINK if _LINK.search(words) else Form.OTHER)


def _host_of(words: str) -> str | None:
    """The host of the first link in the text."""
    link = _LINK.search(words)
    if link is None:
        return None
    try:
        return (urlsplit(link[1]).hostname or "").removeprefix("www.") or None
    except ValueError:  # half an IPv6 address
        return None


def _network_of(host: str | None) -> str | None:
    """The network whose explorer this is, or a part of it on a host below."""
    if host is None:
        return None
    return _EXPLORERS.get(host) or _EXPLORERS.get(host.partition(".")[2])
