"""What merchants do with webhooks: name endpoints, read and repeat deliveries, fetch and rotate signing keys."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nacl.signing import SigningKey as Ed25519Key

from openpay.app.merchants import Caller
from openpay.app.ports import UnitOfWork
from openpay.app.records import Delivery, DeliveryAttempt, Page, SigningKey, WebhookEndpoint
from openpay.app.sealing import Sealer
from openpay.app.targets import check_url
from openpay.domain.events import Event, EventType, endpoint_disabled_event, test_event
from openpay.domain.ids import new_id
from openpay.errors import ConcurrentChange, Conflict, Invalid, NotFound

MAX_ACTIVE_ENDPOINTS = 200
"""Per merchant and mode: each event is written once for every one of them, in the payment's own transaction."""

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of Standard Webhooks, not a secret
SECRET_BYTES = 32

ALL_EVENTS = "*"
"""How a caller names all events, also those of later versions."""

DISABLED_BY_MERCHANT = "you disabled it"

ROTATION_OVERLAP_S = 7 * 86_400
"""How long a replaced key goes on signing, so that receivers can learn the new one first."""

# SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) is this constant, then the 32 bytes.
_SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")


# --- endpoints -------------------------------------------------------------------------------------------------------


async def configure(
    uow: UnitOfWork,
    caller: Caller,
    url: str,
    events: Sequence[str] | None,
    *,
    sealer: Sealer,
    now: int,
    allow_insecure: bool = False,
) -> tuple[WebhookEndpoint, str | None]:
    """Add the endpoint with this URL, or replace its events and switch it on again. `events` None means all.

    The second value is the endpoint's `whsec_` secret the first time, and None from then on. Raises `Invalid`
    (`invalid_url`, `invalid_events`) and `Conflict` (`too_many_endpoints`).
    """
    check_url(url, allow_insecure=allow_insecure)
    wanted = _event_types(events)
    await ensure_signing_key(uow, caller.merchant.id, caller.livemode, sealer=sealer, now=now)

    known = await uow.webhooks.endpoints(caller.merchant.id, caller.livemode)
    endpoint = await _at(uow, known, url)
    if endpoint is None or not endpoint.active:
        _require_room(known)
    if endpoint is None:
        endpoint_id = new_id("whe")
        secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        endpoint = WebhookEndpoint(
            id=endpoint_id,
            merchant_id=caller.merchant.id,
            livemode=caller.livemode,
            url=url,
            events=wanted,
            sealed_secret=sealer.seal(secret.encode(), secret_context(endpoint_id)),
            created_at=now,
        )
        if await uow.webhooks.add_endpoint(endpoint):
            return endpoint, secret
        # Another process configured the same URL in the meantime, and has shown its secret.
        known = await uow.webhooks.endpoints(caller.merchant.id, caller.livemode)
        endpoint = await _at(uow, known, url)
        if endpoint is None:
            raise ConcurrentChange("the endpoint with this URL was made and deleted at the same time")
    endpoint = replace(endpoint, events=wanted, active=True, disabled_reason=None, failing_since=None)
    await uow.webhooks.save_endpoint(endpoint)
    return endpoint, None


async def _at(uow: UnitOfWork, known: Sequence[WebhookEndpoint], url: str) -> WebhookEndpoint | None:
    """The one of `known` with this URL, to be changed; None also where it was deleted since they were read."""
    found = next((endpoint for endpoint in known if endpoint.url == url), None)
    endpoint = None if found is None else await uow.webhooks.endpoint_to_change(found.id)
    return None if endpoint is None or endpoint.deleted_at is not None else endpoint


async def find(uow: UnitOfWork, caller: Caller, endpoint_id: str) -> WebhookEndpoint:
    """One of the caller's endpoints. Raises `NotFound` (`endpoint_not_found`), also once it is deleted."""
    return _of(caller, await uow.webhooks.endpoint(endpoint_id), endpoint_id)


