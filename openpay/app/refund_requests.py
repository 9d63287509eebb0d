"""Who may say where a refund goes: the sender by its wallet's signature, the merchant by its key; a visitor may ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from openpay.app.merchants import Caller
from openpay.app.ports import Clock, UnitOfWork
from openpay.app.refunds import refresh_refunds
from openpay.domain.address import ZERO_ADDRESS, parse_address, to_checksum
from openpay.domain.chains import Chain, Token
from openpay.domain.ids import new_id
from openpay.domain.money import format_decimal, parse_decimal
from openpay.domain.payment import ENDED, Payment, Status
from openpay.domain.refunds import (
    APPROVABLE,
    CLAIMABLE,
    NamedBy,
    Refund,
    RefundMode,
    RefundReason,
    RefundStatus,
    approved,
    named,
    taken_back,
)
from openpay.domain.vaults import treasury_address, vault_implementation
from openpay.errors import Conflict, Forbidden, Invalid, InvariantViolated, NotFound

_SPENT = frozenset({RefundStatus.REQUIRES_SIGNATURE, RefundStatus.SUCCEEDED})


@dataclass(frozen=True, kw_only=True)
class RefundRequest:
    """What a merchant asks for. None: all that is left, the only token there is, the address named before."""

    amount: str | None = None
    token: str | None = None
    destination: str | None = None


@dataclass(frozen=True, kw_only=True)
class RefundService:
    """The use cases. `clock` gives block time as well as a server can know it; `wall` the server's own, for events."""

    chains: Mapping[bool, Chain]
    clock: Clock
    wall: Clock

    async def find(self, uow: UnitOfWork, caller: Caller, refund_id: str) -> Refund:
        """The caller's own refund, of the key's mode. Raises `NotFound` (`refund_not_found`) for any other."""
        refund = await uow.refunds.get(refund_id)
        if refund is None or (refund.merchant_id, refund.livemode) != (caller.merchant.id, caller.livemode):
            raise _not_found(refund_id)
        return refund

    # --- the merchant ----------------------------------------------------------------------------------------------

    async def request(
        self, uow: UnitOfWork, payment: Payment, request: RefundRequest, *, treasury_units: Mapping[str, int]
    ) -> list[Refund]:
        """Give money of the caller's payment back, as far as it is not on its way already; what was made or approved.

        Unsettled money goes out by the operator, settled money by a transaction that the merchant signs.
        `treasury_units` was read from the chain before the transaction began. Raises `Conflict` (`invalid_state`,
        `not_settled`), `Invalid` (`invalid_amount`, `invalid_token`, `invalid_destination`, `missing_field`,
        `nothing_to_refund`, `treasury_too_low`).
        """
        (payment,) = await uow.payments.lock([payment.id])
        if payment.status not in ENDED:
            raise Conflict(
                f"a payment that is {payment.status} may still be paid; its money can go back once it has ended",
                code="invalid_state",
            )
        if await is_settled(uow, payment):
            return [await self._from_treasury(uow, payment, request, treasury_units)]
        if payment.status is Status.PAID:
            raise Conflict("the money is on its way to the treasury; ask again once it is settled", code="not_settled")
        return await self._from_vault(uow, payment, request)

    async def approve(self, uow: UnitOfWork, refund: Refund, destination: str | None) -> Refund:
        """The merchant's word on one refund: where to, or None for the address that the sender or the rules named.

        Raises `Conflict` (`invalid_state`), `Invalid` (`missing_field`, `invalid_destination`).
        """
        (payment,) = await uow.payments.lock([refund.payment_id])
        current = await self._reload(uow, refund.id)
        if current.status not in APPROVABLE:
            raise Conflict(f"a refund that is {current.status} cannot be approved", code="invalid_state")
        await uow.refunds.put([approved(current, await self._destination(uow, payment, destination, current))])
        return await self._refreshed(uow, payment, refund.id)

    async def cancel(self, uow: UnitOfWork, refund: Refund) -> Refund:
        """The merchant will not sign it: what it promised may be asked for again.

        Raises `Conflict` (`invalid_state`).
        """
        (payment,) = await uow.payments.lock([refund.payment_id])
        current = await self._reload(uow, refund.id)
        if current.status is not RefundStatus.REQUIRES_SIGNATURE:
            raise Conflict(
                f"only a refund that waits for your signature can be canceled, this one is {current.status}",
                code="invalid_state",
            )
        await uow.refunds.put([taken_back(current)])
        return await self._refreshed(uow, payment, refund.id)

    # --- the payment's page ----------------------------------------------------------------------------------------

    async def claim(
        self, uow: UnitOfWork, payment_id: str, refund_id: str, destination: str, *, signer: bytes | None
    ) -> Refund:
        """An address is named on the page. `signer`: who signed the refund's `claim_message` with this address, None
        without a signature: then the merchant has to approve it.

        Raises `NotFound`, `Conflict` (`invalid_state`, `already_claimed`), `Forbidden` (`not_the_sender`), `Invalid`.
        """
        found = await uow.payments.lock([payment_id])
        refund = await uow.refunds.get(refund_id)
        if not found or refund is None or refund.payment_id != payment_id:
            raise _not_found(refund_id)
        if refund.status not in CLAIMABLE:
            raise Conflict(f"a refund that is {refund.status} cannot be claimed", code="invalid_state")
        to = await self.check_destination(uow, found[0], destination)
        if signer is not None and signer != refund.sender:
            raise Forbidden("the signature is not that of the wallet which sent the money", code="not_the_sender")
        if signer is None and refund.status is RefundStatus.REQUESTED and refund.named_by is not NamedBy.VISITOR:
            raise Conflict("an address that is better vouched for is named already", code="already_claimed")
        by = NamedBy.VISITOR if signer is None else NamedBy.SENDER
        await uow.refunds.put([named(refund, to, by=by)])
        return await self._refreshed(uow, found[0], refund_id)

    def message(self, payment: Payment, refund: Refund, destination: str) -> str:
        """The text that the sender's wallet signs. Raises `Invalid` for what is no address."""
        token = self._token(payment, refund.token)
        to = to_checksum(parse_address(destination, param="destination"))
        return refund.claim_message(to, amount=format_decimal(refund.units, token.decimals))

    async def check_destination(self, uow: UnitOfWork, payment: Payment, text: str) -> bytes:
        """Read an address that money may be sent to. Raises `Invalid` for a mistyped one, the zero address, and those
        from which it would not come back: the escrow's, the tokens' and our vaults' own."""
        to = parse_address(text, param="destination")
        chain = self.chains[payment.livemode]
        merchants = await uow.merchants.all()
        refused_ = {
            ZERO_ADDRESS: "the zero address belongs to nobody",
            payment.escrow: "this is the escrow's own address",
            chain.escrow: "this is the escrow's own address",
            vault_implementation(payment.escrow): "this is the escrow's own vault",
            **{token.contract: f"this is the contract of {token.symbol}" for token in chain.tokens if token.contract},
            **{treasury_address(payment.escrow, each.address): "this is a treasury" for each in merchants},
        }
        reason = refused_.get(to)
        if reason is None and await uow.payments.is_deposit_address(payment.chain_id, to):
            reason = "this is a payment's deposit address"
        if reason is not None:
            raise Invalid(
                f"nothing can be refunded to {text}: {reason}", code="invalid_destination", param="destination"
            )
        return to

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _from_vault(self, uow: UnitOfWork, payment: Payment, request: RefundRequest) -> list[Refund]:
        known = (await uow.refunds.of([payment.id])).get(payment.id, [])
        # A part that the merchant asked for before is on its way: nothing asked for later draws on it, or redirects it.
        open_ = [
            refund
            for refund in known
            if refund.status in APPROVABLE and not (refund.source is None and refund.status is RefundStatus.SCHEDULED)
        ]
        token = self._choose_token(payment, request, [refund.token for refund in open_])
        open_ = [refund for refund in open_ if refund.token == token.symbol]
        left = sum(refund.units for refund in open_)
        units = _parse_units(request.amount, token, left)
        if units == left:
            for refund in open_:
                to = await self._destination(uow, payment, request.destination, refund)
                await uow.refunds.put([approved(refund, to)])
            made = [refund.id for refund in open_]
        else:
            if request.destination is None:
                raise _missing_destination()
            part = self._new(
                payment, token.symbol, units, await self.check_destination(uow, payment, request.destination)
            )
            await uow.refunds.put([part])
            made = [part.id]
        _, stored = await refresh_refunds(
            uow, payment.id, tokens=self.chains[payment.livemode].tokens, wall_now=self.wall.now()
        )
        return [refund for refund in stored if refund.id in made]

    async def _from_treasury(
        self, uow: UnitOfWork, payment: Payment, request: RefundRequest, treasury_units: Mapping[str, int]
    ) -> Refund:
        logs = (await uow.chain.escrow_logs_of([payment.id])).get(payment.id, [])
        settled: dict[str, int] = {}
        for log in logs:
            if log.token is not None and log.name in ("Settled", "Swept"):
                settled[log.token] = settled.get(log.token, 0) + log.units
        token = self._choose_token(payment, request, list(settled))
        if request.destination is None:
            raise _missing_destination()
        to = await self.check_destination(uow, payment, request.destination)
        known = (await uow.refunds.of([payment.id])).get(payment.id, [])
        given = sum(
            refund.units
            for refund in known
            if refund.token == token.symbol and refund.mode is RefundMode.MERCHANT_SIGNATURE and refund.status in _SPENT
        )
        units = _parse_units(request.amount, token, settled.get(token.symbol, 0) - given)
        if treasury_units.get(token.symbol, 0) < units:
            raise Invalid(
                f"the treasury holds {format_decimal(treasury_units.get(token.symbol, 0), token.decimals)} "
                f"{token.symbol}, less than the refund",
                code="treasury_too_low",
                param="amount",
            )
        refund = replace(
            self._new(payment, token.symbol, units, to),
            mode=RefundMode.MERCHANT_SIGNATURE,
            status=RefundStatus.REQUIRES_SIGNATURE,
        )
        await uow.refunds.put([refund])
        await uow.payments.save(payment)
        return refund

    def _new(self, payment: Payment, token: str, units: int, to: bytes) -> Refund:
        now = self.clock.now()
        return Refund(
            id=new_id("ref"),
            payment_id=payment.id,
            merchant_id=payment.merchant_id,
            livemode=payment.livemode,
            chain_id=payment.chain_id,
            token=token,
            units=units,
            reason=RefundReason.MERCHANT,
            mode=RefundMode.MANUAL,
            source=None,
            sender=None,
            status=RefundStatus.SCHEDULED,
            available_at=now,
            created_at=now,
            destination=to,
            named_by=NamedBy.MERCHANT,
        )

    async def _destination(self, uow: UnitOfWork, payment: Payment, text: str | None, refund: Refund) -> bytes:
        if text is not None:
            return await self.check_destination(uow, payment, text)
        # What a visitor wrote is no address to fall back to: it may change between the merchant's look and word.
        if refund.destination is None or refund.named_by is NamedBy.VISITOR:
            raise _missing_destination()
        return refund.destination

    def _choose_token(self, payment: Payment, request: RefundRequest, held: list[str]) -> Token:
        tokens = list(dict.fromkeys(held))
        if not tokens:
            raise Invalid("nothing of this payment can go back", code="nothing_to_refund")
        if request.token is None and len(tokens) > 1:
            raise Invalid(f"token is required: there is {', '.join(tokens)}", code="missing_field", param="token")
        symbol = tokens[0] if request.token is None else request.token
        if symbol not in tokens:
            raise Invalid(
                f"nothing in {symbol[:60]!r} can go back: there is {', '.join(tokens)}",
                code="invalid_token",
                param="token",
            )
        return self._token(payment, symbol)

    def _token(self, payment: Payment, symbol: str) -> Token:
        token = self.chains[payment.livemode].token(symbol)
        if token is None:
            raise InvariantViolated(f"{payment.id} received {symbol}, which its chain does not list")
        return token

    async def _reload(self, uow: UnitOfWork, refund_id: str) -> Refund:
        refund = await uow.refunds.get(refund_id)
        if refund is None:
            raise _not_found(refund_id)
        return refund

    async def _refreshed(self, uow: UnitOfWork, payment: Payment, refund_id: str) -> Refund:
        tokens = self.chains[payment.livemode].tokens
        await refresh_refunds(uow, payment.id, tokens=tokens, wall_now=self.wall.now())
        return await self._reload(uow, refund_id)


