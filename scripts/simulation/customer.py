"""A customer with a wallet of its own: signs transfers, and remembers each so that a reorganised one can return."""

from __future__ import annotations

from dataclasses import dataclass, field

from eth_keys.datatypes import PrivateKey

from openpay.chain.escrow_abi import WORD, address_word, selector
from openpay.chain.messages import message_hash
from openpay.devnet.accounts import dev_account
from openpay.devnet.node import CHAIN_ID
from scripts.simulation.behaviours import By, Plan, Send

FORWARDER = bytes.fromhex("f0" * 20)
FORWARDER_CODE = bytes.fromhex("6000600060006000346000355af160165760006000fd5b00")
"""Sends all BNB that comes with a call on to the address in its first argument; reverts when that one refuses."""
EXCHANGE_NONCE = 6_000
"""Above the 5,000 transactions up to which a wallet passes for a person's."""
GAS = 120_000
GWEI = 10**9


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A signed transaction. `send` None: no transfer of the plan."""

    customer: Customer
    send: Send | None
    hash: str
    raw: str


@dataclass(kw_only=True)
class Customer:
    """Number `index` of the simulation. `nonce` is that of its next transaction."""

    index: int
    plan: Plan
    nonce: int = 0
    address: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._account = dev_account(f"simulated customer {self.index}")
        self._signer = self._account.signer
        self.address = self._signer.address
        if any(send.by is By.EXCHANGE for send in self.plan.sends):
            self.nonce = EXCHANGE_NONCE

    def sign_send(self, send: Send, *, contract: bytes | None, vault: bytes, units: int) -> Sent:
        """The plan's transfer of `units` to the payment's deposit address. `contract` None is BNB."""
        if send.by is By.CONTRACT:
            return self._sign(FORWARDER, data=address_word(vault), value=units, send=send)
        if contract is None:
            return self._sign(vault, value=units, send=send)
        return self._sign(contract, data=transfer_data(vault, units), send=send)

    def sign_call(self, to: bytes, data: bytes) -> Sent:
        return self._sign(to, data=data)

    def sign_text(self, text: str) -> str:
        """As `personal_sign` of a wallet does (EIP-191), in hex."""
        signature = PrivateKey(self._account.private_key).sign_msg_hash(message_hash(text)).to_bytes()
        return "0x" + (signature[:64] + bytes([27 + signature[64]])).hex()

    def _sign(self, to: bytes, *, data: bytes = b"", value: int = 0, send: Send | None = None) -> Sent:
        signed = self._signer.sign(
            chain_id=CHAIN_ID,
            nonce=self.nonce,
            to=to,
            # Paying again what was reorganised away is another transaction with the same nonce: it offers more.
            gas=GAS + (send is not None and send.fate.value == "vanishes"),
            gas_price=20 * GWEI,
            data=data,
            value=value,
        )
        self.nonce += 1
        return Sent(customer=self, send=send, hash="0x" + signed.hash.hex(), raw="0x" + signed.raw.hex())


def transfer_data(to: bytes, units: int) -> bytes:
    """`transfer(to, amount)` of BEP-20."""
    return selector("transfer", "TestToken") + address_word(to) + units.to_bytes(WORD, "big")
