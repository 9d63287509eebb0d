"""Secrets at rest: signing keys and webhook secrets are stored only under the operator's passphrase.

A sealed value is `version (1) | salt (16) | nonce (12) | ciphertext and tag`: AES-256-GCM under a key that scrypt
(RFC 7914) makes of the passphrase and the salt. Version, salt and the caller's context are associated data, so that a
value moved to another row does not open.

scrypt costs a quarter of a second by design, so it runs once per salt and process, never per value: a process seals
under the salt of the first value it opened, or under a fresh one when it has opened none. An installation therefore
collects a few salts in its lifetime, and each process makes one key for each of those it meets.
"""

from __future__ import annotations

import os
from threading import Lock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from openpay.errors import ConfigurationError

VERSION = b"\x01"
SALT_BYTES = 16
NONCE_BYTES = 12
KEY_BYTES = 32

# 32 MiB and three passes: as dear to an attacker as the single pass over 128 MiB, kinder to a small server.
SCRYPT_N = 2**15
SCRYPT_R = 8
SCRYPT_P = 3

_HEADER_BYTES = len(VERSION) + SALT_BYTES


class Sealer:
    """Seals and opens values under one passphrase. Safe to share between threads; holds derived keys in memory."""

    def __init__(self, passphrase: str) -> None:
        if not passphrase:
            raise ConfigurationError("OPENPAY_SECRET, the passphrase that protects stored keys, is empty")
        self._passphrase = passphrase.encode()
        self._ciphers: dict[bytes, AESGCM] = {}
        self._lock = Lock()

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """Encrypt `plaintext` for one place. `context` names it (`signing_key:…`) and must be given again to open."""
        with self._lock:
            salt = next(iter(self._ciphers), None) or os.urandom(SALT_BYTES)
            cipher = self._cipher(salt)
        header, nonce = VERSION + salt, os.urandom(NONCE_BYTES)
        return header + nonce + cipher.encrypt(nonce, plaintext, header + context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` returned for the same context.

        Raises `ConfigurationError` when the passphrase is another one, or the value was altered or moved.
        """
        header, rest = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:]
        if not header.startswith(VERSION):
            raise ConfigurationError(f"the sealed value of {context} is not of a version this program can open")
        with self._lock:
            cipher = self._cipher(header[len(VERSION) :])
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header + context.encode())
        except (InvalidTag, ValueError):
            raise ConfigurationError(
                f"the sealed value of {context} does not open: OPENPAY_SECRET is not what it was when the value was "
                "stored, or the stored bytes were altered"
            ) from None

    def _cipher(self, salt: bytes) -> AESGCM:
        cipher = self._ciphers.get(salt)
        if cipher is None:
            key = Scrypt(salt=salt, length=KEY_BYTES, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(self._passphrase)
            cipher = self._ciphers[salt] = AESGCM(key)
        return cipher
