"""Reading headers: proven by their own hash or, where that succeeds nowhere, agreed between hosts.

A fork of the chain may change what a header's hash covers before Open Pay is taught it. Then no endpoint's header
proves, and what two hosts serve alike is taken instead (`openpay.chain.agreement`), marked as agreed by whoever
decides about money: the blocks under these headers are (`openpay.chain.fetch`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from openpay.chain import reads
from openpay.chain.agreement import Json, agreed, header_difference
from openpay.chain.blocks import Header, read_bytes, read_quantity
from openpay.chain.errors import (
    BadAnswer,
    JsonRpcError,
    Missing,
    NoEndpointAnswered,
    NotAgreed,
    Part,
    ProofFailed,
    Unreadable,
)
from openpay.chain.member import Question
from openpay.chain.poll import Poll
from openpay.chain.pool import Pool
from openpay.chain.proofs import prove_header
from openpay.chain.rpc import Endpoint

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class NewestHeads:
    """What is newest. `finalized` is the height of the chain's own tag, one node's unproven word; None without tag."""

    latest: Header
    finalized: int | None


async def newest_heads(pool: Pool, *, has_finalized_tag: bool) -> NewestHeads:
    """The newest header, and the height that is called finalized. Raises `ChainUnavailable`."""

    async def claims(endpoint: Endpoint) -> list[Header]:
        return await endpoint.batch([reads.header(tag) for tag in _tags(has_finalized_tag)])

    async def agree() -> NewestHeads:
        said = [word for word in (await pool.ask_hosts(claims)).values() if isinstance(word, list)]
        latest = await _highest_agreed(pool, [heads[0] for heads in said])
        # A height that two hosts call final at least: one alone could name any.
        finalized = sorted((read_quantity(heads[1].number) for heads in said if len(heads) > 1), reverse=True)
        return NewestHeads(latest=latest, finalized=finalized[:2][-1] if finalized else None)

    return await proven_or_agreed(pool, _asking_newest(has_finalized_tag=has_finalized_tag), agree)


def poll_newest_heads(pool: Pool, *, has_finalized_tag: bool, apart_from: Container[str] = ()) -> Poll[NewestHeads]:
    """Begin to ask every host, `apart_from` some, what is newest. Only a newest header that proves is an answer."""
    return pool.poll(_asking_newest(has_finalized_tag=has_finalized_tag), apart_from=apart_from)


def _asking_newest(*, has_finalized_tag: bool) -> Callable[[Endpoint], Awaitable[NewestHeads]]:
    async def ask(endpoint: Endpoint) -> NewestHeads:
        latest, *finalized = await endpoint.batch([reads.header(tag) for tag in _tags(has_finalized_tag)])
        prove_header(latest, block_hash=read_bytes(latest.hash), endpoint=endpoint.name)
        return NewestHeads(latest=latest, finalized=read_quantity(finalized[0].number) if finalized else None)

    return ask


def _tags(has_finalized_tag: bool) -> list[reads.Tag]:
    return ["latest", "finalized"] if has_finalized_tag else ["latest"]


async def header_by_hash(pool: Pool, block_hash: bytes) -> Header:
    """The header with this hash. Raises `ChainUnavailable`."""

    async def ask(endpoint: Endpoint) -> Header:
        header = await endpoint.call(reads.header_by_hash(block_hash))
        prove_header(header, block_hash=block_hash, endpoint=endpoint.name)
        return header

    return await proven_or_agreed(pool, ask, lambda: agreed_header(pool, block_hash), proven=True)


async def lineage(pool: Pool, newest: bytes, numbers: range) -> list[Header]:
    """The headers at these heights, newest first: the one with hash `newest`, and its ancestors.

    Raises `ChainUnavailable`.
    """

    async def ask(endpoint: Endpoint) -> list[Header]:
        headers = await endpoint.batch([reads.header(number) for number in reversed(numbers)])
        expected = newest
        for header in headers:
            if read_bytes(header.hash) != expected:
                raise Missing(endpoint.name, f"it is on another branch than block 0x{newest.hex()}")
            prove_header(header, block_hash=expected, endpoint=endpoint.name)
            expected = read_bytes(header.parent_hash)
        return headers

    async def agree() -> list[Header]:
        headers = [await agreed_header(pool, newest)]
        for _ in numbers[1:]:
            headers.append(await agreed_header(pool, read_bytes(headers[-1].parent_hash)))
        return headers

    return await proven_or_agreed(pool, ask, agree, proven=True)


async def hashes_at(pool: Pool, numbers: range) -> list[bytes]:
    """The hashes of the blocks at these heights. Whether they link is for the caller to check.

    Raises `ChainUnavailable`.
    """

    async def ask(endpoint: Endpoint) -> list[bytes]:
        headers = await endpoint.batch([reads.header(number) for number in numbers])
        for header in headers:
            prove_header(header, block_hash=read_bytes(header.hash), endpoint=endpoint.name)
        return _hashes(headers, numbers, endpoint)

    async def claims(endpoint: Endpoint) -> list[bytes]:
        return _hashes(await endpoint.batch([reads.header(number) for number in numbers]), numbers, endpoint)

    async def agree() -> list[bytes]:
        # The hashes are all that is taken from here: what stands under them is compared when it is read by hash.
        what = f"the hashes of blocks {numbers[0]} to {numbers[-1]}"
        return agreed(await pool.ask_hosts(claims), _list_difference, part=Part.HEADER, what=what)

    return await proven_or_agreed(pool, ask, agree)


async def agreed_header(pool: Pool, block_hash: bytes) -> Header:
    """The header that two hosts serve alike under this hash. Raises `NotAgreed`."""

    async def ask(endpoint: Endpoint) -> Json:
        served = await endpoint.call(reads.served_header(block_hash))
        read_header(served, block_hash, endpoint)
        return served

    words = await pool.ask_hosts(ask)
    what = f"header 0x{block_hash.hex()}"
    return msgspec.convert(agreed(words, header_difference, part=Part.HEADER, what=what), Header)


def read_header(served: Json, block_hash: bytes, endpoint: Endpoint) -> Header:
    """Decode what a node serves as the header of `block_hash`. Raises `BadAnswer`."""
    try:
        header = msgspec.convert(served, Header)
    except msgspec.ValidationError as error:
        raise BadAnswer(endpoint.name, f"header of 0x{block_hash.hex()}: {error}") from error
    if read_bytes(header.hash) != block_hash:
        raise BadAnswer(endpoint.name, f"asked for block 0x{block_hash.hex()}, answered with {header.hash}")
    return header


async def proven_or_agreed(
    pool: Pool, ask: Question[T], agree: Callable[[], Awaitable[T]], *, proven: bool = False
) -> T:
    """What one endpoint can prove, else what hosts agree on - asked only when some endpoint did serve an answer.

    `proven` as in `Pool.ask`: false where the answer is whole in itself, but need not be part of any chain.
    """
    is_served = False

    async def note(endpoint: Endpoint) -> T:
        nonlocal is_served
        try:
            return await ask(endpoint)
        except (ProofFailed, Unreadable):
            is_served = True
            raise

    try:
        return await pool.ask(note, proven=proven)
    except (NoEndpointAnswered, JsonRpcError):
        if not is_served:
            raise
        return await agree()


async def _highest_agreed(pool: Pool, heads: Sequence[Header]) -> Header:
    """The highest of the hosts' heads that two of them know: the newest of all is often known to one alone."""
    unagreed: NotAgreed | None = None
    by_hash = {read_bytes(head.hash): head for head in heads}
    for block_hash in sorted(by_hash, key=lambda each: read_quantity(by_hash[each].number), reverse=True):
        try:
            return await agreed_header(pool, block_hash)
        except NotAgreed as error:
            unagreed = error
    raise unagreed or NotAgreed(Part.HEADER, "the newest head: no host served it", {})


def _hashes(headers: Sequence[Header], numbers: range, endpoint: Endpoint) -> list[bytes]:
    for number, header in zip(numbers, headers, strict=True):
        if read_quantity(header.number) != number:
            raise BadAnswer(endpoint.name, f"asked for block {number}, answered with {read_quantity(header.number)}")
    return [read_bytes(header.hash) for header in headers]


def _list_difference(one: Sequence[object], other: Sequence[object]) -> str | None:
    return next((f"item {at}" for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)
