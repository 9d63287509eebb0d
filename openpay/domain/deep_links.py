"""Links that open one wallet's app on a phone with the exact transfer filled in.

Each wallet has a form of its own, because the common one (EIP-681, `openpay.domain.uris`) opens whatever app claimed
`ethereum:` first, and several wallets read only the recipient from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from openpay.domain.address import to_checksum
from openpay.domain.money import format_decimal

_TRUST_COINS = {56: "c20000714"}
"""Trust Wallet's own numbers for the chains it can be asked to send on (its universal asset ids, after SLIP-44)."""


@dataclass(frozen=True, kw_only=True)
class DeepLink:
    """`wallet` is the app's own name, for the label."""

    wallet: str
    url: str


def deep_links(*, chain_id: int, to: bytes, units: int, decimals: int, contract: bytes | None) -> tuple[DeepLink, ...]:
    """A link for each wallet that can be asked for this transfer; `contract` None is the chain's own coin."""
    links = [DeepLink(wallet="MetaMask", url=metamask_link(chain_id=chain_id, to=to, units=units, contract=contract))]
    coin = _TRUST_COINS.get(chain_id)
    if coin is not None:
        url = trust_link(coin=coin, to=to, units=units, decimals=decimals, contract=contract)
        links.insert(0, DeepLink(wallet="Trust Wallet", url=url))
    return tuple(links)


def trust_link(*, coin: str, to: bytes, units: int, decimals: int, contract: bytes | None) -> str:
    """Trust Wallet's link: the asset by its id, the amount in whole tokens, written out exactly."""
    asset = coin if contract is None else f"{coin}_t{to_checksum(contract)}"
    amount = format_decimal(units, decimals)
    return f"https://link.trustwallet.com/send?asset={asset}&address={to_checksum(to)}&amount={amount}"


def metamask_link(*, chain_id: int, to: bytes, units: int, contract: bytes | None) -> str:
    """MetaMask's link: the path and query of EIP-681 behind its own host; the amount in base units."""
    if contract is None:
        return f"https://metamask.app.link/send/{to_checksum(to)}@{chain_id}?value={units}"
    return (
        f"https://metamask.app.link/send/{to_checksum(contract)}@{chain_id}/transfer"
        f"?address={to_checksum(to)}&uint256={units}"
    )