async def change(
    uow: UnitOfWork,
    caller: Caller,
    endpoint_id: str,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    disabled: bool | None = None,
    allow_insecure: bool = False,
) -> WebhookEndpoint:
    """Change what is given; None leaves a value as it was. The secret stays.

    What waits for another attempt goes to the new URL. Disabling gives it up, and tells no other endpoint. Raises
    `NotFound` (`endpoint_not_found`), `Invalid` (`invalid_url`, `invalid_events`) and `Conflict` (`endpoint_exists`,
    `too_many_endpoints`).
    """
    before = _of(caller, await uow.webhooks.endpoint_to_change(endpoint_id), endpoint_id)
    after = before
    if events is not None:
        after = replace(after, events=_event_types(events))
    others = await uow.webhooks.endpoints(caller.merchant.id, caller.livemode)
    if url is not None and url != before.url:
        check_url(url, allow_insecure=allow_insecure)
        if any(other.url == url for other in others):
            raise Conflict("another of your endpoints has this URL", code="endpoint_exists", param="url")
        after = replace(after, url=url, failing_since=None)  # another server, which has not failed yet
    if disabled is False and not before.active:
        _require_room(others)
        after = replace(after, active=True, disabled_reason=None, failing_since=None)
    elif disabled and before.active:
        after = replace(after, active=False, disabled_reason=DISABLED_BY_MERCHANT)
        await uow.webhooks.fail_pending(before.id)
    if after != before:
        await uow.webhooks.save_endpoint(after)
    return after


async def delete(uow: UnitOfWork, caller: Caller, endpoint_id: str, *, now: int) -> None:
    """Send nothing to this endpoint any more, forget its secret, and free its URL. May be called again.

    Its deliveries stay readable. One that is being sent at this moment may still arrive. Raises `NotFound`
    (`endpoint_not_found`) for an endpoint that never was.
    """
    found = await uow.webhooks.endpoint_to_change(endpoint_id)
    if found is not None and found.deleted_at is not None and _is_of(caller, found):
        return
    gone = _of(caller, found, endpoint_id)
    await uow.webhooks.save_endpoint(replace(gone, active=False, sealed_secret=b"", deleted_at=now))
    await uow.webhooks.fail_pending(gone.id)


def _of(caller: Caller, found: WebhookEndpoint | None, endpoint_id: str) -> WebhookEndpoint:
    if found is None or found.deleted_at is not None or not _is_of(caller, found):
        raise NotFound(f"no webhook endpoint {endpoint_id[:60]!r}", code="endpoint_not_found")
    return found


def _is_of(caller: Caller, endpoint: WebhookEndpoint) -> bool:
    return (endpoint.merchant_id, endpoint.livemode) == (caller.merchant.id, caller.livemode)


async def disable(uow: UnitOfWork, endpoint: WebhookEndpoint, *, reason: str, now: int) -> None:
    """Switch an endpoint off, give up what is on its way to it, and tell the merchant's other endpoints."""
    await uow.webhooks.save_endpoint(replace(endpoint, active=False, disabled_reason=reason))
    await uow.webhooks.fail_pending(endpoint.id)
    await uow.events.add(
        endpoint_disabled_event(
            event_id=new_id("evt"),
            merchant_id=endpoint.merchant_id,
            livemode=endpoint.livemode,
            now=now,
            endpoint_id=endpoint.id,
            url=endpoint.url,
            reason=reason,
        )
    )


def _event_types(names: Sequence[str] | None) -> tuple[EventType, ...]:
    if names is None:
        return ()
    if not names:
        raise Invalid('name at least one event, or "*" for all', code="invalid_events", param="events")
    if tuple(names) == (ALL_EVENTS,):
        return ()
    known = {event.value for event in EventType}
    for name in names:
        if name not in known:
            raise Invalid(
                f'no event is called {name[:60]!r}: there are {", ".join(sorted(known))}; or "*" alone for all',
                code="invalid_events",
                param="events",
            )
    return tuple(EventType(name) for name in dict.fromkeys(names))


