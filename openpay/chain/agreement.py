"""What several hosts say alike, for what no proof can show. Pure.

Agreement is weaker than a proof: it shows that hosts say the same, not that it is true. It takes a proof's place only
where no endpoint's answer can be proven, and never against the word of another host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import TypeVar

import msgspec

from openpay.chain.blocks import Header
from openpay.chain.errors import EndpointFault, JsonRpcError, NotAgreed, Part

T = TypeVar("T")
Words = Mapping[str, T | EndpointFault | JsonRpcError]
"""What `Pool.ask_hosts` brings back: each host's answer or failure."""

HOSTS = 2
"""How many must say the same."""

Json = dict[str, object]

_NOT_HASHED = frozenset({"totalDifficulty", "size", "uncles", "withdrawals", "transactions"})
"""What nodes serve beside a header, each kind in its own way: no difference there says anything."""


def agreed(
    words: Words[T], difference: Callable[[T, T], str | None], *, part: Part, what: str, hosts: int = HOSTS
) -> T:
    """The answer that at least `hosts` hosts gave and none contradicted; hosts that are silent do not count.

    `difference` names the first thing in which two answers differ, None when they are the same. Raises `NotAgreed`
    saying about `what` who differs, or that too few answered.
    """
    answers = {host: word for host, word in words.items() if not isinstance(word, EndpointFault | JsonRpcError)}
    faults = {host: word for host, word in words.items() if isinstance(word, EndpointFault)}
    for (one, first), (other, second) in combinations(sorted(answers.items()), 2):
        if (where := difference(first, second)) is not None:
            raise NotAgreed(part, f"{what}: {one} and {other} differ in {where}", faults)
    if len(answers) < hosts:
        said = f"only {', '.join(sorted(answers))} served it" if answers else "no host served it"
        alone = ", the only host configured: a second one is needed" if len(words) < hosts else ""
        raise NotAgreed(part, f"{what}: {said}{alone}", faults)
    return answers[min(answers)]


def header_difference(one: Json, other: Json) -> str | None:
    """The first field in which two hosts' JSON of one header differ.

    The fields that are known to be hashed must be the same, or missing, in both. Of all others those count that both
    serve: a field of a later fork that a host leaves out is no contradiction.
    """
    for field in msgspec.structs.fields(Header):
        if text(one.get(field.encode_name)) != text(other.get(field.encode_name)):
            return field.encode_name
    return shared_difference(one, other, apart_from=_NOT_HASHED)


def shared_difference(one: Json, other: Json, *, apart_from: frozenset[str] = frozenset()) -> str | None:
    """The first field that two objects both have, with another content in each."""
    for name in one.keys() & other.keys() - apart_from:
        if text(one[name]) != text(other[name]):
            return name
    return None


def text(value: object) -> bytes:
    """A canonical text of what a node served, for comparing: hex text may come in either case."""
    return msgspec.json.encode(value, order="deterministic").lower()
