"""A merchant in front of a running API: real HTTP on loopback, a real database, an imagined chain."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from openpay.api import ApiDeps, build_app
from openpay.app.merchants import create_merchant, issue_key
from openpay.app.payments import PaymentService
from openpay.app.ports import UnitOfWork
from openpay.app.records import Merchant, PriceQuote
from openpay.app.sealing import Sealer
from openpay.app.signals import Signals
from openpay.domain.chains import Chain, Token
from openpay.errors import ChainUnavailable
from openpay.http import HttpSettings
from openpay.store import Store
from openpay.store.store import DatabaseBusy

NOW = 1_774_530_000
"""2026-03-26T13:00:00Z"""

USDT = Token(
    symbol="USDT", asset_index=0, contract=bytes.fromhex("55d398326f99059ff775485246999027b3197955"), decimals=18
)
USDC = Token(
    symbol="USDC", asset_index=1, contract=bytes.fromhex("8ac76a51cc950d9822d68b83fe1ad97b32cd580d"), decimals=18
)
BNB = Token(symbol="BNB", asset_index=2, contract=None, decimals=18, feed=b"\x0f" * 20, max_feed_age_s=300)

LIVE = Chain(chain_id=56, name="bsc", escrow=b"\xe5" * 20, tokens=(USDT, USDC, BNB))
TEST = Chain(chain_id=97, name="bsc-testnet", escrow=b"\xe7" * 20, tokens=(USDT, USDC, BNB))


class Clock:
    """Stands still until a test moves it."""

    def __init__(self, now: int = NOW) -> None:
        self.seconds = now

    def now(self) -> int:
        return self.seconds


class Away:
    """A database that does not answer."""

    def read(self) -> AbstractAsyncContextManager[UnitOfWork]:
        raise DatabaseBusy("postgresql://openpay:secret@db refused the connection")

    write = read


@dataclass
class Quotes:
    """BNB at 600 USD, unless `bnb` is None: no fresh round. `off_peg` names stablecoins that lost their peg."""

    bnb: PriceQuote | None = field(
        default_factory=lambda: PriceQuote(round=2**65 + 7, price=600 * 10**8, decimals=8, updated_at=NOW - 10)
    )
    off_peg: frozenset[str] = frozenset()

    def price(self, chain_id: int, token: Token) -> PriceQuote | None:
        return self.bnb if token.feed is not None else None

    def on_peg(self, chain_id: int, token: Token) -> bool:
        return token.symbol not in self.off_peg


@dataclass
class Treasuries:
    """What the treasury holds, by token; None: no node answers."""

    units: dict[str, int] | None = field(default_factory=dict)

    async def treasury_units(self, chain_id: int, merchant: bytes) -> Mapping[str, int]:
        if self.units is None:
            raise ChainUnavailable("http://user:secret@node refused the connection")
        return dict(self.units)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer, read."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A merchant with a live and a test key, and the server it talks to."""

    store: Store
    deps: ApiDeps
    app: web.Application
    base_url: str
    session: ClientSession
    merchant: Merchant
    live_key: str
    test_key: str
    clock: Clock
    quotes: Quotes
    treasuries: Treasuries

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        raw: bytes | None = None,
        key: str | None = "live",
        headers: Mapping[str, str] | None = None,
        params: Any = None,
    ) -> Reply:
        """Send a request. `key`: "live", "test", None, or a key's own text; `raw` instead of `body` sends bytes."""
        sent = dict(headers or {})
        if key is not None:
            secret = {"live": self.live_key, "test": self.test_key}.get(key, key)
            sent.setdefault("Authorization", f"Bearer {secret}")
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method, self.base_url + path, data=data, headers=sent, params=params, skip_auto_headers=("Content-Type",)
        ) as answer:
            return Reply(status=answer.status, headers=answer.headers, raw=await answer.read())

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        return await self.call("POST", path, body=body, **options)

    async def pay(self, **fields: Any) -> Reply:
        """Ask for a payment of 25 USD, with `fields` instead of or beside the usual ones; `...` leaves one out."""
        options = {name: fields.pop(name) for name in ("key", "headers") if name in fields}
        body = {"amount": "25.00", "currency": "USD"} | fields
        return await self.post(
            "/v1/payments", {name: value for name, value in body.items() if value is not ...}, **options
        )


@asynccontextmanager
async def open_shop(
    store: Store, sealer: Sealer, *, http: HttpSettings | None = None, chains: Mapping[bool, Chain] | None = None
) -> AsyncIterator[Shop]:
    """Start a server on a free port, with one merchant."""
    clock, quotes, treasuries = Clock(), Quotes(), Treasuries()
    chains = chains or {True: LIVE, False: TEST}
    deps = ApiDeps(
        db=store,
        payments=PaymentService(
            chains=chains,
            operators={56: b"\x0a" * 20, 97: b"\x0b" * 20},
            quotes=quotes,
            clock=clock,
            wall=clock,
        ),
        chains=chains,
        balances=treasuries,
        clock=clock,
        wall_clock=clock,
        sealer=sealer,
        signals=Signals(),
        public_url="https://pay.example",
        http=http or HttpSettings(),
        warnings=lambda: ["bsc: only one endpoint is configured"],
    )
    merchant, live_key, test_key = await add_merchant(store, b"\xaa" * 20)
    app = build_app(deps)
    server = TestServer(app)
    await server.start_server()
    try:
        async with ClientSession() as session:
            yield Shop(
                store=store,
                deps=deps,
                app=app,
                base_url=str(server.make_url("")).rstrip("/"),
                session=session,
                merchant=merchant,
                live_key=live_key,
                test_key=test_key,
                clock=clock,
                quotes=quotes,
                treasuries=treasuries,
            )
    finally:
        await server.close()


async def add_merchant(store: Store, address: bytes) -> tuple[Merchant, str, str]:
    """A merchant with its live and its test key."""
    async with store.write() as uow:
        merchant = await create_merchant(uow, name="Shop", address=address, now=NOW)
        _, live_key = await issue_key(uow, merchant.id, livemode=True, now=NOW)
        _, test_key = await issue_key(uow, merchant.id, livemode=False, now=NOW)
    return merchant, live_key, test_key


def problem(reply: Reply, status: int, code: str, *, param: str | None = None) -> str:
    """Check that an answer is this problem, in full, and return its sentence."""
    assert reply.status == status, reply.raw
    assert reply.headers["Content-Type"] == "application/problem+json"
    body = reply.body
    assert list(body) == ["type", "title", "status", "detail", "code", "param", "request_id"]
    assert (body["status"], body["code"], body["param"]) == (status, code, param), body
    assert body["type"] == f"/docs#{code}"
    assert body["request_id"] == reply.headers["X-Request-Id"]
    detail: str = body["detail"]
    assert detail
    return detail
