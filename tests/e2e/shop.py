"""The merchant's own server: takes webhooks, trusts only what the public key verifies, and keeps count."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openpay.client import WebhookVerificationError, verify_webhook


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A verified delivery. `id` is the event's, the same on every attempt; `endpoint` the path it came to."""

    endpoint: str
    id: str
    event: dict[str, Any]


@dataclass
class Shop:
    """Endpoints `/a`, `/b` and so on, on one port."""

    url: str
    public_key: str | None = None
    """As `GET /v1/webhooks/public-key` answered it. Nothing is accepted before it is known."""
    received: list[Webhook] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def take(self, path: str, headers: Any, body: bytes) -> int:
        """The status to answer with."""
        if self.public_key is None:
            return 503
        try:
            event = verify_webhook(body, headers, self.public_key)
        except WebhookVerificationError as error:
            self.refused.append(str(error))
            return 400
        self.received.append(Webhook(endpoint=path, id=headers["webhook-id"], event=event))
        return 204

    def ids(self, event: str, payment_id: str, *, endpoint: str = "/a") -> set[str]:
        """Distinct ids under which this event of this payment came to an endpoint. At-least-once repeats an id."""
        return {
            webhook.id
            for webhook in list(self.received)
            if webhook.endpoint == endpoint
            and (webhook.event["event"], webhook.event["payment_id"]) == (event, payment_id)
        }

    def events(self, payment_id: str, *, endpoint: str = "/a") -> list[str]:
        """Names of the payment's events in the order of their first arrival, without their common prefix."""
        first = {
            webhook.id: webhook.event["event"].removeprefix("payment.")
            for webhook in reversed(list(self.received))
            if webhook.endpoint == endpoint and webhook.event["payment_id"] == payment_id
        }
        return list(reversed(first.values()))


@contextmanager
def open_shop() -> Iterator[Shop]:
    """Listen on a free loopback port until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(shop.take(self.path, self.headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The tests say what matters."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shop = Shop(url=f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield shop
        finally:
            server.shutdown()
            thread.join()
