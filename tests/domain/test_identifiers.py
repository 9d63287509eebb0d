"""Ids, keys, addresses, URIs and times: their written forms."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.address import parse_address, to_checksum
from openpay.domain.ids import BASE62, is_api_key, is_payment_id, new_api_key, new_id
from openpay.domain.keccak import keccak
from openpay.domain.time import format_time
from openpay.domain.uris import transfer_uri
from openpay.errors import Invalid

# Test cases of EIP-55.
EIP_55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("text", EIP_55)
def test_addresses_have_the_capitals_of_eip_55(text: str) -> None:
    assert to_checksum(bytes.fromhex(text[2:])) == text
    assert parse_address(text) == bytes.fromhex(text[2:])


@given(address=st.binary(min_size=20, max_size=20))
def test_addresses_read_back_in_any_uniform_case(address: bytes) -> None:
    assert parse_address(to_checksum(address)) == address
    assert parse_address("0x" + address.hex()) == address
    assert parse_address("0x" + address.hex().upper()) == address


@pytest.mark.parametrize(
    "text",
    [
        "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed",  # one capital is wrong
        "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed0",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n",
        " 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0x" + "٣" * 40,
        "vitalik.eth",
        "",
    ],
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_address(text, param="to")
    assert (refused.value.code, refused.value.param) == ("invalid_address", "to")


def test_keccak_is_the_one_of_ethereum() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_ids_name_their_kind_and_carry_24_base62_characters() -> None:
    made = {new_id("pay") for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(re.fullmatch(r"pay_[0-9A-Za-z]{24}", text) and is_payment_id(text) for text in made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pay_",
        "pay_" + "a" * 23,
        "pay_" + "a" * 25,
        "PAY_" + "a" * 24,
        "pay_" + "a" * 23 + "é",
        "pay_" + "a" * 24 + "\n",
    ],
)
def test_impossible_ids_are_told_without_asking_the_database(text: str) -> None:
    assert not is_payment_id(text)


@pytest.mark.parametrize(("livemode", "prefix"), [(True, "sk_live_"), (False, "sk_test_")])
def test_keys_name_their_mode_and_check_themselves(livemode: bool, prefix: str) -> None:
    key = new_api_key(livemode=livemode)
    assert re.fullmatch(prefix + "[0-9A-Za-z]{38}", key)
    assert is_api_key(key)


@given(data=st.data())
def test_one_mistyped_character_never_passes_for_a_key(data: st.DataObject) -> None:
    key = new_api_key(livemode=True)
    place = data.draw(st.integers(len("sk_live_"), len(key) - 1))
    other = data.draw(st.sampled_from(sorted(set(BASE62) - {key[place]})))
    assert not is_api_key(key[:place] + other + key[place + 1 :])


@given(st.text(max_size=60))
def test_no_text_of_another_form_is_a_key(text: str) -> None:
    assert not is_api_key(text)


def test_token_uri_is_the_eip_681_transfer_call() -> None:
    to, contract = parse_address(EIP_55[4]), parse_address(EIP_55[5])
    assert transfer_uri(chain_id=56, to=to, units=25 * 10**18, contract=contract) == (
        f"ethereum:{EIP_55[5]}@56/transfer?address={EIP_55[4]}&uint256=25000000000000000000"
    )


def test_coin_uri_is_the_eip_681_payment() -> None:
    to = parse_address(EIP_55[4])
    assert transfer_uri(chain_id=97, to=to, units=10**30, contract=None) == (
        f"ethereum:{EIP_55[4]}@97?value=1000000000000000000000000000000"
    )


def test_times_are_utc_in_whole_seconds() -> None:
    assert format_time(1_774_531_800) == "2026-03-26T13:30:00Z"
    assert format_time(0) == "1970-01-01T00:00:00Z"
