"""Whose request it is, for rate limits: the connection's address, or what a trusted proxy says of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

Network = IPv4Network | IPv6Network

_FORWARDED_FOR = "X-Forwarded-For"
_SUBSCRIBER_BITS = 64
"""What of an IPv6 address belongs to one subscriber (RFC 6177); the rest it may change at will."""

_WITH_PORT = re.compile(r"(?P<v4>[0-9.]+):[0-9]+|\[(?P<v6>[^\]]+)\](:[0-9]+)?")
"""How some proxies write an address: with the port that it called from."""


def client_address(request: web.BaseRequest, trusted_proxies: Sequence[Network]) -> str:
    """The address that made `request`; of an IPv6 address its network of 64 bits.

    `X-Forwarded-For` is read from its end, as far as trusted proxies wrote it: each appends the address it was called
    from, and what stands before the first address that is not trusted may be invented.
    """
    said = ",".join(request.headers.getall(_FORWARDED_FOR, ())).split(",")
    address = _parse(request.remote or "")
    while address is not None and said and any(address in network for network in trusted_proxies):
        before = _parse(said.pop())
        if before is None:
            break
        address = before
    if address is None:
        return request.remote or ""
    return str(ip_network((address, _SUBSCRIBER_BITS), strict=False)) if address.version == 6 else str(address)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if (written := _WITH_PORT.fullmatch(text)) is not None:
        text = written["v4"] or written["v6"]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A server that listens on both kinds sees IPv4 addresses as `::ffff:192.0.2.1`.
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
