"""What customers paste instead of, or around, a transaction's hash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.pasted import MAX_TEXT, Form, NoHash, PastedHash, read_pasted

HASH = bytes.fromhex("3f9a1c0de5b27748a6c1f03e9d5b8a7264c0e1f2a3b4c5d6e7f8091a2b3c4d5e")
HEX = HASH.hex()

INVISIBLE = ["\u200b", "\u200d", "\ufeff", "\u2060", "\u202e", "\u00ad", "\u200e"]
SPACES = [" ", "\n", "\t", "\r\n", "\u00a0", "\u3000"]


@given(
    data=st.binary(min_size=32, max_size=32),
    before=st.lists(st.sampled_from(INVISIBLE + SPACES)).map("".join),
    after=st.lists(st.sampled_from(INVISIBLE + SPACES)).map("".join),
    cut=st.integers(0, 66),
    wrap=st.sampled_from(INVISIBLE + SPACES),
    capitals=st.booleans(),
)
def test_a_hash_is_found_whatever_invisible_characters_and_breaks_came_along(
    data: bytes, before: str, after: str, cut: int, wrap: str, capitals: bool
) -> None:
    text = "0x" + data.hex()
    text = text.upper() if capitals else text
    assert read_pasted(before + text[:cut] + wrap + text[cut:] + after) == PastedHash(hash=data, has_prefix=True)


@given(st.text(max_size=300))
def test_any_text_at_all_is_read_without_an_error(text: str) -> None:
    assert isinstance(read_pasted(text), PastedHash | NoHash)


@given(st.text(alphabet="0123456789abcdefxX", max_size=140))
def test_only_exactly_64_digits_are_a_hash(text: str) -> None:
    read = read_pasted(text)
    if isinstance(read, PastedHash):
        assert read.hash.hex() in text.lower()
        assert len(read.hash) == 32


@pytest.mark.parametrize(
    ("link", "network"),
    [
        (f"https://bscscan.com/tx/0x{HEX}", "BNB Smart Chain"),
        (f"https://www.bscscan.com/tx/0x{HEX}#eventlog", "BNB Smart Chain"),
        (f"https://testnet.bscscan.com/tx/0x{HEX}", "BNB Smart Chain Testnet"),
        (f"HTTPS://ETHERSCAN.IO/tx/0X{HEX.upper()}?a=b", "Ethereum"),
        (f"https://sepolia.etherscan.io/tx/0x{HEX}", "Ethereum"),
        (f"https://tronscan.org/#/transaction/{HEX}", "Tron"),
        (f"https://mempool.space/tx/{HEX}", "Bitcoin"),
        (f"https://explorer.example/tx/0x{HEX}", None),
        (f"Here it is: https://polygonscan.com/tx/0x{HEX} (sent today)", "Polygon"),
    ],
)
def test_a_link_to_an_explorer_holds_the_hash_and_names_the_network(link: str, network: str | None) -> None:
    read = read_pasted(link)
    assert isinstance(read, PastedHash)
    assert (read.hash, read.network) == (HASH, network)


def test_a_hash_without_its_prefix_is_one_and_says_so() -> None:
    assert read_pasted(HEX) == PastedHash(hash=HASH, has_prefix=False)
    assert read_pasted(HEX.upper()) == PastedHash(hash=HASH, has_prefix=False)


def test_digits_of_full_width_are_digits() -> None:
    wide = "".join(chr(ord(char) + 0xFEE0) for char in "0x" + HEX)
    assert read_pasted(wide) == PastedHash(hash=HASH, has_prefix=True)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", Form.EMPTY),
        (" \u200b\n\u00a0", Form.EMPTY),
        ("0x" + HEX * 20_000, Form.TOO_LONG),
        ("a" * (MAX_TEXT + 1), Form.TOO_LONG),
        ("0x5c0ee1b2f4a3d6978812c3b4a5d6e7f809112233", Form.ADDRESS),
        ("https://bscscan.com/address/0x5c0ee1b2f4a3d6978812c3b4a5d6e7f809112233", Form.ADDRESS),
        ("0x" + HEX[:63], Form.INCOMPLETE),
        ("0x" + HEX + "0", Form.INCOMPLETE),
        ("0x", Form.INCOMPLETE),
        ("0x3f9a…4d5e", Form.INCOMPLETE),
        ("0x3f9a...4d5e", Form.INCOMPLETE),
        ("3f9a1c...4d5e", Form.INCOMPLETE),
        (f"0x{HEX} 0x{HEX[::-1]}", Form.SEVERAL),
        ("pay_0123456789abcdefghijABCD", Form.PAYMENT_NUMBER),
        ("https://pay.example/checkout/pay_0123456789abcdefghijABCD", Form.PAYMENT_NUMBER),
        ("legal winner thank year wave sausage worth useful legal winner thank yellow", Form.RECOVERY_PHRASE),
        ("  legal winner thank\nyear wave sausage worth useful legal winner thank yellow", Form.RECOVERY_PHRASE),
        ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", Form.TRON),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", Form.BITCOIN),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", Form.BITCOIN),
        ("5" * 88, Form.SOLANA),
        ("5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQU", Form.SOLANA),
        ("7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU", Form.SOLANA),
        ("EQDtFpEwcFAEcRe5mLVh2N6C0x-_hJEM7W61_JLnSF74p4q2", Form.TON),
        ("5ffIv0Q7yZsNnVd2q8m9Xk1oWb0cJrTeLhGuPpAaYzE=", Form.TON),
        ("https://tronscan.org/#/address/whatever", Form.TRON),
        ("https://example.com/", Form.LINK),
        ("https://[bad/", Form.LINK),
        ("I paid you yesterday!", Form.OTHER),
        ("<script>alert(1)</script>", Form.OTHER),
        ("'; DROP TABLE payments; --\0", Form.OTHER),
    ],
)
def test_what_is_no_hash_is_told_by_its_form(text: str, form: Form) -> None:
    read = read_pasted(text)
    assert isinstance(read, NoHash)
    assert read.form is form


def test_an_incomplete_hash_says_how_many_digits_it_has() -> None:
    assert read_pasted("0x" + HEX[:60]) == NoHash(form=Form.INCOMPLETE, digits=60)
    # What stands behind may be part of it: then nothing is said of its length.
    assert read_pasted("0x" + HEX[:60] + "…") == NoHash(form=Form.INCOMPLETE)


def test_the_address_that_was_pasted_is_kept_to_be_compared() -> None:
    read = read_pasted(" 0X5C0EE1B2F4A3D6978812C3B4A5D6E7F809112233")
    assert read == NoHash(form=Form.ADDRESS, address=bytes.fromhex("5c0ee1b2f4a3d6978812c3b4a5d6e7f809112233"))


def test_a_link_says_which_host_it_leads_to() -> None:
    read = read_pasted(f"see https://www.scan.example:8443/tx/0x{HEX}")
    assert read == PastedHash(hash=HASH, has_prefix=True, host="scan.example")
