"""Settings: `OPENPAY_*` environment variables, or a `.env` file in the working directory.

Every setting has one meaning and one default here; `openpay doctor` checks them against the live chain.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from openpay.errors import ConfigurationError

MIN_SECRET_LENGTH = 16
LARGEST_BATCH = 80
"""A transaction may have 16,777,216 gas (EIP-7825), and settling is given 200,000 per payment."""


class Settings(BaseSettings):
    """What an installation is told. Lists are comma-separated; chains are names shipped with Open Pay or files."""

    # An empty value means the same as none: what is left blank in a .env is not set.
    model_config = SettingsConfigDict(
        env_prefix="OPENPAY_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    database_url: str = "sqlite:///openpay.db"
    """`sqlite:///file.db`, or `postgresql://user:password@host/name` for more than one machine."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    public_url: str | None = None
    """Where customers reach the checkout page, without a trailing slash. Default: http://host:port."""

    secret: SecretStr | None = None
    """Passphrase under which private keys rest in the database. Losing it loses the webhook keys, never money."""

    live_chain: str | None = None
    live_rpc_urls: Annotated[tuple[str, ...], NoDecode] = ()
    test_chain: str | None = None
    test_rpc_urls: Annotated[tuple[str, ...], NoDecode] = ()
    """Each mode is bound to one chain: `bsc`, `bsc-testnet`, or the path of a chain file. Nodes are http, https, ws or
    wss URLs; one with a WebSocket announces its blocks."""
    live_escrow: str | None = None
    test_escrow: str | None = None
    """The escrow you deployed on that chain; not needed where a chain file of your own names it."""

    confirmations: int | None = Field(default=None, ge=1)
    """Instead of the chain files' own number, in both modes; a chain file of your own says it for its mode alone."""

    peg_tolerance_bps: int = Field(default=200, ge=0, le=10_000)
    """How far from 1 USD a stablecoin may be by its peg feed and still be offered; 200 is 2 %."""

    operator_key: SecretStr | None = None
    """Private key that pays gas and settles; only the settler needs it."""
    operator_address: str | None = None
    """The address of that key, for the processes that do not hold it."""
    operator_keystore: Path | None = None
    """Instead of the key: an encrypted file (Web3 Secret Storage, version 3; `openpay operator new-keystore`)."""
    operator_keystore_password: SecretStr | None = None
    operator_keystore_password_file: Path | None = None
    """The keystore's password, or a file whose first line is."""

    settle_batch_size: int = Field(default=50, ge=1, le=LARGEST_BATCH)
    """How many payments are settled in one transaction at most."""
    settle_max_age_s: int = Field(default=10, ge=0)
    """How long a paid payment waits at most for others to be settled with; with none on their way it does not wait."""
    max_gas_price_gwei: Decimal | None = Field(default=Decimal(5), gt=0)
    """While nodes ask for more, nothing is signed."""
    max_gas_per_transaction_bnb: Decimal | None = Field(default=Decimal("0.1"), gt=0)
    max_gas_per_day_bnb: Decimal | None = Field(default=Decimal("0.5"), gt=0)
    """What gas may cost at most, by transaction and by day (UTC), in the chain's own coin."""

    rate_limit_per_minute: int | None = Field(default=None, ge=1)
    """Requests per API key (or address, on the page) and minute; none unless set."""
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Addresses or networks of reverse proxies, whose `X-Forwarded-For` says who a request is from."""
    allow_insecure_webhooks: bool = False
    """Lets webhooks go to http and loopback targets: for development only."""

    alert_webhook_url: SecretStr | None = None
    """Where alerts are sent: any http or https URL of yours, private addresses included. It may hold a token."""
    alert_webhook_secret: SecretStr | None = None
    """Signs them (Standard Webhooks, `v1`): `whsec_` and 24 to 64 bytes in base64."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=0, le=65_535)
    """Where /metrics, /livez and /readyz are served by whatever role runs; the API serves them on its own port too."""

    @field_validator("live_rpc_urls", "test_rpc_urls", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("live_rpc_urls", "test_rpc_urls")
    @classmethod
    def _node_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for place, url in enumerate(value, start=1):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
                # Not quoted: it may hold a key.
                raise ValueError(f"number {place} is no http://, https://, ws:// or wss:// URL")
        return value

    @field_validator("public_url")
    @classmethod
    def _bare(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("starts with http:// or https://")
        return None if value is None else value.rstrip("/")

    @field_validator("alert_webhook_url")
    @classmethod
    def _url(cls, value: SecretStr | None) -> SecretStr | None:
        # Its faults must not quote it.
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("is no http:// or https:// URL")
        return value

    @field_validator("alert_webhook_secret")
    @classmethod
    def _webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            prefix, separator, key = value.get_secret_value().partition("_")
            try:
                length = len(b64decode(key, validate=True))
            except ValueError:
                length = 0
            if prefix + separator != "whsec_" or not 24 <= length <= 64:
                raise ValueError("is not whsec_ and 24 to 64 bytes in base64, as from `openssl rand -base64 32`")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for mode, chain, urls in (
            ("LIVE", self.live_chain, self.live_rpc_urls),
            ("TEST", self.test_chain, self.test_rpc_urls),
        ):
            if (chain is None) != (not urls):
                raise ValueError(f"set OPENPAY_{mode}_CHAIN and OPENPAY_{mode}_RPC_URLS together, or neither")
        return self

    @property
    def base_url(self) -> str:
        return self.public_url or f"http://{self.host}:{self.port}"

    def require_secret(self) -> str:
        """The passphrase. Raises `ConfigurationError` when it is missing or short."""
        value = "" if self.secret is None else self.secret.get_secret_value()
        if len(value) < MIN_SECRET_LENGTH:
            raise ConfigurationError(
                f"OPENPAY_SECRET must have at least {MIN_SECRET_LENGTH} characters, for example from "
                "`openssl rand -base64 32`; keep it as long as the database"
            )
        return value


class _GivenSettings(Settings):
    """Settings that are told everything by their caller."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def given_settings(**values: object) -> Settings:
    """Settings of these values and the defaults: neither the environment nor a .env counts.

    Raises `ConfigurationError`.
    """
    return _checked(_GivenSettings, values)


def load_settings(**overrides: object) -> Settings:
    """Read the settings. Raises `ConfigurationError` naming each variable at fault."""
    return _checked(Settings, overrides)


def _checked(kind: type[Settings], values: Mapping[str, object]) -> Settings:
    try:
        return kind(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(
            f"{'OPENPAY_' + '_'.join(str(part) for part in fault['loc']).upper() if fault['loc'] else 'settings'}: "
            f"{fault['msg']}"
            for fault in error.errors()
        )
        raise ConfigurationError(faults) from error
