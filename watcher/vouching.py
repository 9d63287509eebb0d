"""What is final: by depth, by the chain's own tag, and by the word of the hosts; and the alerts when that falters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

import structlog

from openpay.chain.poll import GRACE_S
from openpay.chain.pool import Pool
from openpay.chain.words import NEEDED, Agreement, HostWord
from openpay.domain.alerts import Alarm, AlertKind
from openpay.domain.chains import Chain
from openpay.errors import ChainUnavailable, ReorgBelowFinality
from watcher.branches import Branches
from watcher.finality import Candidate, final_candidate, stall_of, vouched_number
from watcher.hearing import Hearing, Inquiry, Said
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
    """Decides for one chain which block is final. Remembers which alerts are on, and what hosts last said."""

    def __init__(self, chain: Chain, pool: Pool, alarm: Alarm, branches: Branches) -> None:
        self._chain = chain
        self._pool = pool
        self._branches = branches
        self._hearing = Hearing(pool)
        self._stalled = Lamp(AlertKind.FINALITY_STALLED, chain.chain_id, alarm)
        self._disagree = Lamp(AlertKind.HOSTS_DISAGREE, chain.chain_id, alarm)
        self._alone = Lamp(AlertKind.NO_SECOND_HOST, chain.chain_id, alarm)
        self._below_finality = Lamp(AlertKind.REORG_BELOW_FINALITY, chain.chain_id, alarm)

    async def final_number(
        self, *, head: int, finalized: int | None, known: int | None, hash_at: Callable[[int], bytes | None]
    ) -> int | None:
        """The newest block that is final with `head` as the tip of the linked chain; None for no news.

        `finalized` is the height of the chain's tag as one host says, which may stand still or go back; `known` the
        newest that is final already, and stays so. `hash_at` gives the hashes of the linked chain, up to `head`.
        """
        self._below_finality.show(None)

        def ours(number: int) -> bytes | None:
            return hash_at(number) if number <= head else None

        # By depth alone at first, which is nearly always the answer: a tag that one host names decides nothing.
        candidate = Candidate(number=head - self._chain.confirmations + 1, stalled=False)
        self._hearing.begin_turn()
        inquiry = await self._ask(candidate, known=known, ours=ours)
        agreement = None if inquiry is None else self._hearing.agreement(inquiry)
        tag = finalized
        if agreement is not None:
            heard = replace(agreement, finalized=self._hearing.finalized).final_for_two
            tag = finalized if heard is None else heard
        tagged = final_candidate(self._chain, head=head, finalized=tag)
        self._tell_stall(tagged, head=head, finalized=tag)
        is_decided = agreement is not None and (agreement.confirmed or agreement.contradicted or agreement.unanswered)
        if not is_decided and tagged.number < candidate.number:
            await self._ask(tagged, known=known, ours=ours, by_tag=True)
        if inquiry is not None and agreement is not None:
            self._branches.compare(inquiry.number, inquiry.hash, agreement.hashes)
        await self._branches.watch(self._hearing.newest, ours)
        return self._decided(head=head, known=known, ours=ours)

    async def _ask(
        self, candidate: Candidate, *, known: int | None, ours: Callable[[int], bytes | None], by_tag: bool = False
    ) -> Inquiry | None:
        """Have hosts asked about a candidate, where there is a block to ask about."""
        block_hash = ours(candidate.number)
        if block_hash is None or candidate.number == known:
            return None
        return await self._hearing.ask(candidate.number, block_hash, by_tag=by_tag)

    def _decided(self, *, head: int, known: int | None, ours: Callable[[int], bytes | None]) -> int | None:
        """The highest block that hosts have vouched for, now or in words that came late; None while one objects."""
        # What is final is let go of, and stays what it was.
        objections = self._hearing.objections(
            lambda number, block_hash: (known is not None and number <= known) or ours(number) == block_hash
        )
        heard = self._hearing.end_turn()
        if objections:
            self._tell_objections(objections, heard)
            return None
        for inquiry in heard:
            if ours(inquiry.number) != inquiry.hash or (known is not None and inquiry.number <= known):
                continue
            if inquiry.number > head - self._chain.confirmations + 1:
                continue
            agreement = self._hearing.agreement(inquiry)
            self._tell_agreement(agreement)
            candidate = Candidate(number=inquiry.number, stalled=False)
            final = vouched_number(self._chain, candidate, agreement, head=head)
            if final is not None:
                return final
        return None

    async def outvoted(self, deep: TooDeep, *, host: str | None) -> frozenset[str]:
        """The hosts that do not have the block that is on record as final, and `host`, whose branch lacks it.

        Nobody, unless two hosts at least still have it, and more than have another: then who is right is not known.
        """
        agreement = await self._pool.second_host(deep.floor, deep.floor_hash, grace_s=GRACE_S)
        agreeing = {each for each, word in agreement.words.items() if word is HostWord.AGREES}
        dissenting = {each for each, word in agreement.words.items() if word is HostWord.DISAGREES}
        if len(agreeing) < NEEDED or len(agreeing) <= len(dissenting):
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

    def _tell_agreement(self, agreement: Agreement) -> None:
        if agreement.unanswered:
            self._alone.show(
                f"nobody but one host answers ({agreement}): payments wait for "
                f"{self._chain.stalled_finality_confirmations} confirmations"
            )
        elif agreement.confirmed:
            self._disagree.show(None)
            self._alone.show(None)

    def _tell_objections(self, objections: Mapping[str, Said], heard: Sequence[Inquiry]) -> None:
        """Say whose block is which: what was read here may be the invention."""
        words = []
        for host, said in sorted(objections.items()):
            agreeing = {
                other
                for inquiry in heard
                if (inquiry.number, inquiry.hash) == (said.number, said.hash)
                for other, testimony in inquiry.said.items()
                if testimony.hash == said.hash
            }
            own = b"" if said.testimony.hash is None else said.testimony.hash
            words.append(
                f"{host} disagrees: block {said.number} is 0x{own.hex()} there, and final; what was read here is "
                f"0x{said.hash.hex()}, which {' and '.join(sorted(agreeing)) or 'no host that answers now'} has"
            )
        self._disagree.show("; ".join(words))
