"""Keeps the local price feed fresh while chain time moves, as Chainlink's nodes do on a public chain."""

from __future__ import annotations

import asyncio

import structlog

from openpay.app.stopping import pause
from openpay.chain.pool import Pool
from openpay.devnet.deployment import FEED_NAME, Deployment, add_round_when_older
from openpay.devnet.wallet import Wallet
from openpay.errors import ChainUnavailable

REFRESH_AGE_S = 60
"""Chain time after which a new round is due."""
LOOK_EVERY_S = 1.0

_log = structlog.get_logger(__name__)


class FeedKeeper:
    """Adds a round whenever the last one has grown old by the chain's own clock, however that clock is moved."""

    def __init__(self, deployment: Deployment, pool: Pool) -> None:
        self._pool = pool
        self._feed = deployment.feeds[FEED_NAME]
        # A chain that somebody holds still is not moved on for the sake of its prices.
        self._owner = Wallet(pool, chain_id=deployment.chain.chain_id, signer=deployment.owner.signer, idle_s=None)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. A node that does not answer is asked again."""
        while not stop.is_set():
            try:
                await add_round_when_older(self._pool, self._owner, self._feed, age_s=REFRESH_AGE_S)
            except ChainUnavailable as error:
                _log.warning("price feed not refreshed", reason=str(error))
            await pause(stop, LOOK_EVERY_S)
