"""Creating, showing, opening and canceling payments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openpay.app.merchants import Caller
from openpay.app.order import CreatePayment, RequestedLine, parse_order
from openpay.app.outbox import tell
from openpay.app.ports import Clock, Quotes, UnitOfWork
from openpay.app.records import Cursor, Merchant, PriceQuote, Report
from openpay.domain.assessment import Tally, tally
from openpay.domain.chains import Chain, Token
from openpay.domain.deposit import Deposit, RevertedAttempt
from openpay.domain.events import Draft, EventType
from openpay.domain.ids import is_payment_id, new_id
from openpay.domain.money import format_usd
from openpay.domain.payment import RETRYABLE, WAITING, Offer, Payment, Status, Trigger
from openpay.domain.refunds import Refund
from openpay.domain.terms import Terms, min_units_up, payment_key, peg_full_units_up, price_full_units_up
from openpay.domain.vaults import vault_address
from openpay.errors import ConfigurationError, Conflict, Invalid, InvariantViolated, NotFound

MAX_REPORTS = 20
"""Transactions that the page may report for one payment: a person retries a few times, a script for ever."""


@dataclass(frozen=True, kw_only=True)
class PaymentView:
    """A payment with all that is shown of it. `cursor` None: its chain was not read yet."""

    payment: Payment
    deposits: tuple[Deposit, ...]
    attempts: tuple[RevertedAttempt, ...]
    cursor: Cursor | None
    refunds: tuple[Refund, ...] = ()

    @property
    def tallies(self) -> Mapping[str, Tally]:
        return tally(self.payment, self.deposits)

    @property
    def confirmations(self) -> int | None:
        return self.payment.confirmations(None if self.cursor is None else self.cursor.number)


@dataclass(frozen=True, kw_only=True)
class PaymentService:
    """The merchant's and the customer's use cases.

    `chains`: the chain of each mode, by livemode. `operators`: the settling address by chain id. `clock` gives block
    time as well as a server can know it; `wall` the server's own time, for events.
    """

    chains: Mapping[bool, Chain]
    operators: Mapping[int, bytes]
    quotes: Quotes
    clock: Clock
    wall: Clock

    async def plan(
        self,
        uow: UnitOfWork,
        merchant: Merchant,
        command: CreatePayment,
        *,
        livemode: bool,
        retry_of: str | None = None,
    ) -> Payment:
        """Decide a new payment without storing it. Raises `Invalid`.

        Tokens without a fresh price, or off their peg, are left out and named; `token_unavailable` when none is left.
        """
        chain = self.chains.get(livemode)
        if chain is None:
            mode = "live" if livemode else "test"
            raise ConfigurationError(f"no chain is configured for {mode} mode: set OPENPAY_{mode.upper()}_CHAIN")
        order = parse_order(command, chain)
        now = await self._payment_time(uow, chain)
        quotes = {token.symbol: self.quotes.price(chain.chain_id, token) for token in order.tokens if token.feed}
        offered = [token for token in order.tokens if self._offered(chain, token, quotes)]
        if not offered:
            names = ", ".join(token.symbol for token in order.tokens)
            raise Invalid(
                f"no fresh price for {names} at the moment, or too far off its peg; "
                "ask again shortly or accept another token",
                code="token_unavailable",
                param="accepted_tokens",
            )
        round_ = next((quote for token in offered if (quote := quotes.get(token.symbol))), None)
        payment_id = new_id("pay")
        terms = Terms(
            merchant=merchant.address,
            operator=self.operators[chain.chain_id],
            usd=order.amount_usd,
            slippage_bps=merchant.slippage_bps,
            underpayment_bps=merchant.underpayment_bps,
            # The escrow refuses a price newer than the quote; the server's clock may be behind the chain's.
            quoted_at=now if round_ is None else max(now, round_.updated_at),
            expiry=now + order.expires_in,
            round=0 if round_ is None else round_.round,
            assets=sum(token.asset_bit for token in offered),
            payment_key=payment_key(payment_id),
        )
        return Payment(
            id=payment_id,
            merchant_id=merchant.id,
            livemode=livemode,
            chain_id=chain.chain_id,
            amount_usd=order.amount_usd,
            offers=tuple(make_offer(token, order.amount_usd, merchant, quotes.get(token.symbol)) for token in offered),
            unavailable_tokens=tuple(token.symbol for token in order.tokens if token not in offered),
            terms=terms,
            escrow=chain.escrow,
            address=vault_address(chain.escrow, terms.id()),
            created_at=now,
            expires_at=terms.expiry,
            deadline=terms.expiry,
            required_confirmations=chain.confirmations,
            description=order.description,
            metadata=order.metadata,
            line_items=order.line_items,
            success_url=order.success_url,
            cancel_url=order.cancel_url,
            allow_retry=order.allow_retry,
            retry_of=retry_of,
        )

    async def create(self, uow: UnitOfWork, caller: Caller, command: CreatePayment) -> Payment:
        """Plan a payment and store it. Raises `Invalid`."""
        payment = await self.plan(uow, caller.merchant, command, livemode=caller.livemode)
        await uow.payments.add(payment)
        return payment

    async def find(self, uow: UnitOfWork, caller: Caller, payment_id: str) -> Payment:
        """The caller's own payment, of the key's mode. Raises `NotFound` for any other, and for impossible ids."""
        payment = await uow.payments.get(payment_id) if is_payment_id(payment_id) else None
        if payment is None or (payment.merchant_id, payment.livemode) != (caller.merchant.id, caller.livemode):
            raise not_found(payment_id)
        return payment

    async def view(self, uow: UnitOfWork, payment: Payment) -> PaymentView:
        return (await self.views(uow, [payment]))[0]

    async def views(self, uow: UnitOfWork, payments: Sequence[Payment]) -> list[PaymentView]:
        """Several payments with what is shown of them, in a fixed number of queries."""
        ids = [payment.id for payment in payments]
        deposits = await uow.deposits.of(ids)
        attempts = await uow.attempts.of(ids)
        refunds = await uow.refunds.of(ids)
        cursors = {chain_id: await uow.chain.cursor(chain_id) for chain_id in {p.chain_id for p in payments}}
        return [
            PaymentView(
                payment=payment,
                deposits=tuple(deposits.get(payment.id, ())),
                attempts=tuple(attempts.get(payment.id, ())),
                cursor=cursors[payment.chain_id],
                refunds=tuple(refunds.get(payment.id, ())),
            )
            for payment in payments
        ]

    async def open(self, uow: UnitOfWork, payment_id: str) -> Payment:
        """A person opened the checkout page: initiated becomes pending, anything else stays. Raises `NotFound`."""
        payment = await self._lock(uow, payment_id)
        if payment.status is not Status.INITIATED:
            return payment
        return await self._move(uow, payment, Trigger.OPENED, EventType.PENDING)

    async def cancel(self, uow: UnitOfWork, payment_id: str, *, by_customer: bool = False) -> Payment:
        """Call a payment off. Doing it again changes nothing.

        Raises `NotFound`; `Conflict` `invalid_state` once confirming or ended otherwise, `payment_has_deposits` when
        anything was received (`Payment.can_be_canceled`).
        """
        payment = await self._lock(uow, payment_id)
        if payment.status is Status.CANCELED:
            return payment
        if payment.status not in WAITING:
            raise Conflict(f"a payment that is {payment.status} cannot be canceled", code="invalid_state")
        has_deposits = bool(await uow.deposits.of([payment.id]))
        if not payment.can_be_canceled(has_deposits=has_deposits, by_customer=by_customer):
            raise Conflict(
                "money has arrived for this payment, so it cannot be canceled; let it complete or expire",
                code="payment_has_deposits",
            )
        return await self._move(uow, payment, Trigger.CANCELED, EventType.CANCELED, ended_at=self.clock.now())

    async def retry(self, uow: UnitOfWork, payment_id: str) -> Payment:
        """A new payment for the same order, after one that failed or expired and whose merchant allows it.

        Asked for again while that one is still alive (two tabs), it is the same one. Raises `NotFound`, `Conflict`
        (`retry_not_allowed`), and what `create` raises.
        """
        payment = await self._lock(uow, payment_id)
        if not payment.can_be_retried:
            raise Conflict(f"a payment that is {payment.status} cannot be tried again", code="retry_not_allowed")
        latest = await uow.payments.latest_retry(payment.id)
        if latest is not None and latest.status not in RETRYABLE | {Status.CANCELED}:
            return latest
        merchant = await uow.merchants.get(payment.merchant_id)
        if merchant is None:
            raise InvariantViolated(f"{payment.id} belongs to no merchant: {payment.merchant_id}")
        retried = await self.plan(uow, merchant, same_order(payment), livemode=payment.livemode, retry_of=payment.id)
        await uow.payments.add(retried)
        return retried

    async def report_transaction(self, uow: UnitOfWork, payment_id: str, tx_hash: bytes) -> None:
        """Remember a transaction that the page's wallet says it sent; the watcher looks it up.

        Nothing is believed: it matters only if the chain shows it reverted and meant for this payment.
        Raises `NotFound`, `Conflict` (`too_many_reports`).
        """
        payment = await self._lock(uow, payment_id)
        if payment.status not in WAITING | {Status.CONFIRMING}:
            return
        if await uow.attempts.reported(payment_id) >= MAX_REPORTS:
            raise Conflict(f"{MAX_REPORTS} transactions were reported already", code="too_many_reports")
        await uow.attempts.report(
            Report(chain_id=payment.chain_id, payment_id=payment_id, tx_hash=tx_hash, reported_at=self.wall.now())
        )

    async def _payment_time(self, uow: UnitOfWork, chain: Chain) -> int:
        """Now, in the time by which payments live: never before the newest final block, whatever this server's clock
        says. A clock an hour slow would otherwise make payments that are past their deadline from the first second."""
        cursor = await uow.chain.cursor(chain.chain_id)
        final_time = None if cursor is None else cursor.final_time
        return max(self.clock.now(), final_time or 0)

    def _offered(self, chain: Chain, token: Token, quotes: Mapping[str, PriceQuote | None]) -> bool:
        if token.feed is not None:
            return quotes[token.symbol] is not None
        return self.quotes.on_peg(chain.chain_id, token)

    async def _lock(self, uow: UnitOfWork, payment_id: str) -> Payment:
        found = await uow.payments.lock([payment_id]) if is_payment_id(payment_id) else []
        if not found:
            raise not_found(payment_id)
        return found[0]

    async def _move(
        self, uow: UnitOfWork, payment: Payment, trigger: Trigger, event: EventType, **changes: object
    ) -> Payment:
        moved = await uow.payments.save(payment.moved(trigger, **changes))
        await tell(uow, moved, [Draft(type=event)], wall_now=self.wall.now())
        return moved


def make_offer(token: Token, amount_usd: int, merchant: Merchant, quote: PriceQuote | None) -> Offer:
    """What is asked for in `token`, and the least that the escrow will accept; the contract's `due`."""
    if quote is None:
        full = peg_full_units_up(amount_usd, token_decimals=token.decimals)
        tolerance_bps = merchant.underpayment_bps
    else:
        full = price_full_units_up(
            amount_usd, price=quote.price, price_decimals=quote.decimals, token_decimals=token.decimals
        )
        tolerance_bps = merchant.slippage_bps
    return Offer(
        token=token.symbol,
        asset_index=token.asset_index,
        contract=token.contract,
        decimals=token.decimals,
        full_units=full,
        min_units=min_units_up(full, tolerance_bps),
    )


def same_order(payment: Payment) -> CreatePayment:
    """The request that would make this payment again, at today's price."""
    return CreatePayment(
        amount=format_usd(payment.amount_usd),
        accepted_tokens=(*(offer.token for offer in payment.offers), *payment.unavailable_tokens),
        description=payment.description,
        metadata=payment.metadata,
        expires_in=payment.expires_at - payment.created_at,
        success_url=payment.success_url,
        cancel_url=payment.cancel_url,
        line_items=tuple(
            RequestedLine(name=item.name, quantity=item.quantity, amount=format_usd(item.amount_usd))
            for item in payment.line_items
        ),
        allow_retry=payment.allow_retry,
    )


def not_found(payment_id: str) -> NotFound:
    return NotFound(f"no payment {payment_id[:60]!r}", code="payment_not_found")
