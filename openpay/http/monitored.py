"""What a process tells to monitoring: what is recorded, and how it finds the nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from openpay.app.lag import lag_s
from openpay.app.ports import Clock, Database, Quotes
from openpay.app.records import Cursor
from openpay.domain.alerts import Alert
from openpay.domain.chains import Chain


@dataclass(frozen=True, kw_only=True)
class EndpointStanding:
    """A node as this process has found it. `faults` counts them by name since the start."""

    host: str
    """host:port, never the URL, which may hold a key."""
    transport: str
    state: str
    usable: bool
    latency_s: float | None
    faults: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Monitored:
    """What there is to tell. `quotes` None: this process looks after no prices. `endpoints` by chain id.

    `clock` is the time of payments, `wall_clock` the server's own.
    """

    db: Database
    chains: Mapping[bool, Chain]
    clock: Clock
    wall_clock: Clock
    quotes: Quotes | None = None
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    warnings: Callable[[], Sequence[str]] = tuple
    endpoints: Callable[[], Mapping[int, Sequence[EndpointStanding]]] = dict


@dataclass(frozen=True, kw_only=True)
class ChainState:
    """One configured chain, which modes use it, and how far it was read. `cursor` None: not at all."""

    chain: Chain
    modes: tuple[str, ...]
    cursor: Cursor | None
    covered_from: int | None


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the database says at one moment."""

    chains: list[ChainState]
    alerts: list[Alert]


async def read(monitored: Monitored) -> Recorded:
    """Raises `DatabaseBusy`."""
    modes: dict[int, list[str]] = {}
    for livemode, chain in monitored.chains.items():
        modes.setdefault(chain.chain_id, []).append("live" if livemode else "test")
    states = []
    async with monitored.db.read() as uow:
        for chain in {chain.chain_id: chain for chain in monitored.chains.values()}.values():
            covered = await uow.chain.covered(chain.chain_id)
            states.append(
                ChainState(
                    chain=chain,
                    modes=tuple(modes[chain.chain_id]),
                    cursor=await uow.chain.cursor(chain.chain_id),
                    covered_from=None if covered is None else covered[0],
                )
            )
        return Recorded(chains=states, alerts=await uow.alerts.open())


def view_age_s(cursor: Cursor, chain: Chain, monitored: Monitored) -> int:
    return lag_s(cursor, chain, now=monitored.clock.now(), wall_now=monitored.wall_clock.now())


def price_ages(chain: Chain, monitored: Monitored) -> Mapping[str, int | None]:
    """For each token that a feed prices, how old the round is that a payment would name now; None without one."""
    if monitored.quotes is None:
        return {}
    quotes = {token.symbol: monitored.quotes.price(chain.chain_id, token) for token in chain.tokens if token.feed}
    now = monitored.clock.now()
    return {symbol: None if quote is None else max(0, now - quote.updated_at) for symbol, quote in quotes.items()}
