"""The file in which anvil keeps its chain, and our copy of it.

anvil empties the file before it writes it anew, every second: killed in between, it leaves a broken one. So whatever
is whole there is copied aside, and a broken file is replaced by that copy. What the chain loses by this is as much as
by any crash, a second or two, which the rest treats as a reorg.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import msgspec
import structlog

from openpay.errors import ConfigurationError

COPY_INTERVAL_S = 1.0
SHARE_OF_TIME = 0.05
"""At most this share of the time goes into copying, however large the file has become."""

_log = structlog.get_logger(__name__)


def mend(path: Path) -> None:
    """Before a start: replace a broken chain file by the copy. Raises `ConfigurationError` when that is no better."""
    copy = _copy_of(path)
    if not path.exists():
        copy.unlink(missing_ok=True)  # of a chain that is no more
    elif not _is_whole(path.read_bytes()):
        if not copy.exists() or not _is_whole(copy.read_bytes()):
            raise ConfigurationError(f"{path} is damaged, and so is the copy of it: start afresh with --reset")
        shutil.copyfile(copy, path)
        _log.warning(
            "the local chain was killed while it was being written, and goes back to its last copy",
            file=str(path),
            older_by_s=round(time.time() - copy.stat().st_mtime),
        )


async def keep_copy(path: Path) -> None:
    """Copy the chain file aside whenever it has changed and is whole, until cancelled."""
    copied: tuple[int, int] | None = None
    while True:
        began = time.monotonic()
        try:
            copied = await asyncio.to_thread(_copy_if_new, path, copied)
        except OSError as error:
            _log.warning("the local chain's file could not be copied aside", file=str(path), reason=str(error))
        await asyncio.sleep(max(COPY_INTERVAL_S, (time.monotonic() - began) / SHARE_OF_TIME))


def _copy_if_new(path: Path, copied: tuple[int, int] | None) -> tuple[int, int] | None:
    """The state of the file that the copy has now: the one given, or a newer."""
    try:
        before = _state_of(path)
        content = path.read_bytes()
        if before == copied or before != _state_of(path) or not _is_whole(content):
            return copied  # nothing new, or being written
    except FileNotFoundError:
        return copied  # not written yet
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(_copy_of(path))
    return before


def _copy_of(path: Path) -> Path:
    return path.with_suffix(".json.previous")


def _state_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _is_whole(content: bytes) -> bool:
    """anvil writes one JSON object: cut off anywhere, it is none any more."""
    try:
        msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return False
    return True