def _require_room(known: Sequence[WebhookEndpoint]) -> None:
    if sum(endpoint.active for endpoint in known) >= MAX_ACTIVE_ENDPOINTS:
        raise Conflict(f"{MAX_ACTIVE_ENDPOINTS} active endpoints are the most there can be", code="too_many_endpoints")


def secret_context(endpoint_id: str) -> str:
    """What an endpoint's sealed secret is bound to."""
    return f"webhook_secret:{endpoint_id}"


# --- deliveries ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DeliveryView:
    """A delivery with where it goes, and each attempt so far, oldest first."""

    delivery: Delivery
    url: str
    attempts: tuple[DeliveryAttempt, ...]


async def deliveries(
    uow: UnitOfWork, caller: Caller, *, limit: int = 10, starting_after: str | None = None
) -> Page[DeliveryView]:
    """The caller's deliveries, newest first."""
    page = await uow.webhooks.deliveries(
        caller.merchant.id, caller.livemode, limit=limit, starting_after=starting_after
    )
    attempts = await uow.webhooks.attempts([delivery.id for delivery in page.items])
    urls = await uow.webhooks.urls({delivery.endpoint_id for delivery in page.items})
    views = (
        DeliveryView(delivery=delivery, url=urls[delivery.endpoint_id], attempts=tuple(attempts.get(delivery.id, ())))
        for delivery in page.items
    )
    return Page(items=tuple(views), has_more=page.has_more)


async def resend(uow: UnitOfWork, caller: Caller, delivery_id: str, *, now: int) -> DeliveryView:
    """Send a delivery again, now, whatever became of it, and retry it for another three days if need be.

    One that is being sent at this moment is left to finish. Notify "events" after the commit. Raises `NotFound`
    (`delivery_not_found`) and `Conflict` (`endpoint_deleted`, `endpoint_disabled`).
    """
    delivery = await uow.webhooks.delivery(delivery_id)
    if delivery is None or (delivery.merchant_id, delivery.livemode) != (caller.merchant.id, caller.livemode):
        raise NotFound(f"no delivery {delivery_id[:60]!r}", code="delivery_not_found")
    endpoint = await uow.webhooks.endpoint(delivery.endpoint_id)
    if endpoint is None or endpoint.deleted_at is not None:
        raise Conflict("the endpoint of this delivery was deleted", code="endpoint_deleted")
    if not endpoint.active:
        raise Conflict("the endpoint of this delivery is disabled: enable it first", code="endpoint_disabled")
    await uow.webhooks.deliver_again(delivery.id, now=now)
    again = await uow.webhooks.delivery(delivery.id) or delivery
    attempts = await uow.webhooks.attempts([delivery.id])
    return DeliveryView(delivery=again, url=endpoint.url, attempts=tuple(attempts.get(delivery.id, ())))


async def send_test(uow: UnitOfWork, caller: Caller, *, now: int) -> Event:
    """Queue a `webhook.test` for every active endpoint of this mode, also those that asked for other events only.

    Notify "events" after the commit. Raises `Conflict` (`no_webhook_endpoint`).
    """
    endpoints = [
        endpoint for endpoint in await uow.webhooks.endpoints(caller.merchant.id, caller.livemode) if endpoint.active
    ]
    if not endpoints:
        raise Conflict("there is no active webhook endpoint to send a test to", code="no_webhook_endpoint")
    event = test_event(event_id=new_id("evt"), merchant_id=caller.merchant.id, livemode=caller.livemode, now=now)
    await uow.events.add(event)
    for endpoint in endpoints:
        if endpoint.events and EventType.TEST not in endpoint.events:
            await uow.webhooks.add_delivery(event, endpoint.id, now=now)
    return event


# --- signing keys ----------------------------------------------------------------------------------------------------


