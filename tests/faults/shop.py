"""Payments on a made chain, without quotes and without a service: the same for the same number, whoever makes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from openpay.app.records import Merchant
from openpay.chain.escrow_abi import selector
from openpay.domain.chains import Chain, Token
from openpay.domain.keccak import keccak
from openpay.domain.payment import Offer, Payment
from openpay.domain.terms import Terms, payment_key
from openpay.domain.vaults import vault_address
from openpay.store import Store
from tests.faults.chain import MadeBlock
from tests.faults.faults import Refusal

CHAIN_ID = 56
UNIT = 10**18
USDT = b"\x55" * 20
USDC = b"\xcc" * 20
TOKENS = (
    Token(symbol="USDT", asset_index=0, contract=USDT, decimals=18),
    Token(symbol="USDC", asset_index=1, contract=USDC, decimals=18),
    # No feed: on a made chain a BNB is worth a dollar.
    Token(symbol="BNB", asset_index=2, contract=None, decimals=18),
)
UNLISTED = b"\xba" * 20
"""A token that calls itself whatever it likes."""
ESCROW = b"\xee" * 20
OPERATOR = b"\x09" * 20
MERCHANT = Merchant(
    id="mer_" + "0" * 26,
    name="Shop",
    address=b"\x3e" * 20,
    created_at=0,
    slippage_bps=0,
    underpayment_bps=0,
)


def make_chain(*, start_block: int | None = 1, **rules: object) -> Chain:
    """The chain's settings; `rules` are fields of `Chain` about finality."""
    return Chain(
        chain_id=CHAIN_ID,
        name="made",
        escrow=ESCROW,
        tokens=TOKENS,
        start_block=start_block,
        **rules,  # type: ignore[arg-type]
    )


def make_payment(
    number: int,
    *,
    dollars: int = 25,
    symbols: Collection[str] = ("USDT", "USDC"),
    created_at: int,
    expires_at: int,
    confirmations: int = 12,
) -> Payment:
    """The payment of this number. Every token is worth a dollar, and the full amount is the least one."""
    payment_id = f"pay_{number:026d}"
    tokens = [token for token in TOKENS if token.symbol in symbols]
    terms = Terms(
        merchant=MERCHANT.address,
        operator=OPERATOR,
        usd=dollars * 10**6,
        slippage_bps=0,
        underpayment_bps=0,
        quoted_at=created_at,
        expiry=expires_at,
        round=0,
        assets=sum(token.asset_bit for token in tokens),
        payment_key=payment_key(payment_id),
    )
    return Payment(
        id=payment_id,
        merchant_id=MERCHANT.id,
        livemode=True,
        chain_id=CHAIN_ID,
        amount_usd=dollars * 10**6,
        offers=tuple(
            Offer(
                token=token.symbol,
                asset_index=token.asset_index,
                contract=token.contract,
                decimals=token.decimals,
                full_units=dollars * UNIT,
                min_units=dollars * UNIT,
            )
            for token in tokens
        ),
        terms=terms,
        escrow=ESCROW,
        address=vault_address(ESCROW, terms.id()),
        created_at=created_at,
        expires_at=expires_at,
        deadline=expires_at,
        required_confirmations=confirmations,
    )


async def store_merchant(store: Store) -> None:
    async with store.write() as uow:
        await uow.merchants.add(MERCHANT)


async def store_payments(store: Store, payments: Sequence[Payment]) -> None:
    """In one transaction."""
    async with store.write() as uow:
        for payment in payments:
            await uow.payments.add(payment)


_BELOW_MIN = keccak(b"BelowMin(bytes32,address,uint256,uint256)")[:4]


class HonestEscrow:
    """Settles what its vault holds enough for, after the block that it is asked at, as the contract does."""

    def __init__(self, payments: Sequence[Payment]) -> None:
        self._payments: Mapping[bytes, Payment] = {payment.terms.id(): payment for payment in payments}

    def __call__(self, block: MadeBlock, data: bytes) -> bytes:
        if data[:4] != selector("settle"):
            raise Refusal(3, "execution reverted")
        payment = self._payments[keccak(data[4:-32])]
        offer = next(offer for offer in payment.offers if offer.asset_index == int.from_bytes(data[-32:], "big"))
        held = units_held(block, payment.address, offer.contract)
        if held < offer.min_units:
            words = (payment.terms.id(), offer.contract or b"", _number(held), _number(offer.min_units))
            raise Refusal(
                3,
                "execution reverted",
                "0x" + (_BELOW_MIN + b"".join(word.rjust(32, b"\0") for word in words)).hex(),
            )
        return _number(held)


def units_held(block: MadeBlock, address: bytes, contract: bytes | None) -> int:
    """What an address holds after a block, of the chain's own coin when `contract` is None. Reads the whole branch."""
    if contract is None:
        return block.coins.get(address, 0)
    word = address.rjust(32, b"\0")
    return sum(
        int.from_bytes(event.data, "big")
        for each in block.branch()
        for tx in each.txs
        if tx.succeeds
        for event in tx.events
        if event.contract == contract and event.topics[2] == word
    )


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")
