"""The command line. Every command reads the same `OPENPAY_*` settings; `openpay dev` heeds none.

Commands import what they run: the libraries together take seconds, and `--help` or `keys list` need few of them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openpay.bootstrap.role import Role
from openpay.cli_accounts import keys_app, merchants_app, operator_app
from openpay.console import (
    log_to_stderr,
    read_settings,
    readable_errors,
    run_and_tidy_up,
    run_with_settings,
    until_stopped,
)

if TYPE_CHECKING:
    from openpay.config import Settings

app = typer.Typer(
    name="openpay",
    help="Self-hosted, non-custodial crypto checkout.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys_app, name="keys")
app.add_typer(operator_app, name="operator")
app.add_typer(merchants_app, name="merchants")

LOG_LEVELS = "debug, info, warning or error"
LogLevel = Annotated[str, typer.Option(envvar="OPENPAY_LOG_LEVEL", help=LOG_LEVELS)]


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
    log_level: Annotated[str, typer.Option(help=LOG_LEVELS)] = "warning",
) -> None:
    """Everything on a local chain in one process: node, contracts, merchant, API, page, watcher, webhooks, settler."""
    from openpay.bootstrap.state_dir import forget_ended

    forget_ended(state_dir)  # before the imports below, which take their time: no script must believe it until then
    from openpay.bootstrap.dev import DevOptions, run_dev

    log_to_stderr(log_level)
    options = DevOptions(
        port=port,
        state_dir=state_dir,
        block_time_s=block_time,
        rpc_urls=tuple(rpc_url or ()),
        confirmations=confirmations,
        reset=reset,
    )
    until_stopped(lambda stop: run_dev(options, stop, echo=typer.echo))


@app.command()
def demo(
    state_dir: Annotated[Path | None, typer.Option(help="A running `openpay dev`; by default one is started.")] = None,
    block_time: Annotated[float, typer.Option(min=0.01, help="Seconds between blocks of the chain it starts.")] = 0.5,
) -> None:
    """Pay in USDT and in BNB, from the API call to the merchant's wallet; exit status 0 only if all of it happened."""
    from openpay.bootstrap.dev import run_demo

    log_to_stderr("error")
    if not run_and_tidy_up(run_demo(state_dir, block_time_s=block_time, echo=typer.echo)):
        raise typer.Exit(1)


# --- production --------------------------------------------------------------------------------------------------


@app.command(name="migrate")
def migrate_command() -> None:
    """Bring the database to this version's schema; safe to repeat."""
    _migrate()
    typer.echo("The database is at the current schema.")


@app.command()
def up(log_level: LogLevel = "info") -> None:
    """All roles in one process. Migrates the database first."""
    log_to_stderr(log_level)
    _migrate()
    _run_roles(*Role)


def _migrate() -> None:
    from openpay.store.migrate import upgrade

    with readable_errors():
        upgrade(read_settings().database_url)


def _role_command(role: Role, help_: str) -> None:
    def command(log_level: LogLevel = "info") -> None:
        log_to_stderr(log_level)
        _run_roles(role)

    app.command(name=role.value, help=help_)(command)


_role_command(Role.API, "The merchant API and the checkout page.")
_role_command(Role.WATCHER, "Reads the chains and moves payments.")
_role_command(Role.WEBHOOKS, "Delivers events to merchants.")
_role_command(Role.SETTLER, "Moves paid money to the treasuries and carries out withdrawals.")


@app.command()
def doctor() -> None:
    """Check the settings against the database and the live chains; exit status 1 if payments would not work."""
    from openpay.bootstrap.doctor import Verdict, examine

    log_to_stderr("critical")  # every fault becomes a finding

    async def healthy(settings: Settings) -> bool:
        verdicts = set()
        async for finding in examine(settings):
            typer.echo(finding)
            verdicts.add(finding.verdict)
        return Verdict.FAIL not in verdicts

    if not run_with_settings(healthy):
        raise typer.Exit(1)


@app.command()
def alerts(
    all_: Annotated[bool, typer.Option("--all", help="Those that are over too, of the last 90 days.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Send a test to OPENPAY_ALERT_WEBHOOK_URL instead.")] = False,
    end: Annotated[str | None, typer.Option(help="End an alert (alt_…) that nothing else will end.")] = None,
) -> None:
    """What is wrong right now, newest first; exit status 1 while anything is. docs/runbook.md says what to do."""
    from openpay.bootstrap import alerting

    if test:
        answer = run_with_settings(alerting.send_test)
        typer.echo(answer.words)
        raise typer.Exit(0 if answer.taken else 1)
    if end is not None:
        ended = run_with_settings(lambda settings: alerting.end_alert(settings, end))
        typer.echo(alerting.describe_alert(ended))
        return
    found = run_with_settings(lambda settings: alerting.recorded_alerts(settings, over_too=all_))
    for alert in found:
        typer.echo(alerting.describe_alert(alert))
    if any(alert.cleared_at is None for alert in found):
        raise typer.Exit(1)


