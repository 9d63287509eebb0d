"""What hosts say of blocks, heard beside reading: no slow host holds up a commit, and no late word is lost.

Each turn - the commit of a block - asks every host that is not still busy with an earlier question, and waits a little.
Words that come later count in a later turn. So does a late contradiction, until its host says something newer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openpay.chain.poll import GRACE_S, Poll
from openpay.chain.pool import Pool
from openpay.chain.words import NOTHING_YET, SILENCE, Agreement, HostWord, Testimony

LONGEST_S = 0.5
"""While not enough have answered, a commit waits so long. Not for an only host: nothing could go on without it."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a host said, in which turn it was asked, about which block of ours."""

    turn: int
    number: int
    hash: bytes
    testimony: Testimony


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """One question about one block of ours, on its way or answered. `by_tag`: the block was chosen by the chain's
    tag, not by depth alone: a host may be busy with one of each."""

    turn: int
    by_tag: bool
    number: int
    hash: bytes
    poll: Poll[Testimony]

    @property
    def said(self) -> dict[str, Testimony]:
        """By host:port, of those that have answered or failed."""
        return {host: word if isinstance(word, Testimony) else SILENCE for host, word in self.poll.words.items()}


class Hearing:
    """Asks the hosts of one pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turn = 0
        self._inquiries: list[Inquiry] = []
        self._last: dict[str, Said] = {}
        """Each host's newest word; of one turn's two, the one that disagrees."""

    def begin_turn(self) -> None:
        """Ask again from here on."""
        self._turn += 1

    async def ask(self, number: int, block_hash: bytes, *, by_tag: bool = False) -> Inquiry:
        """Put the question to every host that is free, and wait a little."""
        busy = {host for each in self._inquiries if each.by_tag == by_tag for host in each.poll.pending}
        poll = self._pool.poll(self._pool.testimony(number, block_hash), apart_from=busy)
        inquiry = Inquiry(turn=self._turn, by_tag=by_tag, number=number, hash=block_hash, poll=poll)
        self._inquiries.append(inquiry)
        longest_s = LONGEST_S if len(self._pool.hosts) > 1 else None
        await poll.wait(until=lambda: self.agreement(inquiry).confirmed, grace_s=GRACE_S, longest_s=longest_s)
        self._note()
        return inquiry

    def agreement(self, inquiry: Inquiry) -> Agreement:
        """What every host says about the block that was asked about."""
        said = inquiry.said
        testimonies = {host: said.get(host, NOTHING_YET) for host in self._pool.hosts}
        for host, each in testimonies.items():
            last = self._last.get(host)
            if each.word is HostWord.DISAGREES and last is not None and last.turn > inquiry.turn:
                testimonies[host] = NOTHING_YET  # it took that back, or says it again: see `objections`
        return Agreement.of(testimonies)

    def objections(self, is_ours: Callable[[int, bytes], bool]) -> dict[str, Said]:
        """The hosts whose newest word is that they call another block final than one that `is_ours`."""
        self._note()
        return {
            host: said
            for host, said in self._last.items()
            if said.testimony.word is HostWord.DISAGREES and is_ours(said.number, said.hash)
        }

    @property
    def finalized(self) -> dict[str, int]:
        """What each host called final when it last spoke."""
        tags = {host: said.testimony.finalized for host, said in self._last.items()}
        return {host: number for host, number in tags.items() if number is not None}

    @property
    def newest(self) -> dict[str, tuple[int, bytes]]:
        """Height and hash of each host's newest block when it last spoke."""
        newest = {host: said.testimony.newest for host, said in self._last.items()}
        return {host: block for host, block in newest.items() if block is not None}

    def end_turn(self) -> list[Inquiry]:
        """All inquiries with their words so far, the highest block first; those that are answered are let go."""
        self._note()
        heard = sorted(self._inquiries, key=lambda each: each.number, reverse=True)
        self._inquiries = [each for each in self._inquiries if each.poll.pending]
        return heard

    def _note(self) -> None:
        for inquiry in self._inquiries:
            for host, testimony in inquiry.said.items():
                last = self._last.get(host)
                disagrees = testimony.word is HostWord.DISAGREES
                if last is None or inquiry.turn > last.turn or (inquiry.turn == last.turn and disagrees):
                    self._last[host] = Said(
                        turn=inquiry.turn, number=inquiry.number, hash=inquiry.hash, testimony=testimony
                    )