async def is_settled(uow: UnitOfWork, payment: Payment) -> bool:
    """Whether a final `Settled` log moved the payment's money to the treasury."""
    cursor = await uow.chain.cursor(payment.chain_id)
    final = -1 if cursor is None or cursor.final_number is None else cursor.final_number
    logs = (await uow.chain.escrow_logs_of([payment.id])).get(payment.id, [])
    return any(log.name == "Settled" and log.block_number <= final for log in logs)


def _parse_units(amount: str | None, token: Token, left: int) -> int:
    """Base units above 0 and at most `left`. Raises `Invalid` (`invalid_amount`, `nothing_to_refund`)."""
    if left <= 0:
        raise Invalid(f"no {token.symbol} of this payment is left to go back", code="nothing_to_refund")
    units = left if amount is None else parse_decimal(amount, token.decimals)
    if not 0 < units <= left:
        raise Invalid(
            f"{amount} is outside of what can go back: above 0, at most {format_decimal(left, token.decimals)}",
            code="invalid_amount",
            param="amount",
        )
    return units


def _missing_destination() -> Invalid:
    return Invalid(
        "destination is required: no address of the sender is known to be safe",
        code="missing_field",
        param="destination",
    )


def _not_found(refund_id: str) -> NotFound:
    return NotFound(f"no refund {refund_id[:60]!r}", code="refund_not_found")
