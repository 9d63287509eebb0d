"""Whatever the chain does, whatever the nodes do, whenever the watcher dies: the ledger is the canonical chain's."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openpay.app.records import Cursor
from openpay.domain.deposit import Deposit, Source
from openpay.domain.payment import WAITING, Payment, Status
from openpay.store import Store
from tests.faults.chain import MadeBlock
from tests.faults.ledger import check_coverage, compare, credits_of, stored_deposits
from tests.faults.shop import CHAIN_ID
from tests.faults.story import (
    PAYMENTS,
    Act,
    Fate,
    Heal,
    Invent,
    Kind,
    Mine,
    Misbehave,
    Pay,
    Reorg,
    Story,
    Telling,
    Watch,
)
from tests.faults.troubles import LIES
from tests.support.databases import PostgresDatabases
from tests.support.postgres import PostgresCluster

pays = st.builds(
    Pay,
    payment=st.integers(0, len(PAYMENTS)),
    kind=st.sampled_from(Kind),
    thirds=st.integers(1, 4),
    succeeds=st.sampled_from([True, True, True, False]),
)
several = st.lists(pays, max_size=4).map(tuple)
mines = st.builds(Mine, pays=several, empty=st.integers(0, 3)) | st.builds(Mine, pays=several, empty=st.integers(0, 16))
reorgs = st.builds(
    Reorg,
    depth=st.integers(0, 63),
    longer=st.integers(0, 2),
    fates=st.lists(st.sampled_from(Fate), max_size=4).map(tuple),
)
watches = st.builds(
    Watch, steps=st.integers(1, 9), restarts=st.booleans(), dies_at=st.none() | st.none() | st.integers(1, 90)
)
misbehaviours = st.builds(Misbehave, node=st.sampled_from([0, 1, 1, 2]), fault=st.sampled_from(range(len(LIES))))
inventions = st.builds(Invent, depth=st.integers(0, 20), longer=st.integers(0, 20), pays=several)
troubles: st.SearchStrategy[Act] = st.one_of(misbehaviours, misbehaviours, inventions, st.just(Heal()))
# Most of what can happen happens only to a watcher that has read something before.
chapters = st.one_of(
    st.tuples(mines, watches),
    st.tuples(mines, watches, reorgs, watches),
    st.tuples(mines, reorgs),
    st.tuples(troubles, mines, watches),
    st.tuples(troubles, mines, troubles, watches),
    st.tuples(mines, troubles, watches, reorgs),
)
stories = st.builds(
    Story,
    nodes=st.integers(2, 3),
    before=st.sampled_from([0, 1, 1, 2]),
    confirmations=st.sampled_from([1, 3, 12]),
    finality_lag=st.sampled_from([2, 12, 12, 70]),
    acts=st.lists(chapters, min_size=3, max_size=6).map(lambda told: tuple(chain.from_iterable(told))),
)


def tell(story: Story, database_url: str) -> int:
    """Tell a story on a migrated database and hold the ledger against the chain; how often the watcher died."""

    async def telling() -> int:
        store = Store.open(database_url)
        try:
            told = Telling(story, store)
            tip = await told.tell()
            cursor = await check_coverage(store, tip, chain_id=CHAIN_ID)
            deposits = await stored_deposits(store, PAYMENTS)
            found = [deposit for rows in deposits.values() for deposit in rows]
            comparison = compare(credits_of(tip, PAYMENTS), found)
            assert comparison.is_exact, comparison
            async with store.read() as uow:
                for before in PAYMENTS:
                    payment = await uow.payments.get(before.id)
                    assert payment is not None
                    check_inside(payment, deposits.get(before.id, []), tip)
                    check_status(payment, deposits.get(before.id, []), cursor)
            return told.kills
        finally:
            await store.close()

    return asyncio.run(telling())


def check_inside(payment: Payment, deposits: list[Deposit], tip: MadeBlock) -> None:
    """BNB that came from inside contracts is on record once: never more than arrived, and all of it while it counts."""
    on_record = sum(deposit.units for deposit in deposits if deposit.token == "BNB")
    arrived = tip.coins.get(payment.address, 0)
    if payment.offer("BNB") is not None and payment.status in WAITING:
        assert on_record == arrived
    else:
        assert on_record <= arrived


def check_status(payment: Payment, deposits: list[Deposit], cursor: Cursor) -> None:
    """Paid when enough came in time, waiting or expired when it did not. Between them lies what only the story knows:
    a deadline grows while a payment is confirming, on a branch that may be gone."""
    assert cursor.final_time is not None
    assert payment.reversed_at is None
    offers = {offer.token: offer.min_units for offer in payment.offers}
    dated = [deposit for deposit in deposits if deposit.token in offers and deposit.source is not Source.INTERNAL]
    # When exactly BNB from inside a contract arrived, no block tells.
    has_inside = any(deposit.source is Source.INTERNAL for deposit in deposits)

    def suffices(until: int) -> bool:
        sums = dict.fromkeys(offers, 0)
        for deposit in dated:
            sums[deposit.token] += deposit.units if deposit.block_time <= until else 0
        return any(sums[token] >= least for token, least in offers.items())

    if suffices(payment.expires_at):
        assert payment.status is Status.PAID
    elif not suffices(cursor.time) and not has_inside:
        if cursor.final_time > payment.deadline:
            assert payment.status is Status.EXPIRED
        else:
            assert payment.status in WAITING
            assert payment.status is Status.PENDING or not dated
    else:
        assert payment.status in {Status.PAID, Status.EXPIRED, *WAITING}


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from openpay.store.migrate import upgrade

    path = tmp_path_factory.mktemp("stories") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_databases(postgres_cluster: PostgresCluster) -> PostgresDatabases:
    return PostgresDatabases(postgres_cluster)


@contextmanager
def copied(template: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "story.db"
        shutil.copyfile(template, path)
        yield f"sqlite:///{path}"


ALIKE = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=10, **ALIKE)  # type: ignore[arg-type]
@given(story=stories)
def test_ledger_is_the_canonical_chains_after_any_story(sqlite_template: Path, story: Story) -> None:
    with copied(sqlite_template) as url:
        tell(story, url)


@settings(max_examples=3, **ALIKE)  # type: ignore[arg-type]
@given(story=stories)
def test_ledger_is_the_canonical_chains_after_any_story_on_postgresql(
    postgres_databases: PostgresDatabases, story: Story
) -> None:
    with postgres_databases.migrated() as url:
        tell(story, url)


@pytest.mark.nightly
@settings(max_examples=300, **ALIKE)  # type: ignore[arg-type]
@given(story=stories)
def test_ledger_is_the_canonical_chains_after_many_stories(sqlite_template: Path, story: Story) -> None:
    with copied(sqlite_template) as url:
        tell(story, url)
