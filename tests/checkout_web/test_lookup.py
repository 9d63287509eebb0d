"""`I already paid` over HTTP: what each pasted text is answered, and what asking can never do."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from html import unescape

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from checkout_web.content.view import Part
from checkout_web.edge.limits import LOOKUPS, LOOKUPS_BY_ADDRESS
from openpay.domain.address import to_checksum
from openpay.domain.finding import TransactionState, Transfer
from openpay.domain.payment import Payment
from tests.checkout_web.lookups import HASH, SCRIPT, Nodes, kind, text, to_us
from tests.checkout_web.scenes import USDT, WHOLE, Shop, tx_hash

Client = TestClient[web.Request, web.Application]

FORM = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}

STRANGER = bytes([0x77]) * 20
FAKE = bytes([0xFA]) * 20


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


@pytest.fixture
async def client(shop: Shop, nodes: Nodes, aiohttp_client: Callable[[web.Application], Awaitable[Client]]) -> Client:
    return await aiohttp_client(shop.application(public_url="https://pay.example", transactions=nodes))


async def ask(client: Client, payment: Payment, pasted: str) -> str:
    """The answer's own part of the page, as its script is given it."""
    answer = await client.post(f"/checkout/{payment.id}/lookup", data={"transaction": pasted}, headers=SCRIPT)
    assert answer.status == 200, await answer.text()
    html = (await answer.json())["html"]
    assert isinstance(html, str)
    return html


# --- what is found -----------------------------------------------------------------------------------------------


async def test_what_is_on_record_is_told_without_asking_any_node(shop: Shop, client: Client, nodes: Nodes) -> None:
    payment = await shop.create()
    await shop.pay(payment)
    mined = tx_hash(payment, shop.number)
    for _ in range(3):
        await shop.mine()
    html = await ask(client, payment, "0x" + mined.hex())
    assert kind(html) == "counted"
    assert "25.00 USDT arrived and counts." in text(html)
    assert "4 confirmations; 12 are needed" in text(html)
    assert nodes.asked == []


async def test_a_part_that_counts_says_what_is_still_to_send(shop: Shop, client: Client) -> None:
    payment = await shop.scene(Part.UNDERPAID)
    html = await ask(client, payment, "0x" + tx_hash(payment, shop.number).hex())
    assert "10.00 USDT arrived and counts. Still to send: 15.00 USDT." in text(html)


async def test_late_money_on_record_is_late_and_not_lost(shop: Shop, client: Client) -> None:
    payment = await shop.scene(Part.LATE)
    html = await ask(client, payment, "0x" + tx_hash(payment, shop.number).hex())
    assert kind(html) == "late"
    assert "not lost" in text(html)


async def test_a_right_transfer_is_told_before_it_is_counted(shop: Shop, client: Client, nodes: Nodes) -> None:
    payment = await shop.create()
    html = await ask(client, payment, nodes.show(to_us(payment)))
    assert kind(html) == "on_its_way"
    assert "25.00 USDT, the right token at the right address" in text(html)


async def test_too_little_says_what_will_remain(shop: Shop, client: Client, nodes: Nodes) -> None:
    payment = await shop.create()
    html = await ask(client, payment, nodes.show(to_us(payment, 10)))
    assert "too little: 10.00 USDT. Still to send after it: 15.00 USDT." in text(html)


async def test_a_pending_transfer_waits_for_a_block(shop: Shop, client: Client, nodes: Nodes) -> None:
    payment = await shop.create()
    html = await ask(client, payment, nodes.show(to_us(payment), state=TransactionState.PENDING))
    assert kind(html) == "pending"


async def test_a_strange_token_is_named_by_its_contract_and_by_nothing_it_calls_itself(
    shop: Shop, client: Client, nodes: Nodes
) -> None:
    payment = await shop.create()
    html = await ask(client, payment, nodes.show(to_us(payment, contract=FAKE)))
    assert kind(html) == "unlisted"
    assert to_checksum(FAKE) in text(html)
    assert f"only {shop.merchant.name} can take it out" in text(html)
    assert payment.id in html


