"""The escrow of one chain, asked through the pool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import structlog

from openpay.chain import escrow_abi, reads
from openpay.chain.blocks import read_bytes
from openpay.chain.errors import BadAnswer, EndpointFault, JsonRpcError
from openpay.chain.poll import GRACE_S
from openpay.chain.pool import Pool
from openpay.chain.reads import BlockName
from openpay.chain.rpc import Endpoint
from openpay.chain.words import NEEDED
from openpay.domain.assessment import Accepted, EscrowAnswer, Refused
from openpay.domain.chains import Chain
from openpay.domain.terms import Terms

_log = structlog.get_logger(__name__)


class EscrowClient:
    """Questions to the escrow. `operator` is the address from which settling is simulated."""

    def __init__(self, pool: Pool, chain: Chain, *, operator: bytes) -> None:
        self._pool = pool
        self._chain = chain
        self._operator = operator

    async def check(
        self, terms: Terms, asset_index: int, *, block: BlockName, escrow: bytes | None = None
    ) -> EscrowAnswer:
        """Whether the escrow settles these terms at `block`, or did already. `escrow` is another than the chain's
        current one for payments made under an older deployment.

        No host may say otherwise than the others; once two have answered, a slow one is not waited for. A refusal is
        one of the escrow's own errors, the same from two hosts where two are configured; for acceptance one is enough
        where no other answers, or an outage would stop what great depth has made final. None when there is no such
        answer: a feed or token reverted for reasons of its own, hosts disagree, or no node answered.
        """
        data = escrow_abi.settle_data(terms, asset_index)
        question = self._word_question(escrow or self._chain.escrow, data, at=block, count=1)
        words = await self._pool.ask_hosts(question, grace_s=GRACE_S)
        said = {host: verdict for host, word in words.items() if (verdict := _verdict(word)) is not None}
        match set(said.values()):
            case verdicts if verdicts == {_ACCEPTED}:
                return Accepted()
            case verdicts if len(verdicts) == 1 and len(said) >= min(NEEDED, len(words)):
                return Refused(error=verdicts.pop())
        _log.error(
            "escrow gave no usable answer",
            chain_id=self._chain.chain_id,
            terms=terms.id().hex(),
            reason="; ".join(f"{host}: {said.get(host, word)}" for host, word in words.items()),
        )
        return None

    async def due(self, terms: Terms, asset_index: int, *, block: BlockName) -> tuple[int, int]:
        """Full amount and least amount in base units, by the contract's own arithmetic. Raises `ChainUnavailable`."""
        data = escrow_abi.due_data(terms, asset_index)
        full, least = await self._pool.ask(self._word_question(self._chain.escrow, data, at=block, count=2))
        return full, least

    async def treasury_units(self, merchant: bytes) -> Mapping[str, int]:
        """What the merchant's treasury holds of each token now, in base units. Raises `ChainUnavailable`."""
        calls = [
            reads.eth_call(
                to=self._chain.escrow, data=escrow_abi.balance_of_data(merchant, token.contract), at="latest"
            )
            for token in self._chain.tokens
        ]

        async def ask(endpoint: Endpoint) -> list[int]:
            answers = await endpoint.batch(calls)
            return [split_words(read_bytes(each), count=1, endpoint=endpoint.name)[0] for each in answers]

        return dict(zip((token.symbol for token in self._chain.tokens), await self._pool.ask(ask), strict=True))

    def _word_question(
        self, escrow: bytes, data: bytes, *, at: BlockName, count: int
    ) -> Callable[[Endpoint], Awaitable[list[int]]]:
        """A call from the operator, whose answer must be `count` words: of an address without code it is empty."""
        call = reads.eth_call(to=escrow, data=data, at=at, sender=self._operator)

        async def ask(endpoint: Endpoint) -> list[int]:
            return split_words(read_bytes(await endpoint.call(call)), count=count, endpoint=endpoint.name)

        return ask


_ACCEPTED = "accepted"


def _verdict(word: list[int] | EndpointFault | JsonRpcError) -> str | None:
    """One host's: accepted, the name of the escrow's own error, or None for no usable answer."""
    if isinstance(word, JsonRpcError):
        error = escrow_abi.error_name(word.data)
        return _ACCEPTED if error == "AlreadySettled" else error
    return None if isinstance(word, EndpointFault) else _ACCEPTED


class TreasuryBalances:
    """`ports.Balances` over the escrows of all chains."""

    def __init__(self, clients: Mapping[int, EscrowClient]) -> None:
        self._clients = clients

    async def treasury_units(self, chain_id: int, merchant: bytes) -> Mapping[str, int]:
        return await self._clients[chain_id].treasury_units(merchant)


def split_words(answer: bytes, *, count: int, endpoint: str) -> list[int]:
    """A contract's answer as unsigned words. Raises `BadAnswer` for another length: no such contract is there."""
    if len(answer) != count * escrow_abi.WORD:
        raise BadAnswer(endpoint, f"the contract answered {len(answer)} bytes instead of {count} words")
    return [int.from_bytes(answer[at : at + escrow_abi.WORD], "big") for at in range(0, len(answer), escrow_abi.WORD)]
