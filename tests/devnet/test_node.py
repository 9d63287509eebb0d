"""The local node: continued on the same directory, never twice, never left behind."""

from __future__ import annotations

import asyncio
import filecmp
import os
import signal
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from openpay.chain import reads
from openpay.chain.blocks import read_quantity
from openpay.chain.errors import JsonRpcError
from openpay.chain.pool import Pool, connect
from openpay.chain.rpc import Call
from openpay.devnet import chain_file, node
from openpay.devnet.node import CHAIN_ID, run_node
from openpay.devnet.wallet import mine, set_balance
from openpay.errors import ConfigurationError

SOMEBODY = b"\xaa" * 20


async def block_hash(pool: Pool, number: int) -> str:
    return (await pool.call(reads.header(number))).hash


async def test_chain_continues_after_a_stop_with_its_blocks_and_newest_state(tmp_path: Path) -> None:
    async with run_node(tmp_path, block_time_s=60) as first, connect([first.rpc_url], chain_id=CHAIN_ID) as pool:
        await set_balance(pool, SOMEBODY, 5)
        await mine(pool, 3)
        before = await block_hash(pool, 3)
    async with run_node(tmp_path, block_time_s=60) as second, connect([second.rpc_url], chain_id=CHAIN_ID) as pool:
        assert await block_hash(pool, 3) == before
        await mine(pool, 1)
        await set_balance(pool, SOMEBODY, 9)
        await mine(pool, 1)
        assert read_quantity(await pool.call(reads.balance(SOMEBODY, 3))) == 5
        assert read_quantity(await pool.call(reads.balance(SOMEBODY, 5))) == 9


async def test_state_of_blocks_before_the_stop_is_refused_and_never_mixed_up(tmp_path: Path) -> None:
    async with run_node(tmp_path, block_time_s=60) as first, connect([first.rpc_url], chain_id=CHAIN_ID) as pool:
        await mine(pool, 2)
        await set_balance(pool, SOMEBODY, 5)
        await mine(pool, 1)
    async with run_node(tmp_path, block_time_s=60) as second, connect([second.rpc_url], chain_id=CHAIN_ID) as pool:
        with pytest.raises(JsonRpcError, match="BlockOutOfRange"):
            await pool.call(reads.balance(SOMEBODY, bytes.fromhex((await block_hash(pool, 2))[2:])))


async def test_file_grows_by_less_than_four_kilobytes_a_block(tmp_path: Path) -> None:
    async with run_node(tmp_path, block_time_s=60) as local, connect([local.rpc_url], chain_id=CHAIN_ID) as pool:
        await mine(pool, 300)
    assert (tmp_path / "chain.json").stat().st_size < 300 * 4_000


async def test_nothing_is_put_aside_outside_of_the_directory_or_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, state = tmp_path / "home", tmp_path / "state"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    async with run_node(state, block_time_s=60) as local, connect([local.rpc_url], chain_id=CHAIN_ID) as pool:
        await mine(pool, 700)  # more states than anvil keeps in memory
        assert list((state / "cache").iterdir()) != []
    assert not (state / "cache").exists()
    assert list(home.iterdir()) == []


async def copied(directory: Path) -> None:
    """Wait until the chain file as it is now has been copied aside."""
    async with asyncio.timeout(60):
        while not (copy := directory / "chain.json.previous").exists() or not filecmp.cmp(
            copy, directory / "chain.json", shallow=False
        ):
            await asyncio.sleep(0.05)


async def test_file_that_was_cut_short_is_replaced_by_its_copy(tmp_path: Path) -> None:
    async with run_node(tmp_path, block_time_s=60) as local, connect([local.rpc_url], chain_id=CHAIN_ID) as pool:
        await mine(pool, 3)
        before = await block_hash(pool, 3)
        await asyncio.sleep(1.5)  # anvil writes every second
        await copied(tmp_path)
    chain = tmp_path / "chain.json"
    for length in (0, 1, chain.stat().st_size - 1):
        os.truncate(chain, length)
        with capture_logs() as logs:
            async with (
                run_node(tmp_path, block_time_s=60) as again,
                connect([again.rpc_url], chain_id=CHAIN_ID) as pool,
            ):
                assert await block_hash(pool, 3) == before
        assert [entry["event"] for entry in logs] == [
            "the local chain was killed while it was being written, and goes back to its last copy"
        ]


