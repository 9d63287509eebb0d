"""Chain files: one JSON file of facts per chain, shipped (`bsc`, `bsc-testnet`, `local`) or the operator's own.

The escrow is deployed by whoever runs Open Pay, so a shipped file names none: its address comes from the settings, or
from a copy of the file with the address written into it. On the local chain everything is deployed, and its file says
so in place of addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec

from openpay.domain.address import parse_address, to_checksum
from openpay.domain.chains import Chain, Token
from openpay.errors import ConfigurationError, Invalid

SPECS = Path(__file__).parent / "specs"
MAX_ASSETS = 32
"""As many as the escrow lists."""
MAX_DECIMALS = 36
DEPLOYED = "deployed"
"""Stands for an address that is known only once what it belongs to was deployed."""


_Count = Annotated[int, msgspec.Meta(ge=0)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+(/[^\s]*)?[^\s/]$")]


class _TokenFile(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    symbol: Annotated[str, msgspec.Meta(min_length=1)]
    asset_index: Annotated[int, msgspec.Meta(ge=0, lt=MAX_ASSETS)]
    contract: str | None
    decimals: Annotated[int, msgspec.Meta(ge=0, le=MAX_DECIMALS)]
    feed: str | None = None
    max_feed_age_s: _Count = 0
    peg_feed: str | None = None


class _ChainFile(msgspec.Struct, forbid_unknown_fields=True):
    chain_id: _Positive
    name: str
    escrow: str | None
    tokens: Annotated[list[_TokenFile], msgspec.Meta(min_length=1)]
    start_block: _Count | None = None
    confirmations: _Positive = 12
    has_finalized_tag: bool = True
    stalled_finality_confirmations: _Positive = 240
    block_interval_s: Annotated[float, msgspec.Meta(gt=0)] = 0.45
    public_rpc_urls: list[_Url] = []
    explorer_url: _Url | None = None

    @property
    def awaits_deployment(self) -> bool:
        return DEPLOYED in {
            self.escrow,
            *(address for token in self.tokens for address in (token.contract, token.feed)),
        }


def load_chain(name: str, *, escrow: str | None = None) -> Chain:
    """Read a shipped chain by name, or a chain file by path; `escrow` is used instead of the file's.

    Raises `ConfigurationError` saying what is wrong.
    """
    path = _path(name)
    file = _read_file(name)
    if file.awaits_deployment:
        raise ConfigurationError(
            f"the chain file {path} has {DEPLOYED!r} in place of addresses: `openpay dev` deploys its contracts and "
            "uses them by itself; to use such a chain otherwise, copy the file and write the addresses of yours into it"
        )
    try:
        return _chain(file, path, escrow=escrow)
    except Invalid as error:
        raise ConfigurationError(f"the chain file {path} is wrong: {error}") from error


def deployed_chain(
    name: str, *, escrow: bytes, contracts: Mapping[str, bytes], feeds: Mapping[str, bytes], start_block: int
) -> Chain:
    """A chain whose file awaits deployment, with the addresses that its tokens' contracts and feeds got, by symbol.

    Raises `KeyError` when one of them is missing, and `ConfigurationError` as `load_chain` does.
    """
    file = _read_file(name)
    for token in file.tokens:
        if token.contract == DEPLOYED:
            token.contract = to_checksum(contracts[token.symbol])
        if token.feed == DEPLOYED:
            token.feed = to_checksum(feeds[token.symbol])
    return replace(_chain(file, _path(name), escrow=to_checksum(escrow)), start_block=start_block)


def save_chain(chain: Chain, path: Path) -> None:
    """Write a chain file that `load_chain` reads back to the same value."""
    file = _ChainFile(
        chain_id=chain.chain_id,
        name=chain.name,
        escrow=to_checksum(chain.escrow),
        tokens=[
            _TokenFile(
                symbol=token.symbol,
                asset_index=token.asset_index,
                contract=_write(token.contract),
                decimals=token.decimals,
                feed=_write(token.feed),
                max_feed_age_s=token.max_feed_age_s,
                peg_feed=_write(token.peg_feed),
            )
            for token in chain.tokens
        ],
        start_block=chain.start_block,
        confirmations=chain.confirmations,
        has_finalized_tag=chain.has_finalized_tag,
        stalled_finality_confirmations=chain.stalled_finality_confirmations,
        block_interval_s=chain.block_interval_s,
        public_rpc_urls=list(chain.public_rpc_urls),
        explorer_url=chain.explorer_url,
    )
    path.write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n")


def _path(name: str) -> Path:
    return _shipped().get(name, Path(name))


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in SPECS.glob("*.json")}


def _read_file(name: str) -> _ChainFile:
    path = _path(name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=_ChainFile)
    except FileNotFoundError:
        raise ConfigurationError(
            f"no chain {name!r}: use {', '.join(sorted(_shipped()))} or the path of a chain file"
        ) from None
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"the chain file {path} is wrong: {error}") from error


def _chain(file: _ChainFile, path: Path, *, escrow: str | None) -> Chain:
    address = escrow or file.escrow
    if address is None:
        raise ConfigurationError(
            f"{path.name} names no escrow: set OPENPAY_LIVE_ESCROW or OPENPAY_TEST_ESCROW to the address of yours"
        )
    tokens = tuple(_token(token) for token in file.tokens)
    for fact in ("symbol", "asset_index", "contract"):
        if len({getattr(token, fact) for token in tokens}) < len(tokens):
            raise ConfigurationError(f"the chain file {path} is wrong: two tokens have the same `{fact}`")
    return Chain(
        chain_id=file.chain_id,
        name=file.name,
        escrow=parse_address(address, param="escrow"),
        tokens=tokens,
        confirmations=file.confirmations,
        has_finalized_tag=file.has_finalized_tag,
        stalled_finality_confirmations=file.stalled_finality_confirmations,
        block_interval_s=file.block_interval_s,
        start_block=file.start_block,
        public_rpc_urls=tuple(file.public_rpc_urls),
        explorer_url=file.explorer_url,
    )


def _token(file: _TokenFile) -> Token:
    if (file.feed is None) != (file.max_feed_age_s == 0):
        raise ConfigurationError(f"{file.symbol}: `feed` and `max_feed_age_s` belong together")
    return Token(
        symbol=file.symbol,
        asset_index=file.asset_index,
        contract=_read(file.contract),
        decimals=file.decimals,
        feed=_read(file.feed),
        max_feed_age_s=file.max_feed_age_s,
        peg_feed=_read(file.peg_feed),
    )


def _read(address: str | None) -> bytes | None:
    return None if address is None else parse_address(address)


def _write(address: bytes | None) -> str | None:
    return None if address is None else to_checksum(address)
