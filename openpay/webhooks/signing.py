"""The headers of a delivery: what was signed, by which key, at what time.

Two conventions over the same body. `X-OpenPay-Signature` is base64 of the Ed25519 signature (RFC 8032) over
`timestamp.body`. `webhook-signature` is that of Standard Webhooks, over `id.timestamp.body`: `v1a` by Ed25519, `v1` by
HMAC-SHA256 under the endpoint's own secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nacl.signing import SigningKey

from openpay.app.webhooks import SECRET_PREFIX


@dataclass(frozen=True, kw_only=True)
class Signer:
    """An opened signing key. `seed` is the 32-byte Ed25519 private key."""

    key_id: str
    seed: bytes

    def sign(self, content: bytes) -> str:
        """Base64 of the 64-byte signature."""
        return base64.b64encode(SigningKey(self.seed).sign(content).signature).decode()

    def __repr__(self) -> str:
        return f"Signer(key_id={self.key_id!r})"


def signed_headers(
    body: bytes, *, event_id: str, timestamp: int, signers: Sequence[Signer], secret: str
) -> Mapping[str, str]:
    """The signature headers of one attempt at `timestamp` (Unix seconds).

    The first signer signs `X-OpenPay-Signature` and is named by `OpenPay-Key-Id`. All of them sign `webhook-signature`:
    during a rotation a receiver may hold either key. `secret` is the endpoint's, `whsec_` and base64.
    """
    plain = f"{timestamp}.".encode() + body
    identified = f"{event_id}.".encode() + plain
    return {
        "X-OpenPay-Signature": signers[0].sign(plain),
        "X-OpenPay-Timestamp": str(timestamp),
        "OpenPay-Key-Id": signers[0].key_id,
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            [*(f"v1a,{signer.sign(identified)}" for signer in signers), _shared(identified, secret)]
        ),
    }


def identified_headers(body: bytes, *, event_id: str, timestamp: int, secret: str | None) -> Mapping[str, str]:
    """The headers of Standard Webhooks alone, signed where there is a secret to sign with."""
    headers = {"webhook-id": event_id, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        headers["webhook-signature"] = _shared(f"{event_id}.{timestamp}.".encode() + body, secret)
    return headers


def _shared(content: bytes, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return f"v1,{base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()}"
