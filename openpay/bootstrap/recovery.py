"""`openpay recover`: with the database lost, what old API answers and the chain are enough for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from openpay.app.recovery import Claim, read_answers
from openpay.bootstrap.installation import configured_chains, operator_signer
from openpay.chain import reads
from openpay.chain.blocks import read_quantity
from openpay.chain.escrow_abi import withdraw_for_data
from openpay.chain.pool import Pool, connect
from openpay.chain.signing import Signer, gas_price_to_pay
from openpay.chain.survey import Survey, VaultFinding, call_data, survey
from openpay.config import Settings
from openpay.domain.address import parse_address, to_checksum
from openpay.domain.custody import EscrowState, Holding, Move, Step, Who
from openpay.domain.money import format_decimal
from openpay.domain.time import format_time
from openpay.errors import ChainUnavailable, ConfigurationError

GAS_PER_CALL = 200_000
"""As the settler allows: fixed, because unused gas is not paid."""
MINED_TIMEOUT_S = 120.0
LOOK_EVERY_S = 0.5

Echo = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RecoverOptions:
    """`rpc_urls` instead of those in the settings. `execute` sends what moves money to treasuries, with the operator's
    key. `calldata` prints each call for another wallet. `refund` names a payment whose money goes to `refund_to`."""

    rpc_urls: tuple[str, ...] = ()
    execute: bool = False
    calldata: bool = False
    refund: str | None = None
    refund_to: str | None = None


async def recover(settings: Settings, answers: str, options: RecoverOptions, *, echo: Echo) -> bool:
    """Find every coin of the payments in `answers`, say what can be done with it by whom, and do it where asked to.

    False when an answer could not be used, a chain could not be asked, or a call failed. Raises `ConfigurationError`.
    """
    read = read_answers(answers)
    for fault in read.faults:
        echo(f"! {fault}")
    if (options.refund is None) != (options.refund_to is None):
        raise ConfigurationError("--refund and --to belong together: which payment, and to which address")
    if options.refund is not None and options.refund not in {claim.payment_id for claim in read.claims}:
        raise ConfigurationError(f"--refund names {options.refund[:60]}, which is not in the file")
    to = None if options.refund_to is None else parse_address(options.refund_to, param="--to")
    signer = operator_signer(settings) if options.execute else None
    fine = not read.faults
    ordered = sorted(read.claims, key=lambda claim: (claim.chain_id, claim.escrow))
    for (chain_id, escrow), group in groupby(ordered, key=lambda claim: (claim.chain_id, claim.escrow)):
        claims = list(group)
        try:
            urls = options.rpc_urls or _configured_urls(settings, chain_id)
            async with connect(urls, chain_id=chain_id) as pool:
                recovery = _Recovery(
                    pool=pool,
                    chain_id=chain_id,
                    escrow=escrow,
                    claims=claims,
                    signer=signer,
                    options=options,
                    echo=echo,
                )
                fine &= await recovery.run(to)
        except (ConfigurationError, ChainUnavailable) as fault:
            # One answer with an altered chain must not keep those of the others from being recovered.
            echo(f"! chain {chain_id} is not done, with {len(claims):,} payments in the file: {fault}")
            fine = False
    return fine


def _configured_urls(settings: Settings, chain_id: int) -> tuple[str, ...]:
    urls = {True: settings.live_rpc_urls, False: settings.test_rpc_urls}
    found = [
        url for mode, chain in configured_chains(settings).items() if chain.chain_id == chain_id for url in urls[mode]
    ]
    if not found:
        raise ConfigurationError(f"the file has payments on chain {chain_id}, for which no node is set: give --rpc-url")
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, kw_only=True)
class _Recovery:
    """The payments of one escrow."""

    pool: Pool
    chain_id: int
    escrow: bytes
    claims: Sequence[Claim]
    signer: Signer | None
    options: RecoverOptions
    echo: Echo

    async def run(self, to: bytes | None) -> bool:
        found = await survey(self.pool, self.escrow, [claim.terms for claim in self.claims])
        block = f"block {found.number} of {format_time(found.time)}"
        self.echo(f"chain {self.chain_id}, escrow {to_checksum(self.escrow)}, {block}")
        fine = True
        for claim, vault in zip(self.claims, found.vaults, strict=True):
            self._describe(claim, vault, found)
            for step in vault.steps:
                fine &= await self._take(claim, step, found, to if claim.payment_id == self.options.refund else None)
        for merchant, held in found.treasuries.items():
            for contract, units in held.items():
                amount = self._amount(contract, units, found)
                self.echo(f"treasury of {to_checksum(merchant)}: {amount}, which anyone may withdraw to the merchant")
                if self.options.calldata:
                    self._print_call(withdraw_for_data(merchant, contract))
        return fine

    def _describe(self, claim: Claim, vault: VaultFinding, found: Survey) -> None:
        state = vault.state.name.lower().replace("_", " ")
        ends = "expired" if found.time > claim.terms.expiry else "expires"
        line = f"{claim.payment_id}  {to_checksum(claim.address)}  {state}, {ends} {format_time(claim.terms.expiry)}"
        if not vault.holdings:
            line += ": " + ("settled, nothing left" if vault.state is EscrowState.SETTLED else "holds nothing")
        self.echo(line)

    async def _take(self, claim: Claim, step: Step, found: Survey, to: bytes | None) -> bool:
        """Say what the step is, and make it where that was asked for; False when it was tried and failed."""
        self.echo(f"  {self._amount(step.holding.contract, step.holding.units, found)}: {_words(step)}")
        if step.move is Move.REFUND and to is None:
            return True
        data = call_data(claim.terms, step, to=to)
        if self.options.calldata:
            self._print_call(data)
        if self.signer is None:
            return True
        if step.who is not Who.ANYONE and self.signer.address not in _who_may(claim, step):
            self.echo(f"    not sent: {to_checksum(self.signer.address)} may not")
            return True
        return await self._send(self.signer, data)

    def _print_call(self, data: bytes) -> None:
        self.echo(f"    call {to_checksum(self.escrow)} with 0x{data.hex()}")

    def _amount(self, contract: bytes | None, units: int, found: Survey) -> str:
        return f"{format_decimal(units, found.decimals[contract])} {_symbol(contract, self.claims)}"

    async def _send(self, signer: Signer, data: bytes) -> bool:
        pool = self.pool
        signed = signer.sign(
            chain_id=self.chain_id,
            nonce=read_quantity(await pool.call(reads.transaction_count(signer.address, "pending"))),
            to=self.escrow,
            gas=GAS_PER_CALL,
            gas_price=await gas_price_to_pay(pool),
            data=data,
        )
        await pool.call(reads.send_raw_transaction(signed.raw))
        deadline = asyncio.get_running_loop().time() + MINED_TIMEOUT_S
        while (receipt := await pool.find(reads.transaction_receipt(signed.hash))) is None:
            if asyncio.get_running_loop().time() > deadline:
                raise ChainUnavailable(
                    f"transaction 0x{signed.hash.hex()} is in no block after {MINED_TIMEOUT_S:.0f} s"
                )
            await asyncio.sleep(LOOK_EVERY_S)
        succeeded = read_quantity(receipt.status) == 1
        self.echo(f"    {'done' if succeeded else 'reverted'} in 0x{signed.hash.hex()}")
        return succeeded


def _who_may(claim: Claim, step: Step) -> tuple[bytes, ...]:
    both = (claim.terms.merchant, claim.terms.operator)
    return both if step.who is Who.OPERATOR else both[:1]


def _words(step: Step) -> str:
    words = f"{step.move}, by {'' if step.who is Who.ANYONE else 'the '}{step.who}"
    if step.operator_from is not None:
        words += f"; by the operator from {format_time(step.operator_from)} on"
    return words + ("" if step.move is not Move.REFUND else f" ({_why_not_settled(step.holding)})")


def _why_not_settled(holding: Holding) -> str:
    if holding.asset_index is None:
        return "not accepted by these terms"
    if holding.min_units is None:
        return "the escrow cannot read its price"
    return "less than the least that settles"


def _symbol(contract: bytes | None, claims: Iterable[Claim]) -> str:
    """As the answers call the token; by its address where none of them mentions it."""
    named = (claim.symbols[contract] for claim in claims if contract in claim.symbols)
    return next(named, "BNB" if contract is None else to_checksum(contract))
