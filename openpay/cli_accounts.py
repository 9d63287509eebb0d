"""The commands about who is paid and with which keys: `openpay merchants`, `openpay keys`, `openpay operator`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openpay.console import read_settings, readable_errors, run_with_settings
from openpay.domain.refunds import RefundPolicy

keys_app = typer.Typer(help="API keys: sk_live_… and sk_test_….", no_args_is_help=True)
merchants_app = typer.Typer(help="Who is paid.", no_args_is_help=True)
operator_app = typer.Typer(help="The key that pays gas and settles.", no_args_is_help=True)

MerchantId = Annotated[str, typer.Option("--merchant", help="The merchant's id, mer_…")]


@merchants_app.command("create")
def merchants_create(
    name: Annotated[str, typer.Option(help="Shown to customers on the checkout page.")],
    address: Annotated[str, typer.Option(help="Owns the treasury and receives withdrawals: 0x…")],
    slippage_bps: Annotated[
        int, typer.Option(help="How far below the BNB price a payment may fall; 100 is 1 %.")
    ] = 100,
    underpayment_bps: Annotated[int, typer.Option(help="The same for stablecoins.")] = 0,
) -> None:
    """Add a merchant, with its webhook signing keys. Prints its id."""
    from openpay.bootstrap import administration
    from openpay.domain.address import to_checksum

    merchant = run_with_settings(
        lambda settings: administration.add_merchant(
            settings, name=name, address=address, slippage_bps=slippage_bps, underpayment_bps=underpayment_bps
        )
    )
    typer.echo(f"{merchant.id}  {merchant.name}  {to_checksum(merchant.address)}")
    typer.echo(f"Next: openpay keys create --merchant {merchant.id}", err=True)


@merchants_app.command("list")
def merchants_list() -> None:
    """All merchants: id, address, tolerances, name."""
    from openpay.bootstrap import administration
    from openpay.domain.address import to_checksum

    for merchant in run_with_settings(administration.all_merchants):
        typer.echo(
            f"{merchant.id}  {to_checksum(merchant.address)}  slippage {merchant.slippage_bps} bps  "
            f"underpayment {merchant.underpayment_bps} bps  {merchant.name}"
        )


@merchants_app.command("set")
def merchants_set(
    merchant_id: Annotated[str, typer.Argument(help="mer_…")],
    name: Annotated[str | None, typer.Option()] = None,
    slippage_bps: Annotated[int | None, typer.Option(help="0 to 500; for new payments.")] = None,
    underpayment_bps: Annotated[int | None, typer.Option(help="0 to 500; for new payments.")] = None,
    refund_policy: Annotated[
        RefundPolicy | None, typer.Option(help="Whether refunds that need nobody's word wait for yours; for new ones.")
    ] = None,
    refund_window_s: Annotated[
        int | None, typer.Option(help="Seconds that a refund waits after its deposit; up to 30 days.")
    ] = None,
    withdraw_above: Annotated[
        list[str] | None, typer.Option(help="Withdraw a token whenever there is this much: USDT=100, or USDT=off.")
    ] = None,
    withdraw_daily: Annotated[
        str | None, typer.Option(help="Withdraw everything at this time of the day (UTC): 03:00, or off.")
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="The withdrawals of test mode, not live.")] = False,
) -> None:
    """Change a merchant's name, tolerances, refunds or withdrawals. Its address stays: payments commit to it."""
    from openpay.bootstrap import administration

    merchant = run_with_settings(
        lambda settings: administration.change_merchant(
            settings,
            merchant_id,
            name=name,
            slippage_bps=slippage_bps,
            underpayment_bps=underpayment_bps,
            refund_policy=refund_policy,
            refund_window_s=refund_window_s,
        )
    )
    typer.echo(
        f"{merchant.id}  slippage {merchant.slippage_bps} bps  underpayment {merchant.underpayment_bps} bps  "
        f"refunds {merchant.refund_policy} after {merchant.refund_window_s} s  {merchant.name}"
    )
    if withdraw_above or withdraw_daily is not None:
        above = withdraw_above or []
        typer.echo(
            run_with_settings(
                lambda settings: administration.change_schedule(
                    settings, merchant_id, livemode=not test, above=above, daily=withdraw_daily
                )
            )
        )


@keys_app.command("create")
def keys_create(
    merchant: MerchantId,
    test: Annotated[bool, typer.Option("--test", help="A key for test mode (sk_test_…).")] = False,
) -> None:
    """Make an API key. It is printed once and cannot be shown again."""
    from openpay.bootstrap import administration

    typer.echo(run_with_settings(lambda settings: administration.add_key(settings, merchant, livemode=not test)))
    typer.echo("Keep it now: it is stored only as a hash.", err=True)


@keys_app.command("list")
def keys_list(merchant: MerchantId) -> None:
    """A merchant's keys: id, first and last characters, since when, and whether revoked."""
    from openpay.bootstrap import administration
    from openpay.domain.time import format_time

    for key in run_with_settings(lambda settings: administration.all_keys(settings, merchant)):
        standing = "active" if key.revoked_at is None else f"revoked {format_time(key.revoked_at)}"
        typer.echo(f"{key.id}  {key.prefix}…{key.last4}  {format_time(key.created_at)}  {standing}")


@keys_app.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="key_…")], merchant: MerchantId) -> None:
    """Revoke a key at once."""
    from openpay.bootstrap import administration

    key = run_with_settings(lambda settings: administration.revoke_key(settings, merchant, key_id))
    typer.echo(f"revoked {key.prefix}…{key.last4}")


@operator_app.command("new-keystore")
def operator_new_keystore(path: Annotated[Path, typer.Argument(help="A file that does not exist yet.")]) -> None:
    """Make a key for the operator in an encrypted file, and print its address. The key itself is never shown.

    The password comes from OPENPAY_OPERATOR_KEYSTORE_PASSWORD, its _FILE, or the terminal.
    """
    from openpay.bootstrap.installation import keystore_password
    from openpay.chain.keystore import new_keystore
    from openpay.domain.address import to_checksum

    with readable_errors():
        password = keystore_password(read_settings())
        if password is None:
            password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        typer.echo(to_checksum(new_keystore(path, password)))
    typer.echo(f"Next: OPENPAY_OPERATOR_KEYSTORE={path}, and send that address some BNB for gas.", err=True)
