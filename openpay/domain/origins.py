"""Web origins (RFC 6454) as merchants write them: which sites may embed the checkout page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from openpay.errors import Invalid

MAX_EMBED_ORIGINS = 20
"""They all go into a header of every page."""

# One label of a host name as it goes over the wire; a name in another script is written in its xn-- form.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DEFAULT_PORTS = {"https": 443, "http": 80}


def parse_origin(text: str, *, param: str = "embed_origins") -> str:
    """`https://shop.example` or `https://shop.example:8443`, in the form in which browsers send it: lower case,
    without a default port. Plain http is accepted for this machine only (localhost, 127.0.0.1, [::1]).

    Raises `Invalid` (`invalid_origin`) for anything else: a path, a query, a user, a wildcard, a name that is no host.
    """
    shown = repr(text[:100])
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _refused(f"{shown} is not an origin: {error}", param) from error
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if "*" in text:
        raise _refused(f"{shown} has a wildcard: name each origin by itself", param)
    if scheme not in _DEFAULT_PORTS or not host:
        raise _refused(f"{shown} is not an origin: write https://shop.example, with a port where it is not 443", param)
    if not text.isascii():
        raise _refused(f"{shown} has letters that no host name has on the wire: write its xn-- form", param)
    written = f"[{host}]" if ":" in host else host
    plain = f"{scheme}://{written}" + ("" if port is None else f":{port}")
    if text.lower() != plain:
        raise _refused(f"{shown} is more than an origin: write {plain}, without a path, a query or a user", param)
    if not _is_host(host):
        raise _refused(f"{shown} names no host", param)
    if scheme == "http" and not _is_loopback(host):
        raise _refused(f"{shown} is plain http, which anybody on the way can change: use https", param)
    return f"{scheme}://{written}" + ("" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}")


def parse_embed_origins(texts: Sequence[str]) -> tuple[str, ...]:
    """Each as `parse_origin` reads it, once, in the order given. Raises `Invalid`, also for too many."""
    origins = tuple(dict.fromkeys(parse_origin(text) for text in texts))
    if len(origins) > MAX_EMBED_ORIGINS:
        raise Invalid(
            f"{len(origins)} origins are too many: at most {MAX_EMBED_ORIGINS}",
            code="invalid_origin",
            param="embed_origins",
        )
    return origins


def _refused(detail: str, param: str) -> Invalid:
    return Invalid(detail, code="invalid_origin", param=param)


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        last = host.rsplit(".", 1)[-1]
        # A last label of digits makes browsers read an IPv4 address, which this is not.
        return len(host) <= 253 and _HOST.fullmatch(host) is not None and not last.isdigit()
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost") or host in {"127.0.0.1", "::1"}
