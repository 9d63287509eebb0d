"""Withdrawals that nobody asks for: by the size of the treasury, or once a day.

They are recorded as a merchant's own would be, and carried out by the settler. Any number of processes may run this at
any time: a schedule's row changes by compare-and-swap in the transaction that records the withdrawals, so each day and
each crossing of a threshold leads to one of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import structlog

from openpay.app.ports import Balances, Clock, Database, UnitOfWork
from openpay.app.records import Withdrawal, WithdrawalSchedule, WithdrawalStatus
from openpay.app.signals import Signals
from openpay.domain.chains import Chain
from openpay.domain.ids import new_id
from openpay.domain.money import format_decimal, parse_decimal
from openpay.errors import ChainUnavailable, Invalid, InvariantViolated

DAY_S = 86_400
TRY_AGAIN_S = DAY_S
"""A crossing whose withdrawal failed while the money is still there is taken up again after this long."""
OFF = "off"

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)

_log = structlog.get_logger(__name__)


# --- setting it ----------------------------------------------------------------------------------------------------


def parse_threshold(text: str, chain: Chain) -> tuple[str, int | None]:
    """Read `USDT=100` as a token and base units, `USDT=off` as None. Raises `Invalid`."""
    symbol, _, amount = text.partition("=")
    token = chain.token(symbol)
    if token is None:
        listed = ", ".join(token.symbol for token in chain.tokens)
        raise Invalid(f"{text[:60]!r} names none of {listed}: write USDT=100", code="invalid_token")
    if amount == OFF:
        return symbol, None
    units = parse_decimal(amount, token.decimals, param="withdraw_above")
    if units == 0:
        raise Invalid("a threshold is above zero; to end it write USDT=off", code="invalid_amount")
    return symbol, units


def parse_daily(text: str) -> int | None:
    """Read `03:00` (UTC) as seconds after midnight, `off` as None. Raises `Invalid`."""
    if text == OFF:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise Invalid(f"{text[:60]!r} is not a time of the day: write 03:00 (in UTC), or off", code="invalid_time")
    return int(match[1]) * 3_600 + int(match[2]) * 60


def with_threshold(schedule: WithdrawalSchedule, token: str, units: int | None) -> WithdrawalSchedule:
    """The schedule with another threshold for a token, None for no more; what it was crossed before is forgotten."""
    thresholds = {symbol: each for symbol, each in schedule.thresholds.items() if symbol != token}
    crossings = {symbol: each for symbol, each in schedule.crossings.items() if symbol != token}
    if units is not None:
        thresholds[token] = units
    return replace(schedule, thresholds=thresholds, crossings=crossings)


def with_daily(schedule: WithdrawalSchedule, daily_at_s: int | None, *, now: int) -> WithdrawalSchedule:
    """The schedule with another time of the day, None for no more. The first time is the next one."""
    if daily_at_s is None:
        return replace(schedule, daily_at_s=None, done_day=None)
    day, second = divmod(now, DAY_S)
    return replace(schedule, daily_at_s=daily_at_s, done_day=day if second >= daily_at_s else day - 1)


def describe(schedule: WithdrawalSchedule, chain: Chain) -> str:
    """One line for people."""
    rules = [
        f"{token.symbol} at {format_decimal(schedule.thresholds[token.symbol], token.decimals)}"
        for token in chain.tokens
        if token.symbol in schedule.thresholds
    ]
    if schedule.daily_at_s is not None:
        hours, minutes = divmod(schedule.daily_at_s // 60, 60)
        rules.append(f"everything daily at {hours:02}:{minutes:02} UTC")
    mode = "live" if schedule.livemode else "test"
    return f"withdrawn by itself in {mode} mode: {', '.join(rules) or 'nothing'}"


# --- deciding ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which tokens to withdraw now, and the schedule after that, but for the new crossings."""

    tokens: tuple[str, ...]
    schedule: WithdrawalSchedule


