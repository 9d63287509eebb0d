"""What a merchant may ask for: the meaning of a payment request, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from openpay.domain.chains import Chain, Token
from openpay.domain.money import parse_usd
from openpay.domain.payment import LineItem
from openpay.errors import Invalid

MIN_LIFE_S = 300
MAX_LIFE_S = 86_400
DEFAULT_LIFE_S = 1_800
MAX_PRICED_LIFE_S = 1_800
"""Where a volatile token's price is locked, the lock is a free option for the payer: it must be short."""

MAX_DESCRIPTION = 500
MAX_METADATA_KEYS = 50
MAX_METADATA_NAME = 40
MAX_METADATA_VALUE = 500
MAX_LINE_ITEMS = 50
MAX_LINE_ITEM_NAME = 200
MAX_QUANTITY = 1_000_000
MAX_URL = 2_048


@dataclass(frozen=True, kw_only=True)
class RequestedLine:
    """A line item as asked for; `amount` is the whole line's, whatever its quantity: a decimal string in USD."""

    name: str
    amount: str
    quantity: int = 1


@dataclass(frozen=True, kw_only=True)
class CreatePayment:
    """A merchant's request, its types right and its meaning unchecked. `accepted_tokens` None: all that are listed."""

    amount: str
    currency: str = "USD"
    accepted_tokens: tuple[str, ...] | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    expires_in: int | None = None
    success_url: str | None = None
    cancel_url: str | None = None
    line_items: tuple[RequestedLine, ...] = ()
    allow_retry: bool = False


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request whose every field was found meaningful. `amount_usd` in micros, `expires_in` in seconds."""

    amount_usd: int
    tokens: tuple[Token, ...]
    expires_in: int
    description: str | None
    metadata: Mapping[str, str]
    line_items: tuple[LineItem, ...]
    success_url: str | None
    cancel_url: str | None
    allow_retry: bool


def parse_order(command: CreatePayment, chain: Chain) -> Order:
    """Check a request against a chain's tokens and the limits above. Raises `Invalid`, naming the field."""
    if command.currency != "USD":
        raise Invalid(f"{command.currency[:20]!r} is not supported: use USD", code="invalid_currency", param="currency")
    tokens = _tokens(command.accepted_tokens, chain)
    return Order(
        amount_usd=parse_usd(command.amount),
        tokens=tokens,
        expires_in=_life(command.expires_in, tokens),
        description=None if command.description is None else _description(command.description),
        metadata=_metadata(command.metadata),
        line_items=_line_items(command.line_items),
        success_url=_url(command.success_url, "success_url"),
        cancel_url=_url(command.cancel_url, "cancel_url"),
        allow_retry=command.allow_retry,
    )


def _tokens(symbols: tuple[str, ...] | None, chain: Chain) -> tuple[Token, ...]:
    def invalid(detail: str) -> Invalid:
        return Invalid(detail, code="invalid_token", param="accepted_tokens")

    if symbols is None:
        return chain.tokens
    listed = ", ".join(token.symbol for token in chain.tokens)
    if not symbols:
        raise invalid(f"name at least one of {listed}, or leave the field out to accept all")
    chosen = []
    for symbol in symbols:
        token = chain.token(symbol)
        if token is None:
            raise invalid(f"{symbol[:20]!r} is not accepted here: use {listed}")
        if token in chosen:
            raise invalid(f"{symbol} is named twice")
        chosen.append(token)
    return tuple(chosen)


def _life(expires_in: int | None, tokens: tuple[Token, ...]) -> int:
    if expires_in is None:
        return DEFAULT_LIFE_S
    priced = [token.symbol for token in tokens if token.feed is not None]
    longest = MAX_PRICED_LIFE_S if priced else MAX_LIFE_S
    if not MIN_LIFE_S <= expires_in <= longest:
        why = f" where {', '.join(priced)} is accepted, because its price is locked" if priced else ""
        raise Invalid(
            f"expires_in is {expires_in} seconds; allowed are {MIN_LIFE_S} to {longest}{why}",
            code="invalid_expires_in",
            param="expires_in",
        )
    return expires_in


def _text(value: str, limit: int, *, param: str, code: str) -> str:
    """Text that can be stored and shown: bounded, no control characters but line breaks and tabs."""
    if len(value) > limit:
        raise Invalid(f"{param} has {len(value)} characters; the limit is {limit}", code=code, param=param)
    for character in value:
        if (ord(character) < 0x20 and character not in "\t\n\r") or 0xD800 <= ord(character) <= 0xDFFF:
            raise Invalid(f"{param} holds U+{ord(character):04X}, which cannot be shown", code=code, param=param)
    return value


def _description(value: str) -> str:
    return _text(value, MAX_DESCRIPTION, param="description", code="invalid_description")


def _metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    if len(metadata) > MAX_METADATA_KEYS:
        raise Invalid(
            f"metadata has {len(metadata)} keys; the limit is {MAX_METADATA_KEYS}",
            code="invalid_metadata",
            param="metadata",
        )
    for name, value in metadata.items():
        if not name or len(name) > MAX_METADATA_NAME:
            raise Invalid(
                f"a metadata name has 1 to {MAX_METADATA_NAME} characters; {name[:60]!r} has {len(name)}",
                code="invalid_metadata",
                param="metadata",
            )
        _text(name, MAX_METADATA_NAME, param="metadata", code="invalid_metadata")
        _text(value, MAX_METADATA_VALUE, param=f"metadata.{name}", code="invalid_metadata")
    return dict(metadata)


def _line_items(lines: tuple[RequestedLine, ...]) -> tuple[LineItem, ...]:
    if len(lines) > MAX_LINE_ITEMS:
        raise Invalid(
            f"{len(lines)} line items; the limit is {MAX_LINE_ITEMS}", code="invalid_line_items", param="line_items"
        )
    items = []
    for index, line in enumerate(lines):
        place = f"line_items.{index}"
        if not line.name.strip():
            raise Invalid("a line item needs a name", code="invalid_line_items", param=f"{place}.name")
        if not 1 <= line.quantity <= MAX_QUANTITY:
            raise Invalid(
                f"quantity is {line.quantity}; allowed are 1 to {MAX_QUANTITY}",
                code="invalid_line_items",
                param=f"{place}.quantity",
            )
        name = _text(line.name, MAX_LINE_ITEM_NAME, param=f"{place}.name", code="invalid_line_items")
        items.append(
            LineItem(name=name, quantity=line.quantity, amount_usd=parse_usd(line.amount, param=f"{place}.amount"))
        )
    return tuple(items)


def _url(value: str | None, param: str) -> str | None:
    """A link that is safe to send a customer to: http(s), a host, no credentials, nothing a browser strips."""
    if value is None:
        return None

    def invalid(why: str) -> Invalid:
        return Invalid(f"{param} {why}", code="invalid_url", param=param)

    if len(value) > MAX_URL:
        raise invalid(f"has {len(value)} characters; the limit is {MAX_URL}")
    if any(character <= " " or character in "\\\x7f" or 0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise invalid("holds a space, control character or backslash: write it percent-encoded")
    try:
        parts = urlsplit(value)
        hostname = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise invalid(f"is not a URL: {error}") from error
    if parts.scheme not in ("https", "http"):
        raise invalid(f"starts with {parts.scheme[:20]!r}: use https (or http while developing)")
    if not hostname:
        raise invalid("names no host")
    if "@" in parts.netloc:
        raise invalid("carries a user name or password: leave them out")
    return value
