"""The check of a webhook: who signed it, and when."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from openpay.client.errors import InvalidSetting, WebhookVerificationError

# SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) is this constant, then the 32 bytes.
_SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    public_key: str | Sequence[str],
    tolerance_s: float = 300,
    *,
    now: float | None = None,
) -> dict[str, Any]:
    """The event in a webhook, once its signature and its age have been checked.

    `body` is the request's body exactly as it arrived, before any JSON library touched it; `public_key` what
    `webhooks.public_key()` answers, or several of them while keys are being rotated. `now` replaces the clock in tests.
    The same event may arrive twice: keep the `webhook-id` header of those you have handled. That header is signed too
    (`webhook-signature`), and it is checked here wherever it is present.

    Raises `WebhookVerificationError`; `InvalidSetting` for a public key that is none.
    """
    keys = _verify_keys(public_key)
    given = {name.lower(): value for name, value in headers.items()}
    timestamp = _required(given, "x-openpay-timestamp")
    _require_signature(keys, _as_sent(f"{timestamp}.") + body, [_required(given, "x-openpay-signature")])
    _require_recent(timestamp, tolerance_s=tolerance_s, now=time.time() if now is None else now)
    event_id = given.get("webhook-id")
    if event_id is not None:
        signed = _as_sent(f"{event_id}.{_required(given, 'webhook-timestamp')}.") + body
        versions = (entry.partition(",") for entry in _required(given, "webhook-signature").split())
        _require_signature(keys, signed, [signature for version, _, signature in versions if version == "v1a"])
    try:
        event = json.loads(body)
    except ValueError as error:
        raise WebhookVerificationError("not_json", "the signed body is not JSON") from error
    return cast(dict[str, Any], event)


def _verify_keys(public_key: object) -> list[VerifyKey]:
    if isinstance(public_key, Sequence) and not isinstance(public_key, str):
        return [_verify_key(key) for key in public_key]
    return [_verify_key(public_key)]


def _as_sent(header: str) -> bytes:
    """Bytes of a header that are no UTF-8 reach us as half surrogates: they are no reason to fail."""
    return header.encode("utf-8", "surrogateescape")


def _verify_key(public_key: object) -> VerifyKey:
    wanted = "pass the `public_key` of what GET /v1/webhooks/public-key answers"
    if not isinstance(public_key, str):
        raise InvalidSetting(f"the public key is a {type(public_key).__name__}, not a string: {wanted}")
    for prefix, what in (("whsec_", "an endpoint's secret"), ("sk_", "an API key")):
        if public_key.startswith(prefix):
            raise InvalidSetting(f"the public key is {what}: {wanted}")
    try:
        der = base64.b64decode(public_key.strip(), validate=True)
    except ValueError as error:  # not base64, or not even ASCII
        raise InvalidSetting(f"the public key is not base64: {wanted}") from error
    if len(der) != len(_SPKI_HEAD) + 32 or not der.startswith(_SPKI_HEAD):
        raise InvalidSetting(f"the public key is not an Ed25519 key in DER: {wanted}")
    return VerifyKey(der[len(_SPKI_HEAD) :])


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise WebhookVerificationError("missing_header", f"the header {name} is missing")
    return value


def _require_signature(keys: Sequence[VerifyKey], content: bytes, signatures: Sequence[str]) -> None:
    """One of the keys made one of the base64 signatures over `content`."""
    for text in signatures:
        try:
            signature = base64.b64decode(text, validate=True)
        except ValueError:  # not base64, or not even ASCII
            continue
        for key in keys:
            try:
                key.verify(content, signature)
            except (BadSignatureError, ValueError):  # ValueError: not 64 bytes
                continue
            return
    raise WebhookVerificationError("wrong_signature", "no signature in the request was made by this key over this body")


def _require_recent(timestamp: str, *, tolerance_s: float, now: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise WebhookVerificationError("invalid_timestamp", f"{timestamp[:40]!r} is not a time in Unix seconds")
    age_s = now - int(timestamp)
    if age_s > tolerance_s:
        raise WebhookVerificationError("too_old", f"signed {age_s:.0f} s ago: repeated by somebody, or a slow clock")
    if age_s < -tolerance_s:
        raise WebhookVerificationError("too_new", f"signed {-age_s:.0f} s ahead of this clock")
