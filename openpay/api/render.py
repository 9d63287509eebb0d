"""From the program's values to the API's JSON, fields in the documented order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from openpay.app.balances import TokenBalance
from openpay.app.payments import PaymentView
from openpay.app.records import ApiKey, Page, WebhookEndpoint, Withdrawal
from openpay.app.webhooks import DeliveryView
from openpay.chain.escrow_abi import withdraw_data
from openpay.domain.address import to_checksum
from openpay.domain.assessment import Tally
from openpay.domain.chains import Chain
from openpay.domain.events import Event, EventType
from openpay.domain.money import format_decimal, format_usd
from openpay.domain.payment import WAITING, Offer, Payment, Settlement
from openpay.domain.refunds import Refund, RefundStatus
from openpay.domain.terms import Terms
from openpay.domain.time import format_time
from openpay.domain.uris import transfer_uri
from openpay.errors import InvariantViolated

T = TypeVar("T")
Object = dict[str, object]


def page(items: Page[T], render: Callable[[T], Object]) -> Object:
    return {"data": [render(item) for item in items.items], "has_more": items.has_more}


def whole_list(items: Iterable[T], render: Callable[[T], Object]) -> Object:
    """A list that is never cut."""
    return {"data": [render(item) for item in items], "has_more": False}


def payment(view: PaymentView, *, public_url: str, chain: Chain | None) -> Object:
    """`chain` is that of the payment's mode, None where none is configured any more."""
    it, tallies = view.payment, view.tallies
    completion = it.completion
    return {
        "id": it.id,
        "status": it.status.value,
        "amount": format_usd(it.amount_usd),
        "currency": "USD",
        "checkout_url": f"{public_url}/checkout/{it.id}",
        "expires_at": format_time(it.expires_at),
        "created_at": format_time(it.created_at),
        "accepted_tokens": [offer.token for offer in it.offers],
        "description": it.description,
        "metadata": dict(it.metadata),
        "livemode": it.livemode,
        "deposit": {
            "chain_id": it.chain_id,
            "address": to_checksum(it.address),
            "escrow": to_checksum(it.escrow),
            "terms": terms(it.terms),
            "amounts": [_token_amount(it, offer, tallies[offer.token]) for offer in it.offers],
        },
        "token": None if completion is None else completion.token,
        "tx_hash": None if completion is None else _hash(completion.tx_hash),
        "confirmations": view.confirmations,
        "required_confirmations": it.required_confirmations,
        "paid_at": _time(it.paid_at),
        "settlement": None if it.settlement is None else _settlement(it.settlement),
        "refunds": [refund(each, it, chain=chain) for each in view.refunds],
        "unavailable_tokens": list(it.unavailable_tokens),
        "retry_of": it.retry_of,
        "reversed_at": _time(it.reversed_at),
    }


def terms(value: Terms) -> Object:
    """The contract's struct, ready for an ABI encoder; what may exceed 2^53 is a string."""
    return {
        "merchant": to_checksum(value.merchant),
        "operator": to_checksum(value.operator),
        "usd": str(value.usd),
        "slippageBps": value.slippage_bps,
        "underpaymentBps": value.underpayment_bps,
        "quotedAt": value.quoted_at,
        "expiry": value.expiry,
        "round": str(value.round),
        "assets": value.assets,
        "paymentId": "0x" + value.payment_key.hex(),
    }


def refund(it: Refund, of: Payment, *, chain: Chain | None) -> Object:
    """A refund of the payment `of`."""
    offer = of.offer(it.token)
    token = offer if offer is not None else None if chain is None else chain.token(it.token)
    if token is None:
        raise InvariantViolated(f"{it.id} is in {it.token}, which neither its payment nor its chain knows")
    return {
        "id": it.id,
        "payment_id": it.payment_id,
        "status": it.status.value,
        "reason": it.reason.value,
        "mode": it.mode.value,
        "token": it.token,
        "amount": format_decimal(it.units, token.decimals),
        "amount_units": str(it.units),
        "destination": None if it.destination is None else to_checksum(it.destination),
        "named_by": None if it.named_by is None else it.named_by.value,
        "available_at": format_time(it.available_at),
        "tx_hash": _hash(it.tx_hash),
        "failure": it.failure,
        "transaction": _prepared(it, of, token.contract),
        "livemode": it.livemode,
        "created_at": format_time(it.created_at),
        "completed_at": _time(it.completed_at),
    }


def _prepared(it: Refund, of: Payment, contract: bytes | None) -> Object | None:
    """The withdrawal from the merchant's treasury to the customer, ready to be signed by the merchant."""
    if it.status is not RefundStatus.REQUIRES_SIGNATURE or it.destination is None:
        return None
    return {
        "chain_id": it.chain_id,
        "to": to_checksum(of.escrow),
        "data": "0x" + withdraw_data(contract, it.units, it.destination).hex(),
        "value": "0",
    }


