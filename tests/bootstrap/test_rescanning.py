"""What `openpay rescan` says while it waits."""

from __future__ import annotations

from dataclasses import replace

from openpay.app.mending import Found, Rescan
from openpay.bootstrap.rescanning import TELL_EVERY_S, UNTAKEN_S, Progress, report
from tests.app.worlds import CHAIN

REQUEST = Rescan(id=7, chain_id=56, first=100, last=299, next=100, requested_at=0)


def test_rate_and_time_left_come_from_what_was_read_since_it_began() -> None:
    progress = Progress(REQUEST, now=0.0)
    assert progress.line(replace(REQUEST, next=110), now=1.0) is None
    line = progress.line(replace(REQUEST, next=150, found_deposits=2), now=5.0)
    assert line == (
        "block 149 of 299 (25%), 10 blocks/s, 15 s left, 2 deposits and 0 logs of the escrow not on record before"
    )
    assert progress.line(replace(REQUEST, next=151), now=5.0 + TELL_EVERY_S / 2) is None


def test_request_that_nobody_takes_is_told_once_until_it_moves() -> None:
    progress = Progress(REQUEST, now=0.0)
    assert progress.line(REQUEST, now=UNTAKEN_S - 1) is None
    line = progress.line(REQUEST, now=UNTAKEN_S)
    assert line is not None
    assert "no watcher reads on" in line
    assert progress.line(REQUEST, now=UNTAKEN_S + 60) is None
    moved = replace(REQUEST, next=110)
    progress.line(moved, now=100.0)
    assert "block 110 waits" in (progress.line(moved, now=100.0 + UNTAKEN_S) or "")


def test_node_that_lacks_the_block_is_named() -> None:
    progress = Progress(REQUEST, now=0.0)
    line = progress.line(replace(REQUEST, failure="a:443: pruned."), now=UNTAKEN_S)
    assert line == "block 100 waits: a:443: pruned. The request stays, and this command can be ended"


def test_report_names_what_was_found() -> None:
    found = Found(payment_id="pay_1", token="USDT", units=25 * 10**17, tx_hash=bytes(32), block_number=120)
    done = replace(REQUEST, next=300, done_at=9, found_deposits=2, found=(found,))
    assert report(CHAIN, done) == [
        "rescan 7: read blocks 100 to 299. 2 deposits and 0 logs of the escrow were not on record.",
        f"  block 120: 2.50 USDT for pay_1 (0x{'00' * 32})",
        "… 1 more deposits",
    ]
    early = report(CHAIN, replace(REQUEST, done_at=9, failure="the chain changed"))
    assert early[0].startswith("rescan 7: read nothing.")
    assert early[-1] == "It ended early: the chain changed"
