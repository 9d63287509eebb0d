"""A local chain for tests: anvil on a free port, driven over plain JSON-RPC."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.process import find_executable, spawn, stop, wait_until

TOOLS_BIN = Path(__file__).resolve().parents[2] / ".tools" / "bin"
START_TIMEOUT_S = 60

# As `openpay dev` runs it: finalized = head − 10, so reorgs up to 10 blocks deep stay above finality.
DEFAULT_OPTIONS = ("--slots-in-an-epoch", "5", "--hardfork", "prague")


class RpcError(Exception):
    """The node answered with an error; ``code`` and ``data`` are as it sent them."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(f"{method}: {error.get('message')} (code {error.get('code')})")
        self.code = error.get("code")
        self.data = error.get("data")


@dataclass(frozen=True, kw_only=True)
class Account:
    """One of anvil's funded development accounts."""

    address: str
    private_key: str


# The first accounts of the mnemonic "test test test test test test test test test test test junk", known to everybody.
ACCOUNTS = tuple(
    Account(address=address, private_key=private_key)
    for address, private_key in [
        (
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        ),
        (
            "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        ),
        (
            "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
            "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        ),
        (
            "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
            "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
        ),
        (
            "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
            "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
        ),
    ]
)


class Node:
    """A development node that somebody runs, driven over its endpoint."""

    def __init__(self, rpc_url: str) -> None:
        self.rpc_url = rpc_url

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of one JSON-RPC call; raises RpcError with the node's own error."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.rpc_url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        if "error" in answer:
            raise RpcError(method, answer["error"])
        return answer["result"]

    def block_number(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def block(self, number_or_tag: int | str = "latest") -> dict[str, Any]:
        """A block with hashes of its transactions, by number or tag."""
        wanted = hex(number_or_tag) if isinstance(number_or_tag, int) else number_or_tag
        block: dict[str, Any] = self.rpc("eth_getBlockByNumber", wanted, False)
        return block

    def timestamp(self) -> int:
        """Time of the newest block, Unix seconds."""
        return int(self.block()["timestamp"], 16)

    def mine(self, blocks: int = 1, *, interval_s: int | None = None) -> None:
        """Mine that many blocks, their times ``interval_s`` apart when given."""
        self.rpc("anvil_mine", hex(blocks), *([] if interval_s is None else [hex(interval_s)]))

    def reorg(self, depth: int, transactions: list[tuple[dict[str, Any] | str, int]] | None = None) -> None:
        """Replace the newest ``depth`` blocks by as many new ones.

        The old blocks' transactions are gone, from the pool too. ``transactions`` are put into the new branch: each a
        call object or raw transaction, with the index of its block counted from 0.
        """
        self.rpc("anvil_reorg", depth, transactions or [])

    def increase_time(self, seconds: int) -> None:
        """Move the chain's clock, and mine a block that shows it."""
        self.rpc("evm_increaseTime", hex(seconds))
        self.mine()

    def send(self, **transaction: Any) -> str:
        """Send from an unlocked account; returns the transaction's hash. Integers are encoded, ``from_`` means from."""
        encoded = {key.rstrip("_"): hex(v) if isinstance(v, int) else v for key, v in transaction.items()}
        tx_hash: str = self.rpc("eth_sendTransaction", encoded)
        return tx_hash

    def receipt(self, tx_hash: str, *, timeout_s: float = 60) -> dict[str, Any]:
        """Receipt of a transaction; anvil mines a moment after it accepts, so this waits for it."""
        wait_until(lambda: self.is_mined(tx_hash), timeout_s=timeout_s, what=f"transaction {tx_hash} is mined")
        receipt: dict[str, Any] = self.rpc("eth_getTransactionReceipt", tx_hash)
        return receipt

    def is_mined(self, tx_hash: str) -> bool:
        return self.rpc("eth_getTransactionReceipt", tx_hash) is not None

    def balance(self, address: str) -> int:
        """Balance in wei at the newest block."""
        return int(self.rpc("eth_getBalance", address, "latest"), 16)

    def snapshot(self) -> str:
        """Id for ``revert``, which works once for each snapshot."""
        snapshot: str = self.rpc("evm_snapshot")
        return snapshot

    def revert(self, snapshot: str) -> None:
        """Back to a snapshot. No new head is announced until the next block."""
        if not self.rpc("evm_revert", snapshot):
            raise LookupError(f"snapshot {snapshot} is unknown or was used")


class Anvil(Node):
    """A running anvil. It mines a block for each transaction, and on ``mine``; never on a timer, unless told to."""

    def __init__(self, *, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        super().__init__(f"http://127.0.0.1:{port}")
        self.process = process
        self.port = port
        self.log = log
        self.ws_url = f"ws://127.0.0.1:{port}"

    @classmethod
    def start(cls, *options: str, port: int = 0, defaults: tuple[str, ...] = DEFAULT_OPTIONS) -> Anvil:
        """Start on a free port (or on ``port``); ``options`` are added to ``defaults`` and are anvil's own."""
        executable = find_executable("anvil", TOOLS_BIN)
        if executable is None:
            raise FileNotFoundError("anvil is neither on PATH nor in .tools/bin: run scripts/setup")
        directory = Path(tempfile.mkdtemp(prefix="openpay-anvil-"))
        log = directory / "log"
        command = [executable, "--host", "127.0.0.1", "--port", str(port), *defaults, *options]
        process = spawn(command, log=log, directories=(directory,))
        # With port 0 the operating system chooses, and anvil prints what it got: no race for a port is possible.
        listening = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")

        def is_listening_or_gone() -> bool:
            return listening.search(log.read_bytes()) is not None or process.poll() is not None

        wait_until(is_listening_or_gone, timeout_s=START_TIMEOUT_S, what="anvil listens", interval_s=0.01)
        found = listening.search(log.read_bytes())
        if found is None:
            raise RuntimeError(f"anvil ended with status {process.returncode}: {log.read_text()[-2000:]}")
        return cls(process=process, port=int(found.group(1)), log=log)

    def stop(self) -> None:
        """End it as SIGTERM does, and remove its log. May be called twice."""
        self.resume()
        stop(self.process)
        self.log.unlink(missing_ok=True)
        if self.log.parent.is_dir():
            self.log.parent.rmdir()

    def kill(self) -> None:
        """End it without warning (SIGKILL)."""
        stop(self.process, signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: connections are accepted and never answered, as by a node that hangs."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo ``pause``."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
