"""The program under test in a process of its own: every role of `openpay up`, with the local chain's time as the clock.

Told by the same OPENPAY_* variables. Payments live for half an hour and refunds wait for a day, which the simulation
does not: so the chain's clock, which can be moved, stands in for the server's.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress

from openpay.bootstrap.installation import configured_chains, installed, open_pools
from openpay.bootstrap.logs import configure_logging
from openpay.bootstrap.role import Role
from openpay.bootstrap.roles import run
from openpay.chain.clock import ChainClock
from openpay.config import load_settings
from openpay.errors import ChainUnavailable

CLOCK_REFRESH_S = 0.1
PRICE_REFRESH_S = 0.5


async def main() -> None:
    """Run until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = load_settings()
    chains = configured_chains(settings)
    async with AsyncExitStack() as stack:
        pools = await open_pools(settings, chains, stack)
        (pool,) = pools.values()
        clock = ChainClock(pool)
        await clock.refresh()
        installation = await stack.enter_async_context(installed(settings, chains=chains, pools=pools, clock=clock))
        keeping = asyncio.create_task(_keep_time(clock))
        try:
            await run(installation, Role, stop, price_refresh_s=PRICE_REFRESH_S)
        finally:
            keeping.cancel()


async def _keep_time(clock: ChainClock) -> None:
    while True:
        with suppress(ChainUnavailable):
            await clock.refresh()
        await asyncio.sleep(CLOCK_REFRESH_S)


if __name__ == "__main__":
    configure_logging(level="warning")
    asyncio.run(main())
