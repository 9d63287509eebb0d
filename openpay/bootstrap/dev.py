"""`openpay dev`: everything on a local chain, in one process, and the file by which scripts find it."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from openpay.app.alerts import Forwarding
from openpay.app.merchants import Caller, authenticate, change_page, create_merchant, issue_key
from openpay.app.webhooks import ensure_signing_key, public_key
from openpay.bootstrap.installation import Installation, installed
from openpay.bootstrap.role import Role
from openpay.bootstrap.roles import run
from openpay.bootstrap.state_dir import (
    CHAIN_FILE,
    Kept,
    alone_in,
    load_kept,
    read_dev_json,
    remove_state,
    save_kept,
    write_atomically,
)
from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.clock import ChainClock
from openpay.chain.pool import Pool, connect
from openpay.chain.spec import save_chain
from openpay.config import given_settings
from openpay.devnet import demo
from openpay.devnet.accounts import DevAccount
from openpay.devnet.deployment import Deployment, deploy
from openpay.devnet.feed_keeper import FeedKeeper
from openpay.devnet.node import CHAIN_ID, run_node
from openpay.devnet.shop import ShopFacts, build_shop
from openpay.domain.address import to_checksum
from openpay.domain.alerts import Alarm
from openpay.domain.origins import MAX_EMBED_ORIGINS
from openpay.errors import ChainUnavailable, ConfigurationError, Unauthorized
from openpay.store import migrate

Echo = Callable[[str], None]

HOST = "127.0.0.1"
CLOCK_REFRESH_S = 0.25
READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class DevOptions:
    """What `openpay dev` is asked for. Without `rpc_urls` it starts a node of its own."""

    port: int
    state_dir: Path
    block_time_s: float
    rpc_urls: tuple[str, ...]
    confirmations: int
    reset: bool


async def run_dev(options: DevOptions, stop: asyncio.Event, *, echo: Echo, ready: asyncio.Event | None = None) -> None:
    """Run until `stop` is set. `dev.json` exists (and `ready` is set) from when payments can be made until the end.

    Raises `ConfigurationError`.
    """
    directory = options.state_dir
    async with alone_in(directory):
        if options.reset:
            remove_state(directory)
        ready_file = directory / "dev.json"
        ready_file.unlink(missing_ok=True)
        try:
            with _held_port(options.port) as port:
                options = replace(options, port=port)
                echo(f"Starting everything in {directory} …")
                started = asyncio.Event()
                alarm = Forwarding()
                async with _interrupted_by(stop, unless=started), _chain(options, alarm) as (pool, rpc_urls):
                    await _run_on(
                        options, pool, rpc_urls, alarm, stop, started, ready_file, echo, ready or asyncio.Event()
                    )
        finally:
            ready_file.unlink(missing_ok=True)


async def _run_on(
    options: DevOptions,
    pool: Pool,
    rpc_urls: tuple[str, ...],
    alarm: Forwarding,
    stop: asyncio.Event,
    started: asyncio.Event,
    ready_file: Path,
    echo: Echo,
    ready: asyncio.Event,
) -> None:
    clock = ChainClock(pool)
    try:
        deployment = await deploy(
            pool, chain_id=CHAIN_ID, confirmations=options.confirmations, block_interval_s=options.block_time_s
        )
        await clock.refresh()
    except ChainUnavailable as error:
        raise ConfigurationError(f"the contracts could not be deployed on {', '.join(rpc_urls)}: {error}") from error
    kept = load_kept(options.state_dir)
    # What is set for production, in the environment or in a .env, must not leak into the sandbox.
    settings = given_settings(
        database_url=f"sqlite:///{options.state_dir.resolve() / 'openpay.db'}",
        host=HOST,
        port=options.port,
        secret=kept.secret,
        operator_key="0x" + deployment.operator.private_key.hex(),
        # Gas costs nothing here, and a simulation may settle a year's payments in a day.
        max_gas_price_gwei=None,
        max_gas_per_transaction_bnb=None,
        max_gas_per_day_bnb=None,
        allow_insecure_webhooks=True,
    )
    await asyncio.to_thread(migrate.upgrade, settings.database_url)
    # A wallet in the developer's browser does not know this chain, and may read it from the same node.
    public = tuple(url for url in rpc_urls if url.startswith("http"))
    chain = replace(deployment.chain, public_rpc_urls=public)
    async with installed(
        settings, chains={True: chain, False: chain}, pools={chain.chain_id: pool}, clock=clock
    ) as installation:
        alarm.to = installation.alarms
        await _refuse_another_chain(installation, options.state_dir)
        merchant = await _demo_merchant(installation, deployment, kept, options.state_dir)
        shop = build_shop(
            ShopFacts(
                url=settings.base_url,
                api_key=merchant.api_key,
                webhook_public_key=merchant.webhook_public_key,
                pool=pool,
                chain_id=chain.chain_id,
                customer=deployment.customer.signer,
            )
        )

        async def announce(url: str) -> None:
            await _until_payable(installation, stop)
            if stop.is_set():
                return
            save_chain(chain, options.state_dir / CHAIN_FILE)
            write_atomically(ready_file, _dev_json(url, rpc_urls, deployment, merchant))
            echo(_greeting(url, rpc_urls, merchant.api_key, options.state_dir))
            ready.set()

        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(_keep_time(clock, stop)),
                tasks.create_task(FeedKeeper(deployment, pool).run(stop)),
            ]
            started.set()
            try:
                await run(installation, Role, stop, price_refresh_s=1.0, on_listening=announce, mounts={"/demo": shop})
            finally:
                stop.set()
                for helper in helpers:
                    helper.cancel()


async def run_demo(state_dir: Path | None, *, block_time_s: float, echo: Echo) -> bool:
    """The main job once, in USDT and in BNB, against a running `openpay dev` or one of its own; whether all of it
    happened. Raises `ConfigurationError` when `state_dir` names no running one.
    """
    if state_dir is not None:
        return await demo.run(read_dev_json(state_dir), echo=echo)
    with tempfile.TemporaryDirectory(prefix="openpay-demo-") as directory:
        options = DevOptions(
            port=0,
            state_dir=Path(directory),
            block_time_s=block_time_s,
            rpc_urls=(),
            confirmations=12,
            reset=False,
        )
        stop, ready = asyncio.Event(), asyncio.Event()

        async def show() -> bool:
            await ready.wait()
            try:
                return await demo.run(read_dev_json(options.state_dir), echo=echo)
            finally:
                stop.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_dev(options, stop, echo=lambda _: None, ready=ready))
            shown = tasks.create_task(show())
        return shown.result()


@asynccontextmanager
async def _chain(options: DevOptions, alarm: Alarm) -> AsyncIterator[tuple[Pool, tuple[str, ...]]]:
    async with AsyncExitStack() as stack:
        urls = options.rpc_urls
        if not urls:
            node = await stack.enter_async_context(
                run_node(options.state_dir / "chain", block_time_s=options.block_time_s)
            )
            urls = (node.rpc_url,)
        yield await stack.enter_async_context(connect(list(urls), chain_id=CHAIN_ID, alarm=alarm)), urls


@asynccontextmanager
async def _interrupted_by(stop: asyncio.Event, *, unless: asyncio.Event) -> AsyncIterator[None]:
    """Leave the block at once when `stop` comes before `unless` is set: nothing in it needs an orderly end yet."""
    body = cast("asyncio.Task[None]", asyncio.current_task())
    interrupted = False

    async def interrupt() -> None:
        nonlocal interrupted
        await stop.wait()
        if not unless.is_set():
            interrupted = True
            body.cancel()

    waiting = asyncio.create_task(interrupt())
    try:
        yield
    except asyncio.CancelledError:
        if not interrupted or body.uncancel():
            raise
    finally:
        waiting.cancel()


def _greeting(url: str, rpc_urls: tuple[str, ...], api_key: str, directory: Path) -> str:
    return f"""Open Pay is running.

  API and checkout  {url} (reference: {url}/docs)
  a shop to try     {url}/demo
  local chain       {rpc_urls[0]}
  API key           {api_key}
  for scripts       {directory / "dev.json"}

