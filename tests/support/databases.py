"""Fresh databases for single tests, copied from one that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from tests.support.postgres import PostgresCluster, run_in_thread


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


class PostgresDatabases:
    """Databases copied from a migrated one, which is made on first use; each is dropped after its test."""

    def __init__(self, cluster: PostgresCluster) -> None:
        self._cluster = cluster

    @cached_property
    def _template(self) -> str:
        name = self._cluster.create_database()
        _migrate(self._cluster.url(name))
        return name

    @contextmanager
    def migrated(self) -> Iterator[str]:
        with self._copy_of(self._template) as url:
            yield url

    @contextmanager
    def empty(self) -> Iterator[str]:
        with self._copy_of("template0") as url:
            yield url

    @contextmanager
    def _copy_of(self, template: str) -> Iterator[str]:
        name = self._cluster.create_database(template=template)
        try:
            yield self._cluster.url(name)
        finally:
            self._cluster.drop_database(name)
