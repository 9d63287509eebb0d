"""What is final: by depth, by the chain's own tag, and by the word of the hosts; and the alerts when that falters."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import structlog

from openpay.chain.pool import Pool
from openpay.chain.words import Agreement, HostWord
from openpay.domain.alerts import Alarm, AlertKind
from openpay.domain.chains import Chain
from openpay.errors import ChainUnavailable, ReorgBelowFinality
from watcher.finality import Candidate, final_candidate, stall_of, vouched_number
from watcher.local_chain import TooDeep

_log = structlog.get_logger(__name__)


class Lamp:
    """One alert of one chain, told to the alarm when it goes on, while it is on, and when it goes out.

    At first it may be on: an earlier process may have left it so.
    """

    def __init__(self, kind: AlertKind, chain_id: int, alarm: Alarm) -> None:
        self._kind = kind
        self._chain_id = chain_id
        self._alarm = alarm
        self._is_on: bool | None = None

    def show(self, detail: str | None) -> None:
        """What is wrong now, for people; None when nothing is."""
        if detail is not None:
            if not self._is_on:
                _log.error(self._kind.value.replace("_", " "), chain_id=self._chain_id, detail=detail)
            self._alarm.raise_(self._kind, self._chain_id, detail=detail)
        elif self._is_on is not False:
            if self._is_on:
                _log.info(f"over: {self._kind.value.replace('_', ' ')}", chain_id=self._chain_id)
            self._alarm.clear(self._kind, self._chain_id)
        self._is_on = detail is not None


class Vouching:
    """Decides for one chain which block is final. Remembers nothing but which alerts are on."""

    def __init__(self, chain: Chain, pool: Pool, alarm: Alarm) -> None:
        self._chain = chain
        self._pool = pool
        self._stalled = Lamp(AlertKind.FINALITY_STALLED, chain.chain_id, alarm)
        self._disagree = Lamp(AlertKind.HOSTS_DISAGREE, chain.chain_id, alarm)
        self._alone = Lamp(AlertKind.NO_SECOND_HOST, chain.chain_id, alarm)
        self._below_finality = Lamp(AlertKind.REORG_BELOW_FINALITY, chain.chain_id, alarm)

    async def final_number(
        self, *, head: int, finalized: int | None, known: int | None, hash_at: Callable[[int], bytes | None]
    ) -> int | None:
        """The newest block that is final with `head` as the tip of the linked chain; None for no news.

        `finalized` is the height of the chain's tag as one host says, which may stand still or go back; `known` the
        newest that is final already, and stays so. `hash_at` gives the hashes of the linked chain.
        """
        self._below_finality.show(None)
        # By depth alone at first, which is nearly always the answer: a tag that one host names decides nothing.
        candidate = Candidate(number=head - self._chain.confirmations + 1, stalled=False)
        final, agreement = await self._ask(candidate, head=head, known=known, hash_at=hash_at)
        tag = finalized
        if agreement is not None and agreement.final_for_two is not None:
            tag = agreement.final_for_two
        tagged = final_candidate(self._chain, head=head, finalized=tag)
        self._tell_stall(tagged, head=head, finalized=tag)
        if final is None and tagged.number < candidate.number and not (agreement and agreement.contradicted):
            final, _ = await self._ask(tagged, head=head, known=known, hash_at=hash_at)
        return final

    async def _ask(
        self, candidate: Candidate, *, head: int, known: int | None, hash_at: Callable[[int], bytes | None]
    ) -> tuple[int | None, Agreement | None]:
        """What hosts make of a candidate, and what they said, where there is a block to ask about."""
        block_hash = hash_at(candidate.number)
        if block_hash is None or candidate.number == known:
            return None, None
        agreement = await self._pool.second_host(candidate.number, block_hash)
        self._tell_agreement(candidate.number, agreement)
        return vouched_number(self._chain, candidate, agreement, head=head), agreement

    async def outvoted(self, deep: TooDeep, *, host: str | None) -> frozenset[str]:
        """The hosts that do not have the block that is on record as final, and `host`, whose branch lacks it.

        Nobody, unless two hosts at least still have it, and more than have another: then who is right is not known.
        """
        agreement = await self._pool.second_host(deep.floor, deep.floor_hash)
        agreeing = {each for each, word in agreement.words.items() if word is HostWord.AGREES}
        dissenting = {each for each, word in agreement.words.items() if word is HostWord.DISAGREES}
        if len(agreeing) < 2 or len(agreeing) <= len(dissenting):
            return frozenset()
        if dissenting:
            self._disagree.show(f"not all hosts have block {deep.floor} as it was when it became final: {agreement}")
        return frozenset(dissenting if host is None else dissenting | {host})

    async def begin(self, number: int, block_hash: bytes, *, is_final: bool) -> None:
        """Let a record begin with this block, which is never taken back: one node's word is not enough for that.

        `is_final` says that the block was chosen as one that every host calls final; a configured one may be too young
        for that. Raises `ChainUnavailable` when hosts say otherwise.
        """
        agreement = await self._pool.second_host(number, block_hash)
        is_doubtful = is_final and not (agreement.confirmed or agreement.unanswered)
        if agreement.contradicted or is_doubtful:
            raise ChainUnavailable(
                f"chain {self._chain.chain_id}: nothing is read before hosts agree on the first block, "
                f"{number} with hash 0x{block_hash.hex()} ({agreement})"
            )

    async def refuse(self, deep: TooDeep) -> NoReturn:
        """Stop, if the hosts confirm it: one node on a wrong branch is no reason. Raises `ReorgBelowFinality` or
        `ChainUnavailable`."""
        agreement = await self._pool.second_host(deep.floor, deep.branch_hash)
        detail = (
            f"chain {self._chain.chain_id}: at block {deep.floor}, recorded as final with hash "
            f"0x{deep.floor_hash.hex()}, nodes now have 0x{deep.branch_hash.hex()}"
        )
        if not agreement.confirmed:
            if agreement.contradicted:
                self._disagree.show(f"{detail}: {agreement}")
            raise ChainUnavailable(f"{detail}; not confirmed ({agreement}), so nothing is done")
        raise ReorgBelowFinality(
            f"{detail} ({agreement}). Nothing was changed. Compare the nodes, then run `openpay rewind`: "
            f"{AlertKind.REORG_BELOW_FINALITY.runbook}"
        )

    def stopped(self, error: ReorgBelowFinality) -> None:
        """The record and the chain part below a final block: following ends here."""
        self._below_finality.show(str(error))

    def _tell_stall(self, candidate: Candidate, *, head: int, finalized: int | None) -> None:
        stall = stall_of(self._chain, candidate, head=head, finalized=finalized)
        self._stalled.show(None if stall is None else f"the finalized block is {finalized}, the head {head}: {stall}")

    def _tell_agreement(self, number: int, agreement: Agreement) -> None:
        if agreement.contradicted:
            self._disagree.show(f"hosts name different blocks {number}, and call them final: {agreement}")
        elif agreement.unanswered:
            self._alone.show(
                f"nobody but one host answers ({agreement}): payments wait for "
                f"{self._chain.stalled_finality_confirmations} confirmations"
            )
        elif agreement.confirmed:
            self._disagree.show(None)
            self._alone.show(None)
