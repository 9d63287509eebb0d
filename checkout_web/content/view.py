"""What the page says about a payment: a pure view model, equal exactly when the page would look the same.

It holds no time of day, so that comparing two of them tells whether a viewer must be sent anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from urllib.parse import urlsplit

from checkout_web.content.arrivals import Arrival, newest_arrivals
from checkout_web.content.networks import ALSO_CALLED
from checkout_web.content.refunds import RefundLine, refund_lines
from checkout_web.words.language import ENGLISH, Language
from openpay.app.lag import lag_s
from openpay.app.payments import PaymentView
from openpay.app.records import Cursor, Merchant
from openpay.domain.address import to_checksum
from openpay.domain.assessment import Tally, is_late
from openpay.domain.chains import Chain
from openpay.domain.deep_links import DeepLink, deep_links
from openpay.domain.money import format_decimal, format_usd
from openpay.domain.payment import OPEN, WAITING, Offer, Payment, Status
from openpay.domain.uris import transfer_uri
from openpay.errors import InvariantViolated

CATCHING_UP_AFTER_S = 30
"""The watcher's view may be this old before the page says so."""


class Part(StrEnum):
    """The page's states; each has a template of this name in `templates/parts`."""

    WAITING = "waiting"
    UNDERPAID = "underpaid"
    CLOSING = "closing"
    """The deadline has passed, but no final block says so yet: a transfer made in time may still show up."""
    CONFIRMING = "confirming"
    CONFIRMING_REVERTED = "confirming_reverted"
    PAID = "paid"
    OVERPAID = "overpaid"
    REVERSED = "reversed"
    FAILED_REVERTED = "failed_reverted"
    FAILED_REFUSED = "failed_refused"
    EXPIRED = "expired"
    EXPIRED_RECEIVED = "expired_received"
    LATE = "late"
    CANCELED = "canceled"


class QrKind(StrEnum):
    """What the QR code holds: an EIP-681 request for the exact transfer, or the bare address."""

    TRANSFER = "transfer"
    ADDRESS = "address"


@dataclass(frozen=True, kw_only=True)
class Money:
    """An exact token amount as text, such as `25.00` USDT."""

    amount: str
    token: str


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    name: str
    quantity: int
    amount: str


@dataclass(frozen=True, kw_only=True)
class TokenChoice:
    """One way to pay. `ask` is what is still to be sent in this token, `received` what counts so far (or None)."""

    token: str
    contract: str | None
    full: str
    ask: str
    received: str | None
    units: int
    """`ask` in base units, and `decimals` of them make a whole token."""
    decimals: int
    uri: str
    deep_links: tuple[DeepLink, ...]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What the customer chose to see, from the query; anything unknown falls back to the default."""

    token: str | None = None
    qr: QrKind = QrKind.TRANSFER
    language: Language = ENGLISH
    """The one the page is shown in, whether the address or the browser asks for it."""
    lang: str | None = None
    """The language's code where the address asks for it: it is then carried on by every link."""
    embed: str | None = None
    """The origin of the site in whose frame the page is, carried on as well."""


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """Everything the templates show. Amounts are text in whole tokens or USD, times Unix seconds."""

    payment_id: str
    status: Status
    part: Part
    merchant: str
    accent: str | None
    """The merchant's colour as it was set; `checkout_web.drawing.accent` makes it readable."""
    logo: str | None
    """The hash by which the merchant's logo is addressed."""
    amount: str
    currency: str
    description: str | None
    lines: tuple[OrderLine, ...]
    test_mode: bool
    network: str
    network_names: tuple[str, ...]
    """By all of which wallets and exchanges call it."""
    chain_id: int
    coin: str
    """What the network's own coin is called, in which its fees are paid."""
    public_rpc_urls: tuple[str, ...]
    explorer_url: str | None
    address: str
    deadline: int
    choices: tuple[TokenChoice, ...]
    preferred_token: str
    unavailable_tokens: tuple[str, ...]
    received: tuple[Money, ...]
    """All that arrived, one sum for each token, accepted or not."""
    arrivals: tuple[Arrival, ...]
    """The newest of what brought it, for the page's scripts."""
    excess: tuple[Money, ...]
    """What a paid payment received beyond its amount."""
    confirmations: int
    required_confirmations: int
    wait_s: int | None
    """About how long until enough confirmations, in seconds; None when only the network's finality is missing."""
    tx_hash: str | None
    paid: Money | None
    """What arrived of the token that a paid payment was completed with."""
    paid_at: int | None
    refunds: tuple[RefundLine, ...]
    catching_up: bool
    """Whether the watcher's view of the network is too old to be taken as current."""
    behind_s: int | None
    """How old that view is, while it is too old; in steps, so that viewers are not sent every second of it. None: it
    is current, or nothing was read at all."""
    taken_back: bool
    """Whether a transfer that would have paid was found, and a reorg has since removed its block."""
    can_cancel: bool
    can_retry: bool
    success_url: str | None
    cancel_url: str | None

    @property
    def asks(self) -> bool:
        """Whether money is asked for: the payment takes it, and the time to send it is not over."""
        return self.part in {Part.WAITING, Part.UNDERPAID}

    @property
    def may_ask(self) -> bool:
        """Whether somebody may miss their payment here, and is asked which transaction they mean."""
        return self.part not in {Part.PAID, Part.OVERPAID, Part.REVERSED}

    @property
    def goes_on(self) -> bool:
        """Whether the page leads the customer on to `success_url` by itself."""
        return self.part in {Part.PAID, Part.OVERPAID} and self.success_url is not None

    def choice(self, selection: Selection) -> TokenChoice:
        """The chosen token's panel, or the preferred one's."""
        by_token = {choice.token: choice for choice in self.choices}
        return by_token.get(selection.token or "", by_token[self.preferred_token])


