"""The roles, built from an installation: all in one process (`openpay up`) or each alone. They meet in the database.

Each is imported where it is built: a process does not load what it does not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from functools import wraps
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from openpay.app.schedules import run_schedules
from openpay.bootstrap.alerting import alerting
from openpay.bootstrap.descriptors import allow_connections
from openpay.bootstrap.garbage import spare_what_stays
from openpay.bootstrap.installation import Installation, operator_signer
from openpay.bootstrap.listening import listening
from openpay.bootstrap.monitoring import endpoint_standings, serve_monitoring
from openpay.bootstrap.role import Role
from openpay.chain.escrow import TreasuryBalances
from openpay.chain.looking import NodeTransactions
from openpay.config import Settings
from openpay.domain.chains import Chain
from openpay.errors import OpenPayError, ReorgBelowFinality
from openpay.store.leader import leadership

if TYPE_CHECKING:
    from openpay.settlement import FeePolicy

IDEMPOTENCY_KEPT_S = 86_400
WEI_PER_GWEI = 10**9
WEI_PER_BNB = 10**18
PRICE_REFRESH_S = 10.0
SCHEDULES_EVERY_S = 30

_log = structlog.get_logger(__name__)


def build_web(installation: Installation, *, home: str | None = None) -> web.Application:
    """The API with the checkout page mounted at /checkout. `home`: the path that `/` leads to, if to any."""
    import checkout_web
    from openpay import api
    from openpay.http import HttpSettings, RateLimit

    settings = installation.settings
    per_minute = settings.rate_limit_per_minute
    limit = None if per_minute is None else RateLimit(requests=per_minute, window_s=60)
    app = api.build_app(
        api.ApiDeps(
            db=installation.store,
            payments=installation.payments,
            chains=installation.chains,
            balances=TreasuryBalances(installation.escrows),
            clock=installation.clock,
            wall_clock=installation.wall,
            sealer=installation.sealer,
            signals=installation.signals,
            public_url=settings.base_url,
            http=HttpSettings(
                per_key=limit,
                per_address=limit,
                trusted_proxies=settings.trusted_proxies,
                https=urlsplit(settings.base_url).scheme == "https",
            ),
            allow_insecure_webhooks=settings.allow_insecure_webhooks,
            home=home,
            warnings=installation.warnings,
            registry=installation.registry,
            endpoints=lambda: endpoint_standings(installation),
        )
    )
    page = checkout_web.build_app(
        checkout_web.Deps(
            db=installation.store,
            payments=installation.payments,
            signals=installation.signals,
            public_url=settings.base_url,
            transactions=NodeTransactions(installation.pools),
        )
    )
    app.add_subapp("/checkout", page)
    return app


async def run(
    installation: Installation,
    roles: Iterable[Role],
    stop: asyncio.Event,
    *,
    price_refresh_s: float = PRICE_REFRESH_S,
    on_listening: Callable[[str], Awaitable[None]] | None = None,
    mounts: Mapping[str, web.Application] | None = None,
) -> None:
    """Run `roles` until `stop` is set. A role that fails for good stops the others and raises - but for the watcher of
    one of several chains that finds a reorg below finality, which is the end of that one alone.

    `on_listening` is awaited with the server's URL once it accepts connections. `mounts` are applications of a
    development server's own, by their prefix; `/` leads to the first.
    """
    wanted = frozenset(roles)
    scheduler = _scheduler(installation, wanted, price_refresh_s)
    if wanted & {Role.API, Role.WEBHOOKS}:
        # Deriving the key takes a quarter of a second by design: now, rather than in the first request.
        await asyncio.to_thread(installation.sealer.seal, b"", "start")
    async with alerting(installation), asyncio.TaskGroup() as tasks:

        async def until_failure(part: str, work: Awaitable[None]) -> None:
            try:
                await work
            except BaseException as error:
                stop.set()
                if isinstance(error, Exception) and Role.WATCHER in wanted:
                    for chain in installation.each_chain:  # all parts of a process end together
                        installation.alarms.stopped(chain.chain_id, f"the {part} failed for good: {error}")
                raise

        following = {chain.chain_id for chain in installation.each_chain}

        async def watch(chain: Chain) -> None:
            try:
                await _lead(installation, f"watcher:{chain.chain_id}", _watch, chain, stop)
            except ReorgBelowFinality as error:
                following.discard(chain.chain_id)
                if not following:
                    raise
                # A person has to look at this chain; payments on the other one have nothing to do with it.
                installation.alarms.stopped(chain.chain_id, str(error))

        def start(part: str, work: Awaitable[None]) -> None:
            tasks.create_task(until_failure(part, work), name=part)

        if (port := installation.settings.metrics_port) is not None:
            start("monitoring", serve_monitoring(installation, port, stop))
        if Role.API in wanted:
            await installation.quotes.refresh()
            start("api", _serve(installation, stop, on_listening, mounts or {}))
        if Role.WEBHOOKS in wanted:
            start("webhooks", _dispatch(installation, stop))
        for chain in installation.each_chain:
            if Role.WATCHER in wanted:
                start("watcher", watch(chain))
            if Role.SETTLER in wanted:
                start("settler", _lead(installation, f"settler:{chain.chain_id}", _settle, chain, stop))
        scheduler.start()
        settling = spare_what_stays()
        try:
            await stop.wait()
        finally:
            settling.cancel()
            scheduler.shutdown(wait=False)


async def _dispatch(installation: Installation, stop: asyncio.Event) -> None:
    from openpay.webhooks import Dispatcher

    dispatcher = Dispatcher(
        installation.store,
        sealer=installation.sealer,
        signals=installation.signals,
        allow_insecure=installation.settings.allow_insecure_webhooks,
    )
    await dispatcher.run(stop)


async def _lead(
    installation: Installation,
    role: str,
    work: Callable[[Installation, Chain, asyncio.Event], Awaitable[None]],
    chain: Chain,
    stop: asyncio.Event,
) -> None:
    while not stop.is_set():
        async with leadership(installation.settings.database_url, role, stop) as over:
            if not over.is_set():
                await work(installation, chain, over)


async def _watch(installation: Installation, chain: Chain, stop: asyncio.Event) -> None:
    from watcher.daemon import Watcher

    watcher = Watcher(
        chain,
        installation.pools[chain.chain_id],
        installation.store,
        installation.escrows[chain.chain_id],
        signals=installation.signals,
        wall=installation.wall,
        alarm=installation.alarms,
        metrics=installation.watcher_metrics.of(chain.chain_id),
    )
    with installation.alarms.watching(chain.chain_id):
        await watcher.run(stop)


async def _settle(installation: Installation, chain: Chain, stop: asyncio.Event) -> None:
    from openpay.settlement import Batching, Settler

    settings = installation.settings
    settler = Settler(
        chain,
        installation.pools[chain.chain_id],
        installation.store,
        signer=await asyncio.to_thread(operator_signer, installation.settings),
        signals=installation.signals,
        wall=installation.wall,
        batching=Batching(size=settings.settle_batch_size, max_age_s=settings.settle_max_age_s),
        fees=fee_policy(settings),
    )
    await settler.run(stop)


def fee_policy(settings: Settings) -> FeePolicy:
    """The caps on gas, in wei."""
    from openpay.settlement import FeePolicy

    return FeePolicy(
        max_gas_price=_wei(settings.max_gas_price_gwei, WEI_PER_GWEI),
        max_per_transaction=_wei(settings.max_gas_per_transaction_bnb, WEI_PER_BNB),
        max_per_day=_wei(settings.max_gas_per_day_bnb, WEI_PER_BNB),
    )


def _wei(amount: Decimal | None, unit: int) -> int | None:
    return None if amount is None else int(amount * unit)


async def _serve(
    installation: Installation,
    stop: asyncio.Event,
    on_listening: Callable[[str], Awaitable[None]] | None,
    mounts: Mapping[str, web.Application],
) -> None:
    settings = installation.settings
    app, named = build_web(installation, home=next(iter(mounts), None)), "OPENPAY_HOST and OPENPAY_PORT"
    allow_connections()
    for prefix, mounted in mounts.items():
        app.add_subapp(prefix, mounted)
    async with listening(app, settings.host, settings.port, settings=named) as url:
        _log.info("listening", url=url, public_url=settings.base_url)
        if on_listening is not None:
            await on_listening(settings.base_url)
        await stop.wait()


def _scheduler(installation: Installation, roles: frozenset[Role], price_refresh_s: float) -> AsyncIOScheduler:
    """Periodic work. Each job may be late or run twice without harm."""
    scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})

    async def forget_idempotency_keys() -> None:
        async with installation.store.write() as uow:
            await uow.idempotency.forget_before(installation.wall.now() - IDEMPOTENCY_KEPT_S)

    async def withdraw_by_schedule() -> None:
        await run_schedules(
            installation.store,
            TreasuryBalances(installation.escrows),
            installation.chains,
            clock=installation.clock,
            signals=installation.signals,
        )

    if Role.SETTLER in roles:
        scheduler.add_job(_job(withdraw_by_schedule), "interval", seconds=SCHEDULES_EVERY_S)
    if Role.API in roles:
        scheduler.add_job(_job(installation.quotes.refresh), "interval", seconds=price_refresh_s)
        scheduler.add_job(_job(forget_idempotency_keys), "interval", hours=1)
    return scheduler


def _job(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Periodic work whose failures are one line in the log: its next turn tries again. Being stopped amid it is no
    failure. A bug keeps its trace."""

    @wraps(work)
    async def turn() -> None:
        try:
            await work()
        except asyncio.CancelledError:
            return
        except OpenPayError as error:
            _log.warning("periodic work failed, its next turn tries again", work=work.__name__, reason=str(error))

    return turn
