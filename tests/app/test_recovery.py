"""API answers as the only thing left: what is read from them, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openpay.api import render
from openpay.app.recovery import read_answers
from openpay.domain.address import to_checksum
from openpay.domain.terms import Terms
from openpay.domain.vaults import vault_address
from tests.domain.builders import ESCROW, make_terms

USDT_CONTRACT = b"\x01" * 20


def terms(number: int = 1) -> Terms:
    """As a proxy prices them in its fifth phase: the round does not fit 64 bits."""
    return make_terms(f"pay_{number}", round=5 * 2**64 + 123_456)


def answer(number: int = 1) -> dict[str, Any]:
    """What the API says of a payment, cut down to what recovery reads."""
    it = terms(number)
    return {
        "id": f"pay_{number}",
        "deposit": {
            "chain_id": 56,
            "address": to_checksum(vault_address(ESCROW, it.id())),
            "escrow": to_checksum(ESCROW),
            "terms": render.terms(it),
            "amounts": [
                {"token": "USDT", "contract": to_checksum(USDT_CONTRACT)},
                {"token": "BNB", "contract": None},
            ],
        },
    }


def test_terms_come_back_exactly_rounds_beyond_2_to_the_64_included() -> None:
    read = read_answers(json.dumps(answer()))
    assert read.faults == ()
    (claim,) = read.claims
    assert (claim.payment_id, claim.chain_id, claim.escrow, claim.terms) == ("pay_1", 56, ESCROW, terms())
    assert claim.address == vault_address(ESCROW, terms().id())
    assert claim.symbols == {USDT_CONTRACT: "USDT", None: "BNB"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([answer(1), answer(2)]),
        json.dumps({"data": [answer(1), answer(2)], "has_more": False}, indent=2),
        json.dumps(answer(1)) + "\n\n" + json.dumps(answer(2)) + "\n",
        json.dumps({"data": [answer(1)]}) + "\r\n" + json.dumps([answer(2), answer(1)]),
    ],
    ids=["list", "page", "lines", "pages-on-lines"],
)
def test_payments_may_stand_alone_in_lists_or_on_lines_and_count_once(text: str) -> None:
    read = read_answers(text)
    assert [claim.payment_id for claim in read.claims] == ["pay_1", "pay_2"]
    assert read.faults == ()


@pytest.mark.parametrize("field", ["merchant", "operator", "usd", "slippageBps", "expiry", "round", "assets"])
def test_answer_of_which_any_field_was_changed_is_not_believed(field: str) -> None:
    altered = answer()
    given = altered["deposit"]["terms"]
    if field in ("merchant", "operator"):
        given[field] = to_checksum(b"\x77" * 20)
    else:
        given[field] = type(given[field])(int(given[field]) + 1)
    read = read_answers(json.dumps(altered))
    assert read.claims == ()
    assert read.faults == (
        "the file: pay_1 cannot be used: its terms do not lead to its deposit address, so one of them was changed",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ""),
        ("null", "what stands there cannot be used"),
        ("[1]", "the file, item 1: what stands there cannot be used"),
        ('{"id": "pay_1"}', "'deposit' is missing"),
        ('{"id": "pay_1", "deposit": null}', "pay_1 cannot be used"),
        ('{"deposit": {}}', "a payment without id cannot be used: 'terms' is missing"),
        ("{\n}}", "line 2: not JSON"),
        ("[" * 100_000, "line 1: not JSON"),
    ],
)
def test_what_is_no_answer_is_named_with_its_place(text: str, reason: str) -> None:
    read = read_answers(text)
    assert read.claims == ()
    assert reason in "\n".join(read.faults)
    assert bool(read.faults) == bool(reason)


@pytest.mark.parametrize(
    ("field", "value"),
    [("usd", "much"), ("usd", None), ("usd", str(2**96)), ("merchant", "0x1"), ("paymentId", "0xzz"), ("round", -1)],
)
def test_value_that_no_terms_can_have_is_refused(field: str, value: object) -> None:
    bad = answer()
    bad["deposit"]["terms"][field] = value
    read = read_answers(json.dumps([bad, answer(2)]))
    assert [claim.payment_id for claim in read.claims] == ["pay_2"]
    assert len(read.faults) == 1


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("terms", "paymentId"), 7),
        (("terms", "paymentId"), None),
        (("terms", "usd"), float("inf")),
        (("chain_id",), 1e999),
    ],
)
def test_value_of_a_wrong_kind_is_a_fault_of_its_answer_alone(place: tuple[str, ...], value: Any) -> None:
    hostile = answer(1)
    inner = hostile["deposit"]
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    read = read_answers(json.dumps(hostile) + "\n" + json.dumps(answer(2)))
    assert [claim.payment_id for claim in read.claims] == ["pay_2"]
    assert len(read.faults) == 1


def test_answer_under_another_payments_id_is_not_believed() -> None:
    read = read_answers(json.dumps([answer(1) | {"id": "pay_2"}, answer(2)]))
    assert [(claim.payment_id, claim.terms) for claim in read.claims] == [("pay_2", terms(2))]
    assert len(read.faults) == 1
    assert "its id is not the one in its terms" in read.faults[0]


def test_id_cannot_steer_the_terminal_that_shows_it() -> None:
    (fault,) = read_answers(json.dumps(answer() | {"id": "\x1b[2J\u202epay_1"})).faults
    assert fault.isprintable()
