"""The Compose file: every role, secrets only where they are used, nothing secret with a default."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from openpay.bootstrap.installation import installed
from openpay.cli import app
from openpay.config import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
COMPOSE_FILE = ROOT / "docker-compose.yml"
ROLES = {"migrate", "api", "watcher", "webhooks", "settler"}
REQUIRED = {
    "OPENPAY_PUBLIC_URL": "https://pay.example",
    "POSTGRES_PASSWORD": "0123456789abcdef",
    "OPENPAY_SECRET": "a passphrase of some length",
    "OPENPAY_OPERATOR_ADDRESS": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
    "OPENPAY_OPERATOR_KEY": "0x" + "11" * 32,
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
    found: dict[str, Any] = parsed["services"]
    return found


def _holders(services: dict[str, Any], variable: str) -> set[str]:
    return {name for name, service in services.items() if variable in service.get("environment", {})}


def test_every_role_has_a_service_that_runs_it(services: dict[str, Any]) -> None:
    assert {name: service["command"] for name, service in services.items() if name != "postgres"} == {
        role: [role] for role in ROLES
    }


def test_every_role_is_a_command() -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    assert set(command.commands) >= ROLES


def test_only_the_settler_holds_the_operator_key(services: dict[str, Any]) -> None:
    assert _holders(services, "OPENPAY_OPERATOR_KEY") == {"settler"}


def test_passphrase_goes_only_where_keys_are_sealed_or_used(services: dict[str, Any]) -> None:
    assert _holders(services, "OPENPAY_SECRET") == {"api", "webhooks"}


def test_every_setting_named_is_one_the_program_reads(services: dict[str, Any]) -> None:
    named = {name for role in ROLES for name in services[role]["environment"]}
    example = (ROOT / ".env.example").read_text()
    named |= set(re.findall(r"^(?:# )?(OPENPAY_\w+)=", example, re.MULTILINE))
    # The log level is an option of every command rather than a setting of the installation.
    assert named <= {f"OPENPAY_{field}".upper() for field in Settings.model_fields} | {"OPENPAY_LOG_LEVEL"}


@pytest.mark.parametrize("role", sorted(ROLES - {"migrate"}))
async def test_role_needs_no_more_than_its_service_gives_it(
    role: str, services: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chain = {"LIVE_CHAIN": "bsc", "LIVE_ESCROW": "0x" + "22" * 20, "LIVE_RPC_URLS": "http://127.0.0.1:1"}
    known = {**REQUIRED, **{f"OPENPAY_{name}": value for name, value in chain.items()}}
    for name in [name for name in os.environ if name.startswith("OPENPAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name, value in services[role]["environment"].items():
        if name in known or value is not None:
            monkeypatch.setenv(name, known.get(name, value))
    monkeypatch.setenv("OPENPAY_DATABASE_URL", f"sqlite:///{tmp_path}/openpay.db")
    async with installed(load_settings()):
        pass


def test_example_environment_names_every_required_variable() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE_FILE.read_text()))
    example = set(re.findall(r"^(\w+)=$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert required == example == set(REQUIRED)


def test_roles_wait_for_the_schema(services: dict[str, Any]) -> None:
    for role in ROLES - {"migrate"}:
        assert services[role]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_nothing_listens_beyond_this_machine(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_image_does_not_run_as_root() -> None:
    last_stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER openpay$", last_stage, re.MULTILINE)


def _find_compose() -> list[str] | None:
    """The Compose command of this machine, if any."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    return None


# Docker is not among the things set-up installs: where no Compose is at hand, the tests above are what there is.
COMPOSE = _find_compose()
needs_compose = pytest.mark.skipif(COMPOSE is None, reason="Docker Compose is not installed")


def _compose_config(environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    assert COMPOSE is not None
    # From a copy, so that a .env in the checkout has no say.
    shutil.copy(COMPOSE_FILE, directory)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [*COMPOSE, "config"], cwd=directory, env={**kept, **environment}, capture_output=True, text=True
    )


@needs_compose
def test_compose_accepts_the_file_once_everything_is_set(tmp_path: Path) -> None:
    resolved = _compose_config(REQUIRED, tmp_path)
    assert resolved.returncode == 0, resolved.stderr
    assert set(yaml.safe_load(resolved.stdout)["services"]) == {"postgres", *ROLES}


@needs_compose
@pytest.mark.parametrize("variable", sorted(REQUIRED))
def test_compose_names_the_variable_that_is_missing(variable: str, tmp_path: Path) -> None:
    remaining = {name: value for name, value in REQUIRED.items() if name != variable}
    resolved = _compose_config(remaining, tmp_path)
    assert resolved.returncode != 0
    assert variable in resolved.stderr
