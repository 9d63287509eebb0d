"""`openpay doctor`: the settings against the database and the live chains. Changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from openpay.bootstrap.installation import Installation, installed, operator_address
from openpay.chain import inspect, reads
from openpay.chain.blocks import read_quantity
from openpay.chain.escrow_abi import address_word
from openpay.chain.inspect import Unlike
from openpay.chain.pool import Pool
from openpay.chain.rpc import Endpoint
from openpay.chain.signing import gas_price_to_pay
from openpay.config import Settings
from openpay.domain.address import to_checksum
from openpay.domain.chains import Chain, Token
from openpay.errors import ChainUnavailable, ConfigurationError
from openpay.store import schema

SETTLE_GAS = 122_600
"""Measured: one payment in a BEP-20 token, settled alone."""
FEW_SETTLEMENTS = 100
"""Below this, the operator's account should be filled up soon."""
GAS_RATE_DAYS = 7
"""The rate at which gas money is spent is looked up over this many days."""
FEW_DAYS = 14
WEI_PER_BNB = 10**18
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Verdict(StrEnum):
    """FAIL: payments would not work, or not rightly. WARN: they would, but a person should look."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found. `words` say what to do unless all is well."""

    verdict: Verdict
    subject: str
    words: str

    def __str__(self) -> str:
        return f"{self.verdict:<4}  {self.subject}: {self.words}"


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Every check's finding as soon as it is known. What a failed check makes pointless is left out."""
    yield check_public_url(settings)
    yield check_alerts(settings)
    database = await _check_database(settings)
    yield database
    try:
        operator = operator_address(settings)
        async with installed(settings) as installation:
            for chain in installation.each_chain:
                records = database.verdict is Verdict.OK
                async for finding in _examine_chain(installation, chain, operator, records=records):
                    yield finding
    except ConfigurationError as error:
        yield Finding(verdict=Verdict.FAIL, subject="settings", words=str(error))


def check_public_url(settings: Settings) -> Finding:
    """Whether customers can be sent to the checkout page under this URL."""

    def finding(verdict: Verdict, words: str) -> Finding:
        return Finding(verdict=verdict, subject="public URL", words=words)

    url = urlsplit(settings.base_url)
    if not url.hostname or url.username or url.query or url.fragment:
        return finding(Verdict.FAIL, f"{settings.base_url} is no address of a server: set OPENPAY_PUBLIC_URL")
    if url.hostname in LOOPBACK:
        return finding(
            Verdict.WARN, f"{settings.base_url} is this machine alone: set OPENPAY_PUBLIC_URL to where customers go"
        )
    if url.scheme != "https":
        return finding(Verdict.FAIL, f"{settings.base_url} is not https: whoever is in between can change the address")
    return finding(Verdict.OK, settings.base_url)


def check_alerts(settings: Settings) -> Finding:
    """Whether anybody would hear that payments stand still."""
    if settings.alert_webhook_url is None:
        words = "nobody is told when something is wrong: set OPENPAY_ALERT_WEBHOOK_URL"
        return Finding(verdict=Verdict.WARN, subject="alerts", words=words)
    host = urlsplit(settings.alert_webhook_url.get_secret_value()).hostname
    if settings.alert_webhook_secret is None:
        words = f"sent to {host}, unsigned (OPENPAY_ALERT_WEBHOOK_SECRET would sign them)"
    else:
        words = f"sent to {host}, signed"
    return Finding(verdict=Verdict.OK, subject="alerts", words=f"{words}; try it: openpay alerts --test")


async def _check_database(settings: Settings) -> Finding:
    try:
        await schema.check(settings.database_url)
    except ConfigurationError as error:
        return Finding(verdict=Verdict.FAIL, subject="database", words=str(error))
    return Finding(verdict=Verdict.OK, subject="database", words=f"schema {schema.CURRENT}")


async def _examine_chain(
    installation: Installation, chain: Chain, operator: bytes, *, records: bool
) -> AsyncIterator[Finding]:
    """`records`: the database can be asked too."""
    pool = installation.pools[chain.chain_id]
    examination = _Examination(chain, pool)
    reachable = 0
    for host, word in (await pool.ask_hosts(_head)).items():
        if isinstance(word, int):
            reachable += 1
            yield examination.ok(f"node {host}", f"answers; its head is block {word}")
        else:
            yield examination.fail(f"node {host}", f"{word}: check the RPC URLs")
    if not reachable:
        return
    if len(pool.hosts) == 1:
        yield examination.warn("nodes", "only one host: add the URL of a second one, to contradict it when it is wrong")
    escrow = await examination.tried("escrow", examination.escrow())
    yield escrow
    for token in chain.tokens:
        if escrow.verdict is Verdict.OK:
            yield await examination.tried(f"{token.symbol} in the escrow", examination.listing(token))
        if token.contract is not None:
            yield await examination.tried(f"{token.symbol} contract", examination.token(token, token.contract))
        for feed in (token.feed, token.peg_feed):
            if feed is not None:
                yield await examination.tried(f"{token.symbol} feed", examination.feed(token, feed))
    yield await examination.tried("operator", examination.operator(operator))
    if records:
        since = installation.wall.now() - GAS_RATE_DAYS * 86_400
        async with installation.store.read() as uow:
            spent_wei = await uow.operations.fees_since(chain.chain_id, since)
        yield await examination.tried("gas", examination.gas_left(operator, spent_wei))


