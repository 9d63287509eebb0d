"""The accounts of a local chain. Their keys follow from their names, so everybody knows them: useless elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from openpay.chain.signing import Signer
from openpay.domain.keccak import keccak


@dataclass(frozen=True, kw_only=True)
class DevAccount:
    """A key that is no secret. `private_key` has 32 bytes."""

    private_key: bytes = field(repr=False)

    @property
    def signer(self) -> Signer:
        return Signer(self.private_key)

    @property
    def address(self) -> bytes:
        return self.signer.address


def dev_account(role: str) -> DevAccount:
    """The account of a role; the same on every machine, so that contracts get the same addresses too."""
    return DevAccount(private_key=keccak(f"openpay local chain: {role}".encode()))


OWNER = dev_account("owner")
"""Deploys the contracts, lists assets, mints test tokens and keeps the price feed."""
OPERATOR = dev_account("operator")
"""Settles and withdraws."""
MERCHANT = dev_account("merchant")
"""Owns the demo merchant's treasury."""
CUSTOMER = dev_account("customer")
"""Pays; nothing else uses its key."""
