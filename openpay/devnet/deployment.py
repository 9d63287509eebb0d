"""The contracts of a local chain: deployed where they are missing, recognised where they are not."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eth_abi.abi import encode

from openpay.chain import reads
from openpay.chain.artifacts import load_artifact
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.escrow_abi import WORD, address_word, selector
from openpay.chain.pool import Pool
from openpay.chain.rpc import Call
from openpay.chain.spec import deployed_chain
from openpay.devnet.accounts import CUSTOMER, MERCHANT, OPERATOR, OWNER, DevAccount
from openpay.devnet.wallet import Wallet, mine, set_balance
from openpay.domain.chains import Chain, Token
from openpay.domain.vaults import create2_address
from openpay.errors import ConfigurationError

BNB = 10**18
CREATE2_FACTORY = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
"""Arachnid's deterministic deployment proxy: its input is a 32-byte salt and the creation code."""
CREATE2_FACTORY_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)
SALT = bytes(WORD)
DEPLOY_GAS = 6_000_000

FEED_NAME = "BNB/USD"
FEED_DECIMALS = 8
BNB_PRICE = 600 * 10**FEED_DECIMALS

CUSTOMER_MIN_UNITS = 1_000_000 * 10**18
CUSTOMER_MIN_WEI = 1_000 * BNB


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What stands on the local chain. `tokens` maps symbols to contracts, `feeds` names such as BNB/USD to theirs."""

    chain: Chain
    tokens: dict[str, bytes]
    feeds: dict[str, bytes]
    owner: DevAccount = OWNER
    operator: DevAccount = OPERATOR
    merchant: DevAccount = MERCHANT
    customer: DevAccount = CUSTOMER


async def deploy(
    pool: Pool, *, chain_id: int, confirmations: int | None = None, block_interval_s: float | None = None
) -> Deployment:
    """Bring a development node to where a payment in every token can be made. Doing it again changes nothing.

    What is not given is as in the chain file `local`. On return the newest price round is final. Raises
    `ChainUnavailable`, `ConfigurationError` when the escrow there lists other assets.
    """
    start_block = read_quantity((await pool.call(reads.header("latest"))).number)
    for account, wei in ((OWNER, 1_000 * BNB), (OPERATOR, 1_000 * BNB), (CUSTOMER, 2 * CUSTOMER_MIN_WEI)):
        await _fund(pool, account.address, wei)
    if not await _code(pool, CREATE2_FACTORY):
        await pool.find(
            Call(str, "anvil_setCode", (reads.hex_text(CREATE2_FACTORY), reads.hex_text(CREATE2_FACTORY_CODE)))
        )
    owner = Wallet(pool, chain_id=chain_id, signer=OWNER.signer, idle_s=0)
    usdt = await _deploy(pool, owner, _creation_code("TestToken", ["string", "string"], ["Tether USD", "USDT"]))
    usdc = await _deploy(pool, owner, _creation_code("TestToken", ["string", "string"], ["USD Coin", "USDC"]))
    feed = await _deploy(pool, owner, _creation_code("TestFeed", ["string", "uint8"], ["BNB / USD", FEED_DECIMALS]))
    escrow = await _deploy(pool, owner, _creation_code("Escrow", ["address"], [OWNER.address]))

    facts = deployed_chain(
        "local", escrow=escrow, contracts={"USDT": usdt, "USDC": usdc}, feeds={"BNB": feed}, start_block=start_block
    )
    chain = replace(
        facts,
        chain_id=chain_id,
        confirmations=confirmations or facts.confirmations,
        block_interval_s=block_interval_s or facts.block_interval_s,
    )
    await _list_assets(pool, owner, escrow, chain.tokens)
    for token in (usdt, usdc):
        await _mint_to_customer(pool, owner, token)
    await add_round_when_older(pool, owner, feed, age_s=0)
    await _make_final(pool)
    return Deployment(chain=chain, tokens={"USDT": usdt, "USDC": usdc}, feeds={FEED_NAME: feed})


async def add_round_when_older(pool: Pool, owner: Wallet, feed: bytes, *, age_s: int) -> bool:
    """Add a price round of the newest block's time when the last is older than `age_s`; whether it did.

    `age_s` 0 adds one unless the newest block has one already. Raises `ChainUnavailable`.
    """
    now = read_quantity((await pool.call(reads.header("latest"))).timestamp)
    answer = await _call(pool, feed, selector("latestRoundData", "TestFeed"))
    updated_at = int.from_bytes(answer[3 * WORD : 4 * WORD], "big")
    # A round from the future is what a reorg, or a chain set back, leaves behind: the escrow would refuse it.
    if 0 <= now - updated_at <= age_s:
        return False
    data = selector("addRound", "TestFeed") + _word(BNB_PRICE) + _word(now)
    await owner.execute(to=feed, data=data)
    return True


async def _make_final(pool: Pool) -> None:
    """Mine until what stands in the newest block is final by the node's own word."""
    newest = read_quantity((await pool.call(reads.header("latest"))).number)
    for _ in range(100):
        final = read_quantity((await pool.call(reads.header("finalized"))).number)
        if final >= newest:
            return
        await mine(pool, min(newest - final, 16))
    raise ConfigurationError(
        "the node's finalized block stays 1,600 blocks behind its head: start anvil with --slots-in-an-epoch 5"
    )


