"""What a unit of work reads and writes, by subject. All rows come and go as the domain's frozen values.

None stands for a row that is not there, and a mapping leaves out what has no rows. Times are Unix seconds. Lists are in
the order of making where nothing else is said; pages have the newest first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence, Set
from typing import Protocol

from openpay.app.records import (
    ApiKey,
    BalanceRound,
    Block,
    Cursor,
    Delivery,
    DeliveryAttempt,
    DueDelivery,
    EscrowLog,
    IdempotentAnswer,
    Merchant,
    OperatorTransaction,
    Page,
    PaymentFilter,
    RefundFilter,
    Report,
    SigningKey,
    Vault,
    Watched,
    WebhookEndpoint,
    Withdrawal,
    WithdrawalSchedule,
)
from openpay.domain.alerts import Alert, AlertKind, Notice
from openpay.domain.branding import Logo
from openpay.domain.deposit import Deposit, RevertedAttempt
from openpay.domain.events import Event, EventType
from openpay.domain.payment import Payment
from openpay.domain.refunds import Refund
from openpay.domain.sweeping import Excess


class Payments(Protocol):
    """Changed only while locked, and at the version that was read."""

    async def add(self, payment: Payment) -> None: ...
    async def get(self, payment_id: str) -> Payment | None: ...

    async def lock(self, payment_ids: Collection[str]) -> list[Payment]:
        """Load for change, in the order of making; other writers wait. Unknown ids are left out."""

    async def save(self, payment: Payment) -> Payment:
        """Store the moving fields and return the value with its new version. Raises `ConcurrentChange`."""

    async def page(self, wanted: PaymentFilter) -> Page[Payment]: ...

    async def after(self, chain_id: int, seq: int, *, limit: int) -> list[tuple[int, Payment]]:
        """Payments of a chain in the order of their making, each with its number, above `seq`."""

    async def latest_retry(self, payment_id: str) -> Payment | None:
        """The newest payment made by trying this one again."""

    async def versions(self, payment_ids: Collection[str]) -> Mapping[str, int]:
        """By id; each change of a payment, or of what is shown of it, counts one up."""

    async def ids_by_terms(self, chain_id: int, terms_ids: Collection[bytes]) -> Mapping[bytes, str]:
        """The payments that the escrow knows by these ids, by that."""

    async def ids_by_address(self, chain_id: int, addresses: Collection[bytes]) -> Mapping[bytes, str]:
        """The payments of a chain that any of these are the deposit addresses of, by address."""

    async def is_deposit_address(self, chain_id: int, address: bytes) -> bool:
        """Whether this is the deposit address of any payment on the chain."""

    async def ids_past_deadline(self, chain_id: int, final_time: int, *, limit: int) -> list[str]:
        """Waiting payments whose deadline is before `final_time`, the longest overdue first."""

    async def ids_confirming(self, chain_id: int, *, up_to: int | None = None) -> list[str]:
        """Confirming payments, of these only such as rest on a transaction in block `up_to` or below."""

    async def confirming(self, chain_id: int, *, up_to: int) -> list[Payment]:
        """Confirming payments that rest on a transaction in block `up_to` or below."""

    async def awaiting_settlement(self, chain_id: int, limit: int) -> list[Payment]:
        """Paid payments without a final `Settled` log and without a transaction on its way, oldest first."""

    async def of_merchant_unsettled(self, merchant_id: str, livemode: bool) -> list[Payment]:
        """Paid ones whose money is not in the treasury for certain, in any order."""

    async def of_merchant_confirming(self, merchant_id: str, livemode: bool) -> list[Payment]:
        """In any order."""

    async def watched(self, chain_id: int, *, after: int, also: Collection[int]) -> list[Watched]:
        """Payments with sequence numbers above `after`, or among `also` (gaps left by open transactions), in order."""

    async def newest_numbers(self, limit: int) -> list[int]:
        """Those of the newest `limit` sequence numbers that have a payment, of whatever chain, in order."""

    def open_addresses(self, chain_id: int) -> AsyncIterator[Sequence[bytes]]:
        """The deposit addresses of all open payments, part by part."""

    def ended_addresses(self, chain_id: int, *, first: int, last: int | None = None) -> AsyncIterator[Sequence[bytes]]:
        """Those of ended payments that are watched until block time `first` or later, and until `last` at most."""

    async def vaults_awaiting_coin(self, chain_id: int) -> list[Vault]:
        """Those of the open payments that may be paid in the chain's own coin."""

    async def vaults_after(self, round_: BalanceRound | None, chain_id: int, *, at: int, limit: int) -> list[Vault]:
        """The next `limit` vaults of a round, of all that are watched at block time `at` but those awaiting coin: open
        ones first, then by the end of their watching. Fewer where the round ends; None starts one."""

    async def vaults(self, payment_ids: Collection[str]) -> list[Vault]: ...