def present(view: PaymentView, *, merchant: Merchant, chain: Chain, now: int, wall_now: int) -> Checkout:
    """Build the page's content. `now` is the payment clock's time, `wall_now` the server's; both Unix seconds."""
    payment = view.payment
    completion = payment.completion
    confirmations = view.confirmations or 0
    missing = max(0, payment.required_confirmations - confirmations)
    tallies = view.tallies
    catching_up, behind_s = view_age(view.cursor, chain, now=now, wall_now=wall_now)
    matters = payment.status in OPEN
    return Checkout(
        payment_id=payment.id,
        status=payment.status,
        part=choose_part(view, now=now),
        merchant=merchant.name,
        accent=merchant.accent,
        logo=merchant.logo_hash,
        amount=format_usd(payment.amount_usd),
        currency="USD",
        description=payment.description,
        lines=tuple(
            OrderLine(name=line.name, quantity=line.quantity, amount=format_usd(line.amount_usd))
            for line in payment.line_items
        ),
        test_mode=not payment.livemode,
        network=chain.name,
        network_names=(chain.name, *ALSO_CALLED.get(chain.chain_id, ())),
        chain_id=chain.chain_id,
        coin=next((token.symbol for token in chain.tokens if token.contract is None), "BNB"),
        public_rpc_urls=chain.public_rpc_urls,
        explorer_url=chain.explorer_url,
        address=to_checksum(payment.address),
        deadline=payment.deadline,
        choices=tuple(_choice(payment, offer, tallies[offer.token]) for offer in payment.offers),
        preferred_token=_preferred_token(payment, tallies),
        unavailable_tokens=payment.unavailable_tokens,
        received=_received(view, chain),
        arrivals=newest_arrivals(view.deposits),
        excess=_excess(view, chain),
        confirmations=min(confirmations, payment.required_confirmations),
        required_confirmations=payment.required_confirmations,
        wait_s=ceil(missing * chain.block_interval_s) if missing else None,
        tx_hash=None if completion is None or completion.tx_hash is None else "0x" + completion.tx_hash.hex(),
        paid=_paid(view, chain),
        paid_at=payment.paid_at,
        refunds=refund_lines(view.refunds, lambda token: _decimals(token, payment, chain)),
        catching_up=catching_up and matters,
        behind_s=behind_s if matters else None,
        taken_back=payment.status in WAITING and payment.retracted_at is not None,
        can_cancel=payment.can_be_canceled(has_deposits=bool(view.deposits), by_customer=True),
        can_retry=payment.can_be_retried,
        success_url=return_url(payment.success_url, payment.id),
        cancel_url=return_url(payment.cancel_url, payment.id),
    )


def choose_part(view: PaymentView, *, now: int) -> Part:
    """Which state's words apply."""
    payment = view.payment
    match payment.status:
        case Status.INITIATED | Status.PENDING:
            if now > payment.deadline:
                return Part.CLOSING
            return Part.UNDERPAID if view.deposits else Part.WAITING
        case Status.CONFIRMING:
            reverted = payment.completion is not None and payment.completion.reverted
            return Part.CONFIRMING_REVERTED if reverted else Part.CONFIRMING
        case Status.PAID:
            if payment.reversed_at is not None:
                return Part.REVERSED
            return Part.OVERPAID if _excess_units(view) else Part.PAID
        case Status.FAILED | Status.EXPIRED | Status.CANCELED:
            if any(is_late(payment, deposit) for deposit in view.deposits):
                return Part.LATE
            if payment.status is Status.FAILED:
                return Part.FAILED_REVERTED if payment.failure == "reverted" else Part.FAILED_REFUSED
            if payment.status is Status.CANCELED:
                return Part.CANCELED
            return Part.EXPIRED_RECEIVED if view.deposits else Part.EXPIRED


