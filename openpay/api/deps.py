"""What the API is built from: ports and use cases, handed over by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from openpay.app.merchants import Caller
from openpay.app.payments import PaymentService
from openpay.app.ports import Balances, Clock, Database
from openpay.app.refund_requests import RefundService
from openpay.app.sealing import Sealer
from openpay.app.signals import Signals
from openpay.domain.chains import Chain
from openpay.errors import Forbidden
from openpay.http import HttpSettings
from openpay.http.monitored import EndpointStanding, Monitored


@dataclass(frozen=True, kw_only=True)
class ApiDeps:
    """Everything `build_app` needs.

    `clock` is the time of payments (in `openpay dev` the local chain's), `wall_clock` the server's own: it schedules
    deliveries and dates keys. `chains` maps live mode (True) and test mode (False) to the chain each is bound to.
    `public_url` is how the world reaches this server, without a trailing slash. `allow_insecure_webhooks` accepts http
    and loopback targets. `home` is the path that `/` leads to; None: it says what this is. `warnings` is asked by
    `/readyz` for what an operator should mend, `endpoints` for the nodes.
    """

    db: Database
    payments: PaymentService
    chains: Mapping[bool, Chain]
    balances: Balances
    clock: Clock
    wall_clock: Clock
    sealer: Sealer
    signals: Signals
    public_url: str
    http: HttpSettings = field(default_factory=HttpSettings)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    allow_insecure_webhooks: bool = False
    home: str | None = None
    warnings: Callable[[], Sequence[str]] = tuple
    endpoints: Callable[[], Mapping[int, Sequence[EndpointStanding]]] = dict

    @property
    def monitored(self) -> Monitored:
        return Monitored(
            db=self.db,
            chains=self.chains,
            clock=self.clock,
            wall_clock=self.wall_clock,
            quotes=self.payments.quotes,
            registry=self.registry,
            warnings=self.warnings,
            endpoints=self.endpoints,
        )

    @property
    def refunds(self) -> RefundService:
        return RefundService(chains=self.payments.chains, clock=self.payments.clock, wall=self.payments.wall)

    def chain_of(self, caller: Caller) -> Chain:
        """The chain of the caller's mode. Raises `Forbidden` (`mode_not_configured`)."""
        chain = self.chains.get(caller.livemode)
        if chain is None:
            mode = "live" if caller.livemode else "test"
            raise Forbidden(f"this server has no chain for {mode} mode", code="mode_not_configured")
        return chain
