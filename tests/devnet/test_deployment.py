"""What `openpay dev` finds or puts on a local chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.escrow_abi import address_word, selector
from openpay.chain.pool import Pool, connect
from openpay.devnet.accounts import CUSTOMER, OPERATOR, OWNER, dev_account
from openpay.devnet.deployment import (
    BNB,
    CREATE2_FACTORY,
    CREATE2_FACTORY_CODE,
    CUSTOMER_MIN_UNITS,
    CUSTOMER_MIN_WEI,
    Deployment,
    deploy,
)
from openpay.devnet.feed_keeper import FeedKeeper
from openpay.devnet.node import CHAIN_ID
from openpay.devnet.wallet import Wallet
from openpay.errors import ChainUnavailable
from tests.support.anvil import Anvil


@pytest.fixture
async def pool(anvil: Anvil) -> AsyncIterator[Pool]:
    async with connect([anvil.rpc_url], chain_id=CHAIN_ID) as connected:
        yield connected


async def call(pool: Pool, to: bytes, data: bytes, at: reads.BlockName = "latest") -> int:
    """The first word of a contract's answer."""
    return int.from_bytes(read_bytes(await pool.call(reads.eth_call(to=to, data=data, at=at)))[:32], "big")


async def newest_round(pool: Pool, deployment: Deployment) -> int:
    return await call(pool, deployment.feeds["BNB/USD"], selector("latestRound", "TestFeed"))


async def test_factory_code_is_the_well_known_one(pool: Pool) -> None:
    assert read_bytes(await pool.call(reads.code(CREATE2_FACTORY, "latest"))) == CREATE2_FACTORY_CODE


async def test_factory_is_put_where_it_is_missing(anvil: Anvil, pool: Pool) -> None:
    anvil.rpc("anvil_setCode", "0x" + CREATE2_FACTORY.hex(), "0x")
    await deploy(pool, chain_id=CHAIN_ID)
    assert read_bytes(await pool.call(reads.code(CREATE2_FACTORY, "latest"))) == CREATE2_FACTORY_CODE


async def test_escrow_lists_usdt_usdc_and_bnb_with_its_feed(pool: Pool) -> None:
    deployment = await deploy(pool, chain_id=CHAIN_ID)
    escrow = deployment.chain.escrow
    assert await call(pool, escrow, selector("assetCount")) == 3
    assert [token.symbol for token in deployment.chain.tokens] == ["USDT", "USDC", "BNB"]
    bnb = deployment.chain.token("BNB")
    assert bnb is not None
    assert (bnb.contract, bnb.asset_index, bnb.feed) == (None, 2, deployment.feeds["BNB/USD"])
    assert await call(pool, escrow, selector("owner")) == int.from_bytes(OWNER.address, "big")


async def test_customer_and_operator_are_funded(pool: Pool) -> None:
    deployment = await deploy(pool, chain_id=CHAIN_ID)
    for token in deployment.tokens.values():
        data = selector("balanceOf", "TestToken") + address_word(CUSTOMER.address)
        assert await call(pool, token, data) >= CUSTOMER_MIN_UNITS
    assert read_quantity(await pool.call(reads.balance(CUSTOMER.address, "latest"))) >= CUSTOMER_MIN_WEI
    assert read_quantity(await pool.call(reads.balance(OPERATOR.address, "latest"))) >= 100 * BNB
    assert read_quantity(await pool.call(reads.transaction_count(CUSTOMER.address, "latest"))) == 0


async def test_first_price_is_final_when_deployment_ends(pool: Pool) -> None:
    deployment = await deploy(pool, chain_id=CHAIN_ID)
    final_round = await call(
        pool, deployment.feeds["BNB/USD"], selector("latestRoundData", "IPriceFeed"), at="finalized"
    )
    assert final_round == await newest_round(pool, deployment) == 2**64 + 1


async def test_deploying_again_recognises_what_is_there(anvil: Anvil, pool: Pool) -> None:
    first = await deploy(pool, chain_id=CHAIN_ID)
    sent = read_quantity(await pool.call(reads.transaction_count(OWNER.address, "latest")))
    anvil.increase_time(10)
    again = await deploy(pool, chain_id=CHAIN_ID)
    assert (again.chain.escrow, again.tokens, again.feeds) == (first.chain.escrow, first.tokens, first.feeds)
    only_a_price = 1
    assert read_quantity(await pool.call(reads.transaction_count(OWNER.address, "latest"))) == sent + only_a_price


async def test_contracts_have_the_same_addresses_on_every_chain(start_anvil: Callable[..., Anvil]) -> None:
    found = []
    for chain_id in (31337, 97):
        anvil = start_anvil("--chain-id", str(chain_id))
        async with connect([anvil.rpc_url], chain_id=chain_id) as pool:
            deployment = await deploy(pool, chain_id=chain_id)
            found.append((deployment.chain.escrow, deployment.tokens, deployment.feeds))
    assert found[0] == found[1]


async def test_price_is_renewed_as_the_chains_clock_moves(anvil: Anvil, pool: Pool) -> None:
    deployment = await deploy(pool, chain_id=CHAIN_ID)
    before = await newest_round(pool, deployment)
    anvil.increase_time(7_200)
    stop = asyncio.Event()
    keeper = asyncio.create_task(FeedKeeper(deployment, pool).run(stop))
    async with asyncio.timeout(60):
        while await newest_round(pool, deployment) == before:
            await asyncio.sleep(0.02)
    stop.set()
    await keeper
    updated_at = read_bytes(
        await pool.call(
            reads.eth_call(to=deployment.feeds["BNB/USD"], data=selector("latestRoundData", "IPriceFeed"), at="latest")
        )
    )[96:128]
    assert anvil.timestamp() - int.from_bytes(updated_at, "big") < 60


async def test_price_is_left_alone_while_it_is_fresh(anvil: Anvil, pool: Pool) -> None:
    deployment = await deploy(pool, chain_id=CHAIN_ID)
    before = (await newest_round(pool, deployment), anvil.block_number())
    stop = asyncio.Event()
    keeper = asyncio.create_task(FeedKeeper(deployment, pool).run(stop))
    await asyncio.sleep(0.2)
    stop.set()
    await keeper
    assert (await newest_round(pool, deployment), anvil.block_number()) == before


async def test_wallet_says_when_its_transaction_reverted(pool: Pool) -> None:
    deployment = await deploy(pool, chain_id=CHAIN_ID)
    wallet = Wallet(pool, chain_id=CHAIN_ID, signer=CUSTOMER.signer)
    too_much = address_word(OWNER.address) + (10**40).to_bytes(32, "big")
    with pytest.raises(ChainUnavailable, match="reverted"):
        await wallet.execute(to=deployment.tokens["USDT"], data=selector("transfer", "TestToken") + too_much)


def test_roles_have_keys_of_their_own() -> None:
    addresses = {dev_account(role).address for role in ("owner", "operator", "merchant", "customer")}
    assert len(addresses) == 4
    assert "private_key" not in repr(OWNER)
