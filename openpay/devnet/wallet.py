"""An account that sends real, signed transactions and waits for them."""

from __future__ import annotations

import asyncio

from openpay.chain import reads
from openpay.chain.blocks import read_quantity
from openpay.chain.pool import Pool
from openpay.chain.reads import MinedReceipt
from openpay.chain.rpc import Call
from openpay.chain.signing import Signer, gas_price_to_pay
from openpay.errors import ChainUnavailable

TRANSFER_GAS = 120_000
"""Enough for a transfer of a token or of BNB to any vault."""
MINED_TIMEOUT_S = 60.0
IDLE_S = 2.0
"""A local node that made no block for this long makes them on demand only, and is asked for one."""


class Wallet:
    """One key on one chain. Nobody else may use the key meanwhile: nonces are counted by the node.

    A development node that makes no block for `idle_s` is asked for one. None: somebody else sees to blocks.
    """

    def __init__(self, pool: Pool, *, chain_id: int, signer: Signer, idle_s: float | None = IDLE_S) -> None:
        self._pool = pool
        self._chain_id = chain_id
        self._signer = signer
        self._idle_s = idle_s

    @property
    def address(self) -> bytes:
        return self._signer.address

    async def send(self, *, to: bytes, data: bytes = b"", value: int = 0, gas: int = TRANSFER_GAS) -> bytes:
        """Sign and send; returns the transaction's hash at once. Raises `ChainUnavailable`."""
        nonce = read_quantity(await self._pool.call(reads.transaction_count(self.address, "pending")))
        signed = self._signer.sign(
            chain_id=self._chain_id,
            nonce=nonce,
            to=to,
            gas=gas,
            gas_price=await gas_price_to_pay(self._pool),
            data=data,
            value=value,
        )
        await self._pool.call(reads.send_raw_transaction(signed.raw))
        return signed.hash

    async def execute(self, *, to: bytes, data: bytes = b"", value: int = 0, gas: int = TRANSFER_GAS) -> MinedReceipt:
        """Send and wait until it is in a block. Raises `ChainUnavailable` when it reverts or is not mined in time."""
        tx_hash = await self.send(to=to, data=data, value=value, gas=gas)
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        asked = False
        while (receipt := await self._pool.find(reads.transaction_receipt(tx_hash))) is None:
            waited_s = loop.time() - sent_at
            if waited_s > MINED_TIMEOUT_S:
                raise ChainUnavailable(f"transaction 0x{tx_hash.hex()} was not mined within {MINED_TIMEOUT_S:.0f} s")
            if self._idle_s is not None and waited_s >= self._idle_s and not asked:
                await mine(self._pool, 1)
                asked = True
            await asyncio.sleep(0.05)
        if read_quantity(receipt.status) != 1:
            raise ChainUnavailable(f"transaction 0x{tx_hash.hex()} reverted")
        return receipt


async def mine(pool: Pool, blocks: int) -> None:
    """Have a development node make blocks now (understood by anvil and Hardhat). Raises `ChainUnavailable`."""
    await pool.find(Call(str, "hardhat_mine", (hex(blocks),)))


async def set_balance(pool: Pool, address: bytes, wei: int) -> None:
    """Give an account of a development node its BNB (understood by anvil and Hardhat). Raises `ChainUnavailable`."""
    await pool.find(Call(str, "hardhat_setBalance", (reads.hex_text(address), hex(wei))))