class Deposits(Protocol):
    """Those of the canonical chain as it was read so far."""

    async def add(self, deposits: Sequence[Deposit]) -> None:
        """Store deposits; one that is stored already (same identity) is left as it is."""

    async def reduce(self, deposit: Deposit, units: int) -> None:
        """Make a stored deposit one of `units`; with none left it goes."""

    async def of(self, payment_ids: Collection[str]) -> Mapping[str, list[Deposit]]:
        """By payment, block by block."""

    async def remove_block(self, block_hash: bytes) -> list[str]:
        """Take back the deposits of an undone block; returns the ids of their payments."""


class Refunds(Protocol):
    """Writers lock the refund's payment first."""

    async def put(self, refunds: Collection[Refund]) -> None:
        """Store refunds as they now are, new or known."""

    async def get(self, refund_id: str) -> Refund | None: ...
    async def of(self, payment_ids: Collection[str]) -> Mapping[str, list[Refund]]:
        """In order of their making."""

    async def due(self, chain_id: int, time: int, *, limit: int) -> list[Refund]:
        """Scheduled ones that may go out at block time `time`, the longest due first."""

    async def awaiting_signature(self, chain_id: int) -> list[Refund]:
        """Those that merchants are to pay from their treasuries, oldest first."""

    async def succeeded_by(self, tx_hashes: Collection[bytes]) -> list[Refund]:
        """Those that these transactions carried out."""

    async def page(self, wanted: RefundFilter) -> Page[Refund]: ...


class ExcessMoney(Protocol):
    """What is to be swept from settled payments' vaults. Writers lock the payment first."""

    async def put(self, payment_id: str, excess: Collection[Excess]) -> None:
        """Store all that there now is of one payment; what is left out is gone."""

    async def get(self, excess_id: str) -> Excess | None: ...
    async def of_chain(self, chain_id: int, *, limit: int, after: str | None = None) -> list[Excess]:
        """The longest waiting first; `after`: those behind this id."""


class VaultLooks(Protocol):
    """Which vaults' balances are to be looked at, beyond those that are looked at with every block."""

    async def round_(self, chain_id: int) -> BalanceRound | None:
        """Where the rounds over all vaults stand; None before the first."""

    async def move_round(self, round_: BalanceRound) -> None: ...
    async def doubted(self, chain_id: int) -> list[Vault]:
        """Those whose money was in a block that was taken back: it may have come again in another."""

    async def settle(self, payment_ids: Collection[str], *, at: int) -> None:
        """These were looked at in block `at`. Doubts about money that was in a later block remain."""


class Attempts(Protocol):
    """Transactions that the page's wallet reported, and those of them that were found reverted."""

    async def report(self, report: Report) -> None: ...
    async def reported(self, payment_id: str) -> int:
        """How many transactions were reported for this payment."""

    async def open_reports(self, chain_id: int) -> list[Report]: ...
    async def close_report(self, payment_id: str, tx_hash: bytes) -> None: ...
    async def add(self, attempt: RevertedAttempt) -> None: ...
    async def of(self, payment_ids: Collection[str]) -> Mapping[str, list[RevertedAttempt]]: ...

    async def remove_block(self, block_hash: bytes) -> list[str]:
        """Forget attempts of an undone block and open their reports again; returns the payment ids."""


class ChainRecord(Protocol):
    """What was read of a chain: blocks above the last final one, the covered range, escrow logs, the cursor."""

    async def cursor(self, chain_id: int) -> Cursor | None: ...

    async def move_cursor(self, old: Cursor | None, new: Cursor) -> None:
        """Compare-and-swap on (number, hash). Raises `CursorMoved`."""

    async def add_block(self, block: Block) -> None:
        """Store a block. Raises `CursorMoved` when there is one of this number: another watcher was first."""

    async def block(self, chain_id: int, number: int) -> Block | None: ...
    async def remove_block(self, block: Block) -> None: ...

    async def fold(self, chain_id: int, below: int) -> None:
        """Fold blocks below number `below` into the covered range; their rows go."""

    async def covered(self, chain_id: int) -> tuple[int, int] | None:
        """First and last block of the contiguous range read so far."""

    async def add_escrow_logs(self, logs: Sequence[EscrowLog]) -> None: ...
    async def escrow_logs_in(self, chain_id: int, first: int, last: int) -> list[EscrowLog]:
        """The escrow's logs in blocks `first` to `last`, both inclusive, in chain order."""

    async def escrow_logs_of(self, payment_ids: Collection[str]) -> Mapping[str, list[EscrowLog]]: ...

    async def escrow_logs_of_transactions(self, chain_id: int, tx_hashes: Collection[bytes]) -> list[EscrowLog]: ...

    async def withdrawn_log(self, chain_id: int, tx_hash: bytes) -> EscrowLog | None:
        """The `Withdrawn` log of one of our transactions, once its block was read."""

    async def remove_escrow_logs(self, block_hash: bytes) -> list[str]:
        """Take back the logs of an undone block; returns the ids of the payments they named."""