async def test_a_failed_transaction_says_that_the_money_is_still_there(
    shop: Shop, client: Client, nodes: Nodes
) -> None:
    payment = await shop.create()
    html = await ask(client, payment, nodes.show(to_us(payment), state=TransactionState.REVERTED))
    assert kind(html) == "reverted"
    assert "still in your wallet" in text(html)


async def test_another_payments_money_is_answered_like_a_strangers(shop: Shop, client: Client, nodes: Nodes) -> None:
    payment, other = await shop.create(), await shop.create()
    await shop.pay(other)
    answers = []
    for address, known in ((other.address, tx_hash(other, shop.number)), (STRANGER, HASH)):
        nodes.show(Transfer(contract=USDT.contract, to=address, units=25 * WHOLE))
        nodes.known[known] = nodes.known[HASH]
        answers.append(text(await ask(client, payment, "0x" + known.hex())).replace(to_checksum(address), "…"))
    assert answers[0] == answers[1]
    assert answers[0].startswith("This transaction has sent nothing to this payment’s address.")


async def test_an_unknown_hash_says_where_else_to_look(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    plain = text(await ask(client, payment, "0x" + HASH.hex()))
    assert "BNB Smart Chain knows no transaction with this hash" in plain
    assert "without 0x" not in plain
    assert "usual on Bitcoin, Tron and TON" in text(await ask(client, payment, HASH.hex()))
    link = text(await ask(client, payment, f"https://etherscan.io/tx/0x{HASH.hex()}"))
    assert "This looks like Ethereum. This payment can only be paid on BNB Smart Chain." in link
    own = text(await ask(client, payment, f"https://bscscan.com/tx/0x{HASH.hex()}"))
    assert own == plain


@pytest.mark.parametrize(
    ("pasted", "found"),
    [
        ("", "empty"),
        ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "tron"),
        ("5" * 88, "solana"),
        ("EQDtFpEwcFAEcRe5mLVh2N6C0x-_hJEM7W61_JLnSF74p4q2", "ton"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bitcoin"),
        ("0x" + "ab" * 31, "incomplete"),
        ("0x" + "ab" * 20, "address"),
        ("pay_0123456789abcdefghijABCD", "payment_number"),
        ("legal winner thank year wave sausage worth useful legal winner thank yellow", "recovery_phrase"),
        ("<script>alert(1)</script>", "other"),
        ("0x" + "ab" * 500_000, "too_long"),
        ("a" * 100_000, "too_long"),
        ("https://tronscan.org/#/address/TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "tron"),
        ("\0\ufffe\u202e", "empty"),
    ],
)
async def test_what_is_no_hash_is_told_apart_and_asks_no_node(
    shop: Shop, client: Client, nodes: Nodes, pasted: str, found: str
) -> None:
    html = await ask(client, await shop.create(), pasted)
    assert kind(html) == found
    assert nodes.asked == []
    assert "<script" not in html
    assert len(html) < 5_000


async def test_every_kind_of_answer_has_words_of_its_own(shop: Shop, client: Client) -> None:
    texts = {
        pasted: text(await ask(client, await shop.create(), pasted))
        for pasted in ("", "0xab", "0x" + "ab" * 20, "pay_0123456789abcdefghijABCD", "0x" + HASH.hex())
    }
    assert all(texts.values())
    assert len(set(texts.values())) == len(texts)


async def test_the_payments_own_address_is_told_from_others(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    assert "This is the address to pay to" in text(await ask(client, payment, to_checksum(payment.address)))
    assert "This is an address, not" in text(await ask(client, payment, to_checksum(STRANGER)))


# --- what asking does --------------------------------------------------------------------------------------------


async def test_nothing_about_the_payment_changes_by_asking(shop: Shop, client: Client, nodes: Nodes) -> None:
    payment = await shop.create()
    for state in TransactionState:
        await ask(client, payment, nodes.show(to_us(payment), state=state))
    assert await shop.get(payment) == payment


async def test_what_is_on_its_way_here_is_handed_to_the_watcher_once(shop: Shop, client: Client, nodes: Nodes) -> None:
    payment = await shop.create()
    pasted = nodes.show(to_us(payment), state=TransactionState.PENDING)
    for _ in range(3):
        await ask(client, payment, pasted)
    assert await shop.reported(payment) == 1


@pytest.mark.parametrize("case", ["unknown", "elsewhere", "reverted", "away"])
async def test_a_hash_that_no_node_shows_on_its_way_here_is_not_written_down(
    shop: Shop, client: Client, nodes: Nodes, case: str
) -> None:
    payment = await shop.create()
    match case:
        case "elsewhere":
            nodes.show(Transfer(contract=None, to=STRANGER, units=1))
        case "reverted":
            nodes.show(to_us(payment), state=TransactionState.REVERTED)
        case "away":
            nodes.is_away = True
    await ask(client, payment, "0x" + HASH.hex())
    assert nodes.asked == [HASH]
    assert await shop.reported(payment) == 0


async def test_a_payment_with_all_its_reports_is_still_answered(shop: Shop, client: Client, nodes: Nodes) -> None:
    payment = await shop.create()
    async with shop.store.write() as uow:
        for n in range(20):
            await shop.service.report_transaction(uow, payment.id, n.to_bytes(32, "big"))
    assert kind(await ask(client, payment, nodes.show(to_us(payment)))) == "on_its_way"


# --- the chain out of reach --------------------------------------------------------------------------------------


async def test_nodes_that_are_away_are_no_word_on_the_payment(shop: Shop, client: Client, nodes: Nodes) -> None:
    nodes.is_away = True
    html = await ask(client, await shop.create(), "0x" + HASH.hex())
    assert kind(html) == "unreadable"
    assert "cannot be asked from here at the moment" in text(html)


async def test_a_process_without_nodes_says_so_and_still_tells_what_is_on_record(
    shop: Shop, aiohttp_client: Callable[[web.Application], Awaitable[Client]]
) -> None:
    client = await aiohttp_client(shop.application())
    payment = await shop.scene(Part.UNDERPAID)
    assert kind(await ask(client, payment, "0x" + HASH.hex())) == "unreadable"
    assert kind(await ask(client, payment, "0x" + tx_hash(payment, shop.number).hex())) == "counted"


async def test_a_node_that_invents_a_transfer_in_a_final_block_is_not_believed(
    shop: Shop, client: Client, nodes: Nodes
) -> None:
    payment = await shop.create()
    await shop.mine(final=True)
    html = await ask(client, payment, nodes.show(to_us(payment), block_number=shop.number))
    assert kind(html) == "contradicted"


# --- the form ----------------------------------------------------------------------------------------------------


async def test_without_a_script_the_answer_stands_in_the_page(shop: Shop, client: Client, nodes: Nodes) -> None:
    payment = await shop.create()
    pasted = nodes.show(to_us(payment))
    answer = await client.post(
        f"/checkout/{payment.id}/lookup?token=USDC&qr=address", data={"transaction": pasted}, headers=FORM
    )
    html = await answer.text()
    assert answer.status == 200
    assert kind(html) == "on_its_way"
    assert f'value="{pasted}"' in html
    assert 'data-part="waiting"' in html
    # What was chosen stays chosen, and no reload takes the answer away.
    assert re.search(r'id="token-USDC"[^>]* aria-current="true"', html)
    assert 'http-equiv="refresh"' not in html
    assert f'<a href="/checkout/{payment.id}' in html


async def test_only_a_hash_stays_in_the_field(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    words = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    answer = await client.post(f"/checkout/{payment.id}/lookup", data={"transaction": words}, headers=FORM)
    assert "sausage" not in await answer.text()


@pytest.mark.parametrize("part", list(Part))
async def test_the_form_stands_where_a_payment_may_be_missed(shop: Shop, client: Client, part: Part) -> None:
    payment = await shop.scene(part)
    html = await (await client.get(f"/checkout/{payment.id}", headers=FORM)).text()
    (tag,) = re.findall(r'<details class="lookup"[^>]*>', html)
    assert ("hidden" not in tag) == (part not in {Part.PAID, Part.OVERPAID, Part.REVERSED})
    assert ("data-may-ask" in html) == ("hidden" not in tag)


async def test_the_answers_address_opened_again_is_the_page(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    answer = await client.get(f"/checkout/{payment.id}/lookup", headers=FORM, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"/checkout/{payment.id}")


async def test_the_language_goes_along_with_the_question_and_back(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    html = await (await client.get(f"/checkout/{payment.id}?lang=ar&token=USDC", headers=FORM)).text()
    (action,) = re.findall(r'<form method="post" action="([^"]+/lookup[^"]*)"', html)
    assert ("lang=ar" in action, "token=USDC" in action) == (True, True)
    answer = await client.post(unescape(action), data={"transaction": "0x"}, headers=FORM)
    assert 'dir="rtl"' in await answer.text()
    back = await client.get(f"/checkout/{payment.id}/lookup?lang=ar", headers=FORM, allow_redirects=False)
    assert back.headers["Location"] == f"/checkout/{payment.id}?lang=ar"


async def test_a_strangers_form_is_refused(shop: Shop, client: Client, nodes: Nodes) -> None:
    payment = await shop.create()
    headers = FORM | {"Sec-Fetch-Site": "cross-site"}
    answer = await client.post(f"/checkout/{payment.id}/lookup", data={"transaction": "x"}, headers=headers)
    assert answer.status == 403
    assert nodes.asked == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\xfe\0", "application/x-www-form-urlencoded"),
        (b"transaction=x", "application/x-www-form-urlencoded; charset=nonsense"),
        (
            b'--x\r\nContent-Disposition: form-data; name="transaction"\r\n\r\n0xab\r\n--x--',
            "multipart/form-data; boundary=x",
        ),
        (b"--x\r\nnothing", "multipart/form-data; boundary=x"),
        (b"--x\r\n", "multipart/form-data"),
        (b'{"transaction": "x"}', "application/json"),
        (b"", "text/plain"),
    ],
)
async def test_a_body_that_is_no_form_holds_no_hash(shop: Shop, client: Client, body: bytes, content_type: str) -> None:
    payment = await shop.create()
    headers = SCRIPT | {"Content-Type": content_type}
    answer = await client.post(f"/checkout/{payment.id}/lookup", data=body, headers=headers)
    assert answer.status == 200
    assert kind((await answer.json())["html"]) in {"other", "empty"}


# --- limits ------------------------------------------------------------------------------------------------------


async def test_one_payment_is_asked_about_only_so_often_and_says_so_in_place(
    shop: Shop, client: Client, nodes: Nodes
) -> None:
    payment = await shop.create()
    for n in range(LOOKUPS.requests):
        await ask(client, payment, "0x" + n.to_bytes(32, "big").hex())
    for headers in (SCRIPT, FORM):
        answer = await client.post(f"/checkout/{payment.id}/lookup", data={"transaction": "0x"}, headers=headers)
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert "too_often" in await answer.text()
    assert len(nodes.asked) == LOOKUPS.requests


async def test_a_bot_on_many_pages_is_stopped_and_uses_up_nobody_elses_questions(
    shop: Shop, client: Client, nodes: Nodes
) -> None:
    payments = [await shop.create() for _ in range(LOOKUPS_BY_ADDRESS.requests // LOOKUPS.requests + 2)]
    statuses = []
    for n in range(LOOKUPS_BY_ADDRESS.requests + 10):
        payment = payments[n % len(payments)]
        data = {"transaction": "0x" + n.to_bytes(32, "big").hex()}
        answer = await client.post(f"/checkout/{payment.id}/lookup", data=data, headers=SCRIPT)
        statuses.append(answer.status)
    assert statuses == [200] * LOOKUPS_BY_ADDRESS.requests + [429] * 10
    assert len(nodes.asked) == LOOKUPS_BY_ADDRESS.requests