Watch an order being paid: openpay demo --state-dir {directory}
Stop with Ctrl-C; chain and payments are kept."""


# --- the demo merchant -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _DemoMerchant:
    id: str
    account: DevAccount
    api_key: str
    test_api_key: str
    webhook_public_key: str


async def _demo_merchant(
    installation: Installation, deployment: Deployment, kept: Kept, directory: Path
) -> _DemoMerchant:
    """The merchant of an earlier run if its keys still open the database, else a new one."""
    now = installation.wall.now()
    async with installation.store.write() as uow:
        callers: dict[bool, Caller] = {}
        with suppress(Unauthorized):
            for livemode, secret in ((True, kept.api_key), (False, kept.test_api_key)):
                callers[livemode] = await authenticate(uow, secret or "")
        if len(callers) != 2:
            merchant = await create_merchant(uow, name="Demo Shop", address=deployment.merchant.address, now=now)
            _, kept.api_key = await issue_key(uow, merchant.id, livemode=True, now=now)
            _, kept.test_api_key = await issue_key(uow, merchant.id, livemode=False, now=now)
            for livemode in (True, False):
                await ensure_signing_key(uow, merchant.id, livemode, sealer=installation.sealer, now=now)
            # Before the commit: keys without a merchant are harmless, a merchant without keys could not be used.
            save_kept(directory, kept)
        live = await authenticate(uow, kept.api_key or "")
        origins = with_own_origin(installation.settings.base_url, live.merchant.embed_origins)
        await change_page(uow, live.merchant.id, embed_origins=origins)
        document = await public_key(uow, live, now=now)
    return _DemoMerchant(
        id=live.merchant.id,
        account=deployment.merchant,
        api_key=kept.api_key or "",
        test_api_key=kept.test_api_key or "",
        webhook_public_key=str(document["public_key"]),
    )


def with_own_origin(own: str, kept: Sequence[str]) -> list[str]:
    """The demo shop at /demo embeds the page, at a port that may be another than in an earlier run. What a developer
    allowed besides is kept."""
    return [own, *(origin for origin in kept if origin != own)][:MAX_EMBED_ORIGINS]


# --- readiness -----------------------------------------------------------------------------------------------------


async def _refuse_another_chain(installation: Installation, directory: Path) -> None:
    """Raise `ConfigurationError` unless the node's chain holds the newest block that the database has as final."""
    chain = installation.chains[True]
    async with installation.store.read() as uow:
        cursor = await uow.chain.cursor(chain.chain_id)
        if cursor is None or cursor.final_number is None:
            return
        recorded = await uow.chain.block(chain.chain_id, cursor.final_number)
    if recorded is None:
        return
    header = await installation.pools[chain.chain_id].find(reads.header(recorded.number))
    if header is None or read_bytes(header.hash) != recorded.hash:
        raise ConfigurationError(
            f"the database in {directory} knows block {recorded.number} of another or a longer chain than the node's: "
            "start afresh with --reset"
        )


