"""The operator's commands: what they change, what they print, and how they fail."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from openpay import cli
from openpay.app.records import SigningKey
from openpay.app.webhooks import live_keys
from openpay.chain.keystore import read_keystore
from openpay.chain.signing import Signer
from openpay.cli import app
from openpay.config import Settings
from openpay.domain.address import to_checksum
from openpay.store import Store
from tests.support.pictures import picture

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
OPERATOR_KEY = "0x" + "11" * 32
OPERATOR_ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"

Command = Callable[..., Result]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """The environment of the commands; a value of None removes a variable. Nothing of this machine's is left."""
    monkeypatch.chdir(tmp_path)
    # It is the whole process's, and would keep writing to where a single command's output went.
    monkeypatch.setattr(cli, "log_to_stderr", lambda _level: None)
    return {
        **{f"OPENPAY_{name}".upper(): None for name in Settings.model_fields},
        "OPENPAY_SECRET": "a passphrase of some length",
        "OPENPAY_OPERATOR_KEY": OPERATOR_KEY,
    }


def command_in(environment: dict[str, str | None], database_url: str) -> Command:
    def run(*arguments: str, **changes: str | None) -> Result:
        env = {**environment, "OPENPAY_DATABASE_URL": database_url, **changes}
        result = CliRunner(env=env).invoke(app, arguments)
        assert OPERATOR_KEY.removeprefix("0x") not in result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def bare(environment: dict[str, str | None], empty_database_url: str) -> Command:
    """Run a command against a database without tables."""
    return command_in(environment, empty_database_url)


@pytest.fixture
def openpay(environment: dict[str, str | None], database_url: str) -> Command:
    """Run a command against a migrated database."""
    return command_in(environment, database_url)


def merchant(openpay: Command, *options: str) -> str:
    """The id of a new merchant."""
    made = openpay("merchants", "create", "--name", "Shop", "--address", ADDRESS, *options)
    assert made.exit_code == 0, made.output
    return made.stdout.split()[0]


def test_migrating_twice_is_the_same_as_once(bare: Command) -> None:
    first, second = bare("migrate"), bare("migrate")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout == second.stdout == "The database is at the current schema.\n"


@pytest.mark.parametrize("command", [("merchants", "list"), ("api",), ("watcher",), ("webhooks",), ("settler",)])
def test_database_that_was_not_migrated_is_refused(bare: Command, command: tuple[str, ...]) -> None:
    result = bare(*command)
    assert result.exit_code == 2
    assert "run `openpay migrate`" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("merchants", "list"),
        ("keys", "list", "--merchant", "mer_1"),
        ("alerts",),
        ("doctor",),
        ("reconcile",),
        ("api",),
    ],
)
def test_command_that_only_reads_says_that_there_is_no_database_and_creates_none(
    environment: dict[str, str | None], tmp_path: Path, command: tuple[str, ...]
) -> None:
    nodes = "http://127.0.0.1:1,http://localhost:1"
    chain = {"OPENPAY_LIVE_CHAIN": "bsc", "OPENPAY_LIVE_ESCROW": ADDRESS, "OPENPAY_LIVE_RPC_URLS": nodes}
    result = command_in(environment, "sqlite:///openpay.db")(*command, **chain)
    assert result.exit_code in (1, 2)
    assert f"no database yet at sqlite:///openpay.db (no file {tmp_path}/openpay.db): run `openpay migrate`" in (
        result.output
    )
    assert list(tmp_path.iterdir()) == []


def test_new_merchant_is_printed_and_listed(openpay: Command) -> None:
    made = openpay("merchants", "create", "--name", "Café Ω", "--address", ADDRESS.lower(), "--slippage-bps", "50")
    id_ = made.stdout.split()[0]
    assert re.fullmatch(r"mer_\w{24}", id_)
    assert made.stdout == f"{id_}  Café Ω  {ADDRESS}\n"
    assert openpay("merchants", "list").stdout == f"{id_}  {ADDRESS}  slippage 50 bps  underpayment 0 bps  Café Ω\n"