async def ensure_signing_key(
    uow: UnitOfWork, merchant_id: str, livemode: bool, *, sealer: Sealer, now: int
) -> SigningKey:
    """The key that signs for this merchant and mode now; made when there is none. May be called any number of times."""
    live = live_keys(await uow.merchants.signing_keys(merchant_id, livemode), now=now)
    return live[0] if live else await _new_signing_key(uow, merchant_id, livemode, sealer=sealer, now=now)


async def rotate_signing_key(
    uow: UnitOfWork,
    merchant_id: str,
    livemode: bool,
    *,
    sealer: Sealer,
    now: int,
    overlap_s: int = ROTATION_OVERLAP_S,
) -> SigningKey:
    """Make a key that takes over in `overlap_s` seconds. Until then the present one signs `X-OpenPay-Signature`, and
    both sign `webhook-signature`. With 0, for a key that leaked, the new one takes over at once.
    """
    retired_at = now + overlap_s
    for key in live_keys(await uow.merchants.signing_keys(merchant_id, livemode), now=now):
        if key.retired_at is None or key.retired_at > retired_at:
            await uow.merchants.retire_signing_key(key.id, now=retired_at)
    return await _new_signing_key(uow, merchant_id, livemode, sealer=sealer, now=now)


def live_keys(keys: Sequence[SigningKey], *, now: int) -> list[SigningKey]:
    """The keys whose signatures count at `now`, the first to retire first: that one signs `X-OpenPay-Signature`."""
    live = (key for key in keys if key.retired_at is None or key.retired_at > now)
    return sorted(live, key=lambda key: (key.retired_at is None, key.retired_at or 0, key.created_at, key.id))


def signing_key_context(key_id: str) -> str:
    """What a sealed private key is bound to."""
    return f"signing_key:{key_id}"


async def _new_signing_key(
    uow: UnitOfWork, merchant_id: str, livemode: bool, *, sealer: Sealer, now: int
) -> SigningKey:
    key_id = new_id("sig_live" if livemode else "sig_test")
    private = Ed25519Key.generate()
    key = SigningKey(
        id=key_id,
        merchant_id=merchant_id,
        livemode=livemode,
        public_key=bytes(private.verify_key),
        sealed_private_key=sealer.seal(bytes(private), signing_key_context(key_id)),
        created_at=now,
    )
    await uow.merchants.add_signing_key(key)
    return key


async def public_key(uow: UnitOfWork, caller: Caller, *, now: int) -> Mapping[str, str]:
    """The key that verifies `X-OpenPay-Signature` now: base64 of its DER SubjectPublicKeyInfo.

    Raises `NotFound` (`signing_key_not_found`) for a merchant without any.
    """
    live = live_keys(await uow.merchants.signing_keys(caller.merchant.id, caller.livemode), now=now)
    if not live:
        raise NotFound("there is no signing key yet: configure a webhook endpoint first", code="signing_key_not_found")
    return {
        "public_key": base64.b64encode(_SPKI_HEAD + live[0].public_key).decode(),
        "algorithm": "ED25519",
        "format": "base64",
    }


async def jwks(uow: UnitOfWork, merchant_id: str, *, now: int) -> Mapping[str, object]:
    """A merchant's public keys as a JSON Web Key Set (RFC 7517, OKP keys of RFC 8037), both modes.

    `kid` is what `OpenPay-Key-Id` says; the extra member `livemode` tells the modes apart. Keys appear when they are
    made, so before they take over, and go when they retire. Raises `NotFound` (`merchant_not_found`).
    """
    if await uow.merchants.get(merchant_id) is None:
        raise NotFound(f"no merchant {merchant_id[:60]!r}", code="merchant_not_found")
    live = live_keys(await uow.merchants.signing_keys(merchant_id), now=now)
    return {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "x": base64.urlsafe_b64encode(key.public_key).rstrip(b"=").decode(),
                "kid": key.id,
                "use": "sig",
                "alg": "EdDSA",
                "livemode": key.livemode,
            }
            for key in live
        ]
    }
