"""What a customer does on the page: call the payment off, try again, report a transaction, say where a refund goes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import web

from checkout_web.content.reader import Loaded
from checkout_web.content.refunds import ClaimRefused
from checkout_web.edge.security import embedder_asked
from checkout_web.site import Site
from checkout_web.words.marking import N_
from openpay.chain.messages import recover_signer
from openpay.domain.address import to_checksum
from openpay.domain.refunds import Refund
from openpay.errors import CallerError, Conflict, Forbidden, Invalid, NotFound
from openpay.http.bodies import read_form, read_json_object
from openpay.http.problems import status_of

_CLAIM_FIELDS = ("refund", "destination", "signature")
_LONGEST_FIELD = 200
"""Characters of each that are looked at, more than any of them has: what was typed is shown again."""

_MOST_REPORTED = 1_024
"""Bytes: ten times what a hash takes."""

_TX_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)

_CANCEL_REFUSED = N_("This payment can no longer be canceled. This is where it stands.")
_RETRY_REFUSED: Mapping[type[CallerError], tuple[int, str]] = {
    Conflict: (409, N_("This payment cannot be tried again. Start again in the shop.")),
    Invalid: (422, N_("There is no fresh price for this payment’s tokens at the moment. Try again in a minute.")),
}


_CLAIM_REFUSED: Mapping[str, str] = {
    "invalid_address": N_("This is not an address, or a character of it is mistyped. Copy it from your wallet."),
    "invalid_destination": N_("Money sent to this address would be lost. Take one from your own wallet."),
    "invalid_signature": N_("The wallet’s answer is not a signature. Nothing was changed."),
    "not_the_sender": N_("This was signed by another wallet than the one that paid. Nothing was changed."),
    "already_claimed": N_("The wallet that paid has already said where it should go."),
    "invalid_state": N_("This refund can no longer be changed. This is where it stands."),
}

_ADDRESS_WRONG = frozenset({"invalid_address", "invalid_destination"})


class Acting:
    """Handlers that change something. Each is obeyed only from the page itself."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def cancel(self, request: web.Request) -> web.Response:
        """Call the payment off, and go back to the shop. Shows why where that is no longer possible."""
        payment_id = request.match_info["payment_id"]
        try:
            async with self._site.deps.db.write() as uow:
                await self._site.deps.payments.cancel(uow, payment_id, by_customer=True)
        except Conflict:
            return await self._refused(request, 409, _CANCEL_REFUSED)
        self._site.deps.signals.notify("payments", "events")
        loaded = await self._site.load(request)
        # In a frame the shop's page around it is told, instead of getting a page of the shop in there.
        leaving = loaded.view.payment.cancel_url is not None and embedder_asked(request.query) is None
        return self._site.see(self._site.page_address(request, leaving=leaving))

    async def retry(self, request: web.Request) -> web.Response:
        """Start a new payment for the same order, and go to its page. Shows why where that is not possible."""
        payment_id = request.match_info["payment_id"]
        try:
            async with self._site.deps.db.write() as uow:
                retried = await self._site.deps.payments.retry(uow, payment_id)
        except (Conflict, Invalid) as refusal:
            return await self._refused(request, *_RETRY_REFUSED[type(refusal)])
        self._site.deps.signals.notify("payments")
        return self._site.see(self._site.page_address(request, retried.id))

    async def _refused(self, request: web.Request, status: int, notice: str) -> web.Response:
        return self._site.page_response(request, await self._site.load(request), status=status, notice=notice)

    async def report_transaction(self, request: web.Request) -> web.Response:
        """The wallet on the page sent a transaction: look for it by its hash, even if it fails on the chain."""
        loaded = await self._site.load(request)
        body = await read_json_object(request, optional=False, max_bytes=_MOST_REPORTED)
        tx_hash = body.get("tx_hash")
        if not isinstance(tx_hash, str) or not _TX_HASH.fullmatch(tx_hash) or len(body) != 1:
            raise Invalid(
                'send {"tx_hash": "0x…"}: 0x and 64 hex digits, nothing else', code="invalid_tx_hash", param="tx_hash"
            )
        async with self._site.deps.db.write() as uow:
            await self._site.deps.payments.report_transaction(uow, loaded.view.payment.id, bytes.fromhex(tx_hash[2:]))
        return web.json_response({"tx_hash": tx_hash.lower()}, status=202)

    async def claim(self, request: web.Request) -> web.Response:
        """An address for a refund: signed by the wallet that paid it goes out by itself, else the merchant decides."""
        loaded = await self._site.load(request)
        payment = loaded.view.payment
        form = await read_form(request)
        refund_id, destination, signature = (form.get(name, "").strip()[:_LONGEST_FIELD] for name in _CLAIM_FIELDS)
        self._refund(loaded, refund_id)  # anything else, such as a NUL, is no question for the database
        try:
            signer = None
            if signature:
                # Any well-formed signature recovers somebody; whose it has to be is the use case's to judge.
                signer = recover_signer(self._claim_text(loaded, refund_id, destination), signature)
                if signer is None:
                    raise Invalid("this is not a signature", code="invalid_signature", param="signature")
            async with self._site.deps.db.write() as uow:
                await self._site.deps.refunds.claim(uow, payment.id, refund_id, destination, signer=signer)
        except (Conflict, Forbidden, Invalid) as refusal:
            refused = ClaimRefused(
                refund_id=refund_id,
                typed=destination,
                text=_CLAIM_REFUSED.get(refusal.code, _CLAIM_REFUSED["invalid_state"]),
                is_address_wrong=refusal.code in _ADDRESS_WRONG,
            )
            loaded = await self._site.load(request)
            return self._site.page_response(request, loaded, status=status_of(refusal), claim_refused=refused)
        self._site.deps.signals.notify("payments", "operations")
        return self._site.see(self._site.page_address(request))

    async def claim_message(self, request: web.Request) -> web.Response:
        """The text that the wallet signs, and whose signature counts."""
        loaded = await self._site.load(request)
        refund_id, destination = (request.query.get(name, "") for name in _CLAIM_FIELDS[:2])
        text = self._claim_text(loaded, refund_id, destination)
        sender = self._refund(loaded, refund_id).sender
        return web.json_response({"message": text, "sender": None if sender is None else to_checksum(sender)})

    def _claim_text(self, loaded: Loaded, refund_id: str, destination: str) -> str:
        return self._site.deps.refunds.message(loaded.view.payment, self._refund(loaded, refund_id), destination)

    @staticmethod
    def _refund(loaded: Loaded, refund_id: str) -> Refund:
        for refund in loaded.view.refunds:
            if refund.id == refund_id:
                return refund
        raise NotFound(f"no refund {refund_id[:60]!r}", code="refund_not_found")
