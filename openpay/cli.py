"""The command line. Every command reads the same `OPENPAY_*` settings; `openpay dev` needs none."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from openpay.app.merchants import change_merchant, create_merchant, issue_key, revoke_key
from openpay.app.ports import UnitOfWork
from openpay.app.records import Merchant
from openpay.app.sealing import Sealer
from openpay.app.webhooks import ensure_signing_key
from openpay.bootstrap.installation import describe, installed
from openpay.bootstrap.logs import configure_logging
from openpay.bootstrap.roles import Role, run
from openpay.chain.clock import SystemClock
from openpay.config import Settings, load_settings
from openpay.domain.address import parse_address, to_checksum
from openpay.domain.time import format_time
from openpay.errors import FatalError, NotFound, OpenPayError
from openpay.store import Store, migrate

T = TypeVar("T")

STOPPED_BY_SIGNAL = 130
"""Exit status of what did not end in order, as a shell gives it for Ctrl-C."""

app = typer.Typer(
    name="openpay",
    help="Self-hosted, non-custodial crypto checkout.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(help="API keys: sk_live_… and sk_test_….", no_args_is_help=True)
merchants_app = typer.Typer(help="Who is paid.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(merchants_app, name="merchants")

MerchantId = Annotated[str, typer.Option("--merchant", help="The merchant's id, mer_…")]
LogLevel = Annotated[str, typer.Option(envvar="OPENPAY_LOG_LEVEL", help="debug, info, warning or error")]


# --- development -------------------------------------------------------------------------------------------------


@app.command()
def dev(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of API and page; 0 takes a free one.")] = 8080,
    state_dir: Annotated[Path, typer.Option(help="Where chain, database and dev.json are kept.")] = Path(".openpay"),
    block_time: Annotated[float, typer.Option(min=0.01, help="Seconds between blocks of the local chain.")] = 1.0,
    rpc_url: Annotated[
        list[str] | None, typer.Option(help="Use this running node instead of starting one; may be repeated.")
    ] = None,
    confirmations: Annotated[int, typer.Option(min=1, help="Blocks until a payment counts as final.")] = 12,
    reset: Annotated[bool, typer.Option("--reset", help="Forget chain and database, and start afresh.")] = False,
    log_level: LogLevel = "warning",
) -> None:
    """Everything on a local chain in one process: node, contracts, merchant, API, page, watcher, webhooks, settler."""
    from openpay.bootstrap.dev import DevOptions, run_dev  # starts slower than the other commands

    configure_logging(level=log_level)
    options = DevOptions(
        port=port,
        state_dir=state_dir,
        block_time_s=block_time,
        rpc_urls=tuple(rpc_url or ()),
        confirmations=confirmations,
        reset=reset,
    )
    _until_stopped(lambda stop: run_dev(options, stop, echo=typer.echo))


@app.command()
def demo(
    state_dir: Annotated[Path | None, typer.Option(help="A running `openpay dev`; by default one is started.")] = None,
    block_time: Annotated[float, typer.Option(min=0.01, help="Seconds between blocks of the chain it starts.")] = 0.5,
) -> None:
    """Pay in USDT and in BNB, from the API call to the merchant's wallet; exit status 0 only if all of it happened."""
    from openpay.bootstrap.dev import run_demo

    configure_logging(level="error")
    if not _run(run_demo(state_dir, block_time_s=block_time, echo=typer.echo)):
        raise typer.Exit(1)


# --- production --------------------------------------------------------------------------------------------------


@app.command(name="migrate")
def migrate_command() -> None:
    """Bring the database to this version's schema; safe to repeat."""
    with _readable_errors():
        settings = load_settings()
        migrate.upgrade(settings.database_url)
    typer.echo("The database is at the current schema.")


@app.command()
def up(log_level: LogLevel = "info") -> None:
    """All roles in one process. Migrates the database first."""
    configure_logging(level=log_level)
    with _readable_errors():
        migrate.upgrade(load_settings().database_url)
    _run_roles(*Role)


def _role_command(role: Role, help_: str) -> None:
    def command(log_level: LogLevel = "info") -> None:
        configure_logging(level=log_level)
        _run_roles(role)

    app.command(name=role.value, help=help_)(command)


_role_command(Role.API, "The merchant API and the checkout page.")
_role_command(Role.WATCHER, "Reads the chains and moves payments.")
_role_command(Role.WEBHOOKS, "Delivers events to merchants.")
_role_command(Role.SETTLER, "Moves paid money to the treasuries and carries out withdrawals.")


def _run_roles(*roles: Role) -> None:
    async def work(stop: asyncio.Event) -> None:
        settings = load_settings()
        await migrate.check(settings.database_url)
        async with installed(settings) as installation:
            typer.echo(f"openpay {' '.join(roles)}: {describe(installation)}", err=True)
            for warning in installation.warnings():
                typer.echo(f"openpay: warning: {warning}", err=True)
            await run(installation, roles, stop)

    _until_stopped(work)


# --- merchants and keys --------------------------------------------------------------------------------------------


@merchants_app.command("create")
def merchants_create(
    name: Annotated[str, typer.Option(help="Shown to customers on the checkout page.")],
    address: Annotated[str, typer.Option(help="Owns the treasury and receives withdrawals: 0x…")],
    slippage_bps: Annotated[
        int, typer.Option(help="How far below the BNB price a payment may fall; 100 is 1 %.")
    ] = 100,
    underpayment_bps: Annotated[int, typer.Option(help="The same for stablecoins.")] = 0,
) -> None:
    """Add a merchant, with its webhook signing keys. Prints its id."""

    async def work(uow: UnitOfWork, settings: Settings, now: int) -> Merchant:
        merchant = await create_merchant(
            uow,
            name=name,
            address=parse_address(address),
            now=now,
            slippage_bps=slippage_bps,
            underpayment_bps=underpayment_bps,
        )
        sealer = Sealer(settings.require_secret())
        for livemode in (True, False):
            await ensure_signing_key(uow, merchant.id, livemode, sealer=sealer, now=now)
        return merchant

    merchant = _in_database(work)
    typer.echo(f"{merchant.id}  {merchant.name}  {to_checksum(merchant.address)}")
    typer.echo(f"Next: openpay keys create --merchant {merchant.id}", err=True)


