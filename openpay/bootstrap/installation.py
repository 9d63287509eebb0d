"""What every role is built from: settings, database, chains and clocks, opened once per process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from openpay.app.alerts import Alarms
from openpay.app.clock import SystemClock
from openpay.app.payments import PaymentService
from openpay.app.ports import Clock
from openpay.app.sealing import Sealer
from openpay.app.signals import Signals
from openpay.chain.escrow import EscrowClient
from openpay.chain.keystore import keystore_address, read_keystore
from openpay.chain.pool import Pool, connect_to
from openpay.chain.quotes import QuoteCache, Source
from openpay.chain.signing import Signer
from openpay.chain.spec import load_chain
from openpay.config import Settings
from openpay.domain.address import parse_address, to_checksum
from openpay.domain.alerts import Alarm
from openpay.domain.chains import Chain
from openpay.errors import ConfigurationError, Invalid
from openpay.store import Store

if TYPE_CHECKING:
    from watcher.metrics import WatcherMetrics


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Everything the roles share. `chains` by livemode; pools and escrows by chain id.

    `clock` is the time of payments (the local chain's in `openpay dev`), `wall` the server's.
    """

    settings: Settings
    store: Store
    chains: Mapping[bool, Chain]
    pools: Mapping[int, Pool]
    escrows: Mapping[int, EscrowClient]
    quotes: QuoteCache
    payments: PaymentService
    signals: Signals
    clock: Clock
    wall: Clock
    alarms: Alarms
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    """What this process counts."""

    @cached_property
    def sealer(self) -> Sealer:
        """Made when first used: only the API and the webhooks need the passphrase. Raises `ConfigurationError`."""
        return Sealer(self.settings.require_secret())

    @cached_property
    def watcher_metrics(self) -> WatcherMetrics:
        """Made when first used: only the watcher counts there."""
        from watcher.metrics import WatcherMetrics

        return WatcherMetrics(self.registry)

    @property
    def each_chain(self) -> list[Chain]:
        """The chains in use, each once, though both modes may share one."""
        return list({chain.chain_id: chain for chain in self.chains.values()}.values())

    def warnings(self) -> list[str]:
        """What works but should not stay so."""
        return [
            f"chain {chain_id} is read through one host only: nothing contradicts it about which blocks are real"
            for chain_id, pool in self.pools.items()
            if len(pool.hosts) == 1
        ]


def configured_chains(settings: Settings) -> dict[bool, Chain]:
    """The chain of each configured mode. Raises `ConfigurationError`, also when there is none at all."""
    named = {
        True: (settings.live_chain, settings.live_escrow),
        False: (settings.test_chain, settings.test_escrow),
    }
    chains = {mode: load_chain(name, escrow=escrow) for mode, (name, escrow) in named.items() if name is not None}
    if not chains:
        raise ConfigurationError(
            "no chain is configured: set OPENPAY_LIVE_CHAIN and OPENPAY_LIVE_RPC_URLS, or the same with TEST"
        )
    if settings.confirmations is None:
        return chains
    return {mode: replace(chain, confirmations=settings.confirmations) for mode, chain in chains.items()}


def chosen_chain(chains: Mapping[bool, Chain], name: str | None) -> Chain:
    """The configured chain that is meant by `live`, `test` or a chain id; without a name the only one there is. Raises
    `Invalid`."""
    by_id = {chain.chain_id: chain for chain in chains.values()}
    if name is None:
        if len(by_id) == 1:
            return next(iter(by_id.values()))
        raise Invalid("two chains are configured: say which with --chain live or --chain test", code="chain_missing")
    by_name = {("live" if mode else "test"): chain for mode, chain in chains.items()}
    by_name |= {str(chain_id): chain for chain_id, chain in by_id.items()}
    if name not in by_name:
        raise Invalid(f"--chain {name} is not configured: there is {', '.join(by_name)}", code="chain_unknown")
    return by_name[name]


def operator_signer(settings: Settings) -> Signer:
    """The key that settles; opening a keystore takes a second. Raises `ConfigurationError`, also when it is not the key
    of the operator's address."""
    if settings.operator_keystore is not None:
        signer, source = _signer_from_keystore(settings, settings.operator_keystore), "OPENPAY_OPERATOR_KEYSTORE"
    elif settings.operator_key is not None:
        signer, source = _signer_from_key(settings.operator_key.get_secret_value()), "OPENPAY_OPERATOR_KEY"
    else:
        raise ConfigurationError(
            "OPENPAY_OPERATOR_KEY is missing (or OPENPAY_OPERATOR_KEYSTORE): the settler pays gas with this key"
        )
    named = _named_operator(settings)
    if named not in (None, signer.address):
        raise ConfigurationError(
            f"{source} is the key of {to_checksum(signer.address)}, "
            f"but OPENPAY_OPERATOR_ADDRESS is {settings.operator_address}"
        )
    return signer


def _signer_from_key(key: str) -> Signer:
    try:
        return Signer(bytes.fromhex(key.removeprefix("0x")))
    except (ValueError, ConfigurationError):  # whose words may quote the key
        raise ConfigurationError("OPENPAY_OPERATOR_KEY is no private key: write 0x and 64 hex digits") from None


