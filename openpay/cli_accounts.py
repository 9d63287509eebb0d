"""The commands about who is paid and with which keys: `openpay merchants`, `openpay keys`, `openpay operator`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from openpay.console import read_settings, readable_errors, run_with_settings
from openpay.domain.refunds import RefundPolicy

if TYPE_CHECKING:
    from openpay.app.merchants import Keep
    from openpay.app.records import Merchant

T = TypeVar("T")

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
    """All merchants: id, address, tolerances, name; below, what was set about the checkout page."""
    from openpay.bootstrap import administration
    from openpay.domain.address import to_checksum

    for merchant in run_with_settings(administration.all_merchants):
        typer.echo(
            f"{merchant.id}  {to_checksum(merchant.address)}  slippage {merchant.slippage_bps} bps  "
            f"underpayment {merchant.underpayment_bps} bps  {merchant.name}"
        )
        if page := _page_words(merchant):
            typer.echo(f"    {page}")


def _chosen(option: str, given: T | None, is_taken_back: bool) -> T | Keep | None:
    """What an option and its `--no-` form ask for together."""
    from openpay.app.merchants import Keep

    if given is not None and is_taken_back:
        raise typer.BadParameter(f"--{option} and its --no- form exclude each other")
    return Keep.KEEP if given is None and not is_taken_back else given


def _first_bytes(path: Path) -> bytes:
    """One more than a logo may have tells that there are too many."""
    from openpay.domain.branding import MAX_LOGO_BYTES

    with path.open("rb") as file:
        return file.read(MAX_LOGO_BYTES + 1)


def _page_words(merchant: Merchant) -> str:
    """What was set about the checkout page, or nothing."""
    said = []
    if merchant.accent is not None:
        said.append(f"accent {merchant.accent}")
    if merchant.logo_type is not None:
        said.append(f"logo {merchant.logo_type} {merchant.logo_hash}")
    if merchant.embed_origins:
        said.append(f"embedded by {' '.join(merchant.embed_origins)}")
    return "  ".join(said)


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
    accent: Annotated[
        str | None, typer.Option(help="The checkout page's colour, #rrggbb; adjusted where it could not be read.")
    ] = None,
    no_accent: Annotated[bool, typer.Option("--no-accent", help="Back to the page's own colour.")] = False,
    logo: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="PNG, JPEG or WebP, up to 11 kB. No SVG: it can hold scripts."),
    ] = None,
    no_logo: Annotated[bool, typer.Option("--no-logo", help="No logo any more.")] = False,
    embed_origin: Annotated[
        list[str] | None,
        typer.Option(help="A site that may embed the page: https://shop.example. Repeated, they replace the former."),
    ] = None,
    no_embed_origins: Annotated[bool, typer.Option("--no-embed-origins", help="No site may embed it.")] = False,
) -> None:
    """Change a merchant's name, tolerances, refunds, checkout page or withdrawals: all that is given, or nothing. Its
    address stays: payments commit to it."""
    from openpay.app.merchants import Keep
    from openpay.bootstrap import administration

    new_accent = _chosen("accent", accent, no_accent)
    new_logo = _chosen("logo", None if logo is None else _first_bytes(logo), no_logo)
    new_origins = _chosen("embed-origin", embed_origin or None, no_embed_origins)
    changed = run_with_settings(
        lambda settings: administration.change_merchant(
            settings,
            merchant_id,
            name=name,
            slippage_bps=slippage_bps,
            underpayment_bps=underpayment_bps,
            refund_policy=refund_policy,
            refund_window_s=refund_window_s,
            accent=new_accent,
            logo=new_logo,
            embed_origins=new_origins or (),
            livemode=not test,
            withdraw_above=withdraw_above or (),
            withdraw_daily=withdraw_daily,
        )
    )
    merchant = changed.merchant
    typer.echo(
        f"{merchant.id}  slippage {merchant.slippage_bps} bps  underpayment {merchant.underpayment_bps} bps  "
        f"refunds {merchant.refund_policy} after {merchant.refund_window_s} s  {merchant.name}"
    )
    if any(each is not Keep.KEEP for each in (new_accent, new_logo, new_origins)):
        typer.echo(f"checkout page: {_page_words(merchant) or 'as it comes'}")
    if changed.withdrawals is not None:
        typer.echo(changed.withdrawals)


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


@keys_app.command("rotate-signing")
def keys_rotate_signing(
    merchant: MerchantId,
    test: Annotated[bool, typer.Option("--test", help="The key of test mode, not live.")] = False,
    leaked: Annotated[bool, typer.Option("--leaked", help="The new key takes over now, not in a week.")] = False,
) -> None:
    """Make a new key to sign a merchant's webhooks with. Until it takes over, both sign."""
    from openpay.bootstrap import administration

    key = run_with_settings(
        lambda settings: administration.rotate_signing_key(settings, merchant, livemode=not test, leaked=leaked)
    )
    typer.echo(key.id)
    typer.echo(f"Its public half is at /jwks/{merchant}.json from now on.", err=True)


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
