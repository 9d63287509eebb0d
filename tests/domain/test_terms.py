"""Escrow terms: their encoding, the amounts due, and the addresses that follow."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.keccak import keccak
from openpay.domain.money import BPS
from openpay.domain.terms import MAX_BPS, Terms, min_units_up, payment_key, peg_full_units_up, price_full_units_up
from openpay.domain.vaults import treasury_address, vault_address, vault_implementation
from openpay.errors import InvariantViolated
from tests.domain.builders import make_terms

ABI_TYPES = ["address", "address", "uint96", "uint16", "uint16", "uint40", "uint40", "uint80", "uint32", "bytes32"]

addresses = st.binary(min_size=20, max_size=20)
terms = st.builds(
    Terms,
    merchant=addresses,
    operator=addresses,
    usd=st.integers(0, 2**96 - 1),
    slippage_bps=st.integers(0, 2**16 - 1),
    underpayment_bps=st.integers(0, 2**16 - 1),
    quoted_at=st.integers(0, 2**40 - 1),
    expiry=st.integers(0, 2**40 - 1),
    round=st.integers(0, 2**80 - 1),
    assets=st.integers(0, 2**32 - 1),
    payment_key=st.binary(min_size=32, max_size=32),
)


@given(terms=terms)
def test_terms_are_encoded_as_the_abi_says(terms: Terms) -> None:
    values = [
        "0x" + terms.merchant.hex(),
        "0x" + terms.operator.hex(),
        terms.usd,
        terms.slippage_bps,
        terms.underpayment_bps,
        terms.quoted_at,
        terms.expiry,
        terms.round,
        terms.assets,
        terms.payment_key,
    ]
    assert terms.encode() == encode(ABI_TYPES, values)
    assert terms.id() == keccak(encode(ABI_TYPES, values))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("usd", 2**96),
        ("slippage_bps", 2**16),
        ("underpayment_bps", -1),
        ("quoted_at", 2**40),
        ("expiry", 2**40),
        ("round", 2**80),
        ("assets", 2**32),
        ("merchant", bytes(19)),
        ("operator", bytes(21)),
        ("payment_key", bytes(31)),
    ],
)
def test_terms_that_the_contract_could_not_hold_cannot_be_made(field: str, value: object) -> None:
    with pytest.raises(InvariantViolated, match=field):
        make_terms(**{field: value})


def test_payments_are_named_by_the_hash_of_their_id() -> None:
    assert payment_key("pay_1") == keccak(b"pay_1")


prices = st.integers(1, 10**14)
"""USD of 8 decimals: up to a million for one token."""
amounts = st.integers(10_000, 10**12)
decimals = st.integers(0, 18)


@given(usd=amounts, price=prices, price_decimals=decimals, token_decimals=decimals)
def test_full_amount_is_the_least_worth_the_price(
    usd: int, price: int, price_decimals: int, token_decimals: int
) -> None:
    full = price_full_units_up(usd, price=price, price_decimals=price_decimals, token_decimals=token_decimals)

    def is_worth_it(units: int) -> bool:
        # units/10^token_decimals * price/10^price_decimals >= usd/10^6, without a division
        return units * price * 10**6 >= usd * 10 ** (token_decimals + price_decimals)

    assert is_worth_it(full)
    assert not is_worth_it(full - 1)


@given(usd=amounts, token_decimals=decimals)
def test_a_stablecoin_is_a_token_that_costs_one_dollar(usd: int, token_decimals: int) -> None:
    assert peg_full_units_up(usd, token_decimals=token_decimals) == price_full_units_up(
        usd, price=1, price_decimals=0, token_decimals=token_decimals
    )


@given(full=st.integers(1, 2**128), bps=st.integers(0, MAX_BPS))
def test_least_amount_is_within_the_tolerance_and_never_above_the_full(full: int, bps: int) -> None:
    least = min_units_up(full, bps)
    assert 0 < least <= full
    assert least * BPS >= full * (BPS - bps) > (least - 1) * BPS


@given(full=st.integers(1, 2**128))
def test_without_tolerance_the_least_amount_is_the_full(full: int) -> None:
    assert min_units_up(full, 0) == full


@pytest.mark.parametrize(
    ("usd", "price", "full", "least"),
    [
        (25_000_000, 612_34000000, 40826991540647353, 40418721625240880),  # 25 USD of BNB at 612.34
        (10_000, 100_000_00000000, 100_000_000_000, 99_000_000_000),
    ],
)
def test_amounts_due_by_hand(usd: int, price: int, full: int, least: int) -> None:
    assert price_full_units_up(usd, price=price, price_decimals=8, token_decimals=18) == full
    assert min_units_up(full, 100) == least


def create2(deployer: bytes, salt: bytes, init_code: bytes) -> bytes:
    return keccak(b"\xff" + deployer + salt + keccak(init_code))[12:]


@pytest.mark.parametrize(
    ("deployer", "salt", "init_code", "address"),
    [
        ("00" * 20, "00" * 32, "00", "4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"),
        ("deadbeef" + "00" * 16, "00" * 32, "00", "B928f69Bb1D91Cd65274e3c79d8986362984fDA3"),
        (
            "00000000000000000000000000000000deadbeef",
            "00" * 28 + "cafebabe",
            "deadbeef",
            "60f3f640a8508fC6a86d45DF051962668E1e8AC7",
        ),
    ],
)
def test_create2_as_eip_1014_gives_it(deployer: str, salt: str, init_code: str, address: str) -> None:
    got = create2(bytes.fromhex(deployer), bytes.fromhex(salt), bytes.fromhex(init_code))
    assert got.hex() == address.lower()


@given(escrow=addresses, salt=st.binary(min_size=32, max_size=32), merchant=addresses)
def test_vaults_are_minimal_proxies_of_the_escrows_first_contract(escrow: bytes, salt: bytes, merchant: bytes) -> None:
    # The byte code of EIP-1167, after the ten bytes that return it.
    clone = bytes.fromhex(
        "3d602d80600a3d3981f3"
        "363d3d373d3d3d363d73" + vault_implementation(escrow).hex() + "5af43d82803e903d91602b57fd5bf3"
    )
    assert vault_address(escrow, salt) == create2(escrow, salt, clone)
    assert treasury_address(escrow, merchant) == create2(escrow, keccak(bytes(12) + merchant), clone)
    assert treasury_address(escrow, merchant) != vault_address(escrow, salt)


def test_the_first_contract_of_an_account_has_the_known_address() -> None:
    # keccak256(rlp([sender, nonce])): the well-known pair of anvil's first account, here with nonce 1.
    deployer = bytes.fromhex("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
    assert vault_implementation(deployer).hex() == "e7f1725e7734ce288f8367e1bb143e90bb3f0512"
