"""Where a webhook may go: which URLs are accepted, and which addresses are never connected to.

A merchant names the URL, and our server makes the request: without these rules a URL could reach the operator's own
network (server-side request forgery). The URL is checked when it is configured, every address when it is connected to,
because a name may resolve to something else by then.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from openpay.errors import Invalid

MAX_URL_LENGTH = 2_048

# After IANA's registries of special-purpose addresses; an explicit table, so that it is the same on every Python.
_REFUSED_IPV4: dict[IPv4Network, str] = {
    IPv4Network(network): why
    for network, why in {
        "0.0.0.0/8": "unspecified",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared by a carrier's NAT",
        "127.0.0.0/8": "loopback",
        "169.254.0.0/16": "link-local",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "reserved",
        "192.0.2.0/24": "for documentation",
        "192.88.99.0/24": "translated (6to4 relay)",
        "192.168.0.0/16": "private",
        "198.18.0.0/15": "for benchmarks",
        "198.51.100.0/24": "for documentation",
        "203.0.113.0/24": "for documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
    }.items()
}

_REFUSED_IPV6: dict[IPv6Network, str] = {
    IPv6Network(network): why
    for network, why in {
        "::/128": "unspecified",
        "::1/128": "loopback",
        "::ffff:0:0/96": "an IPv4-mapped address",
        "64:ff9b::/96": "translated (NAT64)",
        "64:ff9b:1::/48": "translated (NAT64)",
        "2001::/32": "translated (Teredo)",
        "2001::/23": "reserved",
        "2001:db8::/32": "for documentation",
        "2002::/16": "translated (6to4)",
        "3fff::/20": "for documentation",
        "fc00::/7": "private",
        "fe80::/10": "link-local",
        "ff00::/8": "multicast",
    }.items()
}

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only part of IPv6 that is given out to the public internet."""


def why_refused(address: str | IPv4Address | IPv6Address, *, allow_loopback: bool = False) -> str | None:
    """Why no webhook is sent to this IP address; None when it is on the public internet.

    `allow_loopback` is for development: it lets 127.0.0.0/8 and ::1 through, nothing else.
    """
    parsed = ip_address(address)
    if allow_loopback and parsed in (_LOOPBACK_IPV4 if parsed.version == 4 else _LOOPBACK_IPV6):
        return None
    if isinstance(parsed, IPv4Address):
        return next((why for network, why in _REFUSED_IPV4.items() if parsed in network), None)
    why = next((why for network, why in _REFUSED_IPV6.items() if parsed in network), None)
    return why or (None if parsed in _GLOBAL_UNICAST else "reserved")


_LOOPBACK_IPV4 = IPv4Network("127.0.0.0/8")
_LOOPBACK_IPV6 = IPv6Network("::1/128")


def check_url(url: str, *, allow_insecure: bool) -> None:
    """Accept a webhook URL or say what is wrong with it: `Invalid`, code `invalid_url`, param `url`.

    `allow_insecure` (development) also lets http and loopback addresses through.
    """
    problem = _url_problem(url, allow_insecure=allow_insecure)
    if problem is not None:
        raise Invalid(problem, code="invalid_url", param="url")


def _url_problem(url: str, *, allow_insecure: bool) -> str | None:
    if len(url) > MAX_URL_LENGTH:
        return f"the URL has {len(url)} characters; {MAX_URL_LENGTH} are allowed"
    # urlsplit drops tabs and line breaks without a word, and they have no place in a request line.
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "the URL has spaces, control characters, a backslash or letters outside ASCII: percent-encode them"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"the URL cannot be read: {error}"
    schemes = ("https", "http") if allow_insecure else ("https",)
    if parts.scheme not in schemes:
        return f"the URL must start with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    if not host:
        return "the URL names no host"
    if port == 0:
        return "port 0 cannot be connected to"
    if "@" in parts.netloc:
        return "the URL carries a user name or password: requests are signed instead, verify the signature"
    if "#" in url:
        return "the URL has a fragment (#…), which is never sent to a server"
    return _host_problem(host, allow_loopback=allow_insecure)


def _host_problem(host: str, *, allow_loopback: bool) -> str | None:
    if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        return None if allow_loopback else f"{host} is this server itself"
    try:
        why = why_refused(host, allow_loopback=allow_loopback)
    except ValueError:  # a name: its addresses are checked at each connection
        return None
    return None if why is None else f"the address {host} is {why}: webhooks go to the public internet only"
