"""The escrow's binding, against the deployed contract: the same ids, addresses, amounts, logs and errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from openpay.chain import escrow_abi, reads
from openpay.chain.artifacts import load_artifact
from openpay.chain.blocks import Log, read_bytes
from openpay.chain.escrow import EscrowClient, TreasuryBalances
from openpay.chain.pool import Pool, connect
from openpay.devnet.accounts import CUSTOMER, MERCHANT, OPERATOR, OWNER
from openpay.devnet.deployment import Deployment, add_round_when_older, deploy
from openpay.devnet.wallet import Wallet
from openpay.domain.address import ZERO_ADDRESS
from openpay.domain.assessment import Accepted, Refused
from openpay.domain.terms import Terms, min_units_up, payment_key, price_full_units_up
from openpay.domain.vaults import vault_address
from openpay.errors import ChainUnavailable
from tests.chain.fake_node import FakeNode, serve
from tests.faults.faults import Ask, Fault, without
from tests.faults.proxy import proxies
from tests.support.anvil import Anvil

CHAIN_ID = 31337
UNIT = 10**18
USDT, USDC, BNB = range(3)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A chain with the contracts on it."""

    anvil: Anvil
    pool: Pool
    deployment: Deployment
    escrow: EscrowClient

    @property
    def address(self) -> bytes:
        return self.deployment.chain.escrow

    def terms(self, **changes: Any) -> Terms:
        """25 USD in any token, good for an hour."""
        now = self.anvil.timestamp()
        terms = Terms(
            merchant=MERCHANT.address,
            operator=OPERATOR.address,
            usd=25_000_000,
            slippage_bps=100,
            underpayment_bps=0,
            quoted_at=now,
            expiry=now + 3_600,
            round=2**64 + 1,
            assets=0b111,
            payment_key=payment_key("pay_1"),
        )
        return replace(terms, **changes)

    async def pay(self, terms: Terms, units: int, token: str = "USDT") -> None:
        customer = Wallet(self.pool, chain_id=CHAIN_ID, signer=CUSTOMER.signer)
        vault = vault_address(self.address, terms.id())
        if token == "BNB":
            await customer.execute(to=vault, value=units)
        else:
            data = escrow_abi.selector("transfer", "TestToken") + vault.rjust(32, b"\0") + units.to_bytes(32, "big")
            await customer.execute(to=self.deployment.tokens[token], data=data)

    async def send(self, data: bytes) -> list[dict[str, Any]]:
        """Have the owner, a stranger to every payment, call the escrow; the logs of the escrow's own."""
        wallet = Wallet(self.pool, chain_id=CHAIN_ID, signer=OWNER.signer)
        tx_hash = "0x" + (await wallet.send(to=self.address, data=data, gas=500_000)).hex()
        logs: list[dict[str, Any]] = self.anvil.receipt(tx_hash)["logs"]
        return [log for log in logs if read_bytes(log["address"]) == self.address]


@pytest.fixture
async def site(anvil: Anvil) -> AsyncIterator[Site]:
    async with connect([anvil.rpc_url], chain_id=CHAIN_ID) as pool:
        deployment = await deploy(pool, chain_id=CHAIN_ID)
        client = EscrowClient(pool, deployment.chain, operator=OPERATOR.address)
        yield Site(anvil=anvil, pool=pool, deployment=deployment, escrow=client)