def _signer_from_keystore(settings: Settings, path: Path) -> Signer:
    if settings.operator_key is not None:
        raise ConfigurationError("set OPENPAY_OPERATOR_KEY or OPENPAY_OPERATOR_KEYSTORE, not both")
    password = keystore_password(settings)
    if password is None:
        raise ConfigurationError(
            "OPENPAY_OPERATOR_KEYSTORE needs OPENPAY_OPERATOR_KEYSTORE_PASSWORD, or that password in a file named by "
            "OPENPAY_OPERATOR_KEYSTORE_PASSWORD_FILE"
        )
    return Signer(read_keystore(path, password))


def keystore_password(settings: Settings) -> str | None:
    """The keystore's password, where one is set. Raises `ConfigurationError`."""
    if settings.operator_keystore_password is not None:
        return settings.operator_keystore_password.get_secret_value()
    file = settings.operator_keystore_password_file
    if file is None:
        return None
    try:
        return file.read_text().partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise ConfigurationError(f"OPENPAY_OPERATOR_KEYSTORE_PASSWORD_FILE: {file}: {error.strerror}") from error
    except UnicodeDecodeError:  # whose words quote the password
        raise ConfigurationError(f"OPENPAY_OPERATOR_KEYSTORE_PASSWORD_FILE: {file} is not UTF-8 text") from None


def operator_address(settings: Settings) -> bytes:
    """The address that terms name as operator; no password is needed for it. Raises `ConfigurationError`."""
    if settings.operator_key is not None:
        return operator_signer(settings).address
    address = _named_operator(settings)
    if address is None and settings.operator_keystore is not None:
        address = keystore_address(settings.operator_keystore)
    if address is None:
        raise ConfigurationError(
            "set OPENPAY_OPERATOR_ADDRESS (or OPENPAY_OPERATOR_KEY): every payment's terms name who may settle it late"
        )
    return address


def _named_operator(settings: Settings) -> bytes | None:
    if settings.operator_address is None:
        return None
    try:
        return parse_address(settings.operator_address, param="OPENPAY_OPERATOR_ADDRESS")
    except Invalid as error:
        raise ConfigurationError(f"OPENPAY_OPERATOR_ADDRESS: {error}") from error


@asynccontextmanager
async def installed(
    settings: Settings,
    *,
    chains: Mapping[bool, Chain] | None = None,
    pools: Mapping[int, Pool] | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Installation]:
    """Open the database and the chains' nodes; close them at the end. Nothing is asked of either yet.

    `chains`, `pools` and `clock` replace what the settings say, for the local chain of `openpay dev`.
    Raises `ConfigurationError`.
    """
    chains = dict(chains or configured_chains(settings))
    operator = operator_address(settings)
    clock = clock or SystemClock()
    wall = SystemClock()
    signals = Signals()
    async with AsyncExitStack() as stack:
        store = Store.open(settings.database_url)
        stack.push_async_callback(store.close)
        alarms = Alarms(
            store,
            list(chains.values()),
            clock=clock,
            wall=wall,
            signals=signals,
            notify=settings.alert_webhook_url is not None,
        )
        if pools is None:
            pools = await open_pools(settings, chains, stack, alarm=alarms)
        by_id = {chain.chain_id: chain for chain in chains.values()}
        escrows = {id_: EscrowClient(pools[id_], chain, operator=operator) for id_, chain in by_id.items()}
        quotes = QuoteCache(
            [Source(chain=chain, pool=pools[id_]) for id_, chain in by_id.items()],
            clock=clock,
            peg_tolerance_bps=settings.peg_tolerance_bps,
        )
        yield Installation(
            settings=settings,
            store=store,
            chains=chains,
            pools=pools,
            escrows=escrows,
            quotes=quotes,
            payments=PaymentService(
                chains=chains, operators=dict.fromkeys(by_id, operator), quotes=quotes, clock=clock, wall=wall
            ),
            signals=signals,
            clock=clock,
            wall=wall,
            alarms=alarms,
        )


async def open_pools(
    settings: Settings, chains: Mapping[bool, Chain], stack: AsyncExitStack, *, alarm: Alarm | None = None
) -> dict[int, Pool]:
    """The nodes of each chain, by chain id, until `stack` closes. Raises `ConfigurationError`."""
    urls = {True: settings.live_rpc_urls, False: settings.test_rpc_urls}
    nodes: dict[int, list[str]] = {}
    facts: dict[int, Chain] = {}
    for mode, chain in chains.items():
        nodes.setdefault(chain.chain_id, []).extend(urls[mode])
        if facts.setdefault(chain.chain_id, chain) != chain:
            raise ConfigurationError(
                f"live and test mode describe chain {chain.chain_id} differently: use one chain file for both"
            )
    return {
        chain_id: await stack.enter_async_context(connect_to(chain, list(dict.fromkeys(nodes[chain_id])), alarm=alarm))
        for chain_id, chain in facts.items()
    }


def describe(installation: Installation) -> str:
    """One line for the log: what this process works on."""
    modes = ", ".join(
        f"{'live' if mode else 'test'} on chain {chain.chain_id} (escrow {to_checksum(chain.escrow)})"
        for mode, chain in installation.chains.items()
    )
    return f"{modes}; {installation.store}"