async def test_damaged_file_without_a_good_copy_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text('{"accounts": {')
    for copy in (None, "{"):
        if copy is not None:
            (tmp_path / "chain.json.previous").write_text(copy)
        with pytest.raises(ConfigurationError, match=r"chain\.json is damaged.*--reset"):
            async with run_node(tmp_path):
                pass
    assert (tmp_path / "chain.json").read_text() == '{"accounts": {'


async def test_copy_of_a_chain_that_is_no_more_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "chain.json.previous").write_text("{}")
    chain_file.mend(tmp_path / "chain.json")
    assert list(tmp_path.iterdir()) == []


async def test_file_that_is_being_written_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_file, "COPY_INTERVAL_S", 0.01)
    chain, copy = tmp_path / "chain.json", tmp_path / "chain.json.previous"
    keeping = asyncio.create_task(chain_file.keep_copy(chain))
    for content, expected in (('{"a":1}', '{"a":1}'), ('{"a":1,"b":', '{"a":1}'), ('{"a":1,"b":2}', '{"a":1,"b":2}')):
        chain.write_text(content)
        async with asyncio.timeout(60):
            while not copy.exists() or copy.read_text() != expected:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert copy.read_text() == expected
    keeping.cancel()


async def test_node_that_is_killed_is_started_again_on_its_port_and_chain(tmp_path: Path) -> None:
    async with run_node(tmp_path, block_time_s=60) as local, connect([local.rpc_url], chain_id=CHAIN_ID) as pool:
        await mine(pool, 3)
        before = await block_hash(pool, 3)
        await asyncio.sleep(2)  # its state is on disk after one
        killed = local.process
        killed.kill()
        async with asyncio.timeout(60):
            while local.process is killed:
                await asyncio.sleep(0.02)
        assert await block_hash(pool, 3) == before


async def test_finalized_block_is_ten_behind_the_head(tmp_path: Path) -> None:
    async with run_node(tmp_path, block_time_s=60) as local, connect([local.rpc_url], chain_id=CHAIN_ID) as pool:
        await mine(pool, 25)
        assert read_quantity((await pool.call(reads.header("finalized"))).number) == 15


async def test_second_node_on_a_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "LOCK_TIMEOUT_S", 0.1)
    async with run_node(tmp_path):
        with pytest.raises(ConfigurationError, match="already: stop it"):
            async with run_node(tmp_path):
                pass


async def test_port_that_is_taken_is_named_in_anvils_own_words(tmp_path: Path) -> None:
    async with run_node(tmp_path / "first") as first:
        port = int(first.rpc_url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match="anvil did not start"):
            async with run_node(tmp_path / "second", port=port):
                pass


async def test_missing_anvil_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.shutil, "which", lambda *_args, **_kwargs: None)
    with pytest.raises(ConfigurationError, match="scripts/setup"):
        async with run_node(tmp_path):
            pass


OWNER_OF_A_NODE = """
import asyncio, sys
from pathlib import Path
from openpay.devnet.node import run_node

async def main():
    async with run_node(Path(sys.argv[1])) as node:
        print(node.process.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def is_running(pid: int) -> bool:
    """Whether a process is there and not just waiting for somebody to ask how it ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_node_ends_with_a_killed_program_and_the_next_one_takes_over(tmp_path: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER_OF_A_NODE, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    async with asyncio.timeout(60):
        node_pid = int(await program.stdout.readline())
    program.send_signal(signal.SIGKILL)
    await program.wait()
    async with run_node(tmp_path) as second, connect([second.rpc_url], chain_id=CHAIN_ID) as pool:
        assert (await pool.call(Call(str, "eth_chainId"))) == hex(CHAIN_ID)
        assert not is_running(node_pid)
