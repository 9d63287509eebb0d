"""`openpay dev` on a chain whose blocks a test can hold and let go, so that no state of a payment passes unseen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openpay.client import Payment
from tests.e2e.customer import ORDER, Wallet
from tests.e2e.dev import Dev, start
from tests.support.anvil import Anvil

BLOCK_TIME_S = 0.15


class Blocks:
    """Makes a block every 0.15 s, until it is held."""

    def __init__(self, chain: Anvil) -> None:
        self._chain = chain
        self._step = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="blocks")
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(BLOCK_TIME_S):
            with self._step:
                self._chain.mine()

    @contextmanager
    def held(self) -> Iterator[None]:
        """No block but those the test makes."""
        with self._step:
            yield

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


@dataclass
class Market:
    """The chain, what makes its blocks, the program, and a customer with plenty of everything."""

    chain: Anvil
    blocks: Blocks
    state_dir: Path
    devs: list[Dev] = field(default_factory=list)

    @property
    def dev(self) -> Dev:
        """The program as it runs now."""
        return self.devs[-1]

    def start(self, *options: str) -> None:
        """Start the program, again after it was killed."""
        self.devs.append(start(self.state_dir, "--rpc-url", self.chain.rpc_url, *options))

    @property
    def customer(self) -> Wallet:
        return Wallet(self.chain, key=self.dev.facts["customer"]["private_key"])

    def contract(self, token: str) -> str | None:
        """The token's contract; None for BNB."""
        address: str | None = self.dev.facts["contracts"]["tokens"].get(token)
        return address

    def order(self, *tokens: str, **more: Any) -> Payment:
        """A payment of 25 USD with the shop's own pages to go back to."""
        accepted = tokens or ("USDT", "USDC", "BNB")
        return self.dev.api.payments.create(
            **{"amount": "25.00", "currency": "USD", "accepted_tokens": accepted, **ORDER, **more}
        )

    def exchange(self, token: str, units: int) -> Wallet:
        """A wallet that has sent too often for a person's, and holds this much."""
        return self.wallet(token, units, nonce=9_000)

    def wallet(self, token: str, units: int, *, nonce: int | None = None) -> Wallet:
        """A wallet of its own that holds this much."""
        wallet = Wallet(self.chain, nonce=nonce)
        self.chain.receipt(self.customer.transfer(self.contract(token), wallet.address, units))
        return wallet


@contextmanager
def open_market(directory: Path) -> Iterator[Market]:
    """A market that closes with the context."""
    chain = Anvil.start("--no-mining")
    blocks = Blocks(chain)
    market = Market(chain, blocks, directory / "state")
    try:
        market.start()
        yield market
    finally:
        # First the program, which still wants answers, then what makes blocks, then the node it asks.
        for dev in market.devs:
            dev.end()
        blocks.end()
        chain.stop()
