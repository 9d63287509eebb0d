"""Chain files: those shipped agree with what is known of the chains, and a wrong one says what is wrong."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openpay.chain.spec import SPECS, deployed_chain, load_chain, save_chain
from openpay.domain.address import to_checksum
from openpay.domain.chains import Chain, Token
from openpay.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
ESCROW = "0x" + "22" * 20
CHAIN = Chain(
    chain_id=31337,
    name="local",
    escrow=b"\x22" * 20,
    tokens=(
        Token(symbol="USDT", asset_index=0, contract=b"\x01" * 20, decimals=6, peg_feed=b"\x02" * 20),
        Token(symbol="BNB", asset_index=3, contract=None, decimals=18, feed=b"\x03" * 20, max_feed_age_s=300),
    ),
    confirmations=7,
    has_finalized_tag=False,
    stalled_finality_confirmations=100,
    block_interval_s=0.75,
    start_block=5,
    public_rpc_urls=("https://rpc.example/v1", "http://127.0.0.1:8545"),
    explorer_url="https://explorer.example",
)


def test_written_chain_reads_back_the_same(tmp_path: Path) -> None:
    for chain in (CHAIN, replace(CHAIN, start_block=None, has_finalized_tag=True)):
        save_chain(chain, tmp_path / "chain.json")
        assert load_chain(str(tmp_path / "chain.json")) == chain


@pytest.mark.parametrize(
    ("name", "chain_id", "usdt", "usdc", "feed"),
    [
        (
            "bsc",
            56,
            "0x55d398326f99059fF775485246999027B3197955",
            "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d",
            "0x0567F2323251f0Aab15c8dFb1967E4e8A7D42aeE",
        ),
        (
            "bsc-testnet",
            97,
            "0x337610d27c682E347C9cD60BD4b3b107C9d34dDd",
            "0x64544969ed7EBf5f083679233325356EbE738930",
            "0x2514895c72f50D8bd4B4F9b1110F0D6bD2c97526",
        ),
    ],
)
def test_shipped_chains_name_the_known_contracts(name: str, chain_id: int, usdt: str, usdc: str, feed: str) -> None:
    chain = load_chain(name, escrow=ESCROW)
    tokens = {token.symbol: token for token in chain.tokens}
    assert (chain.chain_id, chain.confirmations, chain.has_finalized_tag) == (chain_id, 12, True)
    assert list(tokens) == ["USDT", "USDC", "BNB"]
    assert {symbol: token.contract and to_checksum(token.contract) for symbol, token in tokens.items()} == {
        "USDT": usdt,
        "USDC": usdc,
        "BNB": None,
    }
    assert to_checksum(tokens["BNB"].feed or b"") == feed
    assert all(token.decimals == 18 for token in chain.tokens)


def test_shipped_chain_needs_the_operators_own_escrow() -> None:
    with pytest.raises(ConfigurationError, match=r"OPENPAY_LIVE_ESCROW.*OPENPAY_TEST_ESCROW"):
        load_chain("bsc")


def test_escrow_of_the_settings_wins_over_the_files(tmp_path: Path) -> None:
    save_chain(CHAIN, tmp_path / "chain.json")
    assert load_chain(str(tmp_path / "chain.json"), escrow="0x" + "44" * 20).escrow == b"\x44" * 20


def test_local_chain_has_no_addresses_before_it_is_deployed() -> None:
    with pytest.raises(ConfigurationError, match=r"local\.json has 'deployed' in place of addresses: `openpay dev`"):
        load_chain("local", escrow=ESCROW)


def test_local_chain_gets_its_addresses_from_the_deployment() -> None:
    contracts = {"USDT": b"\x01" * 20, "USDC": b"\x02" * 20}
    chain = deployed_chain(
        "local", escrow=b"\x22" * 20, contracts=contracts, feeds={"BNB": b"\x03" * 20}, start_block=4
    )
    assert (chain.chain_id, chain.escrow, chain.start_block) == (31337, b"\x22" * 20, 4)
    assert {token.symbol: (token.contract, token.feed) for token in chain.tokens} == {
        "USDT": (b"\x01" * 20, None),
        "USDC": (b"\x02" * 20, None),
        "BNB": (None, b"\x03" * 20),
    }
    with pytest.raises(KeyError, match="USDC"):
        deployed_chain("local", escrow=b"\x22" * 20, contracts={"USDT": b"\x01" * 20}, feeds={}, start_block=4)


def test_unknown_chain_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no chain 'bnb': use bsc, bsc-testnet, local or the path"):
        load_chain("bnb", escrow=ESCROW)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"escrow": "0x12"}, "0x12"),
        ({"escrow": None}, "names no escrow"),
        ({"chain_id": "56"}, "chain_id"),
        ({"confirmation": 12}, "confirmation"),
        ({"tokens": []}, "token"),
        ({"confirmations": 0}, "confirmations"),
        ({"token": {"symbol": "USDC"}}, "token"),
        ({"public_rpc_urls": ["rpc.example"]}, "public_rpc_urls"),
        ({"explorer_url": "javascript:alert(1)"}, "explorer_url"),
    ],
)
def test_wrong_file_says_what_is_wrong(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    assert words in refusal(tmp_path, change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"asset_index": 0}, "two tokens have the same `asset_index`"),
        ({"asset_index": 32}, "asset_index"),
        ({"symbol": "USDT"}, "two tokens have the same `symbol`"),
        ({"contract": "0x" + "01" * 20}, "two tokens have the same `contract`"),
        ({"max_feed_age_s": 0}, "max_feed_age_s"),
        ({"feed": None}, "feed"),
        ({"decimals": -1}, "decimals"),
    ],
)
def test_wrong_token_says_what_is_wrong(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    save_chain(CHAIN, tmp_path / "chain.json")
    usdt, bnb = json.loads((tmp_path / "chain.json").read_text())["tokens"]
    assert words in refusal(tmp_path, {"tokens": [usdt, bnb | change]})


def test_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "chain.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"the chain file .*chain\.json is wrong"):
        load_chain(str(tmp_path / "chain.json"))


def refusal(directory: Path, change: dict[str, Any]) -> str:
    """What is said about the usual chain file with a change."""
    path = directory / "chain.json"
    save_chain(CHAIN, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigurationError) as caught:
        load_chain(str(path))
    return str(caught.value)


def test_every_field_of_a_chain_file_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/chains.md").read_text(), re.MULTILINE)
    local = json.loads((SPECS / "local.json").read_text())
    bsc = json.loads((SPECS / "bsc.json").read_text())
    assert set(documented) == {*local, *(field for token in (*local["tokens"], *bsc["tokens"]) for field in token)}
    assert set(local) == set(bsc)


def test_shipped_files_are_those_that_the_documentation_names() -> None:
    (named,) = re.findall(r"shipped as (.*?) in\n", (ROOT / "docs/chains.md").read_text())
    assert sorted(re.findall(r"`(.*?)`", named)) == sorted(path.stem for path in SPECS.glob("*.json"))
