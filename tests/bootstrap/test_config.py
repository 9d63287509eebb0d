"""Settings: read once, checked at once, and errors that name the variable but never a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openpay.bootstrap.installation import configured_chains, operator_address, operator_signer
from openpay.bootstrap.roles import fee_policy
from openpay.config import Settings, given_settings, load_settings
from openpay.domain.address import to_checksum
from openpay.errors import ConfigurationError
from openpay.settlement import FeePolicy

OPERATOR_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OPERATOR_ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
ESCROW = "0x" + "22" * 20


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"OPENPAY_{name}".upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENPAY_PORT", "70000"),
        ("OPENPAY_PORT", "eighty"),
        ("OPENPAY_CONFIRMATIONS", "0"),
        ("OPENPAY_RATE_LIMIT_PER_MINUTE", "-1"),
        ("OPENPAY_TRUSTED_PROXIES", "10.0.0.0/8,proxy.example"),
        ("OPENPAY_PUBLIC_URL", "pay.example"),
        ("OPENPAY_ALLOW_INSECURE_WEBHOOKS", "perhaps"),
        ("OPENPAY_METRICS_PORT", "70000"),
        ("OPENPAY_ALERT_WEBHOOK_URL", "ftp://pager.example/hook"),
        ("OPENPAY_ALERT_WEBHOOK_URL", "pager.example"),
        ("OPENPAY_ALERT_WEBHOOK_SECRET", "c2hvcnQ="),
        ("OPENPAY_ALERT_WEBHOOK_SECRET", "whsec_c2hvcnQ="),
        ("OPENPAY_ALERT_WEBHOOK_SECRET", "whsec_not base64"),
    ],
)
def test_error_names_the_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        load_settings()


@pytest.mark.parametrize("mode", ["LIVE", "TEST"])
@pytest.mark.parametrize(("given", "value"), [("CHAIN", "bsc"), ("RPC_URLS", "https://first.example")])
def test_chain_and_its_nodes_are_set_together(
    monkeypatch: pytest.MonkeyPatch, mode: str, given: str, value: str
) -> None:
    monkeypatch.setenv(f"OPENPAY_{mode}_{given}", value)
    with pytest.raises(ConfigurationError, match=f"OPENPAY_{mode}_CHAIN and OPENPAY_{mode}_RPC_URLS"):
        load_settings()


def test_every_fault_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENPAY_PORT", "eighty")
    monkeypatch.setenv("OPENPAY_CONFIRMATIONS", "0")
    with pytest.raises(ConfigurationError, match=r"OPENPAY_PORT.*OPENPAY_CONFIRMATIONS"):
        load_settings()


def test_lists_are_split_at_commas() -> None:
    settings = load_settings(live_chain="bsc", live_rpc_urls=" https://first.example, https://second.example ,")
    assert settings.live_rpc_urls == ("https://first.example", "https://second.example")


@pytest.mark.parametrize("url", ["first.example", "ftp://first.example", "https://", "wss:first.example"])
def test_node_is_an_http_or_websocket_url_and_a_wrong_one_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"OPENPAY_LIVE_RPC_URLS: .*number 2") as caught:
        load_settings(live_chain="bsc", live_rpc_urls=f"wss://first.example,{url}/secret-key")
    assert "secret-key" not in str(caught.value)


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENPAY_PORT=1\nOPENPAY_HOST=0.0.0.0\nOTHER=ignored\n")
    monkeypatch.setenv("OPENPAY_PORT", "2")
    settings = load_settings()
    assert (settings.host, settings.port) == ("0.0.0.0", 2)


def test_given_settings_are_the_given_ones_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENPAY_PUBLIC_URL=https://pay.example\n")
    monkeypatch.setenv("OPENPAY_RATE_LIMIT_PER_MINUTE", "60")
    settings = given_settings(port=81)
    assert (settings.base_url, settings.rate_limit_per_minute) == ("http://127.0.0.1:81", None)
    with pytest.raises(ConfigurationError, match="OPENPAY_PORT"):
        given_settings(port="eighty")


def test_page_is_where_the_public_url_says_or_else_where_the_server_listens() -> None:
    assert load_settings(public_url="https://pay.example/").base_url == "https://pay.example"
    assert load_settings(port=81).base_url == "http://127.0.0.1:81"


def test_secrets_are_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENPAY_OPERATOR_KEY", OPERATOR_KEY)
    monkeypatch.setenv("OPENPAY_SECRET", "a passphrase of some length")
    settings = load_settings()
    shown = f"{settings!r} {settings} {settings.model_dump()} {operator_signer(settings)!r}"
    assert OPERATOR_KEY[2:] not in shown
    assert "passphrase" not in shown


def test_operator_is_the_named_address_or_that_of_the_key() -> None:
    assert to_checksum(operator_address(load_settings(operator_key=OPERATOR_KEY))) == OPERATOR_ADDRESS
    assert to_checksum(operator_address(load_settings(operator_address=OPERATOR_ADDRESS))) == OPERATOR_ADDRESS
    with pytest.raises(ConfigurationError, match="OPENPAY_OPERATOR_ADDRESS"):
        operator_address(load_settings())
    with pytest.raises(ConfigurationError, match="OPENPAY_OPERATOR_ADDRESS"):
        operator_address(load_settings(operator_address="0x12"))


def test_operator_address_that_is_not_the_keys_is_refused() -> None:
    contradictory = load_settings(operator_key=OPERATOR_KEY, operator_address="0x" + "33" * 20)
    with pytest.raises(ConfigurationError, match="OPENPAY_OPERATOR_ADDRESS"):
        operator_signer(contradictory)


def test_blank_value_is_the_same_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENPAY_LIVE_CHAIN=\nOPENPAY_OPERATOR_KEY=\nOPENPAY_CONFIRMATIONS=\n")
    settings = load_settings()
    assert (settings.live_chain, settings.operator_key, settings.confirmations) == (None, None, None)


@pytest.mark.parametrize("key", ["", "0x", "0x12", "0x" + "zz" * 32, "0x" + "00" * 32, "0x" + "ff" * 32])
def test_private_key_that_is_none_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="OPENPAY_OPERATOR_KEY") as caught:
        operator_signer(load_settings(operator_key=key))
    assert len(key) < 5 or key[2:] not in str(caught.value)


def test_gas_caps_are_exact_amounts_of_wei() -> None:
    given = load_settings(
        max_gas_price_gwei="0.05", max_gas_per_transaction_bnb="0.000000000000000001", max_gas_per_day_bnb="1.5"
    )
    policy = FeePolicy(max_gas_price=50_000_000, max_per_transaction=1, max_per_day=15 * 10**17)
    assert fee_policy(given) == policy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("settle_batch_size", "0"),
        ("settle_batch_size", "81"),
        ("settle_max_age_s", "-1"),
        ("max_gas_price_gwei", "0"),
        ("max_gas_price_gwei", "NaN"),
        ("max_gas_per_day_bnb", "-0.1"),
        ("max_gas_per_transaction_bnb", "much"),
    ],
)
def test_settings_of_the_settler_are_checked(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"OPENPAY_{name.upper()}"):
        load_settings(**{name: value})


def test_confirmations_of_the_settings_replace_the_chain_files() -> None:
    chain: dict[str, Any] = {"live_chain": "bsc", "live_escrow": ESCROW, "live_rpc_urls": "https://first.example"}
    assert configured_chains(load_settings(**chain))[True].confirmations == 12
    assert configured_chains(load_settings(**chain, confirmations=30))[True].confirmations == 30


def test_each_mode_has_its_own_chain() -> None:
    chains = configured_chains(
        load_settings(
            live_chain="bsc",
            live_escrow=ESCROW,
            live_rpc_urls="https://first.example",
            test_chain="bsc-testnet",
            test_escrow=ESCROW,
            test_rpc_urls="https://second.example",
        )
    )
    assert {mode: chain.chain_id for mode, chain in chains.items()} == {True: 56, False: 97}


@pytest.mark.parametrize("name", ["OPENPAY_ALERT_WEBHOOK_URL", "OPENPAY_ALERT_WEBHOOK_SECRET"])
def test_error_about_the_alert_webhook_does_not_quote_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "whsec_hunter2")  # a URL may hold a token too
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)
