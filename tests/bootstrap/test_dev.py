"""What stops `openpay dev` from starting is said before anything is harmed, in words that name it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from openpay.bootstrap import state_dir
from openpay.bootstrap.dev import DevOptions, run_dev, with_own_origin
from openpay.config import Settings
from openpay.errors import ConfigurationError
from tests.support.anvil import Anvil


def options(directory: Path, **changes: object) -> DevOptions:
    usual: dict[str, object] = {
        "port": 0, "state_dir": directory, "block_time_s": 0.1, "rpc_urls": (), "confirmations": 12, "reset": False,
    }  # fmt: skip
    return DevOptions(**(usual | changes))  # type: ignore[arg-type]


async def refusal(chosen: DevOptions) -> str:
    """The words with which it does not start."""
    with pytest.raises(ConfigurationError) as caught:
        await run_dev(chosen, asyncio.Event(), echo=lambda _: None)
    assert not (chosen.state_dir / "dev.json").exists()
    return str(caught.value)


async def run_until_ready(chosen: DevOptions) -> None:
    """Start, and stop as soon as payments can be made."""
    stop, ready = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(run_dev(chosen, stop, echo=lambda _: None, ready=ready))
        await ready.wait()
        assert (chosen.state_dir / "dev.json").exists()
        stop.set()
    assert not (chosen.state_dir / "dev.json").exists()


async def test_port_that_is_taken_is_named_before_a_node_is_started(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert (await refusal(options(tmp_path, port=port))).startswith(f"port {port} cannot be used")
    assert not (tmp_path / "chain").exists()


async def test_missing_node_program_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert "run scripts/setup" in await refusal(options(tmp_path))


async def test_node_that_does_not_answer_is_named(tmp_path: Path) -> None:
    assert "127.0.0.1:1" in await refusal(options(tmp_path, rpc_urls=("http://127.0.0.1:1",)))


async def test_node_of_another_chain_is_named(start_anvil: Callable[..., Anvil], tmp_path: Path) -> None:
    other = start_anvil("--chain-id", "97")
    assert "serves chain 97, configured as 31337" in await refusal(options(tmp_path, rpc_urls=(other.rpc_url,)))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("keys.json", "keys.json is damaged"),
        ("openpay.db", "openpay.db cannot be used: file is not a database"),
        ("chain/chain.json", "chain.json is damaged"),
    ],
)
async def test_damaged_state_is_named_and_reset_mends_it(tmp_path: Path, file: str, words: str) -> None:
    damaged = tmp_path / file
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_bytes(b"not what was written here before")
    assert words in await refusal(options(tmp_path))
    await run_until_ready(options(tmp_path, reset=True))


async def test_state_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    assert await refusal(options(tmp_path / "state")) == f"--state-dir {tmp_path / 'state'} cannot be used: File exists"


async def test_database_of_another_chain_is_refused(start_anvil: Callable[..., Anvil], tmp_path: Path) -> None:
    first, second = start_anvil("--block-time", "0.1"), start_anvil("--block-time", "0.1")
    await run_until_ready(options(tmp_path, rpc_urls=(first.rpc_url,)))
    assert "start afresh with --reset" in await refusal(options(tmp_path, rpc_urls=(second.rpc_url,)))


@pytest.mark.parametrize("reset", [False, True])
async def test_second_one_in_a_directory_is_refused_and_leaves_the_first_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reset: bool
) -> None:
    monkeypatch.setattr(state_dir, "LOCK_TIMEOUT_S", 0.1)
    keys = tmp_path / "keys.json"
    async with state_dir.alone_in(tmp_path):
        keys.write_text("the first one's")
        with pytest.raises(ConfigurationError, match=r"runs in .* already: stop it, or choose another --state-dir"):
            await run_dev(options(tmp_path, reset=reset), asyncio.Event(), echo=lambda _: None)
        assert keys.read_text() == "the first one's"


def test_file_of_a_killed_one_is_gone_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "dev.lock").touch()
    (tmp_path / "dev.json").write_text("{}")
    code = (
        "import sys; sys.modules['openpay.bootstrap.dev'] = None\n"  # loading it fails
        "from openpay.cli import app; app(['dev', '--state-dir', sys.argv[1]])"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert "openpay.bootstrap.dev" in ended.stderr
    assert not (tmp_path / "dev.json").exists()


async def test_file_of_a_running_one_is_left_alone(tmp_path: Path) -> None:
    async with state_dir.alone_in(tmp_path):
        (tmp_path / "dev.json").write_text("{}")
        state_dir.forget_ended(tmp_path)
        assert (tmp_path / "dev.json").exists()
    state_dir.forget_ended(tmp_path)
    assert not (tmp_path / "dev.json").exists()


def test_directory_that_is_not_there_yet_has_nothing_to_forget(tmp_path: Path) -> None:
    state_dir.forget_ended(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_sites_that_a_developer_allowed_stay_allowed_after_a_restart() -> None:
    own, shop = "http://127.0.0.1:8080", "http://127.0.0.1:3000"
    assert with_own_origin(own, []) == [own]
    assert with_own_origin(own, [shop, own]) == [own, shop]
    many = [f"http://127.0.0.1:{port}" for port in range(9000, 9020)]
    assert with_own_origin(own, many) == [own, *many[:19]]


async def test_reset_removes_what_it_made_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    await run_until_ready(options(tmp_path))
    keys = (tmp_path / "keys.json").read_bytes()
    await run_until_ready(options(tmp_path, reset=True))
    assert (tmp_path / "keys.json").read_bytes() != keys
    assert (tmp_path / "notes.txt").read_text() == "mine"


async def test_settings_for_production_do_not_leak_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("OPENPAY_RATE_LIMIT_PER_MINUTE=nonsense\n")
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.setenv(f"OPENPAY_{name}".upper(), "nonsense")
    await run_until_ready(options(tmp_path / "state"))