async def _until_payable(installation: Installation, stop: asyncio.Event) -> None:
    """Wait until every token is on offer and the watcher reads the chain. Raises `ConfigurationError` in the end."""
    chain = installation.chains[True]
    deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
    while not stop.is_set():
        priced = all(installation.quotes.price(chain.chain_id, token) for token in chain.tokens if token.feed)
        async with installation.store.read() as uow:
            cursor = await uow.chain.cursor(chain.chain_id)
        head = read_quantity((await installation.pools[chain.chain_id].call(reads.header("latest"))).number)
        if priced and cursor is not None and head - cursor.number < chain.confirmations:
            return
        if asyncio.get_running_loop().time() > deadline:
            what = "the price feed has no final round" if not priced else "the watcher does not reach the chain's head"
            raise ConfigurationError(f"not ready after {READY_TIMEOUT_S:.0f} s: {what}. See the log above.")
        await asyncio.sleep(0.05)


async def _keep_time(clock: ChainClock, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with suppress(ChainUnavailable):  # the clock runs on by itself; others report the node
            await clock.refresh()
        await asyncio.sleep(CLOCK_REFRESH_S)


def _dev_json(
    url: str, rpc_urls: tuple[str, ...], deployment: Deployment, merchant: _DemoMerchant
) -> Mapping[str, Any]:
    return {
        "api_url": url,
        "rpc_urls": list(rpc_urls),
        "chain_id": deployment.chain.chain_id,
        "api_key": merchant.api_key,
        "test_api_key": merchant.test_api_key,
        "merchant": {"id": merchant.id, **_account(merchant.account)},
        "contracts": {
            "escrow": to_checksum(deployment.chain.escrow),
            "tokens": {symbol: to_checksum(address) for symbol, address in deployment.tokens.items()},
            "feeds": {name: to_checksum(address) for name, address in deployment.feeds.items()},
        },
        "customer": _account(deployment.customer),
        "webhook_public_key": merchant.webhook_public_key,
    }


def _account(account: DevAccount) -> dict[str, str]:
    return {"address": to_checksum(account.address), "private_key": "0x" + account.private_key.hex()}


@contextmanager
def _held_port(port: int) -> Iterator[int]:
    """`port` if nobody listens there, found out before anything is started; for 0 a free one.

    Nobody else is given it until the end: it stays bound, without listening, which leaves room for the one that will
    listen there (both say SO_REUSEADDR). Raises `ConfigurationError`.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((HOST, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} cannot be used ({error.strerror}): choose another with --port, or 0 for a free one"
            ) from error
        held: int = holder.getsockname()[1]
        yield held
