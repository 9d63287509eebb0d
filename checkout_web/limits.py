"""How often one client may look and act, so that a bot with a thousand pages takes nothing from anybody else."""

from __future__ import annotations

from aiohttp import web

from openpay.http.addresses import client_address
from openpay.http.application import LIMITERS
from openpay.http.rates import RateLimit, RateLimiter

VIEWS = RateLimit(requests=300, window_s=60)
"""Documents for one client. An office or a mobile network behind one address opens fewer; each costs some milliseconds
of drawing."""
ACTIONS = RateLimit(requests=30, window_s=60)
"""Cancelling and trying again for one client: each writes to the database."""
ACTIONS_ON_PAYMENT = RateLimit(requests=10, window_s=60)
"""The same for one payment, from wherever."""
QUESTIONS = RateLimit(requests=600, window_s=60)
"""Polls and new event streams of one client: fifty pages that poll every five seconds."""


class Limits:
    """Counts clients by their address, and payments by their id. In this process only, as all rate limits are."""

    def __init__(self) -> None:
        self._views = RateLimiter("views", VIEWS)
        self._questions = RateLimiter("questions", QUESTIONS)
        self._actions = RateLimiter("actions", ACTIONS)
        self._on_payment = RateLimiter("actions_on_payment", ACTIONS_ON_PAYMENT)

    def view(self, request: web.Request) -> None:
        """Count a document. Raises `RateLimited`."""
        self._views.take(request, client_of(request))

    def question(self, request: web.Request) -> str:
        """Count a poll or a new event stream; the client's address. Raises `RateLimited`."""
        client = client_of(request)
        self._questions.take(request, client)
        return client

    def act(self, request: web.Request) -> None:
        """Count something that changes the payment. Raises `RateLimited`."""
        self._actions.take(request, client_of(request))
        self._on_payment.take(request, request.match_info["payment_id"])


def client_of(request: web.Request) -> str:
    """The address whose requests are counted together."""
    return client_address(request, request.config_dict[LIMITERS].trusted_proxies)
