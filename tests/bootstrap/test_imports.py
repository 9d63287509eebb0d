"""What a command loads: libraries that take a good part of a second to import are left to those who need them."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("alembic", "aiohttp", "eth_account", "sqlalchemy", "structlog", "pydantic_settings", "jinja2")


@pytest.mark.parametrize(
    ("imports", "needed"),
    [
        ("openpay.cli", set()),
        ("openpay.cli, openpay.bootstrap.state_dir", set()),
        ("openpay.bootstrap.administration", {"sqlalchemy", "pydantic_settings", "structlog"}),
        (
            "openpay.bootstrap.roles, openpay.store.schema, openpay.api, checkout_web",
            {"sqlalchemy", "pydantic_settings", "aiohttp", "structlog", "jinja2"},
        ),
        ("openpay.bootstrap.roles, watcher", {"sqlalchemy", "pydantic_settings", "aiohttp", "structlog"}),
    ],
)
def test_process_loads_no_library_that_it_does_not_need(imports: str, needed: set[str]) -> None:
    code = f"import sys, {imports}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert set(done.stdout.split()) == needed
