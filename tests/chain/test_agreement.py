"""What hosts agree on is what at least two say and none denies, however the words fall."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.chain.agreement import agreed, header_difference, shared_difference
from openpay.chain.blocks import Header, Log
from openpay.chain.bloom import logs_bloom
from openpay.chain.errors import EndpointFault, JsonRpcError, NotAgreed, Part, Unreachable
from openpay.domain.keccak import keccak
from tests.chain import strategies
from tests.chain.naive import raw
from tests.chain.real_blocks import Chain

SILENT = Unreachable("host", "away")
REFUSED = JsonRpcError("host", method="eth_getLogs", code=-32000, message="header not found")

words = st.dictionaries(
    st.sampled_from(["a:1", "b:1", "c:1", "d:1", "e:1"]),
    st.one_of(st.integers(1, 2), st.just(SILENT), st.just(REFUSED)),
    min_size=1,
)


@given(words, st.integers(1, 2))
def test_answer_is_taken_exactly_when_enough_hosts_gave_it_and_none_another(
    said: dict[str, int | EndpointFault | JsonRpcError], hosts: int
) -> None:
    answers = [word for word in said.values() if isinstance(word, int)]

    def take() -> int:
        return agreed(said, lambda one, other: None if one == other else "it", part=Part.LOGS, what="x", hosts=hosts)

    if len(set(answers)) == 1 and len(answers) >= hosts:
        assert take() == answers[0]
    else:
        with pytest.raises(NotAgreed):
            take()


_known = {field.encode_name for field in msgspec.structs.fields(Header)}
_convenient = st.fixed_dictionaries({}, optional={"size": strategies.quantities(), "uncles": st.just([])})
_later = st.fixed_dictionaries({}, optional={"later": strategies.words, "still later": strategies.quantities()})


def upper(header: dict[str, Any]) -> dict[str, Any]:
    return {name: text.upper().replace("0X", "0x") if name in _known else text for name, text in header.items()}


@given(strategies.headers(), _convenient, _convenient, _later)
def test_headers_that_differ_in_nothing_hashed_are_the_same(
    header: dict[str, Any], one: dict[str, Any], other: dict[str, Any], later: dict[str, Any]
) -> None:
    assert header_difference(header | one | later, upper(header) | other | later) is None
    # A field of a later fork that one host leaves out contradicts nobody.
    assert header_difference(header | one | later, header) is None


@given(strategies.headers(), strategies.headers(), _later)
def test_headers_are_the_same_only_if_every_known_field_is(
    one: dict[str, Any], other: dict[str, Any], later: dict[str, Any]
) -> None:
    is_same = {name: one.get(name) for name in _known} == {name: other.get(name) for name in _known}
    assert (header_difference(one | later, other | later) is None) == is_same
    assert header_difference(one, other) == header_difference(other, one) or not is_same


@given(strategies.headers(), st.data())
def test_change_of_any_one_field_is_named(header: dict[str, Any], data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(header)))
    changed = {**header, field: header[field] + "00"}
    assert header_difference(header, changed) == field
    assert header_difference(header, {name: text for name, text in header.items() if name != field}) == field


@given(st.dictionaries(st.text(max_size=2), st.integers()), st.dictionaries(st.text(max_size=2), st.integers()))
def test_objects_differ_in_what_both_have(one: dict[str, object], other: dict[str, object]) -> None:
    differing = {name for name in one.keys() & other.keys() if one[name] != other[name]}
    found = shared_difference(one, other)
    assert found in differing if differing else found is None


# --- bloom filters -------------------------------------------------------------------------------------------------


def naive_bloom(logs: list[dict[str, Any]]) -> bytes:
    """As the Yellow Paper counts: bit 0 is the lowest of the last byte."""
    bits: set[int] = set()
    for log in logs:
        for value in (log["address"], *log["topics"]):
            digest = keccak(raw(value))
            bits |= {((digest[at] << 8) + digest[at + 1]) & 2047 for at in (0, 2, 4)}
    filter_bytes = bytearray(256)
    for bit in bits:
        filter_bytes[255 - bit // 8] |= 1 << bit % 8
    return bytes(filter_bytes)


@given(st.lists(strategies.logs, max_size=12))
def test_bloom_filter_is_as_the_specification_says(logs: list[dict[str, Any]]) -> None:
    assert logs_bloom(msgspec.convert(logs, list[Log])) == naive_bloom(logs)


@given(st.lists(strategies.logs, max_size=8), st.integers(0, 7))
def test_bloom_filter_never_gains_by_leaving_out(logs: list[dict[str, Any]], at: int) -> None:
    fewer = [log for index, log in enumerate(logs) if index != at]
    whole, less = (int.from_bytes(logs_bloom(msgspec.convert(each, list[Log])), "big") for each in (logs, fewer))
    assert less | whole == whole


def test_bloom_filter_of_a_real_block_is_the_one_in_its_header(chain: Chain) -> None:
    for served in (chain.empty, chain.many_logs):
        proven = served.prove()
        computed = logs_bloom(log for receipt in proven.receipts for log in receipt.logs)
        assert computed == raw(served.block["logsBloom"])
