"""The alert for blocks that are not proven stands exactly while they come, and says what is so now."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from openpay.chain.blocks import Header
from openpay.chain.errors import NotAgreed, Part
from openpay.chain.proofs import ProvenBlock
from openpay.domain.alerts import AlertKind
from tests.chain.samples import header
from tests.support.alarms import Heard
from watcher.unproven import Unproven

parts = st.frozensets(st.sampled_from(Part))
holds = st.sampled_from(Part)
events = st.lists(st.one_of(st.lists(parts, min_size=1, max_size=3), holds), max_size=12)


def blocks(number: int, agreed: list[frozenset[Part]]) -> list[ProvenBlock]:
    """Consecutive blocks, of which these parts are agreed."""
    return [
        ProvenBlock(
            hash=bytes(32),
            header=msgspec.convert(header(number=at, block_hash=bytes(32)), Header),
            transactions=(),
            receipts=(),
            agreed=each,
        )
        for at, each in enumerate(agreed, start=number)
    ]


@given(parts, events)
def test_alerts_stand_for_what_the_newest_block_has_or_what_holds_up_the_next(
    before: frozenset[Part], happened: list[list[frozenset[Part]] | Part]
) -> None:
    alarm = Heard(56)
    for part in before:  # by an earlier process
        alarm.raise_(AlertKind.BLOCK_NOT_PROVEN, 56, subject=part.value, detail="before")
    unproven = Unproven(alarm, 56)
    expected = set(before)
    for number, event in enumerate(happened):
        if isinstance(event, Part):
            unproven.held(NotAgreed(event, "hosts differ", {}))
            expected.add(event)
        else:
            unproven.committed(blocks(10 * number, event))
            expected = set(event[-1])
        assert {subject for _, subject in alarm.standing} == {part.value for part in expected}


def test_detail_names_the_first_block_of_a_streak_and_the_hold_in_between() -> None:
    alarm, key = Heard(56), (AlertKind.BLOCK_NOT_PROVEN, "logs")
    unproven = Unproven(alarm, 56)
    logs = frozenset({Part.LOGS})
    unproven.committed(blocks(7, [frozenset(), logs, logs]))
    unproven.committed(blocks(10, [logs]))
    assert alarm.standing[key].startswith("block 8 is not proven: no endpoint gives its receipts")
    unproven.held(NotAgreed(Part.LOGS, "only one served it", {}))
    assert "only one served it" in alarm.standing[key]
    unproven.committed(blocks(11, [logs]))
    assert alarm.standing[key].startswith("block 11 is not proven")
    assert alarm.raised == [key]
