"""What is known of a chain before asking it: its tokens, feeds, escrow and the rules of finality."""

from __future__ import annotations

from dataclasses import dataclass

from openpay.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token that the escrow lists.

    `asset_index` is its place in the escrow's list (the bit in `Terms.assets`), `contract` None for the chain's own
    coin. `feed` prices it in USD at payment time; a stablecoin has none (1 token = 1 USD by the escrow's rule) and may
    have a `peg_feed`, read when quoting only.
    """

    symbol: str
    asset_index: int
    contract: bytes | None
    decimals: int
    feed: bytes | None = None
    max_feed_age_s: int = 0
    peg_feed: bytes | None = None

    @property
    def asset_bit(self) -> int:
        return 1 << self.asset_index


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One chain as Open Pay is set up for it.

    `confirmations` counts the deposit's own block as the first. `has_finalized_tag` is a setting of the chain,
    not sniffed. `stalled_finality_confirmations` take the tag's place while it stands still. Raises
    `ConfigurationError` for more than one token with a feed.
    """

    chain_id: int
    name: str
    escrow: bytes
    tokens: tuple[Token, ...]
    confirmations: int = 12
    has_finalized_tag: bool = True
    stalled_finality_confirmations: int = 240
    block_interval_s: float = 0.45
    start_block: int | None = None
    """The first block worth reading, usually the escrow's own; None starts at the head of the day."""
    public_rpc_urls: tuple[str, ...] = ()
    """Endpoints that customers' wallets may use, named where a wallet does not know the chain. Never our own nodes."""
    explorer_url: str | None = None
    """A block explorer for people, without a slash at the end; its transactions are below `/tx/`."""

    def __post_init__(self) -> None:
        priced = [token.symbol for token in self.tokens if token.feed is not None]
        if len(priced) > 1:
            raise ConfigurationError(
                f"chain {self.chain_id} prices {', '.join(priced)} by feeds, but a payment's terms name one round: "
                "leave a feed to one token only"
            )

    def token(self, symbol: str) -> Token | None:
        return next((token for token in self.tokens if token.symbol == symbol), None)

    def token_at(self, contract: bytes | None) -> Token | None:
        return next((token for token in self.tokens if token.contract == contract), None)
