"""The state directory of `openpay dev`: held by one at a time, and what is kept there between runs."""

from __future__ import annotations

import asyncio
import fcntl
import json
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from openpay.errors import ConfigurationError

LOCK_TIMEOUT_S = 5.0
CHAIN_FILE = "local-chain.json"
"""The facts of the local chain, as a chain file that other commands can be pointed at."""


class Kept(msgspec.Struct):
    """What must outlive a restart besides chain and database: the keys, which the database keeps only as hashes."""

    secret: str
    api_key: str | None = None
    test_api_key: str | None = None


@asynccontextmanager
async def alone_in(directory: Path) -> AsyncIterator[None]:
    """Hold the state directory, so that no second `openpay dev` removes or rewrites what this one uses.

    One that is about to end is waited for. Raises `ConfigurationError`.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else is running yet
        lock = (directory / "dev.lock").open("w")
    except OSError as error:
        raise ConfigurationError(f"--state-dir {directory} cannot be used: {error.strerror}") from error
    with lock:
        deadline = asyncio.get_running_loop().time() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if asyncio.get_running_loop().time() > deadline:
                    raise ConfigurationError(
                        f"`openpay dev` runs in {directory} already: stop it, or choose another --state-dir"
                    ) from None
                await asyncio.sleep(0.05)
        yield


def forget_ended(directory: Path) -> None:
    """Remove the dev.json that a killed `openpay dev` left behind; one that runs keeps its own."""
    try:
        lock = (directory / "dev.lock").open("w")
    except OSError:
        return  # nothing was ever started here
    with lock, suppress(BlockingIOError):
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        (directory / "dev.json").unlink(missing_ok=True)


def remove_state(directory: Path) -> None:
    """Remove what `openpay dev` keeps, and nothing else that may lie in the directory."""
    shutil.rmtree(directory / "chain", ignore_errors=True)
    for path in (
        *directory.glob("openpay.db*"),
        directory / "keys.json",
        directory / "dev.json",
        directory / CHAIN_FILE,
    ):
        path.unlink(missing_ok=True)


def load_kept(directory: Path) -> Kept:
    """The keys of an earlier run, or the beginning of new ones. Raises `ConfigurationError`."""
    path = directory / "keys.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except FileNotFoundError:
        kept = Kept(secret=secrets.token_urlsafe(32))
        save_kept(directory, kept)
        return kept
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{path} is damaged ({error}): start afresh with --reset") from error


def save_kept(directory: Path, kept: Kept) -> None:
    """Keep the keys for the next run."""
    write_atomically(directory / "keys.json", msgspec.to_builtins(kept))


def read_dev_json(directory: Path) -> dict[str, Any]:
    """The file for scripts. Raises `ConfigurationError` when there is none: it is there only while one runs."""
    try:
        content: dict[str, Any] = json.loads((directory / "dev.json").read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(f"{directory} holds no dev.json: is `openpay dev` running there?") from None
    return content


def write_atomically(path: Path, content: object) -> None:
    """Readers see the old file or the new one, never half of it; and it is nobody else's to read."""
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(path)
