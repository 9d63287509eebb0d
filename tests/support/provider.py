"""Wallets in a test's browser: they announce themselves (EIP-6963) and are asked as real ones are (EIP-1193).

In the page stands only what passes questions on. What a wallet knows, and its keys, are here in Python.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import BrowserContext, Page

from openpay.chain.account import Account
from openpay.chain.signing import Signer
from tests.support.anvil import Node, RpcError

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 2 2'%3E"
    "%3Ccircle cx='1' cy='1' r='1' fill='%23c50'/%3E%3C/svg%3E"
)

_PROVIDERS = """
(wallets) => {
  window.testWallets = {};
  for (const { info, injected } of wallets) {
    const listeners = {};
    const provider = {
      async request({ method, params }) {
        const { result, error, never } = await window.walletAsked(info.uuid, method, params ?? []);
        if (never) return new Promise(() => {});
        if (error !== undefined) throw error;
        return result;
      },
      on(name, listener) { (listeners[name] ??= new Set()).add(listener); },
      removeListener(name, listener) { listeners[name]?.delete(listener); },
    };
    window.testWallets[info.uuid] = (name, value) => { for (const each of listeners[name] ?? []) each(value); };
    if (injected) { window.ethereum = provider; continue; }
    const announce = () =>
      dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }));
    addEventListener("eip6963:requestProvider", announce);
    announce();
  }
}
"""

NEVER = object()
"""An answer that does not come."""

_ids = itertools.count(1)


class Refused(Exception):
    """What the wallet throws: `thrown` as it is, whatever it is."""

    def __init__(self, thrown: Any) -> None:
        super().__init__(repr(thrown))
        self.thrown = thrown


def error(code: int | str, message: str = "", **more: Any) -> Refused:
    """An error as EIP-1193 describes it."""
    return Refused({"code": code, "message": message, **more})


@dataclass(kw_only=True)
class PageWallet:
    """A wallet that does what it is told. Amounts in base units, hashes made up.

    `answers` takes the place of what it would say by itself, by method: a value, a `Refused` to throw, `NEVER`, or a
    function of the parameters that returns one of them.
    """

    name: Any = "Test Wallet"
    rdns: Any = "example.wallet"
    icon: Any = ICON
    injected: bool = False
    """In `window.ethereum` instead of announcing itself."""
    uuid: str = field(default_factory=lambda: f"00000000-0000-4000-8000-{next(_ids):012d}")
    accounts: list[str] = field(default_factory=lambda: ["0x" + "ab" * 20])
    chain_id: int = 56
    knows_chains: set[int] = field(default_factory=lambda: {1, 56})
    token_units: int = 10**21
    coin_wei: int = 10**18
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    """The methods of questions whose answers are on their way to the page."""
    sent: list[dict[str, Any]] = field(default_factory=list)

    @property
    def info(self) -> dict[str, Any]:
        return {"uuid": self.uuid, "name": self.name, "rdns": self.rdns, "icon": self.icon}

    def methods(self) -> list[str]:
        return [method for method, _params in self.asked]

    def answer(self, method: str, params: list[Any]) -> Any:
        """The wallet's answer. Raises `Refused`."""
        match method:
            case "eth_accounts" | "eth_requestAccounts":
                return self.accounts
            case "eth_chainId":
                return hex(self.chain_id)
            case "wallet_switchEthereumChain":
                wanted = int(params[0]["chainId"], 16)
                if wanted not in self.knows_chains:
                    raise error(4902, "Unrecognized chain ID")
                self.chain_id = wanted
                return None
            case "wallet_addEthereumChain":
                self.knows_chains.add(int(params[0]["chainId"], 16))
                return None
            case "eth_sendTransaction":
                return self.send(params[0])
            case _:
                return self.node(method, params)

    def send(self, transaction: dict[str, Any]) -> str:
        """Take the transaction; its hash."""
        self.sent.append(transaction)
        return "0x" + secrets.token_hex(32)

    def node(self, method: str, params: list[Any]) -> Any:
        """What the wallet's node answers."""
        match method:
            case "eth_getBalance":
                return hex(self.coin_wei)
            case "eth_call":
                return f"0x{self.token_units:064x}"
            case "eth_gasPrice":
                return hex(10**8)
            case "eth_getTransactionByHash":
                return None
            case _:
                raise error(4200, f"this wallet does not know {method}")


@dataclass(kw_only=True)
class SigningWallet(PageWallet):
    """A wallet that signs with its key and sends to a real node."""

    key: str
    rpc: Node
    gas_price: int = 2 * 10**10

    def __post_init__(self) -> None:
        self.accounts = [Account.from_key(self.key).address]
        self.chain_id = int(self.rpc.rpc("eth_chainId"), 16)
        self.knows_chains = {self.chain_id}

    def send(self, transaction: dict[str, Any]) -> str:
        assert transaction["from"].lower() == self.accounts[0].lower()
        assert int(transaction["chainId"], 16) == self.chain_id
        self.sent.append(transaction)
        signed = Signer(bytes.fromhex(self.key[2:])).sign(
            chain_id=self.chain_id,
            nonce=int(self.rpc.rpc("eth_getTransactionCount", self.accounts[0], "pending"), 16),
            to=bytes.fromhex(transaction["to"][2:]),
            gas=120_000,
            gas_price=self.gas_price,
            data=bytes.fromhex(transaction.get("data", "0x")[2:]),
            value=int(transaction.get("value", "0x0"), 16),
        )
        tx_hash: str = self.node("eth_sendRawTransaction", ["0x" + signed.raw.hex()])
        return tx_hash

    def node(self, method: str, params: list[Any]) -> Any:
        try:
            return self.rpc.rpc(method, *params)
        except RpcError as refusal:
            raise error(refusal.code or -32603, str(refusal)) from refusal


async def give_wallets(context: BrowserContext, wallets: Sequence[PageWallet]) -> None:
    """Put wallets into every page that the context opens from now on."""
    by_uuid = {wallet.uuid: wallet for wallet in wallets}

    async def asked(uuid: str, method: str, params: list[Any]) -> dict[str, Any]:
        wallet = by_uuid[uuid]
        wallet.asked.append((method, params))
        try:
            # In a thread: a real node may take its time, and the page's own server runs in this loop.
            answer = await asyncio.to_thread(_answer, wallet, method, params)
        except Refused as refused:
            return {"error": refused.thrown}
        finally:
            wallet.answered.append(method)
        return {"never": True} if answer is NEVER else {"result": answer}

    await context.expose_function("walletAsked", asked)
    told = json.dumps([{"info": wallet.info, "injected": wallet.injected} for wallet in wallets])
    await context.add_init_script(f"({_PROVIDERS})({told})")


def _answer(wallet: PageWallet, method: str, params: list[Any]) -> Any:
    if method not in wallet.answers:
        return wallet.answer(method, params)
    answer = wallet.answers[method]
    if isinstance(answer, Callable):  # type: ignore[arg-type]
        answer = answer(params)
    if isinstance(answer, Refused):
        raise answer
    return answer


async def emit(page: Page, wallet: PageWallet, event: str, value: Any) -> None:
    """Let the wallet tell the page of an event."""
    await page.evaluate("([uuid, name, value]) => testWallets[uuid](name, value)", [wallet.uuid, event, value])
