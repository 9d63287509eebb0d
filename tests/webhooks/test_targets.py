"""Where webhooks may go: the table of addresses, and the connector that keeps to it."""

from __future__ import annotations

import ipaddress
import random
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from openpay.app.targets import MAX_URL_LENGTH, check_url, why_refused
from openpay.errors import Invalid
from openpay.webhooks import targets
from openpay.webhooks.sender import Sender
from tests.webhooks.conftest import Receiver, Shop

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "100.64.0.1": "carrier",
    "100.127.255.255": "carrier",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.169.254": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.8": "reserved",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4",
    "192.168.1.1": "private",
    "198.18.0.1": "benchmarks",
    "198.51.100.7": "documentation",
    "203.0.113.7": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "reserved",
    "::ffff:127.0.0.1": "mapped",
    "::ffff:8.8.8.8": "mapped",
    "::ffff:0:127.0.0.1": "reserved",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b:1::a00:1": "NAT64",
    "100::1": "reserved",
    "2001::1": "Teredo",
    "2001:2::1": "reserved",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "6to4",
    "3fff::1": "documentation",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "fc00::1": "private",
    "fd12:3456::1": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "reserved",
    "ff02::1": "multicast",
}

ALLOWED = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.20.0.1"]
ALLOWED += ["223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888"]


@pytest.mark.parametrize(("address", "reason"), REFUSED.items())
def test_address_off_the_public_internet_is_refused(address: str, reason: str) -> None:
    assert reason in (why_refused(address) or "allowed")


@pytest.mark.parametrize("address", ALLOWED)
def test_public_address_is_allowed(address: str) -> None:
    assert why_refused(address) is None


def test_every_address_that_python_knows_not_to_be_global_is_refused() -> None:
    source = random.Random(7)
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address]
    addresses = [ipaddress.IPv4Address(source.getrandbits(32)) for _ in range(20_000)]
    addresses += [ipaddress.IPv6Address(source.getrandbits(128)) for _ in range(20_000)]
    wrong = [address for address in addresses if not address.is_global and why_refused(address) is None]
    assert wrong == []
    assert any(why_refused(address) is None for address in addresses[:20_000])


def test_development_lets_loopback_through_and_nothing_else() -> None:
    opened = [address for address in REFUSED if why_refused(address, allow_loopback=True) is None]
    assert opened == ["127.0.0.1", "127.255.255.254", "::1"]


# --- URLs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["https://shop.example/hook", "https://shop.example:8443/a?b=c", "https://8.8.8.8/", "https://[2606:4700::1111]/x"],
)
def test_public_https_url_is_accepted(url: str) -> None:
    check_url(url, allow_insecure=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example/hook",
        "//shop.example/hook",
        "http://shop.example/hook",
        "ftp://shop.example/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:password@shop.example/",
        "https://user@shop.example/",
        "https://@shop.example/",
        "https://shop.example/#part",
        "https://shop.example/#",
        "https://shop.example:99999/",
        "https://shop.example:0/",
        "https://shop.example:port/",
        "https://shop.example/a b",
        "https://shop.example/\nHost: other",
        "https://shop.example\t/",
        "https://shop.example\\@10.0.0.1/",
        "https://größe.example/",
        "https://localhost/",
        "https://localhost./",
        "https://api.localhost/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://[::1",
        "https://shop.example/" + "a" * MAX_URL_LENGTH,
    ],
)
def test_url_that_cannot_be_a_target_is_refused_and_named(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_url(url, allow_insecure=False)
    assert (refused.value.code, refused.value.param) == ("invalid_url", "url")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/hook", "http://localhost/hook", "http://shop.example/"])
def test_development_accepts_http_and_loopback(url: str) -> None:
    check_url(url, allow_insecure=True)


def test_development_still_refuses_private_addresses() -> None:
    with pytest.raises(Invalid, match="private"):
        check_url("http://192.168.1.1/", allow_insecure=True)


# --- connecting ------------------------------------------------------------------------------------------------------


class Names(AbstractResolver):
    """A name server of the test's own, with one answer to everything."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::]", "0.0.0.0", "2130706433", "127.1", "0x7f000001"]
)
async def test_loopback_written_as_an_address_is_never_connected_to(receiver: Receiver, address: str) -> None:
    port = receiver.url().split(":")[2].split("/")[0]
    async with Sender() as sender:
        reply = await sender.send(f"https://{address}:{port}/hook", b"{}", {})
    assert reply.status is None
    assert reply.error is not None
    assert "refused: " in reply.error or "canonical" in reply.error
    assert receiver.received.empty()


async def test_plain_http_is_never_sent_to_outside_of_development(receiver: Receiver) -> None:
    async with Sender() as sender:
        reply = await sender.send(receiver.url(), b"{}", {})
    assert reply.error == "refused: only https:// is sent to"
    assert receiver.received.empty()


async def test_name_that_turns_to_a_private_address_later_is_refused_then(shop: Shop, receiver: Receiver) -> None:
    """DNS rebinding: the name was harmless when the endpoint was configured."""
    port = receiver.url().split(":")[2].split("/")[0]
    await shop.configure(f"http://rebound.example:{port}/hook")
    event = await shop.tell()
    async with shop.dispatching(resolver=Names("10.0.0.5", "fd00::5")):
        await shop.attempted(event, 1)
    (attempt,) = await shop.attempts_of(event)
    assert attempt.status is None
    assert attempt.error is not None
    assert "refused: rebound.example resolves to 10.0.0.5 (private), fd00::5 (private)" in attempt.error


async def test_refused_addresses_of_a_name_are_left_out(receiver: Receiver) -> None:
    port = receiver.url().split(":")[2].split("/")[0]
    names = Names("10.0.0.5", "127.0.0.1")
    async with Sender(allow_insecure=True, resolver=names) as sender:
        reply = await sender.send(f"http://mixed.example:{port}/hook", b"{}", {})
    assert reply.status == 200


async def test_gate_at_the_socket_holds_even_if_the_resolver_were_fooled(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unfiltered(targets.FilteringResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            return await self._resolver.resolve(host, port, family)

    monkeypatch.setattr(targets, "FilteringResolver", Unfiltered)
    port = receiver.url().split(":")[2].split("/")[0]
    async with Sender(resolver=Names("127.0.0.1")) as sender:
        reply = await sender.send(f"https://fooled.example:{port}/hook", b"{}", {})
    assert reply.error is not None
    assert "refused: the address 127.0.0.1 is loopback" in reply.error