def _token_amount(payment: Payment, offer: Offer, tally: Tally) -> Object:
    remaining = tally.remaining_units
    return {
        "token": offer.token,
        "contract": None if offer.contract is None else to_checksum(offer.contract),
        "decimals": offer.decimals,
        "amount": format_decimal(offer.full_units, offer.decimals),
        "amount_units": str(offer.full_units),
        "received_units": str(tally.received_units),
        "remaining_units": str(remaining),
        "uri": transfer_uri(chain_id=payment.chain_id, to=payment.address, units=remaining, contract=offer.contract)
        if payment.status in WAITING and remaining > 0
        else None,
    }


def _settlement(settlement: Settlement) -> Object:
    return {
        "status": settlement.status.value,
        "tx_hash": _hash(settlement.tx_hash),
        "amount_units": None if settlement.units is None else str(settlement.units),
        "settled_at": _time(settlement.settled_at),
    }


def event(it: Event) -> Object:
    return {
        "id": it.id,
        "type": it.type.value,
        "created_at": format_time(it.created_at),
        "livemode": it.livemode,
        "payment_id": it.payment_id,
        "body": json.loads(it.body),
    }


def endpoint(it: WebhookEndpoint) -> Object:
    return {
        "id": it.id,
        "url": it.url,
        "events": _events(it),
        "active": it.active,
        "disabled_reason": it.disabled_reason,
        "livemode": it.livemode,
        "created_at": format_time(it.created_at),
    }


def configured_endpoint(it: WebhookEndpoint, secret: str | None) -> Object:
    return {"id": it.id, "url": it.url, "events": _events(it), "active": it.active, "secret": secret}


def _events(it: WebhookEndpoint) -> list[str]:
    """Written out where the endpoint asked for all of them."""
    return [event.value for event in it.events or EventType]


def delivery(view: DeliveryView) -> Object:
    it = view.delivery
    return {
        "id": it.id,
        "event_id": it.event_id,
        "event": it.event_type.value,
        "payment_id": it.payment_id,
        "endpoint_id": it.endpoint_id,
        "url": view.url,
        "state": it.state.value,
        "attempts": [
            {
                "number": attempt.number,
                "at": format_time(attempt.at),
                "status": attempt.status,
                "latency_ms": attempt.latency_ms,
                "error": attempt.error,
                "answer": attempt.answer,
            }
            for attempt in view.attempts
        ],
        "next_attempt_at": _time(it.next_attempt_at),
        "livemode": it.livemode,
        "created_at": format_time(it.created_at),
    }


def sent_test(it: Event) -> Object:
    return {"event_id": it.id, "event": it.type.value, "created_at": format_time(it.created_at)}


def balance(it: TokenBalance) -> Object:
    token, usd = it.token, it.usd
    return {
        "token": token.symbol,
        "contract": None if token.contract is None else to_checksum(token.contract),
        "decimals": token.decimals,
        "available": format_decimal(it.available_units, token.decimals),
        "available_units": str(it.available_units),
        "pending": format_decimal(it.pending_units, token.decimals),
        "pending_units": str(it.pending_units),
        "confirming": format_decimal(it.confirming_units, token.decimals),
        "confirming_units": str(it.confirming_units),
        "usd": None
        if usd is None
        else {
            "available": format_usd(usd.available),
            "pending": format_usd(usd.pending),
            "confirming": format_usd(usd.confirming),
        },
    }


def withdrawal(it: Withdrawal, *, address: bytes, chain: Chain) -> Object:
    """`address` is the merchant's own, the only one the escrow pays."""
    token = chain.token(it.token)
    return {
        "id": it.id,
        "status": it.status.value,
        "token": it.token,
        "amount": None if it.units is None or token is None else format_decimal(it.units, token.decimals),
        "amount_units": None if it.units is None else str(it.units),
        "address": to_checksum(address),
        "tx_hash": _hash(it.tx_hash),
        "failure": it.failure,
        "livemode": it.livemode,
        "created_at": format_time(it.created_at),
        "completed_at": _time(it.completed_at),
    }


def api_key(it: ApiKey) -> Object:
    return {
        "id": it.id,
        "prefix": it.prefix,
        "last4": it.last4,
        "livemode": it.livemode,
        "created_at": format_time(it.created_at),
        "revoked_at": _time(it.revoked_at),
    }


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else format_time(seconds)


def _hash(value: bytes | None) -> str | None:
    return None if value is None else "0x" + value.hex()