class Events(Protocol):
    """What merchants were told, for ever as it was told."""

    async def add(self, event: Event) -> bool:
        """Store an event and a delivery for each endpoint that wants it. False when its subject was told before."""

    async def told(self, payment_id: str) -> Set[tuple[EventType, str]]:
        """Types and subjects of the payment's stored events, of those that have a subject."""

    async def page(
        self, merchant_id: str, livemode: bool, *, limit: int, starting_after: str | None, payment_id: str | None
    ) -> Page[Event]: ...


class Webhooks(Protocol):
    """Where merchants are told, and how far the telling is."""

    async def endpoints(self, merchant_id: str, livemode: bool) -> list[WebhookEndpoint]:
        """All that are not deleted, oldest first."""

    async def endpoint(self, endpoint_id: str) -> WebhookEndpoint | None:
        """The endpoint, deleted or not."""

    async def endpoint_to_change(self, endpoint_id: str) -> WebhookEndpoint | None:
        """The same, and nobody else changes it until this transaction ends."""

    async def urls(self, endpoint_ids: Collection[str]) -> Mapping[str, str]:
        """Where these endpoints are, or were when they were deleted."""

    async def add_endpoint(self, endpoint: WebhookEndpoint) -> bool:
        """Store a new endpoint. False when its URL was configured before."""

    async def save_endpoint(self, endpoint: WebhookEndpoint) -> None:
        """Store what came of `endpoint_to_change`. Raises `ConcurrentChange` where another just took its URL."""

    async def fail_pending(self, endpoint_id: str) -> None:
        """Give up everything that is on its way to an endpoint that was disabled or deleted."""

    async def claim(self, *, now: int, lease_s: int, limit: int, per_endpoint: int) -> list[DueDelivery]:
        """Take due deliveries for `lease_s` seconds, at most `per_endpoint` in flight for one endpoint, across all
        processes. A claim that is not recorded in time falls due again."""

    async def record(self, delivery: Delivery, attempt: DeliveryAttempt) -> bool:
        """Store an attempt and what it made of the delivery; the claim ends. False, and nothing stored, when an attempt
        of this number is recorded: the claim had lapsed and another process was first."""

    async def deliver_again(self, delivery_id: str, *, now: int) -> None:
        """Make it due at once, however it ended, with all its time before it."""

    async def add_delivery(self, event: Event, endpoint_id: str, *, now: int) -> Delivery:
        """Have one endpoint told of an event, due at once, whether it was told before or not."""

    async def delivery(self, delivery_id: str) -> Delivery | None: ...
    async def attempts(self, delivery_ids: Collection[str]) -> Mapping[str, list[DeliveryAttempt]]: ...

    async def deliveries(
        self, merchant_id: str, livemode: bool, *, limit: int, starting_after: str | None
    ) -> Page[Delivery]: ...

    async def next_due_at(self) -> int | None:
        """When the next delivery falls due, or its claim lapses; None with an empty queue."""


class Merchants(Protocol):
    """Who is paid, with the keys that speak for them and those that sign to them."""

    async def add(self, merchant: Merchant) -> None: ...
    async def get(self, merchant_id: str) -> Merchant | None: ...
    async def all(self) -> list[Merchant]: ...
    async def save(self, merchant: Merchant) -> None:
        """Everything about the merchant but its logo."""

    async def logo(self, logo_hash: str) -> Logo | None:
        """A picture that some merchant's page shows now."""

    async def set_logo(self, merchant_id: str, logo: Logo | None) -> None:
        """None takes it away."""

    async def add_key(self, key: ApiKey) -> None: ...
    async def key_by_hash(self, key_hash: bytes) -> tuple[ApiKey, Merchant] | None:
        """A key, revoked or not, and whose it is."""

    async def keys(self, merchant_id: str) -> list[ApiKey]: ...
    async def revoke_key(self, merchant_id: str, key_id: str, *, now: int) -> ApiKey | None:
        """The key, revoked now or before; None where the merchant has no such key."""

    async def add_signing_key(self, key: SigningKey) -> None: ...

    async def retire_signing_key(self, key_id: str, *, now: int) -> None:
        """From `now` on, which may lie ahead, the key signs nothing."""

    async def signing_keys(self, merchant_id: str, livemode: bool | None = None) -> list[SigningKey]:
        """Newest first; retired ones too, for as long as their signatures may still be checked."""