def test_merchants_tolerances_and_name_can_be_changed_and_its_address_cannot(openpay: Command) -> None:
    id_ = merchant(openpay)
    changed = openpay("merchants", "set", id_, "--name", "New", "--slippage-bps", "0", "--underpayment-bps", "500")
    assert changed.stdout == f"{id_}  slippage 0 bps  underpayment 500 bps  refunds automatic after 3600 s  New\n"
    refunds = openpay("merchants", "set", id_, "--refund-policy", "manual", "--refund-window-s", "60")
    assert "refunds manual after 60 s" in refunds.stdout
    assert "0 to 2592000" in openpay("merchants", "set", id_, "--refund-window-s", "2592001").stderr
    assert "slippage 0 bps  underpayment 500 bps  New" in openpay("merchants", "list").stdout
    assert openpay("merchants", "set", id_, "--address", ADDRESS).exit_code == 2


def test_checkout_pages_look_and_embedding_sites_are_set_shown_and_taken_back(openpay: Command, tmp_path: Path) -> None:
    id_ = merchant(openpay)
    logo = tmp_path / "logo.png"
    logo.write_bytes(picture("PNG"))
    sites = ("--embed-origin", "https://Shop.example", "--embed-origin", "http://localhost:3000")
    words = openpay("merchants", "set", id_, "--accent", "#0A7CFF", "--logo", str(logo), *sites).stdout.splitlines()[-1]
    digest = sha256(logo.read_bytes()).hexdigest()[:16]
    page = f"accent #0a7cff  logo image/png {digest}  embedded by https://shop.example http://localhost:3000"
    assert words == f"checkout page: {page}"
    assert openpay("merchants", "list").stdout.splitlines()[1] == f"    {page}"
    assert openpay("merchants", "set", id_, "--name", "New").exit_code == 0
    assert page in openpay("merchants", "list").stdout
    back = openpay("merchants", "set", id_, "--no-accent", "--no-logo", "--no-embed-origins").stdout.splitlines()
    assert back[-1] == "checkout page: as it comes"
    assert len(openpay("merchants", "list").stdout.splitlines()) == 1


def test_merchants_change_is_made_as_a_whole_or_not_at_all(openpay: Command, tmp_path: Path) -> None:
    id_ = merchant(openpay)
    before = openpay("merchants", "list").stdout
    svg = tmp_path / "logo.png"
    svg.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    for wrong in (("--logo", str(svg)), ("--withdraw-daily", "03:00")):  # the latter needs a chain to withdraw on
        changed = openpay("merchants", "set", id_, "--name", "New", "--accent", "#0a7cff", *wrong)
        assert changed.exit_code != 0
        assert changed.stdout == ""
        assert openpay("merchants", "list").stdout == before


def test_checkout_page_options_that_cannot_be_are_refused_with_the_reason(openpay: Command, tmp_path: Path) -> None:
    id_ = merchant(openpay)
    svg, big = tmp_path / "logo.png", tmp_path / "big.png"
    svg.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    big.write_bytes(picture("PNG") + bytes(30_000))
    for option, wrong, reason in (
        ("--accent", "red", "six hex digits"),
        ("--logo", str(svg), "SVG can hold scripts"),
        ("--logo", str(big), "more than 11,264 bytes"),
        ("--embed-origin", "https://*.shop.example", "wildcard"),
        ("--embed-origin", "https://shop.example/pay", "write https://shop.example,"),
        ("--embed-origin", "http://shop.example", "use https"),
    ):
        refused = openpay("merchants", "set", id_, option, wrong)
        assert refused.exit_code == 1
        assert reason in refused.stderr
    assert openpay("merchants", "set", id_, "--accent", "#000000", "--no-accent").exit_code == 2
    assert len(openpay("merchants", "list").stdout.splitlines()) == 1


@pytest.mark.parametrize(("how", "signing"), [((), 2), (("--leaked",), 1)])
def test_signing_key_is_rotated_with_a_week_to_notice_or_at_once(
    openpay: Command, database_url: str, how: tuple[str, ...], signing: int
) -> None:
    id_ = merchant(openpay)
    made = openpay("keys", "rotate-signing", "--merchant", id_, "--test", *how)
    assert made.exit_code == 0, made.output

    async def keys() -> list[SigningKey]:
        store = Store.open(database_url)
        async with store.read() as uow:
            found = await uow.merchants.signing_keys(id_, livemode=False)
        await store.close()
        return found

    now = int(time.time())
    live = live_keys(asyncio.run(keys()), now=now)
    assert made.stdout == f"{live[-1].id}\n"
    assert len(live) == signing
    assert [key.retired_at is None for key in live] == [False, True][-signing:]
    assert openpay("keys", "rotate-signing", "--merchant", "mer_other").exit_code == 1