@merchants_app.command("list")
def merchants_list() -> None:
    """All merchants: id, address, tolerances, name."""

    async def work(uow: UnitOfWork, _settings: Settings, _now: int) -> list[Merchant]:
        return await uow.merchants.all()

    for merchant in _in_database(work):
        typer.echo(
            f"{merchant.id}  {to_checksum(merchant.address)}  slippage {merchant.slippage_bps} bps  "
            f"underpayment {merchant.underpayment_bps} bps  {merchant.name}"
        )


@merchants_app.command("set")
def merchants_set(
    merchant_id: Annotated[str, typer.Argument(help="mer_…")],
    name: Annotated[str | None, typer.Option()] = None,
    slippage_bps: Annotated[int | None, typer.Option(help="0 to 500; for new payments.")] = None,
    underpayment_bps: Annotated[int | None, typer.Option(help="0 to 500; for new payments.")] = None,
) -> None:
    """Change a merchant's name or tolerances. Its address stays: terms of open payments commit to it."""

    async def work(uow: UnitOfWork, _settings: Settings, _now: int) -> Merchant:
        return await change_merchant(
            uow, merchant_id, name=name, slippage_bps=slippage_bps, underpayment_bps=underpayment_bps
        )

    merchant = _in_database(work)
    typer.echo(
        f"{merchant.id}  slippage {merchant.slippage_bps} bps  underpayment {merchant.underpayment_bps} bps  "
        f"{merchant.name}"
    )


@keys_app.command("create")
def keys_create(
    merchant: MerchantId,
    test: Annotated[bool, typer.Option("--test", help="A key for test mode (sk_test_…).")] = False,
) -> None:
    """Make an API key. It is printed once and cannot be shown again."""

    async def work(uow: UnitOfWork, _settings: Settings, now: int) -> str:
        await _require_merchant(uow, merchant)
        _, secret = await issue_key(uow, merchant, livemode=not test, now=now)
        return secret

    typer.echo(_in_database(work))
    typer.echo("Keep it now: it is stored only as a hash.", err=True)


@keys_app.command("list")
def keys_list(merchant: MerchantId) -> None:
    """A merchant's keys: id, first and last characters, since when, and whether revoked."""

    async def work(uow: UnitOfWork, _settings: Settings, _now: int) -> list[str]:
        await _require_merchant(uow, merchant)
        return [
            f"{key.id}  {key.prefix}…{key.last4}  {format_time(key.created_at)}  "
            + ("active" if key.revoked_at is None else f"revoked {format_time(key.revoked_at)}")
            for key in await uow.merchants.keys(merchant)
        ]

    for line in _in_database(work):
        typer.echo(line)


@keys_app.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="key_…")], merchant: MerchantId) -> None:
    """Revoke a key at once."""

    async def work(uow: UnitOfWork, _settings: Settings, now: int) -> str:
        key = await revoke_key(uow, merchant, key_id, now=now)
        return f"{key.prefix}…{key.last4}"

    typer.echo(f"revoked {_in_database(work)}")


async def _require_merchant(uow: UnitOfWork, merchant_id: str) -> None:
    if await uow.merchants.get(merchant_id) is None:
        raise NotFound(f"no merchant {merchant_id}: see openpay merchants list", code="merchant_not_found")


# --- running -------------------------------------------------------------------------------------------------------


def _in_database(work: Callable[[UnitOfWork, Settings, int], Awaitable[T]]) -> T:
    """Run `work` in one transaction on the configured database."""

    async def open_and_work() -> T:
        settings = load_settings()
        await migrate.check(settings.database_url)
        store = Store.open(settings.database_url)
        try:
            async with store.write() as uow:
                return await work(uow, settings, SystemClock().now())
        finally:
            await store.close()

    return _run(open_and_work())


def _until_stopped(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `work` until it ends or SIGINT or SIGTERM sets its stop event. A second signal ends it there and then."""

    async def with_signals() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        working = asyncio.ensure_future(work(stop))

        def on_signal() -> None:
            if stop.is_set():
                working.cancel()
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        try:
            await working
        except asyncio.CancelledError:
            raise typer.Exit(STOPPED_BY_SIGNAL) from None

    _run(with_signals())


def _run(work: Coroutine[Any, Any, T]) -> T:
    with _readable_errors():
        return asyncio.run(work)


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """Our own errors are for people: one sentence each. Anything else is a bug and keeps its trace."""
    try:
        yield
    except (OpenPayError, ExceptionGroup) as error:
        ours, other = _split(error)
        for each in ours:
            typer.echo(f"openpay: {each}", err=True)
        if other is not None:
            raise other from None
        raise typer.Exit(2 if any(isinstance(each, FatalError) for each in ours) else 1) from None


def _split(error: Exception) -> tuple[list[BaseException], BaseException | None]:
    """Our own errors in a (possibly nested) group, and what else is in it."""
    if not isinstance(error, ExceptionGroup):
        return [error], None
    ours, other = error.split(OpenPayError)
    return ([] if ours is None else _leaves(ours)), other


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def main() -> None:
    app()


if __name__ == "__main__":
    main()
