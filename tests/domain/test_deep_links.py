"""Links that open a wallet's app: exact strings, since wallets read them and nobody else does."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.deep_links import deep_links
from openpay.domain.money import parse_decimal

TO = bytes.fromhex("5c0ee1b2f4a3d6978812c3b4a5d6e7f809112233")
USDT = bytes.fromhex("55d398326f99059ff775485246999027b3197955")


def test_a_token_on_bnb_smart_chain_opens_in_either_wallet() -> None:
    trust, metamask = deep_links(chain_id=56, to=TO, units=25 * 10**18, decimals=18, contract=USDT)
    assert (trust.wallet, metamask.wallet) == ("Trust Wallet", "MetaMask")
    assert trust.url == (
        "https://link.trustwallet.com/send?asset=c20000714_t0x55d398326f99059fF775485246999027B3197955"
        "&address=0x5c0EE1b2f4A3D6978812C3B4A5d6E7F809112233&amount=25.00"
    )
    assert metamask.url == (
        "https://metamask.app.link/send/0x55d398326f99059fF775485246999027B3197955@56/transfer"
        "?address=0x5c0EE1b2f4A3D6978812C3B4A5d6E7F809112233&uint256=25000000000000000000"
    )


def test_the_chains_own_coin_has_no_contract_in_its_links() -> None:
    trust, metamask = deep_links(chain_id=56, to=TO, units=40_826_000_000_000_001, decimals=18, contract=None)
    assert trust.url == (
        "https://link.trustwallet.com/send?asset=c20000714"
        "&address=0x5c0EE1b2f4A3D6978812C3B4A5d6E7F809112233&amount=0.040826000000000001"
    )
    assert metamask.url == (
        "https://metamask.app.link/send/0x5c0EE1b2f4A3D6978812C3B4A5d6E7F809112233@56?value=40826000000000001"
    )


def test_trust_wallet_is_not_asked_to_send_on_a_chain_it_has_no_number_for() -> None:
    for chain_id in (97, 31337, 1):
        (only,) = deep_links(chain_id=chain_id, to=TO, units=1, decimals=18, contract=USDT)
        assert only.wallet == "MetaMask"
        assert f"@{chain_id}/transfer" in only.url


@given(units=st.integers(1, 2**100), decimals=st.integers(0, 18), is_coin=st.booleans())
def test_both_wallets_are_asked_for_the_same_exact_amount(units: int, decimals: int, is_coin: bool) -> None:
    contract = None if is_coin else USDT
    trust, metamask = deep_links(chain_id=56, to=TO, units=units, decimals=decimals, contract=contract)
    asked = parse_qs(urlsplit(trust.url).query)["amount"][0]
    assert parse_decimal(asked, max(decimals, 2)) == units * 10 ** (max(decimals, 2) - decimals)
    assert parse_qs(urlsplit(metamask.url).query)["value" if is_coin else "uint256"] == [str(units)]