class Idempotency(Protocol):
    """What was answered to requests that may come again."""

    async def claim(self, key_hash: bytes, *, fingerprint: bytes, now: int) -> IdempotentAnswer | None:
        """Take the key in this transaction, or return what was answered to it.

        A concurrent transaction holding the same key is waited for, 2 s at most: then `Conflict`
        (`idempotency_in_progress`).
        """

    async def store(self, key_hash: bytes, answer: IdempotentAnswer) -> None:
        """The answer to a key that this transaction holds."""

    async def forget_before(self, created_at: int) -> int:
        """Forget keys that were claimed earlier; how many."""


class Operations(Protocol):
    """What the operator's key is asked to do, and the transactions it signed."""

    async def add_withdrawal(self, withdrawal: Withdrawal) -> None: ...
    async def withdrawal(self, withdrawal_id: str) -> Withdrawal | None: ...
    async def save_withdrawal(self, withdrawal: Withdrawal) -> None: ...
    async def open_withdrawals(self, chain_id: int, limit: int) -> list[Withdrawal]:
        """The oldest of those that have not ended."""

    async def tokens_being_withdrawn(self, chain_id: int, merchant_id: str) -> frozenset[str]:
        """Tokens of a merchant's withdrawals that are not ended, in whichever mode."""

    async def withdrawals(
        self, merchant_id: str, livemode: bool, *, limit: int, starting_after: str | None
    ) -> Page[Withdrawal]: ...

    async def schedules(self) -> list[WithdrawalSchedule]: ...
    async def schedule(self, merchant_id: str, livemode: bool) -> WithdrawalSchedule | None: ...

    async def save_schedule(self, schedule: WithdrawalSchedule) -> bool:
        """Store the next version. False, and nothing stored, when another process stored one first."""

    async def add_transaction(self, transaction: OperatorTransaction) -> None: ...
    async def mark_sent(self, transaction_id: str, *, now: int) -> None:
        """A node took it. Repetitions keep the first time."""

    async def end_transaction(self, transaction: OperatorTransaction) -> None:
        """Store `status`, `ended_at`, `ended_block` and `fee_wei`."""

    async def open_transactions(self, chain_id: int, *, lock: bool = False) -> list[OperatorTransaction]:
        """Those whose nonce is not final, by nonce and then in the order of signing.

        With `lock` other settlers of the chain wait until this unit of work ends: nobody signs in between.
        """

    async def transactions_of(self, subject: str) -> list[OperatorTransaction]:
        """All that were ever signed for a subject, the oldest first."""

    async def subjects_by_hash(self, tx_hashes: Collection[bytes]) -> Mapping[bytes, tuple[str, ...]]:
        """What those of these transactions that we signed are for, whatever became of them."""

    async def mined_without_success(self, subjects: Collection[str]) -> frozenset[str]:
        """Those of `subjects` that some mined transaction was for. They are due, so it did nothing for them."""

    async def last_ended_nonce(self, chain_id: int, sender: bytes) -> int | None:
        """The highest nonce of a key that was seen final."""

    async def fees_since(self, chain_id: int, since: int) -> int:
        """Wei that the chain's operators paid for transactions that ended at `since` or later."""


class Alerts(Protocol):
    """What an operator must know of. One alert of a (kind, chain, subject) is open at a time."""

    async def open(self, chain_id: int | None = None) -> list[Alert]:
        """Those not over, the oldest first."""

    async def newest(self, limit: int) -> list[Alert]:
        """Open or over, the newest first."""

    async def raise_(self, alert: Alert) -> Alert | None:
        """Store a new alert and return it; or bring the open one's `detail` and `seen_at` up to date: None."""

    async def refresh(self, kind: AlertKind, chain_id: int, subject: str, *, detail: str, seen_at: int) -> None:
        """Bring the open alert up to date; nothing where there is none."""

    async def clear(self, kind: AlertKind, chain_id: int, subject: str, *, at: int) -> Alert | None:
        """End the open alert and return it; None where there is none."""

    async def untold(self) -> list[Alert]:
        """Open ones that no notice was ever written of."""

    async def forget_cleared_before(self, at: int) -> None:
        """Forget alerts that ended before `at`, and what was to be told of them."""

    async def add_notice(self, notice: Notice) -> None:
        """Store a notice, due at once; one of the same id is left as it is."""

    async def next_notice_at(self) -> int | None:
        """When the next notice falls due; None when all were taken."""

    async def claim_notices(self, *, now: int, lease_s: int, limit: int) -> list[Notice]:
        """Take due notices for `lease_s` seconds, across all processes; those about one alert one by one, in order."""

    async def record_notice(self, notice: Notice, *, next_attempt_at: int | None) -> None:
        """Store `attempts` and when to try again; None: it was taken."""
