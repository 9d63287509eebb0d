"""What counts as a deposit, and what merely looks like one."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from openpay.app.records import Report
from openpay.chain.bep20 import TRANSFER_TOPIC
from openpay.chain.blocks import Header, Log, Receipt, Transaction
from openpay.chain.proofs import ProvenBlock
from openpay.domain.chains import Chain, Token
from openpay.domain.deposit import Source
from tests.chain.samples import header
from watcher.matching import Matcher

USDT, USDC, FAKE = b"\x01" * 20, b"\x02" * 20, b"\x03" * 20
VAULT, OTHER_VAULT, PAYER, ESCROW = b"\x11" * 20, b"\x12" * 20, b"\x22" * 20, b"\x44" * 20
CHAIN = Chain(
    chain_id=56,
    name="test",
    escrow=ESCROW,
    tokens=(
        Token(symbol="USDT", asset_index=0, contract=USDT, decimals=18),
        Token(symbol="USDC", asset_index=1, contract=USDC, decimals=18),
        Token(symbol="BNB", asset_index=2, contract=None, decimals=18),
    ),
)
WATCHED = {VAULT: "pay_a", OTHER_VAULT: "pay_b"}
MATCHER = Matcher(CHAIN)


def text(data: bytes) -> str:
    return "0x" + data.hex()


def transfer(contract: bytes = USDT, to: bytes = VAULT, units: int = 5) -> Log:
    topics = (TRANSFER_TOPIC, PAYER.rjust(32, b"\0"), to.rjust(32, b"\0"))
    return Log(address=text(contract), topics=tuple(map(text, topics)), data=text(units.to_bytes(32, "big")))


def transaction(to: bytes | None = USDT, value: int = 0, call: bytes = b"") -> Transaction:
    # A real signature of nobody in particular: senders are recovered from it.
    return Transaction(
        type="0x2",
        chain_id="0x38",
        nonce="0x7",
        gas="0x5208",
        max_fee_per_gas="0x1",
        max_priority_fee_per_gas="0x1",
        to=None if to is None else text(to),
        value=hex(value),
        input=text(call),
        y_parity="0x0",
        r="0x1d7d5bb5b5a9b9f6dc6a8e2d5a1a3d0be2dbe1fa1c3a0c0ed7a9bdfee0b65fb1",
        s="0x2a3f7c8e9d0b1a2c3d4e5f60718293a4b5c6d7e8f9010203040506070809101a",
    )


def receipt(*logs: Log, status: int = 1) -> Receipt:
    return Receipt(status=hex(status), cumulative_gas_used="0x0", logs_bloom="0x" + "00" * 256, logs=logs)


def block(*pairs: tuple[Transaction, Receipt]) -> ProvenBlock:
    """A block as the proofs hand it out (made by hand: matching does not look at the hashes)."""
    made = msgspec.convert(header(number=9, block_hash=b"\x99" * 32, timestamp=1000), Header)
    return ProvenBlock(
        hash=b"\x99" * 32,
        header=made,
        transactions=tuple(pair[0] for pair in pairs),
        receipts=tuple(pair[1] for pair in pairs),
    )


def deposits(*pairs: tuple[Transaction, Receipt]) -> list[tuple[str, str, int]]:
    # As the watcher does it: payments are looked up only for the addresses that come up.
    named = set(MATCHER.recipients(block(*pairs), WATCHED))
    found = MATCHER.match(block(*pairs), {address: WATCHED[address] for address in named}).deposits
    assert found == MATCHER.match(block(*pairs), WATCHED).deposits
    return [(deposit.payment_id, deposit.token, deposit.units) for deposit in found]


def logged(*logs: Log) -> list[tuple[str, str, int]]:
    return deposits((transaction(), receipt(*logs)))


def test_transfer_of_a_listed_token_to_a_watched_address_is_a_deposit() -> None:
    assert logged(transfer()) == [("pay_a", "USDT", 5)]


def test_deposit_carries_everything_from_the_proven_block() -> None:
    at = block(
        (transaction(), receipt(transfer(to=PAYER), transfer(to=PAYER))), (transaction(), receipt(transfer(units=9)))
    )
    (deposit,) = MATCHER.match(at, WATCHED).deposits
    assert (deposit.source, deposit.position) == (Source.LOG, 2)
    assert (deposit.tx_hash, deposit.sender) == (at.transaction_hash(1), at.sender(1))
    assert (deposit.payer, deposit.sender_nonce) == (PAYER, 7)
    assert (deposit.block_number, deposit.block_hash, deposit.block_time) == (9, b"\x99" * 32, 1000)


def test_two_transfers_in_one_transaction_are_two_deposits() -> None:
    assert logged(transfer(units=5), transfer(units=6)) == [("pay_a", "USDT", 5), ("pay_a", "USDT", 6)]


def test_transfers_to_two_payments_are_told_apart() -> None:
    assert logged(transfer(to=VAULT), transfer(to=OTHER_VAULT)) == [("pay_a", "USDT", 5), ("pay_b", "USDT", 5)]


@pytest.mark.parametrize(
    "log",
    [
        transfer(contract=FAKE),
        transfer(units=0),
        transfer(to=PAYER),
        transfer(to=USDT),
        Log(address=text(USDT), topics=transfer().topics[:2], data=transfer().data),
        Log(address=text(USDT), topics=(*transfer().topics, text(bytes(32))), data=transfer().data),
        Log(address=text(USDT), topics=(text(b"\x66" * 32), *transfer().topics[1:]), data=transfer().data),
        Log(address=text(USDT), topics=transfer().topics, data=transfer().data + "00"),
        Log(address=text(USDT), topics=transfer().topics, data="0x"),
        Log(address=text(USDT), topics=(*transfer().topics[:2], text(b"\x01" * 12 + VAULT)), data=transfer().data),
    ],
    ids=[
        "token that is not listed, whatever its symbol",
        "nothing transferred",
        "somebody else's address",
        "the token contract itself",
        "topic missing",
        "topic too many",
        "another event",
        "data too long",
        "no data",
        "padding of the address not empty",
    ],
)
def test_what_only_looks_like_a_deposit_is_none(log: Log) -> None:
    assert logged(log) == []


@pytest.mark.parametrize("prefix", ["0x", "0X", "0b", "zz"])
def test_neither_upper_case_nor_another_prefix_hides_a_deposit(prefix: str) -> None:
    """The proofs read neither, so a node could write hex in any of these ways."""
    tether = bytes.fromhex("55d398326f99059ff775485246999027b3197955")
    log = transfer(contract=tether)
    shouted = Log(
        address=prefix + log.address[2:].upper(),
        topics=tuple(prefix + topic[2:].upper() for topic in log.topics),
        data=prefix + log.data[2:].upper(),
    )
    matcher = Matcher(replace(CHAIN, tokens=(replace(CHAIN.tokens[0], contract=tether),)))
    (deposit,) = matcher.match(block((transaction(), receipt(shouted))), WATCHED).deposits
    assert deposit.units == 5


def test_bnb_sent_by_the_transaction_itself_is_a_deposit() -> None:
    assert deposits((transaction(to=VAULT, value=3), receipt())) == [("pay_a", "BNB", 3)]


@pytest.mark.parametrize(
    ("sent", "outcome"),
    [
        (transaction(to=VAULT, value=3), receipt(status=0)),
        (transaction(to=VAULT, value=0), receipt()),
        (transaction(to=PAYER, value=3), receipt()),
        (transaction(to=None, value=3), receipt()),
    ],
    ids=["reverted", "nothing sent", "somebody else's address", "contract creation"],
)
def test_transaction_that_leaves_no_bnb_here_is_no_deposit(sent: Transaction, outcome: Receipt) -> None:
    assert deposits((sent, outcome)) == []


def test_chain_without_a_listed_coin_ignores_it() -> None:
    matcher = Matcher(replace(CHAIN, tokens=CHAIN.tokens[:2]))
    assert matcher.match(block((transaction(to=VAULT, value=3), receipt())), WATCHED).deposits == ()


# --- reported transactions ---------------------------------------------------------------------------------------


def call_data(to: bytes) -> bytes:
    return bytes.fromhex("a9059cbb") + to.rjust(32, b"\0") + (5).to_bytes(32, "big")


def judge(sent: Transaction, *, status: int = 0, payment_id: str = "pay_a") -> str | None:
    at = block((transaction(), receipt()), (sent, receipt(status=status)))
    report = Report(chain_id=56, payment_id=payment_id, tx_hash=at.transaction_hash(1), reported_at=0)
    address = next(address for address, owner in WATCHED.items() if owner == payment_id)
    attempt = MATCHER.reverted_attempt(at, 1, report, address)
    return None if attempt is None else attempt.token


def test_reported_transfer_that_reverted_is_an_attempt() -> None:
    assert judge(transaction(to=USDC, call=call_data(VAULT))) == "USDC"
    assert judge(transaction(to=VAULT, value=3)) == "BNB"


@pytest.mark.parametrize(
    "sent",
    [
        transaction(to=USDC, call=call_data(PAYER)),
        transaction(to=FAKE, call=call_data(VAULT)),
        transaction(to=USDC, call=call_data(VAULT)[:-1]),
        transaction(to=USDC),
        transaction(to=PAYER, value=3),
        transaction(to=None),
    ],
    ids=["to somebody else", "another token", "cut short", "not a transfer", "BNB to somebody else", "creation"],
)
def test_reported_transaction_that_was_not_for_this_payment_is_no_attempt(sent: Transaction) -> None:
    assert judge(sent) is None


def test_reported_transaction_for_another_payment_is_no_attempt() -> None:
    assert judge(transaction(to=VAULT, value=3), payment_id="pay_b") is None


def test_reported_transaction_that_succeeded_is_no_attempt() -> None:
    assert judge(transaction(to=VAULT, value=3), status=1) is None
