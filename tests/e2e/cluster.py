"""The processes of an installation, one for each role, as docker-compose.yml runs them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import CliRunner

from openpay.chain.pool import connect
from openpay.chain.spec import save_chain
from openpay.cli import app
from openpay.devnet.deployment import Deployment, deploy
from openpay.domain.address import to_checksum
from tests.e2e.dev import OPENPAY
from tests.e2e.installation import PATIENCE_S
from tests.support.anvil import Anvil
from tests.support.process import free_port, spawn, stop, wait_until

CHAIN_ID = 31337


@dataclass
class Cluster:
    """The processes of an installation, each told only what its service in docker-compose.yml is told."""

    directory: Path
    settings: dict[str, str]
    secrets: dict[str, dict[str, str]]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def cli(self, *arguments: str) -> str:
        """The standard output of a command that has all settings."""
        env = {**self.settings, **{name: value for each in self.secrets.values() for name, value in each.items()}}
        result = CliRunner(env=env).invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def start(self, role: str, name: str) -> None:
        env = {**self.settings, **self.secrets.get(role, {})}
        words = ["env", *(f"{key}={value}" for key, value in env.items()), OPENPAY, role]
        self.processes[name] = spawn(words, log=self.log(name))

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def leads(self, name: str) -> bool:
        """Whether a process said that it holds its role's lock."""
        return any(line.get("event") == "leading" for line in self.lines(name))

    def lines(self, name: str) -> list[dict[str, object]]:
        """The structured lines of a process's log."""
        return [json.loads(line) for line in self.log(name).read_text().splitlines() if line.startswith("{")]

    def one_leads(self, *names: str) -> tuple[str, str]:
        """The leader and the other, as soon as there is a leader."""
        wait_until(lambda: any(self.leads(name) for name in names), timeout_s=PATIENCE_S, what=f"one of {names} leads")
        return (names[0], names[1]) if self.leads(names[0]) else (names[1], names[0])

    def end(self) -> dict[str, int]:
        """Ask all that run to stop; their exit statuses."""
        for process in self.processes.values():
            stop(process, timeout_s=PATIENCE_S)
        return {name: process.returncode for name, process in self.processes.items()}


@contextmanager
def cluster(directory: Path, database_url: str, chain: Anvil, deployment: Deployment) -> Iterator[Cluster]:
    chain_file = directory / "local.json"
    save_chain(deployment.chain, chain_file)
    port = free_port()
    made = Cluster(
        directory=directory,
        settings={
            "OPENPAY_DATABASE_URL": database_url,
            "OPENPAY_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "OPENPAY_PORT": str(port),
            "OPENPAY_OPERATOR_ADDRESS": to_checksum(deployment.operator.address),
            "OPENPAY_LIVE_CHAIN": str(chain_file),
            "OPENPAY_LIVE_RPC_URLS": chain.rpc_url,
            # Only because this merchant's server is on this machine.
            "OPENPAY_ALLOW_INSECURE_WEBHOOKS": "true",
        },
        secrets={
            "api": {"OPENPAY_SECRET": "a passphrase of some length"},
            "webhooks": {"OPENPAY_SECRET": "a passphrase of some length"},
            "settler": {"OPENPAY_OPERATOR_KEY": "0x" + deployment.operator.private_key.hex()},
        },
    )
    try:
        yield made
    finally:
        made.end()


def deployed(chain: Anvil) -> Deployment:
    async def work() -> Deployment:
        async with connect([chain.rpc_url], chain_id=CHAIN_ID) as pool:
            return await deploy(pool, chain_id=CHAIN_ID, block_interval_s=0.15)

    return asyncio.run(work())


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