async def _head(endpoint: Endpoint) -> int:
    return read_quantity((await endpoint.call(reads.header("latest"))).number)


class _Examination:
    """The checks of one chain."""

    def __init__(self, chain: Chain, pool: Pool) -> None:
        self._chain = chain
        self._pool = pool

    async def tried(self, subject: str, check: Awaitable[Finding]) -> Finding:
        """The check's finding; a node or contract that does not answer as it should is one too."""
        try:
            return await check
        except (ChainUnavailable, Unlike) as error:
            return self.fail(subject, f"{error}: check the chain file and the nodes")

    async def escrow(self) -> Finding:
        address = to_checksum(self._chain.escrow)
        if not await inspect.has_code(self._pool, self._chain.escrow):
            return self.fail("escrow", f"no contract at {address}: set OPENPAY_LIVE_ESCROW or OPENPAY_TEST_ESCROW")
        return self.ok("escrow", address)

    async def listing(self, token: Token) -> Finding:
        """Terms name assets by index: another asset there would be paid in the wrong currency."""
        subject = f"{token.symbol} in the escrow"
        listed = await inspect.listed_asset(self._pool, self._chain.escrow, token.asset_index)
        comparisons = {
            "contract": (listed.contract[-20:].hex(), address_word(token.contract)[-20:].hex()),
            "feed": (listed.feed[-20:].hex(), address_word(token.feed)[-20:].hex()),
            "age of a price": (listed.max_age_s, token.max_feed_age_s),
            "decimals": (listed.token_decimals, token.decimals),
        }
        wrong = [f"{what} {there}, not {here}" for what, (there, here) in comparisons.items() if there != here]
        if wrong:
            return self.fail(
                subject, f"index {token.asset_index} has {'; '.join(wrong)}: correct the chain file, or list it anew"
            )
        return self.ok(subject, f"index {token.asset_index}, as in the chain file")

    async def token(self, token: Token, contract: bytes) -> Finding:
        subject = f"{token.symbol} contract"
        facts = await inspect.token_facts(self._pool, contract)
        if facts.decimals != token.decimals:
            return self.fail(
                subject, f"has {facts.decimals} decimals, the chain file says {token.decimals}: correct the chain file"
            )
        if facts.symbol != token.symbol:
            return self.warn(subject, f"calls itself {facts.symbol!r}: is {to_checksum(contract)} the token you mean?")
        return self.ok(subject, f"{to_checksum(contract)}, {facts.decimals} decimals")

    async def feed(self, token: Token, feed: bytes) -> Finding:
        subject = f"{token.symbol} feed"
        facts = await inspect.feed_facts(self._pool, feed)
        if facts.description.replace(" ", "") != f"{token.symbol}/USD":
            return self.fail(
                subject, f"{to_checksum(feed)} is {facts.description!r}, not {token.symbol} / USD: check the chain file"
            )
        age_s = read_quantity((await self._pool.call(reads.header("latest"))).timestamp) - facts.updated_at
        words = f"{facts.description}, {facts.decimals} decimals, {age_s} s old"
        if feed == token.feed and age_s > token.max_feed_age_s:
            return self.warn(
                subject, f"{words}, over {token.max_feed_age_s} s: {token.symbol} is not on offer until it is updated"
            )
        return self.ok(subject, words)

    async def operator(self, operator: bytes) -> Finding:
        wei = read_quantity(await self._pool.call(reads.balance(operator, "latest")))
        settlements = wei // (SETTLE_GAS * await gas_price_to_pay(self._pool))
        words = f"{to_checksum(operator)} has {wei / WEI_PER_BNB:.6g} BNB, enough for {settlements} settlements today"
        if settlements < FEW_SETTLEMENTS:
            verdict = self.warn if settlements > 1 else self.fail
            return verdict("operator", f"{words}: send it some BNB")
        return self.ok("operator", words)

    async def gas_left(self, operator: bytes, spent_wei: int) -> Finding:
        """How long the operator's BNB lasts if the coming days cost what the last ones did (`spent_wei`)."""
        if not spent_wei:
            return self.ok("gas", f"nothing was spent in the last {GAS_RATE_DAYS} days")
        wei = read_quantity(await self._pool.call(reads.balance(operator, "latest")))
        days = wei * GAS_RATE_DAYS // spent_wei
        a_day = spent_wei / GAS_RATE_DAYS / WEI_PER_BNB
        words = f"lasts about {days} days at the last {GAS_RATE_DAYS} days' rate of {a_day:.6g} BNB a day"
        return self.ok("gas", words) if days >= FEW_DAYS else self.warn("gas", f"{words}: send the operator some BNB")

    def ok(self, subject: str, words: str) -> Finding:
        return self._finding(Verdict.OK, subject, words)

    def warn(self, subject: str, words: str) -> Finding:
        return self._finding(Verdict.WARN, subject, words)

    def fail(self, subject: str, words: str) -> Finding:
        return self._finding(Verdict.FAIL, subject, words)

    def _finding(self, verdict: Verdict, subject: str, words: str) -> Finding:
        return Finding(verdict=verdict, subject=f"chain {self._chain.chain_id}, {subject}", words=words)
