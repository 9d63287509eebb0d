"""How often one client may look and act, so that a bot with a thousand pages takes nothing from anybody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from openpay.errors import RateLimited
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

    def __init__(self, *, streams_per_client: int) -> None:
        """`streams_per_client`: event streams of one client at once; its further pages poll."""
        self._views = RateLimiter("views", VIEWS)
        self._questions = RateLimiter("questions", QUESTIONS)
        self._actions = RateLimiter("actions", ACTIONS)
        self._on_payment = RateLimiter("actions_on_payment", ACTIONS_ON_PAYMENT)
        self._most_streams = streams_per_client
        self._streams: Counter[str] = Counter()

    def view(self, request: web.Request) -> None:
        """Count a document. Raises `RateLimited`."""
        self._views.take(request, client_of(request))

    def question(self, request: web.Request) -> None:
        """Count a poll. Raises `RateLimited`."""
        self._questions.take(request, client_of(request))

    def act(self, request: web.Request) -> None:
        """Count something that changes the payment. Raises `RateLimited`."""
        self._actions.take(request, client_of(request))
        self._on_payment.take(request, request.match_info["payment_id"])

    @contextmanager
    def stream(self, request: web.Request) -> Iterator[None]:
        """Count an event stream for as long as it is open. Raises `RateLimited`."""
        client = client_of(request)
        self._questions.take(request, client)
        if self._streams[client] >= self._most_streams:
            raise RateLimited("Too many open pages here; ask again for the state instead.", retry_after_s=10)
        self._streams[client] += 1
        try:
            yield
        finally:
            self._streams[client] -= 1
            if not self._streams[client]:
                del self._streams[client]


def client_of(request: web.Request) -> str:
    """The address whose requests are counted together."""
    return client_address(request, request.config_dict[LIMITERS].trusted_proxies)