def view_age(cursor: Cursor | None, chain: Chain, *, now: int, wall_now: int) -> tuple[bool, int | None]:
    """Whether the watcher's view of the network is too old to be taken as current, and how old it then is."""
    if cursor is None:
        return True, None
    behind_s = lag_s(cursor, chain, now=now, wall_now=wall_now)
    if behind_s <= max(CATCHING_UP_AFTER_S, 3 * chain.block_interval_s):
        return False, None
    step_s = 10 if behind_s < 90 else 60
    return True, ceil(behind_s / step_s) * step_s


def is_ended(checkout: Checkout) -> bool:
    """Whether the page has nothing more to wait for."""
    return checkout.part not in {
        Part.WAITING,
        Part.UNDERPAID,
        Part.CLOSING,
        Part.CONFIRMING,
        Part.CONFIRMING_REVERTED,
    }


def return_url(template: str | None, payment_id: str) -> str | None:
    """The merchant's URL with `{PAYMENT_ID}` replaced; None unless it is http or https, whatever was stored."""
    if template is None or urlsplit(template).scheme.lower() not in {"http", "https"}:
        return None
    return template.replace("{PAYMENT_ID}", payment_id)


def _choice(payment: Payment, offer: Offer, sums: Tally) -> TokenChoice:
    ask_units = sums.remaining_units or offer.full_units
    return TokenChoice(
        token=offer.token,
        contract=None if offer.contract is None else to_checksum(offer.contract),
        full=format_decimal(offer.full_units, offer.decimals),
        ask=format_decimal(ask_units, offer.decimals),
        received=format_decimal(sums.on_time_units, offer.decimals) if sums.on_time_units else None,
        units=ask_units,
        decimals=offer.decimals,
        uri=transfer_uri(chain_id=payment.chain_id, to=payment.address, units=ask_units, contract=offer.contract),
        deep_links=deep_links(
            chain_id=payment.chain_id,
            to=payment.address,
            units=ask_units,
            decimals=offer.decimals,
            contract=offer.contract,
        ),
    )


def _preferred_token(payment: Payment, tallies: Mapping[str, Tally]) -> str:
    """The token that was begun with and is nearest to its amount, else the merchant's first."""
    return min(payment.offers, key=lambda offer: tallies[offer.token].remaining_units / offer.full_units).token


def _sums(view: PaymentView) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for deposit in view.deposits:
        sums[deposit.token] += deposit.units
    return sums


def _excess_units(view: PaymentView) -> dict[str, int]:
    """Units beyond the amount of a paid payment, by token: the whole sum of any token but the completing one."""
    payment = view.payment
    if payment.status is not Status.PAID or payment.completion is None:
        return {}
    offer = payment.offer(payment.completion.token)
    wanted = {} if offer is None else {offer.token: offer.full_units}
    beyond = {token: units - wanted.get(token, 0) for token, units in _sums(view).items()}
    return {token: units for token, units in beyond.items() if units > 0}


def _received(view: PaymentView, chain: Chain) -> tuple[Money, ...]:
    return _money(_sums(view), view.payment, chain)


def _excess(view: PaymentView, chain: Chain) -> tuple[Money, ...]:
    return _money(_excess_units(view), view.payment, chain)


def _paid(view: PaymentView, chain: Chain) -> Money | None:
    completion = view.payment.completion
    if view.payment.status is not Status.PAID or completion is None:
        return None
    (paid,) = _money({completion.token: _sums(view).get(completion.token, 0)}, view.payment, chain)
    return paid


def _money(sums: dict[str, int], payment: Payment, chain: Chain) -> tuple[Money, ...]:
    return tuple(
        Money(amount=format_decimal(units, _decimals(token, payment, chain)), token=token)
        for token, units in sorted(sums.items())
    )


def _decimals(token: str, payment: Payment, chain: Chain) -> int:
    """An accepted token's decimals are the payment's own; any other is listed on the chain, or was never recorded."""
    known = payment.offer(token) or chain.token(token)
    if known is None:
        raise InvariantViolated(f"payment {payment.id} received {token}, which {chain.name} does not list")
    return known.decimals
