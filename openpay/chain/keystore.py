"""Private keys in encrypted files: Web3 Secret Storage, version 3, as Ethereum wallets and nodes write them.

Nothing here prints a key or a password, and no error quotes either.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from openpay.chain.signing import Signer
from openpay.domain.address import parse_address, to_checksum
from openpay.errors import ConfigurationError, Invalid

LEAST_PASSWORD_LENGTH = 8


def read_keystore(path: Path, password: str) -> bytes:
    """The 32-byte key in a file. Takes about a second, by design.

    Raises `ConfigurationError`, also when the file names another address than its key's: processes without the
    password go by that name, and would draw up terms for an operator whose key nobody has.
    """
    from openpay.chain.account import Account

    content = _load(path)
    named = _named_address(content, path)
    try:
        key = bytes(Account.decrypt(content, password))
    except ValueError:  # the library's word for a wrong password, among others
        raise ConfigurationError(f"{path} does not open with this password") from None
    except Exception as error:  # noqa: BLE001 - a broken file fails in many ways; none may quote what it held
        raise ConfigurationError(f"{path} is no keystore of version 3: {type(error).__name__}") from None
    address = Signer(key).address
    if named not in (None, address):
        raise ConfigurationError(f"{path} holds the key of {to_checksum(address)}, but names another address")
    return key


def keystore_address(path: Path) -> bytes | None:
    """The address that a file names, for which no password is needed. Raises `ConfigurationError`."""
    return _named_address(_load(path), path)


def _named_address(content: Mapping[str, object], path: Path) -> bytes | None:
    named = content.get("address")
    if not isinstance(named, str):
        return None
    try:
        return parse_address("0x" + named.lower().removeprefix("0x"), param="address")
    except Invalid as error:
        raise ConfigurationError(f"{path} names an address that is none: {error}") from error


def new_keystore(path: Path, password: str) -> bytes:
    """Write a new random key to a new file, readable by its owner only; its address.

    Raises `ConfigurationError` when the file exists or the password is short.
    """
    from openpay.chain.account import Account

    if len(password) < LEAST_PASSWORD_LENGTH:
        raise ConfigurationError(f"the keystore's password must have at least {LEAST_PASSWORD_LENGTH} characters")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(f"cannot create {path}: {error.strerror}") from error
    account = Account.create()
    with os.fdopen(descriptor, "w") as file:
        json.dump(account.encrypt(password), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    return bytes.fromhex(account.address[2:])


def _load(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"cannot read the keystore {path}: {error.strerror}") from error
    except ValueError:
        raise ConfigurationError(f"{path} is no keystore: it holds no JSON") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} is no keystore: its JSON is no object")
    return content