async def _list_assets(pool: Pool, owner: Wallet, escrow: bytes, tokens: tuple[Token, ...]) -> None:
    listed = int.from_bytes(await _call(pool, escrow, selector("assetCount")), "big")
    for token in tokens[listed:]:
        data = selector("listAsset") + address_word(token.contract) + address_word(token.feed)
        await owner.execute(to=escrow, data=data + _word(token.max_feed_age_s), gas=300_000)
    for token in tokens:
        asset = await _call(pool, escrow, selector("assetAt") + _word(token.asset_index))
        contract, feed = asset[:WORD], asset[4 * WORD :]
        if (contract, feed) != (address_word(token.contract), address_word(token.feed)):
            raise ConfigurationError(
                f"the escrow at 0x{escrow.hex()} lists another token than {token.symbol} at index {token.asset_index}: "
                "start on a fresh chain with --reset"
            )


async def _mint_to_customer(pool: Pool, owner: Wallet, token: bytes) -> None:
    data = selector("balanceOf", "TestToken") + address_word(CUSTOMER.address)
    if int.from_bytes(await _call(pool, token, data), "big") < CUSTOMER_MIN_UNITS:
        data = selector("mint", "TestToken") + address_word(CUSTOMER.address) + _word(2 * CUSTOMER_MIN_UNITS)
        await owner.execute(to=token, data=data)


async def _deploy(pool: Pool, owner: Wallet, creation_code: bytes) -> bytes:
    """The address of this code under the factory, deployed there first where it is missing."""
    address = create2_address(CREATE2_FACTORY, SALT, creation_code)
    if not await _code(pool, address):
        await owner.execute(to=CREATE2_FACTORY, data=SALT + creation_code, gas=DEPLOY_GAS)
    return address


def _creation_code(contract: str, types: list[str], arguments: list[object]) -> bytes:
    return load_artifact(contract).bytecode + encode(types, arguments)


async def _fund(pool: Pool, address: bytes, wei: int) -> None:
    """Fill up to `wei` when less than half of it is left."""
    if 2 * read_quantity(await pool.call(reads.balance(address, "latest"))) < wei:
        await set_balance(pool, address, wei)


async def _code(pool: Pool, address: bytes) -> bytes:
    return read_bytes(await pool.call(reads.code(address, "latest")))


async def _call(pool: Pool, to: bytes, data: bytes) -> bytes:
    return read_bytes(await pool.call(reads.eth_call(to=to, data=data, at="latest")))


def _word(number: int) -> bytes:
    return number.to_bytes(WORD, "big")
