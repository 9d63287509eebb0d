"""`I already paid`: a customer names a transaction, and is told what became of it."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import hdrs, web

from checkout_web.content.answer import TOO_OFTEN, Answer
from checkout_web.content.reader import Loaded
from checkout_web.edge.sightings import Sightings
from checkout_web.site import Site
from openpay.domain.address import to_checksum
from openpay.domain.finding import (
    Finding,
    Record,
    SeenTransaction,
    TransactionState,
    Verdict,
    explain_recorded,
    explain_seen,
)
from openpay.domain.money import format_decimal
from openpay.domain.pasted import Form, NoHash, Pasted, PastedHash, read_pasted
from openpay.errors import ChainUnavailable, Conflict, Malformed, RateLimited
from openpay.http.bodies import read_form


class Looking:
    """The handler, with what it remembers between requests."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sightings = Sightings(site.deps.transactions)

    async def look_up(self, request: web.Request) -> web.Response:
        """Explain a transaction: as the page with the answer in it, or as that part alone for the page's script."""
        status, headers = 200, {}
        try:
            self._site.limits.look_up(request)
        except RateLimited as refusal:
            status, headers = 429, {hdrs.RETRY_AFTER: str(refusal.retry_after_s)}
            answer = Answer(kind=TOO_OFTEN)
        else:
            answer = await self._explain(request, await self._site.load(request), await _read_pasted(request))
        loaded = await self._site.load(request)
        if "application/json" in request.headers.get(hdrs.ACCEPT, ""):
            response: web.Response = self._site.answer_response(request, loaded, answer, status=status)
        else:
            response = self._site.page_response(request, loaded, status=status, answer=answer)
        response.headers.update(headers)
        return response

    async def back(self, request: web.Request) -> web.Response:
        """The answer's own address, opened or reloaded without the form: the page."""
        return self._site.see(self._site.page_address(request))

    async def _explain(self, request: web.Request, loaded: Loaded, pasted: Pasted) -> Answer:
        payment = loaded.view.payment
        if isinstance(pasted, NoHash):
            is_ours = pasted.address == payment.address
            return Answer(kind=pasted.form, digits=pasted.digits, is_our_address=is_ours)
        record = self._record(loaded)
        verdict = explain_recorded(record, pasted.hash)
        if verdict is None:
            try:
                seen = await self._sightings.seen(payment.chain_id, pasted.hash)
            except ChainUnavailable:
                verdict = Verdict(finding=Finding.UNREADABLE)
            else:
                record = self._record(await self._site.load(request))  # the watcher may have read it meanwhile
                verdict = explain_recorded(record, pasted.hash) or explain_seen(record, seen)
                await self._hand_over(payment.id, payment.address, pasted.hash, seen)
        return _answer(record, pasted, verdict)

    def _record(self, loaded: Loaded) -> Record:
        view, deps = loaded.view, self._site.deps
        return Record(
            payment=view.payment,
            chain=deps.payments.chains[view.payment.livemode],
            deposits=view.deposits,
            head_number=None if view.cursor is None else view.cursor.number,
            final_number=None if view.cursor is None else view.cursor.final_number,
            now=deps.payments.clock.now(),
        )

    async def _hand_over(self, payment_id: str, address: bytes, tx_hash: bytes, seen: SeenTransaction | None) -> None:
        """Have the watcher look for it too, as for a transaction of the page's wallet.

        Only what a node shows on its way to this payment. What no node knows may be anything, a private key even, and
        is not written down. And what has failed already was explained: reported now, it would end the payment of a
        customer who is about to try again.
        """
        if seen is None or seen.state is TransactionState.REVERTED:
            return
        if all(transfer.to != address for transfer in seen.transfers):
            return
        try:
            async with self._site.deps.db.write() as uow:
                await self._site.deps.payments.report_transaction(uow, payment_id, tx_hash)
        except Conflict:
            return  # as many as a payment may have were reported; those that succeed are found without


def _answer(record: Record, pasted: PastedHash, verdict: Verdict) -> Answer:
    decimals = _decimals(record, verdict.token)
    explorer = urlsplit(record.chain.explorer_url or "").hostname
    own = pasted.network in (None, record.chain.name) or pasted.host == explorer
    return Answer(
        kind=verdict.finding,
        text="0x" + pasted.hash.hex(),
        token=verdict.token,
        amount=_amount(verdict.units, decimals),
        remaining=_amount(verdict.remaining, decimals) if verdict.remaining else None,
        confirmations=verdict.confirmations,
        contract=None if verdict.contract is None else to_checksum(verdict.contract),
        sent_to=None if verdict.sent_to is None else to_checksum(verdict.sent_to),
        is_pending=verdict.is_pending,
        may_be_internal=verdict.may_be_internal,
        has_prefix=pasted.has_prefix,
        other_network=None if own else pasted.network,
    )


def _decimals(record: Record, symbol: str | None) -> int | None:
    if symbol is None:
        return None  # what a token that is not listed calls itself and counts in is anybody's word
    known = record.payment.offer(symbol) or record.chain.token(symbol)
    return None if known is None else known.decimals


def _amount(units: int | None, decimals: int | None) -> str | None:
    return None if units is None or decimals is None else format_decimal(units, decimals)


async def _read_pasted(request: web.Request) -> Pasted:
    """What was pasted into the form's one field. A body that is no form at all holds no hash either."""
    try:
        form = await read_form(request)
    except Malformed:
        return NoHash(form=Form.OTHER)
    except web.HTTPRequestEntityTooLarge:
        return NoHash(form=Form.TOO_LONG)
    return read_pasted(form.get("transaction", ""))
