"""Which of the configured chains a command means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openpay.bootstrap.installation import chosen_chain
from openpay.errors import Invalid
from tests.app.worlds import CHAIN

TEST = replace(CHAIN, chain_id=97)
BOTH = {True: CHAIN, False: TEST}


@pytest.mark.parametrize(("name", "chain"), [("live", CHAIN), ("test", TEST), ("56", CHAIN), ("97", TEST)])
def test_chain_is_named_by_its_mode_or_its_id(name: str, chain: object) -> None:
    assert chosen_chain(BOTH, name) == chain


def test_only_chain_needs_no_name() -> None:
    assert chosen_chain({True: CHAIN}, None) == CHAIN
    assert chosen_chain({True: CHAIN, False: CHAIN}, None) == CHAIN


@pytest.mark.parametrize(
    ("name", "words"), [(None, "--chain live or --chain test"), ("1", "--chain 1 is not configured"), ("", "not conf")]
)
def test_name_that_means_none_or_two_is_refused(name: str | None, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        chosen_chain(BOTH, name)
