"""The operator's key in an encrypted file."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from openpay.bootstrap.installation import operator_address, operator_signer
from openpay.chain.account import Account
from openpay.chain.keystore import keystore_address, new_keystore, read_keystore
from openpay.chain.signing import Signer
from openpay.config import given_settings
from openpay.domain.address import to_checksum
from openpay.errors import ConfigurationError

PASSWORD = "correct horse battery"
KEY = bytes(range(1, 33))


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    """A file as another program wrote it, with few rounds, so that it opens at once."""
    path = tmp_path / "operator.json"
    path.write_text(json.dumps(Account.encrypt(KEY, PASSWORD, kdf="pbkdf2", iterations=10)))
    return path


def test_key_comes_out_with_the_password_only(keystore: Path) -> None:
    assert read_keystore(keystore, PASSWORD) == KEY
    with pytest.raises(ConfigurationError, match="does not open with this password"):
        read_keystore(keystore, "another")


def test_address_needs_no_password(keystore: Path) -> None:
    assert keystore_address(keystore) == Signer(KEY).address


def test_new_keystore_is_for_its_owner_only_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    address = new_keystore(path, PASSWORD)
    assert Signer(read_keystore(path, PASSWORD)).address == address
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    with pytest.raises(ConfigurationError, match="File exists"):
        new_keystore(path, PASSWORD)
    assert path.read_text() == before


def test_short_password_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least 8"):
        new_keystore(tmp_path / "new.json", "short")
    assert not (tmp_path / "new.json").exists()


@pytest.mark.parametrize(
    "content", ["", "not JSON", "[]", "{}", '{"version": 3}', '{"version": 3, "crypto": {"kdf": "none"}}']
)
def test_file_that_is_no_keystore_is_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"broken\.json"):
        read_keystore(path, PASSWORD)


def test_settler_signs_with_the_keystores_key(keystore: Path, tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    password_file.write_text(PASSWORD + "\n")
    settings = given_settings(operator_keystore=keystore, operator_keystore_password_file=password_file)
    assert operator_signer(settings).address == operator_address(settings) == Signer(KEY).address


def test_processes_without_the_password_still_know_the_operator(keystore: Path) -> None:
    settings = given_settings(operator_keystore=keystore)
    assert operator_address(settings) == Signer(KEY).address
    with pytest.raises(ConfigurationError, match="OPENPAY_OPERATOR_KEYSTORE_PASSWORD"):
        operator_signer(settings)


def test_keystore_of_another_address_is_refused(keystore: Path) -> None:
    settings = given_settings(
        operator_keystore=keystore, operator_keystore_password=PASSWORD, operator_address="0x" + "11" * 20
    )
    with pytest.raises(ConfigurationError, match=to_checksum(Signer(KEY).address)):
        operator_signer(settings)


def test_key_and_keystore_together_are_refused_without_showing_the_key(keystore: Path) -> None:
    settings = given_settings(operator_key=KEY.hex(), operator_keystore=keystore, operator_keystore_password=PASSWORD)
    with pytest.raises(ConfigurationError, match="not both") as caught:
        operator_signer(settings)
    assert KEY.hex() not in str(caught.value)


def test_keystore_that_names_another_address_than_its_keys_is_refused(keystore: Path) -> None:
    keystore.write_text(json.dumps(json.loads(keystore.read_text()) | {"address": "11" * 20}))
    with pytest.raises(ConfigurationError, match="names another address"):
        read_keystore(keystore, PASSWORD)


def test_password_file_that_is_no_text_is_refused_without_quoting_it(keystore: Path, tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    password_file.write_bytes(b"secret-\xff\xfe")
    settings = given_settings(operator_keystore=keystore, operator_keystore_password_file=password_file)
    with pytest.raises(ConfigurationError, match="not UTF-8") as caught:
        operator_signer(settings)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_half_a_keystore_is_refused_in_words(keystore: Path) -> None:
    """As a full disk or a killed process leaves it."""
    text = keystore.read_text()
    keystore.write_text(text[: len(text) // 2])
    with pytest.raises(ConfigurationError, match=r"operator\.json is no keystore"):
        read_keystore(keystore, PASSWORD)


@pytest.mark.parametrize("show", [repr, str, lambda signer: repr(vars(signer))])
def test_signer_never_shows_its_key(show: Callable[[Signer], str]) -> None:
    shown = show(Signer(KEY))
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown


def test_settings_never_show_key_nor_password() -> None:
    settings = given_settings(operator_key="0x" + KEY.hex(), operator_keystore_password=PASSWORD)
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert KEY.hex() not in shown
        assert PASSWORD not in shown