def _run_roles(*roles: Role) -> None:
    from openpay.bootstrap.installation import describe, installed
    from openpay.bootstrap.roles import run as run_together
    from openpay.store import schema

    async def work(stop: asyncio.Event) -> None:
        settings = read_settings()
        await schema.check(settings.database_url)
        async with installed(settings) as installation:
            typer.echo(f"openpay {' '.join(roles)}: {describe(installation)}", err=True)
            for warning in installation.warnings():
                typer.echo(f"openpay: warning: {warning}", err=True)
            await run_together(installation, roles, stop)

    until_stopped(work)


# --- the books -----------------------------------------------------------------------------------------------------


@app.command()
def reconcile(
    state_dir: Annotated[
        Path | None, typer.Option(help="The books of a running `openpay dev`, instead of those in the settings.")
    ] = None,
) -> None:
    """Hold every payment, vault, treasury, refund and withdrawal against the chain; exit status 1 on a difference."""
    from openpay.bootstrap.books import dev_settings, reconcile_all

    async def agrees(settings: Settings) -> bool:
        return await reconcile_all(settings if state_dir is None else dev_settings(state_dir), echo=typer.echo)

    if not run_with_settings(agrees):
        raise typer.Exit(1)


@app.command()
def recover(
    answers: Annotated[Path, typer.Argument(help="Saved API answers: payments or lists, one JSON or one per line.")],
    rpc_url: Annotated[
        list[str] | None, typer.Option(help="Ask this node instead of those in the settings; may be repeated.")
    ] = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Settle and sweep what suffices, with OPENPAY_OPERATOR_KEY.")
    ] = False,
    calldata: Annotated[bool, typer.Option("--calldata", help="Print each call, for another wallet to make.")] = False,
    refund: Annotated[str | None, typer.Option(help="A payment (pay_…) whose money is to go back, with --to.")] = None,
    to: Annotated[str | None, typer.Option(help="Where the refund goes: 0x…")] = None,
) -> None:
    """Without any database: find every coin of these payments, and say who can move it where. Or do it."""
    from openpay.bootstrap.recovery import RecoverOptions, recover

    options = RecoverOptions(
        rpc_urls=tuple(rpc_url or ()), execute=execute, calldata=calldata, refund=refund, refund_to=to
    )
    text = _read(answers)
    if not run_with_settings(lambda settings: recover(settings, text, options, echo=typer.echo)):
        raise typer.Exit(1)


ChainName = Annotated[
    str | None, typer.Option("--chain", help="live, test or a chain id, where two chains are configured.")
]
# A negative block is a wrong number, not an unknown option.
_NUMBERS = {"ignore_unknown_options": True}


@app.command(context_settings=_NUMBERS)
def rescan(
    first: Annotated[int | None, typer.Argument(metavar="FROM", min=0, help="The first block.")] = None,
    last: Annotated[
        int | None, typer.Argument(metavar="TO", min=0, help="The last block, at most the newest final one.")
    ] = None,
    chain: ChainName = None,
    cancel: Annotated[int | None, typer.Option(help="Call off the request with this number instead.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Only ask for it, and return at once.")] = False,
    state_dir: Annotated[Path | None, typer.Option(help="A running `openpay dev`, instead of the settings.")] = None,
) -> None:
    """Read old blocks once more, while the watcher runs: what is missing on record is added, nothing counted twice.

    The watcher does it between its steps. Ending this command leaves the request with it. Without FROM and TO, the
    requests that are under way are shown.
    """
    from openpay.bootstrap.books import dev_settings
    from openpay.bootstrap.rescanning import RescanOptions, end_rescan, list_rescans, rescan_chain

    log_to_stderr("critical")
    if first is not None and (last is None or cancel is not None):
        raise typer.BadParameter("give FROM and TO, or --cancel, or neither to see what is under way")

    async def work(settings: Settings) -> bool:
        settings = settings if state_dir is None else dev_settings(state_dir)
        if cancel is not None:
            await end_rescan(settings, cancel, chain=chain, echo=typer.echo)
        elif first is None or last is None:
            await list_rescans(settings, chain=chain, echo=typer.echo)
        else:
            options = RescanOptions(first=first, last=last, chain=chain, wait=not no_wait)
            return await rescan_chain(settings, options, echo=typer.echo)
        return True

    if not run_with_settings(work):
        raise typer.Exit(1)


@app.command(context_settings=_NUMBERS)
def rewind(
    block: Annotated[int, typer.Argument(min=0, help="The newest block that stays on record.")],
    chain: ChainName = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """After a reorg below finality: take back what was recorded above BLOCK. The watcher must be stopped.

    Shows what it would do, and asks. Two hosts have to agree on BLOCK, where two are configured.
    """
    from openpay.bootstrap.rewinding import RewindOptions, rewind_chain

    log_to_stderr("critical")
    options = RewindOptions(
        target=block, chain=chain, yes=yes, confirm=lambda question: typer.confirm(question, err=True)
    )
    if not run_with_settings(lambda settings: rewind_chain(settings, options, echo=typer.echo)):
        raise typer.Exit(1)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        typer.echo(f"openpay: {path} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(2) from None


def main() -> None:
    app()


if __name__ == "__main__":
    main()
