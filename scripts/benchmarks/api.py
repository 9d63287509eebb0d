"""`POST /v1/payments` per second, against the same stack making one insert.

The floor is aiohttp, SQLAlchemy and SQLite with `synchronous=FULL`, reading a JSON body and committing one row: what no
API on this stack can beat. Each server is a process of its own on loopback; both are asked in turns by one client with
several connections, and the medians are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, TCPConnector, web

from scripts.benchmarks.figures import Figure

AIM = 0.35
"""Of the floor."""

ROUNDS = 5
REQUESTS = 400
CONNECTIONS = 8

ROOT = Path(__file__).parents[2]

BODY = {
    "amount": "25.00",
    "currency": "USD",
    "accepted_tokens": ["USDT", "USDC", "BNB"],
    "description": "Order #1042",
    "metadata": {"order_id": "1042", "customer_email": "buyer@example.com"},
}


def run() -> list[Figure]:
    """Measure both, in turns."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    speeds: dict[str, list[float]] = {"floor": [], "api": [], "api with key": []}
    with tempfile.TemporaryDirectory(prefix="openpay-bench-") as directory:
        async with AsyncExitStack() as stack:
            urls = {name: await stack.enter_async_context(_server(name, directory)) for name in ("floor", "api")}
            session = await stack.enter_async_context(ClientSession(connector=TCPConnector(limit=CONNECTIONS)))
            for round_ in range(ROUNDS + 1):
                measured = {
                    "floor": await _speed(session, urls["floor"]),
                    "api": await _speed(session, urls["api"]),
                    "api with key": await _speed(session, urls["api"], idempotent=f"round-{round_}"),
                }
                if round_ == 0:
                    continue  # connections open, caches fill
                for name, speed in measured.items():
                    speeds[name].append(speed)
    floor, api, keyed = (statistics.median(speeds[name]) for name in speeds)
    return [
        Figure(name="one insert, same stack (the floor)", value=floor, unit="requests/s"),
        Figure(name="POST /v1/payments", value=api, unit="requests/s"),
        Figure(name="POST /v1/payments with Idempotency-Key", value=keyed, unit="requests/s"),
        Figure(name="POST /v1/payments / floor", value=api / floor, unit="", aim=AIM),
        Figure(name="POST /v1/payments with Idempotency-Key / floor", value=keyed / floor, unit=""),
    ]


async def _speed(session: ClientSession, target: Mapping[str, str], *, idempotent: str | None = None) -> float:
    """Requests per second of one round."""
    body = json.dumps(BODY).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {target['key']}"}
    numbers = iter(range(REQUESTS))

    async def worker() -> None:
        for number in numbers:
            mine = headers if idempotent is None else headers | {"Idempotency-Key": f"{idempotent}-{number}"}
            async with session.post(target["url"], data=body, headers=mine) as answer:
                text = await answer.read()
                if answer.status != 201:
                    raise RuntimeError(f"{target['url']} answered {answer.status}: {text[:500]!r}")

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return REQUESTS / (time.perf_counter() - started)


@asynccontextmanager
async def _server(name: str, directory: str) -> AsyncIterator[Mapping[str, str]]:
    """This module in another process; yields where to post to and with which key."""
    command = (sys.executable, "-m", "scripts.benchmarks.api", name, str(Path(directory) / f"{name}.db"))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    pipe_in, pipe_out = process.stdin, process.stdout
    if pipe_in is None or pipe_out is None:
        raise RuntimeError("the pipes that were asked for are missing")
    try:
        line = await asyncio.wait_for(pipe_out.readline(), 60)
        if not line:
            raise RuntimeError(f"the {name} server did not start")
        yield json.loads(line)
    finally:
        pipe_in.close()
        await process.wait()


# --- the servers -----------------------------------------------------------------------------------------------------


async def _floor(url: str) -> tuple[web.Application, Mapping[str, str]]:
    from sqlalchemy import Column, Integer, MetaData, String, Table, Text, insert

    from openpay.store.engine import create_engines

    rows = Table(
        "rows", MetaData(), Column("seq", Integer, primary_key=True), Column("id", String), Column("body", Text)
    )
    _, writer = create_engines(url)
    async with writer.begin() as connection:
        await connection.run_sync(rows.metadata.create_all)

    async def create(request: web.Request) -> web.Response:
        body = await request.json()
        async with writer.begin() as connection:
            await connection.execute(insert(rows), {"id": body["description"], "body": json.dumps(body)})
        return web.json_response({"id": body["description"]}, status=201)

    app = web.Application()
    app.router.add_post("/rows", create)
    return app, {"path": "/rows", "key": "none"}


async def _api(url: str) -> tuple[web.Application, Mapping[str, str]]:
    from openpay.api import ApiDeps, build_app
    from openpay.app.merchants import create_merchant, issue_key
    from openpay.app.payments import PaymentService
    from openpay.app.records import PriceQuote
    from openpay.app.sealing import Sealer
    from openpay.app.signals import Signals
    from openpay.domain.chains import Chain, Token
    from openpay.store import Store
    from openpay.store.migrate import upgrade

    class Clock:
        def now(self) -> int:
            return int(time.time())

    class Quotes:
        def price(self, chain_id: int, token: Token) -> PriceQuote | None:
            return (
                PriceQuote(round=7, price=600 * 10**8, decimals=8, updated_at=int(time.time())) if token.feed else None
            )

        def on_peg(self, chain_id: int, token: Token) -> bool:
            return True

    class Treasuries:
        async def treasury_units(self, chain_id: int, merchant: bytes) -> Mapping[str, int]:
            return {}

    await asyncio.to_thread(upgrade, url)
    store, clock = Store.open(url), Clock()
    async with store.write() as uow:
        merchant = await create_merchant(uow, name="Shop", address=b"\xaa" * 20, now=clock.now())
        _, key = await issue_key(uow, merchant.id, livemode=True, now=clock.now())
    tokens = (
        Token(symbol="USDT", asset_index=0, contract=b"\x01" * 20, decimals=18),
        Token(symbol="USDC", asset_index=1, contract=b"\x02" * 20, decimals=18),
        Token(symbol="BNB", asset_index=2, contract=None, decimals=18, feed=b"\x03" * 20, max_feed_age_s=300),
    )
    chains = {True: Chain(chain_id=56, name="bsc", escrow=b"\xe5" * 20, tokens=tokens)}
    app = build_app(
        ApiDeps(
            db=store,
            payments=PaymentService(
                chains=chains, operators={56: b"\x0a" * 20}, quotes=Quotes(), clock=clock, wall=clock
            ),
            chains=chains,
            balances=Treasuries(),
            clock=clock,
            wall_clock=clock,
            sealer=Sealer("a passphrase for benchmarks"),
            signals=Signals(),
            public_url="https://pay.example",
        )
    )
    return app, {"path": "/v1/payments", "key": key}


async def _serve(name: str, file: str) -> None:
    """Serve on a free port until standard input closes, which also happens when the parent dies."""
    build: Mapping[str, Callable[[str], object]] = {"floor": _floor, "api": _api}
    app, target = await build[name](f"sqlite:///{file}")  # type: ignore[misc]
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}{target['path']}", "key": target["key"]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Serve one side of the comparison (used by the benchmark itself).")
    parser.add_argument("name", choices=["floor", "api"])
    parser.add_argument("file")
    options = parser.parse_args(arguments)
    asyncio.run(_serve(options.name, options.file))


if __name__ == "__main__":
    main(sys.argv[1:])
