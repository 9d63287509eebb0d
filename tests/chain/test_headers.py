"""Headers are proven, or else what two hosts serve alike; a head that one host invents is followed by nobody."""

from __future__ import annotations

from typing import Any

import pytest

from openpay.chain import headers
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.errors import NoEndpointAnswered, NotAgreed
from tests.chain.copies import pool_of
from tests.chain.fake_node import FakeNode
from tests.chain.samples import header

HEIGHTS = range(100, 110)


def named(number: int, branch: int) -> bytes:
    """The hash that a block claims to have."""
    return bytes([branch]) * 24 + number.to_bytes(8, "big")


def block(number: int, *, branch: int = 0xAA) -> dict[str, Any]:
    """A header that hashes to something else than it claims: in a format that is not known."""
    parent = named(max(number - 1, 0), branch)
    return header(number=number, block_hash=named(number, branch), parent_hash=parent, timestamp=number)


class Host(FakeNode):
    """Has the blocks up to `head`, and those of `own` in their place or on top; `finalized` is ten below."""

    def __init__(self, head: int, *own: dict[str, Any]) -> None:
        self.blocks = {number: block(number) for number in range(head + 1)}
        self.blocks |= {read_quantity(each["number"]): each for each in own}
        self.tags = {"latest": own[-1] if own else self.blocks[head], "finalized": self.blocks[head - 10]}
        super().__init__(
            eth_chainId="0x7a69",
            eth_getBlockByNumber=lambda name, full: self.tags.get(name) or self.blocks.get(int(name, 16)),
            eth_getBlockByHash=lambda name, full: next((b for b in self.blocks.values() if b["hash"] == name), None),
        )


async def newest(*hosts: Host) -> tuple[int, int | None]:
    async with pool_of(*hosts) as pool:
        heads = await headers.newest_heads(pool, has_finalized_tag=True)
    return read_quantity(heads.latest.number), heads.finalized


async def test_newest_head_is_the_highest_that_two_hosts_know() -> None:
    assert await newest(Host(120), Host(120)) == (120, 110)
    assert await newest(Host(121), Host(120)) == (120, 110)
    assert await newest(Host(119), Host(125), Host(123)) == (123, 113)


async def test_head_that_one_host_invents_is_not_followed() -> None:
    liar = Host(120, block(2**40, branch=0xEE))
    assert await newest(liar, Host(120), Host(121)) == (120, 110)


async def test_nothing_is_newest_where_hosts_know_no_head_in_common() -> None:
    with pytest.raises(NotAgreed):
        await newest(Host(120, block(120, branch=0xEE)), Host(120))
    with pytest.raises(NotAgreed, match="only host configured"):
        await newest(Host(120))


async def test_finalized_height_is_one_that_two_hosts_reach() -> None:
    boaster = Host(120)
    boaster.tags["finalized"] = block(119)
    assert await newest(boaster, Host(120), Host(120)) == (120, 110)


async def test_head_without_a_finalized_tag_is_read_from_chains_that_have_none() -> None:
    async with pool_of(Host(120), Host(120)) as pool:
        assert (await headers.newest_heads(pool, has_finalized_tag=False)).finalized is None


async def test_hashes_at_heights_are_those_that_two_hosts_have() -> None:
    async with pool_of(Host(120), Host(120)) as pool:
        assert await headers.hashes_at(pool, HEIGHTS) == [read_bytes(block(number)["hash"]) for number in HEIGHTS]


async def test_hashes_that_one_host_has_otherwise_are_not_taken() -> None:
    async with pool_of(Host(120), Host(120, block(105, branch=0xEE))) as pool:
        with pytest.raises(NotAgreed, match="item 5"):
            await headers.hashes_at(pool, HEIGHTS)


async def test_height_that_no_host_has_is_missing() -> None:
    async with pool_of(Host(104), Host(104)) as pool:
        with pytest.raises(NoEndpointAnswered) as caught:
            await headers.hashes_at(pool, HEIGHTS)
    assert caught.value.is_missing


async def test_header_by_hash_is_what_two_hosts_serve() -> None:
    name = read_bytes(block(105)["hash"])
    async with pool_of(Host(120), Host(120)) as pool:
        assert read_bytes((await headers.header_by_hash(pool, name)).parent_hash) == read_bytes(block(104)["hash"])
    liar = Host(120, {**block(105), "parentHash": "0x" + "77" * 32})
    async with pool_of(Host(120), liar) as pool:
        with pytest.raises(NotAgreed, match="parentHash"):
            await headers.header_by_hash(pool, name)


async def test_lineage_is_followed_by_parent_hashes_that_two_hosts_serve() -> None:
    newest = read_bytes(block(109)["hash"])
    expected = [read_bytes(block(number)["hash"]) for number in reversed(HEIGHTS)]
    async with pool_of(Host(120), Host(120)) as pool:
        found = await headers.lineage(pool, newest, HEIGHTS)
    assert [read_bytes(each.hash) for each in found] == expected
    liar = Host(120, {**block(105), "stateRoot": "0x" + "77" * 32})
    async with pool_of(Host(120), liar) as pool:
        with pytest.raises(NotAgreed, match="stateRoot"):
            await headers.lineage(pool, newest, HEIGHTS)
