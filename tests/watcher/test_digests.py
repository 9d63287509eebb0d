"""A digest leaves nothing out: where it says that a block is of no concern, matching the whole block finds nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openpay.chain.bodies import read_body
from openpay.chain.digest import Concerns, Digest, DigestedBlock, digest_body
from tests.chain.bodies import CHAIN, ESCROW, USDT, body_of
from tests.faults.chain import TRANSFER_TOPIC, Event, MadeBlock, Tree, Tx, transfer_event
from watcher.matching import Matcher

ADDRESSES = [bytes([number]) * 20 for number in range(1, 6)]
WATCHED = {ADDRESSES[0]: "pay_a", ADDRESSES[1]: "pay_b"}
CONCERNS = Concerns.of(CHAIN)
MATCHER = Matcher(CHAIN)

contracts = st.sampled_from([USDT, ESCROW, *ADDRESSES])
addresses = st.sampled_from(ADDRESSES)
words = st.one_of(
    st.just(TRANSFER_TOPIC),
    addresses.map(lambda address: address.rjust(32, b"\0")),
    st.binary(min_size=32, max_size=32),
)
events = st.one_of(
    st.builds(transfer_event, contracts, addresses, addresses, st.integers(0, 3)),
    st.builds(Event, contract=contracts, topics=st.lists(words, max_size=4).map(tuple), data=st.binary(max_size=64)),
)
txs = st.builds(
    Tx,
    serial=st.integers(0, 2**32),
    to=contracts,
    value=st.integers(0, 3),
    input=st.binary(max_size=70),
    events=st.lists(events, max_size=3).map(tuple),
    succeeds=st.booleans(),
)
blocks = st.lists(txs, max_size=6).map(lambda made: Tree(chain_id=56).extend(Tree(chain_id=56).root, made))


def digested(block: MadeBlock) -> DigestedBlock:
    digest = digest_body(body_of(block), block.hash, CONCERNS)
    assert digest is not None
    return DigestedBlock(hash=block.hash, digest=digest, body=body_of(block), endpoint="node:1")


@given(block=blocks)
def test_block_with_anything_for_us_is_of_concern(block: MadeBlock) -> None:
    read = digested(block)
    whole = read_body(body_of(block), block_hash=block.hash, endpoint="node:1")
    matches = MATCHER.match(whole, WATCHED)
    if matches.deposits or matches.escrow_logs or list(MATCHER.recipients(whole, WATCHED)):
        assert read.digest.may_concern(WATCHED)


@given(block=blocks)
def test_opened_block_is_the_one_that_was_proven(block: MadeBlock) -> None:
    read = digested(block)
    whole = read_body(body_of(block), block_hash=block.hash, endpoint="node:1")
    assert read.open() == whole
    assert (read.number, read.hash, read.parent_hash, read.timestamp) == (
        whole.number,
        whole.hash,
        whole.parent_hash,
        whole.timestamp,
    )
    assert read.agreed == whole.agreed


def test_block_that_pays_only_others_is_of_no_concern() -> None:
    tree = Tree(chain_id=56)
    transfer = transfer_event(USDT, ADDRESSES[0], ADDRESSES[2], 5)
    block = tree.extend(tree.root, [Tx(serial=1, to=ADDRESSES[3], value=7, events=(transfer,))])
    assert not digested(block).digest.may_concern(WATCHED)
    assert digested(block).digest.may_concern({ADDRESSES[2]})
    assert digested(block).digest.may_concern({ADDRESSES[3]})


def test_contract_is_known_however_its_address_is_written() -> None:
    tree, contract = Tree(chain_id=56), b"\xab" * 20
    transfer = transfer_event(contract, ADDRESSES[2], ADDRESSES[0], 5)
    block = tree.extend(tree.root, [Tx(serial=1, to=ADDRESSES[3], events=(transfer,))])
    body = body_of(block).replace(b"0x" + b"ab" * 20, b"0X" + b"aB" * 20)
    concerns = Concerns(escrow=ESCROW, tokens=(contract,), native=False)
    digest = digest_body(body, block.hash, concerns)
    assert digest is not None
    assert digest.may_concern(WATCHED)


def test_coin_that_is_not_listed_concerns_nobody() -> None:
    tree = Tree(chain_id=56)
    block = tree.extend(tree.root, [Tx(serial=1, to=ADDRESSES[0], value=7)])
    whole = read_body(body_of(block), block_hash=block.hash, endpoint="node:1")
    assert Digest.of(whole, CONCERNS).may_concern(WATCHED)
    without = Concerns(escrow=ESCROW, tokens=(USDT,), native=False)
    assert not Digest.of(whole, without).may_concern(WATCHED)
