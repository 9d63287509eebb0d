"""Running a command: one event loop, signals that stop it in order, and our own errors as sentences."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from openpay.errors import FatalError, OpenPayError

if TYPE_CHECKING:
    from openpay.config import Settings

T = TypeVar("T")

STOPPED_BY_SIGNAL = 130
"""Exit status of what did not end in order, as a shell gives it for Ctrl-C."""


def read_settings() -> Settings:
    from openpay.config import load_settings

    return load_settings()


def log_to_stderr(level: str) -> None:
    from openpay.bootstrap.logs import configure_logging

    configure_logging(level=level)


def run_with_settings(work: Callable[[Settings], Coroutine[Any, Any, T]]) -> T:
    async def configured() -> T:
        return await work(read_settings())

    return run(configured())


def until_stopped(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `work` until it ends or SIGINT or SIGTERM sets its stop event. A second signal ends it there and then."""

    async def with_signals() -> None:
        stop = asyncio.Event()
        working = asyncio.ensure_future(work(stop))

        def on_signal() -> None:
            if stop.is_set():
                working.cancel()
            stop.set()

        await _signalled(working, on_signal)

    run(with_signals())


def run(work: Coroutine[Any, Any, T]) -> T:
    with readable_errors():
        return asyncio.run(work)


def run_and_tidy_up(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; SIGINT or SIGTERM cancels it, so that it undoes what it leaves nobody else to undo."""

    async def cancelled_by_signals() -> T:
        working = asyncio.ensure_future(work)
        return await _signalled(working, working.cancel)

    return run(cancelled_by_signals())


async def _signalled(working: asyncio.Future[T], on_signal: Callable[[], object]) -> T:
    """Wait for `working`, with `on_signal` called at every SIGINT and SIGTERM; cancelled, it is the command's end."""
    loop = asyncio.get_running_loop()
    # SIGINT too, which Python leaves alone where a shell started us in the background and had it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        return await working
    except asyncio.CancelledError:
        raise typer.Exit(STOPPED_BY_SIGNAL) from None


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
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
