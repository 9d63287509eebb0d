"""`openpay reconcile`: the books of every configured chain held against it, printed as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from openpay.app.reconcile import Reconciliation, reconcile
from openpay.bootstrap.installation import configured_chains, open_pools
from openpay.bootstrap.state_dir import CHAIN_FILE, read_dev_json
from openpay.chain.holdings import ChainHoldings
from openpay.config import Settings, given_settings
from openpay.domain.address import to_checksum
from openpay.domain.chains import Chain
from openpay.domain.money import format_decimal
from openpay.store import Store, schema

Echo = Callable[[str], None]

PROGRESS_EVERY = 2_000
"""Payments between two lines that say how far it is."""


def dev_settings(state_dir: Path) -> Settings:
    """The settings by which other commands work on what `openpay dev` runs in `state_dir`. Raises
    `ConfigurationError`."""
    dev = read_dev_json(state_dir)
    return given_settings(
        database_url=f"sqlite:///{state_dir.resolve() / 'openpay.db'}",
        live_chain=str(state_dir.resolve() / CHAIN_FILE),
        live_rpc_urls=tuple(dev["rpc_urls"]),
    )


async def reconcile_all(settings: Settings, *, echo: Echo) -> bool:
    """Whether books and chains agree: surplus is no difference, and what was left out is no agreement.

    Raises `ConfigurationError`, `ChainUnavailable`.
    """
    chains = configured_chains(settings)
    await schema.check(settings.database_url)
    agrees = True
    async with AsyncExitStack() as stack:
        pools = await open_pools(settings, chains, stack)
        store = Store.open(settings.database_url)
        stack.push_async_callback(store.close)
        for chain in {chain.chain_id: chain for chain in chains.values()}.values():
            result = await reconcile(store, ChainHoldings(pools), chain, progress=_every(PROGRESS_EVERY, echo))
            for line in report(chain, result):
                echo(line)
            agrees &= not (result.differences or result.left_out)
    return agrees


def _every(step: int, echo: Echo) -> Callable[[int], None]:
    def progress(count: int) -> None:
        if count % step == 0:
            echo(f"{count:,} payments compared")

    return progress


def report(chain: Chain, result: Reconciliation) -> list[str]:
    """Where all the money is, then what does not agree."""
    lines = [
        f"chain {chain.chain_id} up to its final block {result.final_number:,}: {result.payments:,} payments, "
        f"{result.treasuries:,} treasuries, {result.withdrawals:,} withdrawals, {result.refunds:,} refunds",
        "",
    ]
    heads = ("token", "deposited", "= in vaults", "+ in treasuries", "+ withdrawn", "+ refunded", "+ rescued")
    rows = [
        (
            token.symbol,
            *(
                format_decimal(units, token.decimals)
                for units in (
                    total.deposited,
                    total.in_vaults,
                    total.in_treasuries,
                    total.withdrawn,
                    total.refunded,
                    total.rescued,
                )
            ),
        )
        for token in chain.tokens
        for total in (result.totals[token.symbol],)
    ]
    lines += [*table(heads, rows), ""]
    lines += _surplus(chain, result)
    if result.left_out:
        lines += [
            f"Left out: {result.left_out:,} payments of which a rewind took something back, until the chain was read "
            "again and they were judged. Run this again then.",
            "",
        ]
    if not result.differences:
        return [*lines, "Books and chain agree on all others." if result.left_out else "Books and chain agree."]
    differences = [(each.subject, each.what, each.books, each.found) for each in result.differences]
    lines += table(("subject", "what", "books", "found"), differences)
    return [*lines, "", f"{len(differences):,} differences: docs/ledger.md says what each may mean."]


def _surplus(chain: Chain, result: Reconciliation) -> list[str]:
    if not result.surplus:
        return []
    decimals = {token.symbol: token.decimals for token in chain.tokens}
    rows = [
        (
            to_checksum(it.address),
            it.place,
            it.subject,
            it.token,
            format_decimal(it.units, decimals[it.token]),
            str(it.units),
        )
        for it in result.surplus
    ]
    heads = ("address", "place", "of", "token", "amount", "units")
    return ["Surplus: sent by others past the books, lost by nobody.", *table(heads, rows), ""]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they need to be, the first to the left and numbers of the others to the right."""
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    numeric = [
        place > 0 and all(row[place][:1].isdigit() or row[place][:1] == "-" for row in rows)
        for place in range(len(heads))
    ]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in (heads, *rows)
    ]
