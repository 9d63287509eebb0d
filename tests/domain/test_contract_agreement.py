"""The Python arithmetic of terms equals the deployed contract's, for a thousand random payments."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode

from openpay.chain.artifacts import load_artifact
from openpay.domain.keccak import keccak
from openpay.domain.terms import Terms, min_units_up, payment_key, peg_full_units_up, price_full_units_up
from openpay.domain.vaults import treasury_address, vault_address, vault_implementation
from tests.support.anvil import ACCOUNTS, Anvil

PAYMENTS = 1_000
CALLS_PER_REQUEST = 1_000
TERMS = "(address,address,uint96,uint16,uint16,uint40,uint40,uint80,uint32,bytes32)"

STABLE = 0
"""Index of the token at 1 USD; after it the chain's coin is listed once for each of these feeds."""
FEED_DECIMALS = (0, 8, 18)
MAX_AGE_S = 3_600


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """An escrow on a local chain, with the rounds of each of its feeds: round id, price, time."""

    anvil: Anvil
    escrow: bytes
    rounds: tuple[tuple[int, int, int], ...]

    def ask(self, calldata: Sequence[bytes]) -> list[bytes]:
        """What the escrow answers to each call."""
        to = "0x" + self.escrow.hex()
        answers: list[bytes] = []
        for start in range(0, len(calldata), CALLS_PER_REQUEST):
            calls = [
                {
                    "jsonrpc": "2.0",
                    "id": number,
                    "method": "eth_call",
                    "params": [{"to": to, "data": "0x" + data.hex()}, "latest"],
                }
                for number, data in enumerate(calldata[start : start + CALLS_PER_REQUEST])
            ]
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(self.anvil.rpc_url, json.dumps(calls).encode(), headers)
            with urllib.request.urlopen(request, timeout=60) as response:
                batch = sorted(json.load(response), key=lambda answer: answer["id"])
            answers += [bytes.fromhex(answer["result"][2:]) for answer in batch]
        return answers


def selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


def send(anvil: Anvil, to: str | None, data: bytes) -> str:
    """Send from the first account; returns the address of the contract that was made, if any."""
    receiver = {} if to is None else {"to": to}
    receipt = anvil.receipt(anvil.send(from_=ACCOUNTS[0].address, data="0x" + data.hex(), **receiver))
    assert receipt["status"] == "0x1", receipt
    return receipt["contractAddress"] or ""


def deploy(anvil: Anvil, name: str, types: Sequence[str], values: Sequence[object]) -> str:
    return send(anvil, None, load_artifact(name).bytecode + encode(types, values))


def set_up(anvil: Anvil, rng: random.Random) -> Deployed:
    escrow = deploy(anvil, "Escrow", ["address"], [ACCOUNTS[0].address])
    token = deploy(anvil, "TestToken", ["string", "string"], ["Tether USD", "USDT"])
    feeds = [deploy(anvil, "TestFeed", ["string", "uint8"], ["BNB / USD", decimals]) for decimals in FEED_DECIMALS]
    listing = selector("listAsset(address,address,uint32)")
    nobody = "0x" + "00" * 20
    send(anvil, escrow, listing + encode(["address", "address", "uint32"], [token, nobody, 0]))
    rounds = [(2**64 + 1 + number, rng.randint(1, 10**14), anvil.timestamp()) for number in range(10)]
    for feed in feeds:
        send(anvil, escrow, listing + encode(["address", "address", "uint32"], [nobody, feed, MAX_AGE_S]))
        for _, price, updated_at in rounds:
            add = selector("addRound(int256,uint256)") + encode(["int256", "uint256"], [price, updated_at])
            send(anvil, feed, add)
    return Deployed(anvil=anvil, escrow=bytes.fromhex(escrow[2:]), rounds=tuple(rounds))


def random_terms(rng: random.Random, number: int, round_: tuple[int, int, int]) -> Terms:
    """Any terms that the escrow would price by this round."""
    round_id, _, updated_at = round_
    return Terms(
        merchant=rng.randbytes(20),
        operator=rng.randbytes(20),
        usd=rng.choice([1, rng.randint(1, 10**12), rng.getrandbits(96) | 1]),
        slippage_bps=rng.randint(0, 500),
        underpayment_bps=rng.randint(0, 500),
        quoted_at=updated_at + rng.randint(0, MAX_AGE_S),
        expiry=rng.getrandbits(40),
        round=round_id,
        assets=0b1111 | rng.getrandbits(32),
        payment_key=payment_key(f"pay_{number}"),
    )


def test_ids_addresses_and_amounts_equal_the_contracts(anvil: Anvil) -> None:
    rng = random.Random(20_260_326)
    deployed = set_up(anvil, rng)
    chosen = [rng.choice(deployed.rounds) for _ in range(PAYMENTS)]
    all_terms = [random_terms(rng, number, round_) for number, round_ in enumerate(chosen)]

    (implementation,) = deployed.ask([selector("vaultImplementation()")])
    assert implementation[12:] == vault_implementation(deployed.escrow)

    assert deployed.ask([selector(f"idOf({TERMS})") + terms.encode() for terms in all_terms]) == [
        terms.id() for terms in all_terms
    ]
    assert deployed.ask([selector("vaultOf(bytes32)") + terms.id() for terms in all_terms]) == [
        vault_address(deployed.escrow, terms.id()).rjust(32, b"\0") for terms in all_terms
    ]
    assert deployed.ask([selector("treasuryOf(address)") + terms.merchant.rjust(32, b"\0") for terms in all_terms]) == [
        treasury_address(deployed.escrow, terms.merchant).rjust(32, b"\0") for terms in all_terms
    ]

    def amounts_due(asset: int) -> list[bytes]:
        due = selector(f"due({TERMS},uint8)")
        return deployed.ask([due + terms.encode() + asset.to_bytes(32, "big") for terms in all_terms])

    for terms, answer in zip(all_terms, amounts_due(STABLE), strict=True):
        full = peg_full_units_up(terms.usd, token_decimals=18)
        assert answer == encode(["uint256", "uint256"], [full, min_units_up(full, terms.underpayment_bps)])
    for asset, decimals in enumerate(FEED_DECIMALS, STABLE + 1):
        for terms, (_, price, _), answer in zip(all_terms, chosen, amounts_due(asset), strict=True):
            full = price_full_units_up(terms.usd, price=price, price_decimals=decimals, token_decimals=18)
            assert answer == encode(["uint256", "uint256"], [full, min_units_up(full, terms.slippage_bps)])
