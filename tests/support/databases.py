"""Fresh databases for single tests, copied from one that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import asyncpg
import pytest

from tests.support.postgres import PostgresCluster, run_in_thread

POSTGRESQL_BY_NIGHT = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)], indirect=True
)
"""For a test that takes long, and whose questions to the database shorter ones ask of both kinds."""


def _migrate(url: str) -> None:
    # Imported late, so that tests of parts without a database need no store.
    from openpay.store.migrate import upgrade

    run_in_thread(lambda: upgrade(url))


class SqliteDatabases:
    """Database files copied from a migrated one, which is made on first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def _template(self) -> Path:
        path = self._directory / "template.db"
        _migrate(self.url(path))
        return path

    @contextmanager
    def migrated(self, directory: Path) -> Iterator[str]:
        path = directory / "openpay.db"
        shutil.copyfile(self._template, path)
        yield self.url(path)

    @staticmethod
    def url(path: Path) -> str:
        return f"sqlite:///{path}"


# Everything that a migration may change, and the version it leaves behind.
_FINGERPRINT = """
    SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
        SELECT attrelid::regclass || ' ' || attname || ' ' || atttypid::regtype || ' ' || attnotnull AS line
            FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0
        UNION ALL SELECT indexrelid::regclass || ' ' || pg_get_indexdef(indexrelid)
            FROM pg_index WHERE indexrelid >= 16384
        UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
            FROM pg_constraint WHERE oid >= 16384
        UNION ALL SELECT 'version ' || version_num FROM alembic_version
    ) AS lines
"""
# As a replica, so that no foreign key asks for an order.
_EMPTY = """
    SET session_replication_role = replica;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
        PERFORM setval(seqrelid, 1, false) FROM pg_sequence;
    END $$
"""


class PostgresDatabases:
    """Databases copied from a migrated one, which is made on first use; used again by later tests, emptied.

    To create and drop a database takes about five times as long as to empty it, and a run of all tests needs hundreds.
    """

    def __init__(self, cluster: PostgresCluster) -> None:
        self._cluster = cluster
        self._free: list[str] = []

    @cached_property
    def _template(self) -> str:
        name = self._cluster.create_database()
        _migrate(self._cluster.url(name))
        return name

    @cached_property
    def _fingerprint(self) -> object:
        return self._cluster.use(self._template, lambda connection: connection.fetchval(_FINGERPRINT))

    @contextmanager
    def migrated(self) -> Iterator[str]:
        name = self._free.pop() if self._free else self._cluster.create_database(template=self._template)
        try:
            yield self._cluster.url(name)
        finally:
            # Under a new name: whoever the test left behind finds the old one gone.
            renamed = self._cluster.rename_database(name)
            if self._emptied(renamed):
                self._free.append(renamed)
            else:
                self._cluster.drop_database(renamed)

    @contextmanager
    def empty(self) -> Iterator[str]:
        name = self._cluster.create_database(template="template0")
        try:
            yield self._cluster.url(name)
        finally:
            self._cluster.drop_database(name)

    def _emptied(self, name: str) -> bool:
        """Empty all tables and set all sequences back; False if the test has changed the schema."""

        async def empty(connection: asyncpg.Connection) -> bool:
            if await connection.fetchval(_FINGERPRINT) != self._fingerprint:
                return False
            await connection.execute(_EMPTY)
            return True

        return self._cluster.use(name, empty)


@contextmanager
def empty_database(kind: str, directory: Path) -> Iterator[str]:
    """URL of a database for one run: a file in `directory` (``sqlite``), or on a server of its own (``postgresql``)."""
    if kind == "sqlite":
        yield SqliteDatabases.url(directory / "openpay.db")
        return
    cluster = PostgresCluster.start()
    try:
        yield cluster.url(cluster.create_database())
    finally:
        cluster.stop()
