"""What a client is given, checked before any request is made."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from openpay.client.errors import InvalidSetting

_KEY_PREFIXES = ("sk_live_", "sk_test_")

_MISTAKEN_FOR_A_KEY: Mapping[str, str] = {
    "whsec_": "is a webhook endpoint's secret, which only verifies webhooks",
    "MCow": "is a public key, which only verifies webhooks",
    "pk_": "looks like a publishable key, and Open Pay has none: the checkout page needs no key",
    "mer_": "is a merchant's id",
    "key_": "is the key's id, not the key",
    "0x": "looks like an address or a wallet's private key",
    "Bearer ": "begins with `Bearer`, which is added for you",
}


def checked_key(api_key: object) -> str:
    """The key without white space around it. Raises `InvalidSetting`, which does not show it."""
    if not isinstance(api_key, str):
        raise InvalidSetting(
            f"the API key is a {type(api_key).__name__}, not a string: is the environment variable set that it is from?"
        )
    key = api_key.strip()
    if not key:
        raise InvalidSetting("the API key is empty: is the environment variable or the file empty that it is from?")
    wrong = next((words for prefix, words in _MISTAKEN_FOR_A_KEY.items() if key.startswith(prefix)), None)
    if wrong is None:
        wrong = _wrong_with(key)
    if wrong is not None:
        raise InvalidSetting(
            f"the API key {wrong}. Pass what `openpay keys create` or `POST /v1/api_keys` showed: sk_live_ or "
            "sk_test_, then letters and digits"
        )
    return key


def _wrong_with(key: str) -> str | None:
    """What makes a text other than a key, in words that follow "the API key"; None: nothing that is seen from here."""
    place, character = next(((n, each) for n, each in enumerate(key, 1) if not "!" <= each <= "~"), (0, ""))
    if character == "…":
        return "holds `…`: it was copied from where keys are shown shortened"
    if character:
        what = "white space" if character.isspace() else f"U+{ord(character):04X}"
        return f"holds {what} in place {place}, which no key does"
    if not key.startswith(_KEY_PREFIXES):
        return "does not begin with sk_live_ or sk_test_"
    return None if len(key) > len(_KEY_PREFIXES[0]) else "ends after its prefix"


def checked_base_url(base_url: object) -> SplitResult:
    """Raises `InvalidSetting`."""
    if not isinstance(base_url, str):
        raise InvalidSetting(f"base_url is a {type(base_url).__name__}, not a string such as https://pay.example")
    base = urlsplit(base_url.strip().rstrip("/"))
    if base.scheme not in ("http", "https") or not base.hostname:
        raise InvalidSetting(f"base_url must look like https://pay.example, not {base_url!r}")
    return base