def test_withdrawals_by_themselves_are_set_changed_and_ended(openpay: Command) -> None:
    id_ = merchant(openpay)
    chain = {"OPENPAY_TEST_CHAIN": "bsc-testnet", "OPENPAY_TEST_ESCROW": ADDRESS, "OPENPAY_TEST_RPC_URLS": "http://a"}

    def set_(*options: str) -> str:
        result = openpay("merchants", "set", id_, "--test", *options, **chain)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()[-1]

    words = set_("--withdraw-above", "USDT=100", "--withdraw-above", "BNB=0.5", "--withdraw-daily", "03:00")
    assert words == "withdrawn by itself in test mode: USDT at 100.00, BNB at 0.50, everything daily at 03:00 UTC"
    words = set_("--withdraw-above", "USDT=off", "--withdraw-daily", "off")
    assert words == "withdrawn by itself in test mode: BNB at 0.50"
    for wrong, reason in (("USDT", "is not an amount"), ("DOGE=1", "names none of USDT, USDC, BNB")):
        refused = openpay("merchants", "set", id_, "--test", "--withdraw-above", wrong, **chain)
        assert refused.exit_code == 1
        assert reason in refused.stderr
    assert "no chain is configured" in openpay("merchants", "set", id_, "--withdraw-daily", "03:00").stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--name", "Shop", "--address", "0x1234"), "0x1234"),
        (("--name", "Shop", "--address", ADDRESS.replace("f39F", "F39F")), "checksum"),
        (("--name", "Shop", "--address", "0x" + "00" * 20), "address"),
        (("--name", " ", "--address", ADDRESS), "name"),
        (("--name", "Shop", "--address", ADDRESS, "--slippage-bps", "501"), "500"),
        (("--name", "Shop", "--address", ADDRESS, "--underpayment-bps", "-1"), "-1"),
    ],
)
def test_merchant_that_cannot_be_paid_is_refused_by_name(
    openpay: Command, options: tuple[str, ...], words: str
) -> None:
    result = openpay("merchants", "create", *options)
    assert result.exit_code == 1
    assert words in result.stderr
    assert openpay("merchants", "list").stdout == ""


def test_unknown_merchant_is_named_by_every_command(openpay: Command) -> None:
    unknown = "mer_" + "0" * 24
    for command in (
        ("merchants", "set", unknown, "--name", "New"),
        ("keys", "create", "--merchant", unknown),
        ("keys", "list", "--merchant", unknown),
        ("keys", "revoke", "key_" + "0" * 24, "--merchant", unknown),
    ):
        result = openpay(*command)
        assert (result.exit_code, result.stdout) == (1, ""), command
        assert "openpay: no " in result.stderr, command


def test_key_is_printed_once_and_listed_by_its_ends(openpay: Command) -> None:
    id_ = merchant(openpay)
    live = openpay("keys", "create", "--merchant", id_)
    test = openpay("keys", "create", "--merchant", id_, "--test")
    assert re.fullmatch(r"sk_live_\w+\n", live.stdout)
    assert re.fullmatch(r"sk_test_\w+\n", test.stdout)
    assert "stored only as a hash" in live.stderr
    listed = openpay("keys", "list", "--merchant", id_).stdout
    assert len(listed.splitlines()) == 2
    for secret in (live.stdout.strip(), test.stdout.strip()):
        assert secret not in listed
        assert secret[-4:] in listed


def test_revoked_key_is_listed_as_such_and_may_be_revoked_again(openpay: Command) -> None:
    id_ = merchant(openpay)
    openpay("keys", "create", "--merchant", id_)
    key_id = openpay("keys", "list", "--merchant", id_).stdout.split()[0]
    for _ in range(2):
        assert openpay("keys", "revoke", key_id, "--merchant", id_).stdout.startswith("revoked sk_live_")
    assert " revoked 20" in openpay("keys", "list", "--merchant", id_).stdout


