"""The two commands that mend a record, on processes as an operator runs them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from openpay.cli import app
from openpay.domain.address import to_checksum
from tests.e2e.cluster import CHAIN_ID, Cluster, answers, cluster, deployed
from tests.e2e.installation import PATIENCE_S, Installation
from tests.support.anvil import Anvil
from tests.support.process import wait_until


@dataclass
class Site:
    """An API and a watcher, each a process, on a chain that mines when told."""

    processes: Cluster
    chain: Anvil
    installation: Installation
    database: Path
    watchers: int = 0

    def start_watcher(self) -> str:
        self.watchers += 1
        name = f"watcher-{self.watchers}"
        self.processes.start("watcher", name)
        return name

    def run(self, *arguments: str, typed: str | None = None) -> Result:
        return CliRunner(env=self.processes.settings).invoke(app, arguments, input=typed)

    def value(self, query: str) -> int:
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            row = connection.execute(query).fetchone()
        return -1 if row is None else int(row[0])

    def forget_deposits(self) -> None:
        """As if the watcher had never seen them."""
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            connection.execute("DELETE FROM deposits")
            connection.commit()

    def mine(self, blocks: int) -> None:
        """Mine, and wait until it is read."""
        self.chain.mine(blocks)
        height = self.chain.block_number()
        wait_until(
            lambda: self.value("SELECT number FROM cursors") >= height, timeout_s=PATIENCE_S, what=f"{height} is read"
        )

    @property
    def final(self) -> int:
        return self.value("SELECT final_number FROM cursors")


@contextmanager
def running(directory: Path, url: str, chain: Anvil) -> Iterator[Site]:
    deployment = deployed(chain)
    with cluster(directory, url, chain, deployment) as processes:
        created = processes.cli(
            "merchants", "create", "--name", "S", "--address", to_checksum(deployment.merchant.address)
        )
        api_key = processes.cli("keys", "create", "--merchant", created.split()[0]).strip()
        processes.start("api", "api")
        public_url = processes.settings["OPENPAY_PUBLIC_URL"]
        wait_until(lambda: answers(public_url + "/livez"), timeout_s=PATIENCE_S, what="the API answers")
        installation = Installation(
            facts={
                "api_url": public_url,
                "api_key": api_key,
                "rpc_urls": [chain.rpc_url],
                "chain_id": CHAIN_ID,
                "contracts": {"tokens": {name: to_checksum(at) for name, at in deployment.tokens.items()}},
                "customer": {
                    "address": to_checksum(deployment.customer.address),
                    "private_key": "0x" + deployment.customer.private_key.hex(),
                },
            }
        )
        site = Site(processes, chain, installation, Path(url.partition("///")[2]))
        site.start_watcher()
        yield site


def test_missed_money_is_found_and_a_reorg_below_finality_is_survived(
    anvil: Anvil, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of this machine
    with running(tmp_path, sqlite_url, anvil) as site:
        payment = site.installation.create("USDT")
        before = anvil.block_number()
        site.installation.pay(payment, "USDT")
        site.mine(12)
        site.installation.until(payment, "paid")

        # A deposit that is missing on record is found while the watcher runs.
        site.forget_deposits()
        assert site.final > before
        found = site.run("rescan", "0", str(site.final))
        assert found.exit_code == 0, found.output
        assert "1 deposits" in found.output
        assert payment["id"] in found.output
        again = site.run("rescan", "0", str(site.final), "--chain", "live")
        assert "0 deposits" in again.output
        asked = site.run("rescan", "0", "1", "--no-wait")
        assert (asked.exit_code, "read blocks" in asked.output) == (0, False)
        number = asked.output.split()[1]
        wait_until(
            lambda: "under way" in site.run("rescan").output, timeout_s=PATIENCE_S, what=f"rescan {number} is done"
        )

        # What cannot be asked for is said.
        for words, arguments in (
            ("are no range", ("rescan", "5", "4")),
            ("equal to 0", ("rescan", "-5", "4")),
            ("give FROM and TO", ("rescan", "5")),
            ("give FROM and TO", ("rescan", "5", "6", "--cancel", number)),
            (f"rescan {number} is over already", ("rescan", "--cancel", number)),
            ("has no rescan 999", ("rescan", "--cancel", "999")),
            (f"only blocks up to {site.final}", ("rescan", "0", "999999")),
            ("there is live", ("rescan", "0", "1", "--chain", "mars")),
            ("a watcher of chain 31337 is running", ("rewind", str(before), "--yes")),
            ("there is live", ("rewind", str(before), "--chain", "test")),
            ("equal to 0", ("rewind", "-1")),
        ):
            refused = site.run(*arguments)
            assert refused.exit_code != 0, arguments
            assert words in " ".join(refused.output.replace("│", " ").split()), (arguments, refused.output)

        # The chain changes below what is final: the watcher stops, and says what to do.
        anvil.reorg(anvil.block_number() - before)
        stopped = site.processes.processes["watcher-1"]
        assert stopped.wait(timeout=PATIENCE_S) != 0
        assert "docs/runbook.md#reorg_below_finality" in site.processes.log("watcher-1").read_text()

        # What nobody reads can be called off.
        left = site.run("rescan", "0", "1", "--no-wait").output.split()[1]
        assert f"rescan {left}: blocks 0 to 1, block 0 is next" in site.run("rescan").output
        called_off = site.run("rescan", "--cancel", left)
        assert (called_off.exit_code, "It ended early: it was canceled." in called_off.output) == (0, True)
        assert "no rescan of chain 31337 is under way" in site.run("rescan").output

        too_short = site.run("rewind", str(before + 1), "--yes")
        assert f"rewind to block {before} or below" in too_short.output
        declined = site.run("rewind", str(before), typed="n\n")
        assert (declined.exit_code, "Nothing was changed" in declined.output) == (1, True)
        assert "1 deposits" in declined.output
        assert site.value("SELECT count(*) FROM deposits") == 1
        done = site.run("rewind", str(before), "--yes")
        assert done.exit_code == 0, done.output
        assert site.value("SELECT number FROM cursors") == before
        repeated = site.run("rewind", str(before), "--yes")
        assert "nothing above" in " ".join(repeated.output.split())

        site.start_watcher()
        site.mine(30)
        after = site.installation.until_seen(payment, lambda seen: seen["reversed_at"] is not None, "reversed")
        assert after["status"] == "paid"
        books = site.run("reconcile")
        assert books.exit_code == 0, books.output


@pytest.mark.nightly
def test_request_that_no_watcher_takes_is_said_to_wait_and_is_read_by_the_next_one(
    anvil: Anvil, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("openpay.bootstrap.rescanning.UNTAKEN_S", 0.5)
    with running(tmp_path, sqlite_url, anvil) as site:
        site.mine(14)
        site.processes.processes["watcher-1"].terminate()
        site.processes.processes["watcher-1"].wait(timeout=PATIENCE_S)
        told: list[str] = []

        def tell(line: str) -> None:
            told.append(line)
            if "no watcher" in line:
                site.start_watcher()

        monkeypatch.setattr("typer.echo", lambda message, **_: tell(str(message)))
        assert site.run("rescan", "0", "3").exit_code == 0
        assert sum("no watcher reads on" in line for line in told) == 1
        assert any("read blocks 0 to 3" in line for line in told)