def plan(
    schedule: WithdrawalSchedule,
    treasury_units: Mapping[str, int],
    crossed: Mapping[str, Withdrawal],
    being_withdrawn: Collection[str],
    *,
    now: int,
) -> Plan:
    """What is due at `now`. `crossed`: the withdrawals that `schedule.crossings` name; `being_withdrawn`: tokens on
    their way, of which all goes anyway."""
    day, second = divmod(now, DAY_S)
    is_daily = (
        schedule.daily_at_s is not None
        and (schedule.done_day is None or schedule.done_day < day)
        and second >= schedule.daily_at_s
    )
    above = {token for token, units in schedule.thresholds.items() if treasury_units.get(token, 0) >= units}
    due = {token for token in above if _is_new_crossing(crossed.get(token), now=now)}
    if is_daily:
        due |= {token for token, units in treasury_units.items() if units > 0}
    after = replace(
        schedule,
        done_day=day if is_daily else schedule.done_day,
        crossings={token: each for token, each in schedule.crossings.items() if token in above},
    )
    return Plan(tokens=tuple(sorted(due - set(being_withdrawn))), schedule=after)


def _is_new_crossing(last: Withdrawal | None, *, now: int) -> bool:
    """Whether a treasury above its threshold has to be emptied: what lies there came after the last withdrawal."""
    if last is None or last.status is WithdrawalStatus.SUCCEEDED:
        return True
    return last.completed_at is not None and now - last.completed_at >= TRY_AGAIN_S


# --- doing ---------------------------------------------------------------------------------------------------------


async def run_schedules(
    db: Database, treasuries: Balances, chains: Mapping[bool, Chain], *, clock: Clock, signals: Signals
) -> list[Withdrawal]:
    """Record what is due on every schedule; answers what was recorded. A chain that is away is asked the next time."""
    async with db.read() as uow:
        schedules = await uow.operations.schedules()
    recorded: list[Withdrawal] = []
    for schedule in schedules:
        chain = chains.get(schedule.livemode)
        if chain is None:
            continue
        try:
            recorded += await _run_schedule(db, treasuries, chain, schedule, clock=clock)
        except ChainUnavailable as error:
            _log.warning("scheduled withdrawal waits", merchant=schedule.merchant_id, reason=str(error))
    if recorded:
        signals.notify("operations")
    return recorded


async def _run_schedule(
    db: Database, treasuries: Balances, chain: Chain, schedule: WithdrawalSchedule, *, clock: Clock
) -> list[Withdrawal]:
    # What became of the last withdrawals is read before the treasury: money seen after one succeeded is new money.
    async with db.read() as uow:
        merchant = await uow.merchants.get(schedule.merchant_id)
        crossed = await _crossed(uow, schedule)
    if merchant is None:
        raise InvariantViolated(f"a schedule names no merchant: {schedule.merchant_id}")
    treasury_units = await treasuries.treasury_units(chain.chain_id, merchant.address)
    async with db.write() as uow:
        being_withdrawn = await uow.operations.tokens_being_withdrawn(chain.chain_id, merchant.id)
        now = clock.now()
        planned = plan(schedule, treasury_units, crossed, being_withdrawn, now=now)
        if planned == Plan(tokens=(), schedule=schedule):
            return []
        withdrawals = [
            Withdrawal(
                id=new_id("wd"),
                merchant_id=merchant.id,
                livemode=schedule.livemode,
                chain_id=chain.chain_id,
                token=token,
                status=WithdrawalStatus.PENDING,
                created_at=now,
            )
            for token in planned.tokens
        ]
        crossings = {each.token: each.id for each in withdrawals if each.token in schedule.thresholds}
        after = replace(planned.schedule, crossings={**planned.schedule.crossings, **crossings})
        if not await uow.operations.save_schedule(after):
            return []  # another process was first, and did it
        for withdrawal in withdrawals:
            await uow.operations.add_withdrawal(withdrawal)
    for withdrawal in withdrawals:
        _log.info("withdrawal by schedule", merchant=merchant.id, withdrawal=withdrawal.id, token=withdrawal.token)
    return withdrawals


async def _crossed(uow: UnitOfWork, schedule: WithdrawalSchedule) -> Mapping[str, Withdrawal]:
    found = {token: await uow.operations.withdrawal(id_) for token, id_ in schedule.crossings.items()}
    return {token: withdrawal for token, withdrawal in found.items() if withdrawal is not None}