def test_key_of_another_merchant_is_not_revoked(openpay: Command) -> None:
    owner, other = merchant(openpay), merchant(openpay)
    openpay("keys", "create", "--merchant", owner)
    key_id = openpay("keys", "list", "--merchant", owner).stdout.split()[0]
    assert openpay("keys", "revoke", key_id, "--merchant", other).exit_code == 1
    assert "active" in openpay("keys", "list", "--merchant", owner).stdout


def test_merchant_needs_the_passphrase_because_its_webhook_keys_are_sealed(openpay: Command) -> None:
    for secret in (None, "short"):
        result = openpay("merchants", "create", "--name", "Shop", "--address", ADDRESS, OPENPAY_SECRET=secret)
        assert result.exit_code == 2
        assert "OPENPAY_SECRET" in result.stderr
    assert openpay("merchants", "list").stdout == ""


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({}, "OPENPAY_LIVE_CHAIN"),
        ({"OPENPAY_LIVE_CHAIN": "bsc"}, "OPENPAY_LIVE_RPC_URLS"),
        ({"OPENPAY_LIVE_CHAIN": "bsc", "OPENPAY_LIVE_RPC_URLS": "http://127.0.0.1:1"}, "OPENPAY_LIVE_ESCROW"),
        ({"OPENPAY_PORT": "http"}, "OPENPAY_PORT"),
        ({"OPENPAY_DATABASE_URL": "mysql://host/name"}, "OPENPAY_DATABASE_URL"),
        ({"OPENPAY_DATABASE_URL": "postgresql://openpay:hush@127.0.0.1:1/openpay"}, "OPENPAY_DATABASE_URL"),
    ],
)
def test_starting_without_a_setting_names_the_variable(
    openpay: Command, changes: dict[str, str], variable: str
) -> None:
    result = openpay("up", **changes)
    assert result.exit_code == 2
    assert variable in result.stderr
    assert "hush" not in result.output


@pytest.mark.parametrize(
    ("role", "removed"),
    [("settler", "OPENPAY_OPERATOR_KEY"), ("api", "OPENPAY_SECRET"), ("webhooks", "OPENPAY_SECRET")],
)
def test_role_names_the_secret_that_it_misses(openpay: Command, role: str, removed: str) -> None:
    chain = {
        "OPENPAY_LIVE_CHAIN": "bsc",
        "OPENPAY_LIVE_ESCROW": ADDRESS,
        "OPENPAY_LIVE_RPC_URLS": "http://127.0.0.1:1",
        "OPENPAY_OPERATOR_ADDRESS": OPERATOR_ADDRESS,
        "OPENPAY_PORT": "0",
    }
    result = openpay(role, **chain, **{removed: None})
    assert result.exit_code == 2
    assert removed in result.stderr


def test_operator_key_that_is_none_is_not_repeated(openpay: Command) -> None:
    wrong = "0x" + "5a" * 31 + "zz"
    result = openpay("up", OPENPAY_OPERATOR_KEY=wrong, OPENPAY_LIVE_CHAIN="bsc", OPENPAY_LIVE_ESCROW=ADDRESS,
                     OPENPAY_LIVE_RPC_URLS="http://127.0.0.1:1")  # fmt: skip
    assert result.exit_code == 2
    assert "OPENPAY_OPERATOR_KEY" in result.stderr
    assert wrong not in result.output


def test_new_keystore_opens_with_its_password_and_shows_nothing_but_an_address(bare: Command, tmp_path: Path) -> None:
    path = tmp_path / "operator.json"
    made = bare("operator", "new-keystore", str(path), OPENPAY_OPERATOR_KEYSTORE_PASSWORD="correct horse battery")
    assert made.exit_code == 0
    key = read_keystore(path, "correct horse battery")
    assert made.stdout.strip() == to_checksum(Signer(key).address)
    assert key.hex() not in made.output
    assert "correct horse" not in made.output

    again = bare("operator", "new-keystore", str(path), OPENPAY_OPERATOR_KEYSTORE_PASSWORD="correct horse battery")
    assert again.exit_code == 2
    assert "File exists" in again.stderr
    assert read_keystore(path, "correct horse battery") == key
