"""One process per role on PostgreSQL, as docker-compose.yml runs them, with a second watcher and a second settler."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from openpay.devnet.deployment import Deployment
from openpay.domain.address import to_checksum
from tests.e2e.cluster import CHAIN_ID, Cluster, answers, cluster, deployed
from tests.e2e.installation import PATIENCE_S, Installation
from tests.e2e.shop import Shop
from tests.support.anvil import Anvil
from tests.support.process import stop, wait_until


def started(processes: Cluster, chain: Anvil, deployment: Deployment) -> Installation:
    """Set up as an operator does, start every role, and wait until the API answers."""
    processes.cli("migrate")
    merchant = deployment.merchant.address
    created = processes.cli("merchants", "create", "--name", "Shop", "--address", to_checksum(merchant))
    api_key = processes.cli("keys", "create", "--merchant", created.split()[0]).strip()
    for role in ("api", "watcher", "webhooks", "settler"):
        for number in (1, 2) if role in ("watcher", "settler") else (1,):
            processes.start(role, f"{role}-{number}")
    url = processes.settings["OPENPAY_PUBLIC_URL"]
    wait_until(lambda: answers(url + "/livez"), timeout_s=PATIENCE_S, what="the API answers")
    return Installation(
        facts={
            "api_url": url,
            "api_key": api_key,
            "rpc_urls": [chain.rpc_url],
            "chain_id": CHAIN_ID,
            "contracts": {
                "escrow": to_checksum(deployment.chain.escrow),
                "tokens": {symbol: to_checksum(address) for symbol, address in deployment.tokens.items()},
            },
            "customer": {
                "address": to_checksum(deployment.customer.address),
                "private_key": "0x" + deployment.customer.private_key.hex(),
            },
        }
    )


@pytest.mark.nightly
def test_separate_processes_survive_the_death_of_the_leading_watcher_and_settler(
    start_anvil: Callable[..., Anvil], postgres_url: str, tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of this machine
    chain = start_anvil("--block-time", "0.15")
    deployment = deployed(chain)
    with cluster(tmp_path, postgres_url, chain, deployment) as processes:
        installation = started(processes, chain, deployment)
        shop.public_key = installation.api.webhooks.public_key()["public_key"]
        installation.api.webhooks.configure(shop.url + "/a")

        first = installation.create("USDT")
        installation.pay(first, "USDT")
        installation.until(first, "confirming")
        watcher, other_watcher = processes.one_leads("watcher-1", "watcher-2")
        settler, other_settler = processes.one_leads("settler-1", "settler-2")
        assert not processes.leads(other_watcher)
        assert not processes.leads(other_settler)
        stop(processes.processes.pop(watcher), signal.SIGKILL)
        stop(processes.processes.pop(settler), signal.SIGKILL)

        second = installation.create("USDC")
        installation.pay(second, "USDC")
        for payment_id in (installation.until_settled(payment)["id"] for payment in (first, second)):
            told = partial(shop.ids, "payment.completed", payment_id)
            wait_until(lambda told=told: told() != set(), timeout_s=PATIENCE_S, what="the merchant is told")  # type: ignore[misc]
            assert len(told()) == 1
        assert processes.leads(other_watcher)
        assert processes.leads(other_settler)
        assert len(installation.settled_logs()) == 2

        assert processes.end() == dict.fromkeys(processes.processes, 0)
        key = deployment.operator.private_key.hex()
        assert not any(key in file.read_text() for file in tmp_path.glob("*.log"))