async def test_amounts_due_are_the_contracts(site: Site) -> None:
    full = price_full_units_up(25_000_000, price=600 * 10**8, price_decimals=8, token_decimals=18)
    assert await site.escrow.due(site.terms(), BNB, block="latest") == (full, min_units_up(full, 100))
    assert await site.escrow.due(site.terms(underpayment_bps=200), USDC, block="latest") == (25 * UNIT, 49 * UNIT // 2)


# --- the escrow's word -----------------------------------------------------------------------------------------------


async def test_payment_that_would_settle_is_accepted(site: Site) -> None:
    terms = site.terms()
    await site.pay(terms, 25 * UNIT)
    assert await site.escrow.check(terms, USDT, block="latest") == Accepted()


async def test_payment_settled_already_by_anyone_is_accepted(site: Site) -> None:
    terms = site.terms()
    await site.pay(terms, 25 * UNIT)
    await site.send(escrow_abi.settle_data(terms, USDT))
    assert await site.escrow.check(terms, USDT, block="latest") == Accepted()


async def accept_everything(method: str, params: list[Any], ask: Ask) -> Any:
    """A node whose escrow settles whatever it is asked about."""
    return "0x" + "00" * 32 if method == "eth_call" else await ask(method, params)


@pytest.mark.parametrize("place", [0, 1])
async def test_one_host_that_accepts_what_another_refuses_is_not_believed(site: Site, place: int) -> None:
    terms = site.terms()
    async with proxies(site.anvil, site.anvil) as hosts:
        hosts[place].faults = [Fault(name="accept_everything", answer=accept_everything)]
        async with connect([host.url for host in hosts], chain_id=CHAIN_ID) as pool:
            client = EscrowClient(pool, site.deployment.chain, operator=OPERATOR.address)
            assert await client.check(terms, USDT, block="latest") is None
            await site.pay(terms, 25 * UNIT)
            assert await client.check(terms, USDT, block="latest") == Accepted()


async def test_host_without_the_state_contradicts_nobody(site: Site) -> None:
    terms = site.terms()
    await site.pay(terms, 25 * UNIT)
    async with proxies(site.anvil, site.anvil) as (silent, other):
        silent.faults = [without("eth_call")]
        async with connect([silent.url, other.url], chain_id=CHAIN_ID) as pool:
            client = EscrowClient(pool, site.deployment.chain, operator=OPERATOR.address)
            assert await client.check(terms, USDT, block="latest") == Accepted()
            assert await client.check(site.terms(usd=1_000_000_000), USDT, block="latest") is None


async def test_operator_is_asked_for_so_that_an_expired_payment_is_accepted(site: Site) -> None:
    terms = site.terms()
    await site.pay(terms, 25 * UNIT)
    site.anvil.increase_time(7_200)
    assert await site.escrow.check(terms, USDT, block="latest") == Accepted()
    stranger = EscrowClient(site.pool, site.deployment.chain, operator=CUSTOMER.address)
    assert await stranger.check(terms, USDT, block="latest") == Refused(error="SettleNotAllowed")


@pytest.mark.parametrize(
    ("changes", "asset", "error"),
    [
        ({}, USDT, "BelowMin"),
        ({"assets": 0b100}, USDT, "AssetNotAccepted"),
        ({"assets": 0b1111}, 3, "AssetNotListed"),
        ({"usd": 0}, USDT, "UsdIsZero"),
        ({"slippage_bps": 501}, USDT, "BpsTooHigh"),
        ({"round": 7}, BNB, "PriceNotPositive"),
        ({"quoted_at": 1}, BNB, "PriceNewerThanQuote"),
        ({"quoted_at": 2**40 - 1}, BNB, "PriceTooOld"),
    ],
)
async def test_refusal_carries_the_escrows_own_name(
    site: Site, changes: dict[str, int], asset: int, error: str
) -> None:
    assert await site.escrow.check(site.terms(**changes), asset, block="latest") == Refused(error=error)


async def test_state_is_read_at_the_block_asked_for(site: Site) -> None:
    terms = site.terms()
    before = site.anvil.block_number()
    await site.pay(terms, 25 * UNIT)
    assert await site.escrow.check(terms, USDT, block=before) == Refused(error="BelowMin")
    block_hash = read_bytes(site.anvil.block()["hash"])
    assert await site.escrow.check(terms, USDT, block=block_hash) == Accepted()


async def test_address_without_a_contract_gives_no_answer(site: Site) -> None:
    assert await site.escrow.check(site.terms(), USDT, block="latest", escrow=b"\x99" * 20) is None


async def test_reason_that_is_not_the_escrows_gives_no_answer(site: Site) -> None:
    terms = site.terms()
    await site.pay(terms, 25 * UNIT)
    broken = "0x" + site.deployment.tokens["USDT"].hex()
    site.anvil.rpc("anvil_setCode", broken, "0x600160005260206000fd")  # reverts with one word
    assert await site.escrow.check(terms, USDT, block="latest") is None


async def test_node_that_is_away_gives_no_answer(site: Site) -> None:
    async with connect(["http://127.0.0.1:9"], chain_id=CHAIN_ID) as nowhere:
        client = EscrowClient(nowhere, site.deployment.chain, operator=OPERATOR.address)
        assert await client.check(site.terms(), USDT, block="latest") is None
        with pytest.raises(ChainUnavailable):
            await client.due(site.terms(), USDT, block="latest")


def revert(name: str) -> ValueError:
    """A node's answer to a call that reverts with one of the escrow's errors (the arguments do not matter)."""
    selectors = {escrow_abi.error_name(selector): selector for selector in escrow_abi._error_names()}
    return ValueError({"code": 3, "message": "execution reverted", "data": "0x" + selectors[name].hex()})


SETTLES = "0x" + (25 * UNIT).to_bytes(32, "big").hex()


@pytest.mark.parametrize(
    ("second_host", "expected"),
    [
        (revert("BelowMin"), Refused(error="BelowMin")),
        (revert("UsdIsZero"), None),
        (SETTLES, None),
        (ValueError({"code": -32000, "message": "header not found"}), None),
    ],
    ids=["the-same", "another-error", "no-error", "no-answer"],
)
async def test_refusal_needs_the_same_error_from_two_hosts(site: Site, second_host: Any, expected: Any) -> None:
    first = FakeNode(eth_chainId=hex(CHAIN_ID), eth_call=revert("BelowMin"))
    second = FakeNode(eth_chainId=hex(CHAIN_ID), eth_call=second_host)
    async with serve(first, second) as urls, connect(urls, chain_id=CHAIN_ID) as pool:
        client = EscrowClient(pool, site.deployment.chain, operator=OPERATOR.address)
        assert await client.check(site.terms(), USDT, block=1) == expected


# --- money and logs --------------------------------------------------------------------------------------------------


async def test_treasury_units_are_read_for_every_token(site: Site) -> None:
    balances = TreasuryBalances({CHAIN_ID: site.escrow})
    assert await balances.treasury_units(CHAIN_ID, MERCHANT.address) == {"USDT": 0, "USDC": 0, "BNB": 0}
    terms = site.terms()
    await site.pay(terms, 26 * UNIT)
    await site.send(escrow_abi.settle_data(terms, USDT))
    assert await balances.treasury_units(CHAIN_ID, MERCHANT.address) == {"USDT": 26 * UNIT, "USDC": 0, "BNB": 0}


async def test_balances_of_an_escrow_that_is_not_there_are_an_error_not_zero(site: Site) -> None:
    elsewhere = replace(site.deployment.chain, escrow=b"\x99" * 20)
    client = EscrowClient(site.pool, elsewhere, operator=OPERATOR.address)
    with pytest.raises(ChainUnavailable):
        await client.treasury_units(MERCHANT.address)


async def test_settled_swept_and_withdrawn_logs_are_decoded(site: Site) -> None:
    terms, usdt = site.terms(), site.deployment.tokens["USDT"]
    await site.pay(terms, 25 * UNIT)
    logs = await site.send(escrow_abi.settle_data(terms, USDT))
    await site.pay(terms, 3 * UNIT)
    sweep = escrow_abi.selector("sweep") + terms.encode() + escrow_abi.address_word(usdt)
    logs += await site.send(sweep)
    logs += await site.send(escrow_abi.withdraw_for_data(MERCHANT.address, usdt))
    events = [escrow_abi.decode_log(as_log(log)) for log in logs]
    assert [(e.name, e.terms_id, e.account, e.contract, e.units) for e in events if e is not None] == [
        ("Settled", terms.id(), MERCHANT.address, usdt, 25 * UNIT),
        ("Swept", terms.id(), MERCHANT.address, usdt, 3 * UNIT),
        ("Withdrawn", None, MERCHANT.address, usdt, 28 * UNIT),
    ]


async def test_refunded_log_names_the_receiver_and_bnb_has_no_contract(site: Site) -> None:
    terms = site.terms(operator=OWNER.address)
    await site.pay(terms, UNIT // 1_000, "BNB")
    site.anvil.increase_time(7_200)
    words = escrow_abi.address_word(None) + escrow_abi.address_word(CUSTOMER.address) + (5).to_bytes(32, "big")
    (log,) = await site.send(escrow_abi.selector("refund") + terms.encode() + words)
    event = escrow_abi.decode_log(as_log(log))
    assert event == escrow_abi.EscrowEvent(
        name="Refunded", terms_id=terms.id(), account=CUSTOMER.address, contract=None, units=5
    )


def as_log(log: dict[str, Any]) -> Log:
    return Log(address=log["address"], topics=tuple(log["topics"]), data=log["data"])


def test_logs_that_move_no_money_are_passed_over() -> None:
    listed = Log(address="0x" + "11" * 20, topics=("0x" + "22" * 32,), data="0x")
    nameless = Log(address="0x" + "11" * 20, topics=(), data="0x")
    assert (escrow_abi.decode_log(listed), escrow_abi.decode_log(nameless)) == (None, None)


def test_unknown_errors_have_no_name() -> None:
    assert escrow_abi.error_name(b"") is None
    assert escrow_abi.error_name(b"\x08\xc3\x79\xa0" + bytes(64)) is None


def test_zero_address_stands_for_the_chains_own_coin() -> None:
    assert escrow_abi.address_word(None) == escrow_abi.address_word(ZERO_ADDRESS) == bytes(32)


async def test_many_balances_come_back_from_one_call(site: Site) -> None:
    accounts = [CUSTOMER.address, b"\x77" * 20] * 350
    words = b"".join(
        [
            (32).to_bytes(32, "big"),
            len(accounts).to_bytes(32, "big"),
            *(escrow_abi.address_word(account) for account in accounts),
        ]
    )
    call = reads.eth_call(to=None, data=load_artifact("BalanceReader").bytecode + words, at="latest")
    answer = read_bytes(await site.pool.call(call))
    balances = [int.from_bytes(answer[at : at + 32], "big") for at in range(64, len(answer), 32)]
    assert len(balances) == 700
    assert balances[1::2] == [0] * 350
    assert set(balances[::2]) == {site.anvil.balance("0x" + CUSTOMER.address.hex())}


def test_artifact_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(FileNotFoundError, match="Escrow"):
        load_artifact("Escroww")


async def test_price_round_is_added_once_per_block_time(site: Site) -> None:
    owner = Wallet(site.pool, chain_id=CHAIN_ID, signer=OWNER.signer)
    feed = site.deployment.feeds["BNB/USD"]
    site.anvil.increase_time(100)
    assert await add_round_when_older(site.pool, owner, feed, age_s=60)
    assert not await add_round_when_older(site.pool, owner, feed, age_s=60)
