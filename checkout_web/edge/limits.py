"""How often one client may look and act, so that a bot with a thousand pages takes nothing from anybody else.

Counted before anything is read, for every route in one place. A client is its address; what changes a payment is
counted for that payment as well, from wherever it comes.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from openpay.http.addresses import client_address
from openpay.http.application import LIMITERS
from openpay.http.rates import RateLimit, RateLimiter

VIEWS = RateLimit(requests=300, window_s=60)
"""Documents for one client. An office or a mobile network behind one address opens fewer; each costs some milliseconds
of drawing."""
QUESTIONS = RateLimit(requests=600, window_s=60)
"""Polls and new event streams of one client, and other small things: fifty pages that poll every five seconds."""
ACTIONS = RateLimit(requests=30, window_s=60)
"""Cancelling, trying again and naming addresses for one client: each writes to the database."""
ACTIONS_ON_PAYMENT = RateLimit(requests=10, window_s=60)
"""The same for one payment, from wherever."""
RETRIES = RateLimit(requests=10, window_s=3_600)
"""Further payments for one that failed. By canceling each of them, who holds the link could have any number made."""
REPORTS = RateLimit(requests=10, window_s=60)
"""Transactions a page may report for one payment: a customer's few tries, not a stranger's flood."""
CLAIMS = RateLimit(requests=10, window_s=60)
"""Addresses that may be named for one payment's refunds."""
LOOKUPS = RateLimit(requests=10, window_s=60)
"""Transactions that may be asked for on one payment's page."""
LOOKUPS_BY_ADDRESS = RateLimit(requests=30, window_s=60)
"""By one visitor, on whatever pages. Above the other: a whole office may share one address."""

UNLIMITED = frozenset({"static", "theme", "script"})
"""Routes that answer from memory."""

_OF_CLIENT: Mapping[str, RateLimit] = {"views": VIEWS, "questions": QUESTIONS, "actions": ACTIONS}
_OF_ROUTE: Mapping[str, str] = {
    "page": "views",
    "lookup": "views",  # is answered with the page even above its own limit
    "state": "questions",
    "events": "questions",
    "logo": "questions",
    "claim_message": "questions",
    "transactions": "questions",
    "cancel": "actions",
    "retry": "actions",
    "claim": "actions",
}
_ON_PAYMENT: Mapping[str, tuple[str, RateLimit]] = {
    "transactions": ("transactions", REPORTS),
    "cancel": ("actions_on_payment", ACTIONS_ON_PAYMENT),
    "retry": ("retries", RETRIES),
    "claim": ("claims", CLAIMS),
}


class Limits:
    """Counts clients by their address, and payments by their id. In this process only, as all rate limits are."""

    def __init__(self) -> None:
        by_name = {name: RateLimiter(name, limit) for name, limit in _OF_CLIENT.items()}
        self._of_client = {route: by_name[name] for route, name in _OF_ROUTE.items()}
        self._on_payment = {route: RateLimiter(name, limit) for route, (name, limit) in _ON_PAYMENT.items()}
        self._lookups = RateLimiter("lookups", LOOKUPS)
        self._lookups_by_address = RateLimiter("lookups_by_address", LOOKUPS_BY_ADDRESS)

    def take(self, request: web.Request) -> None:
        """Count a request by its route. Raises `RateLimited`."""
        route = request.match_info.route.name or ""
        if route in self._of_client:
            self._of_client[route].take(request, client_of(request))
        if route in self._on_payment:
            self._on_payment[route].take(request, request.match_info["payment_id"])

    def look_up(self, request: web.Request) -> None:
        """Count a transaction asked for, apart from the others: this is said in the page. Raises `RateLimited`."""
        self._lookups_by_address.take(request, client_of(request))
        self._lookups.take(request, request.match_info["payment_id"])


def client_of(request: web.Request) -> str:
    """The address whose requests are counted together."""
    return client_address(request, request.config_dict[LIMITERS].trusted_proxies)
