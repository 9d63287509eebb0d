"""Rules that hold for the repository as a whole: what tracked files may name, and what must be where."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Somebody's home or working directory: such a path means nothing on another machine.
MACHINE_PATH = re.compile(r"(?<![\w.})\]])/(?:home|mnt|root|Users|work)/[\w.]")
# Where packages come from is the installing machine's decision.
REGISTRY = re.compile(
    r"registry\.npmjs|registry\.yarnpkg|pypi\.org|pythonhosted\.|crates\.io|--(?:extra-|default-)?index-url|\"resolved\":"
)

EXPECTED_ENTRIES = (
    ".ci/run",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "checkout_web/",
    "contracts/",
    "docker-compose.yml",
    "docs/decisions/",
    "openpay/",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
    "scripts/demo",
    "scripts/setup",
    "scripts/test",
    "tests/",
    "watcher/",
)


@cache
def tracked_files() -> dict[str, str]:
    """Path of every file git tracks, with its mode as git writes it, e.g. ``100755``."""
    listing = subprocess.run(["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True, check=True)
    entries = (line.split("\t") for line in listing.stdout.splitlines())
    return {path: stage.split()[0] for stage, path in entries}


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in tracked_files():
        try:
            text = (ROOT / path).read_text() if (ROOT / path).is_file() else ""
        except UnicodeDecodeError:
            continue  # an image
        found += [f"{path}:{n}: {line}" for n, line in enumerate(text.splitlines(), 1) if pattern.search(line)]
    return found


def test_no_file_names_a_path_of_one_machine() -> None:
    assert lines_matching(MACHINE_PATH) == []


def test_no_file_names_a_package_registry() -> None:
    assert lines_matching(REGISTRY) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATH, "cd /" + "home/ann/openpay"),
        (MACHINE_PATH, 'path = "/' + 'root/.cache"'),
        (REGISTRY, '"resolved"' + ': "https://example.com/a.tgz"'),
        (REGISTRY, "--index" + "-url https://example.com/simple"),
    ],
)
def test_rule_finds_what_it_forbids(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


def test_every_script_is_executable_and_names_its_interpreter() -> None:
    scripts = [path for path in tracked_files() if re.fullmatch(r"(scripts|\.ci)/[\w-]+", path)]
    assert "scripts/test" in scripts
    assert [path for path in scripts if tracked_files()[path] != "100755"] == []
    assert [path for path in scripts if not (ROOT / path).read_text().startswith("#!")] == []


@pytest.mark.parametrize("entry", EXPECTED_ENTRIES)
def test_expected_entry_exists(entry: str) -> None:
    assert any(path == entry or (entry.endswith("/") and path.startswith(entry)) for path in tracked_files())


def test_every_module_of_the_core_has_its_place_in_the_import_layers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    # Those of a container are about what is in it.
    (layers,) = [each["layers"] for each in contracts if each["type"] == "layers" and "containers" not in each]
    layered = set(re.findall(r"[\w.]+", " ".join(layers)))
    parts = (re.fullmatch(r"openpay/(\w+)(\.py|/.*)", path) for path in tracked_files())
    modules = {f"openpay.{part.group(1)}" for part in parts if part} - {"openpay.__init__"}
    # The client is for other people's programs: it imports nothing of ours, and nothing of ours imports it but tools.
    assert modules - {"openpay.client", "openpay.__main__"} <= layered


def test_set_up_pins_every_python_package_by_hash() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock", "requirements-slither.lock", "requirements-tools.lock"):
        entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
        assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_development_installs_the_same_versions_as_production() -> None:
    def versions(lock: str) -> dict[str, str]:
        found = re.findall(r"^([\w.-]+(?:\[[\w,-]+\])?)==([\w.+!-]+)", (ROOT / lock).read_text(), re.MULTILINE)
        return {name.partition("[")[0]: version for name, version in found}

    production, development = versions("requirements.lock"), versions("requirements-dev.lock")
    assert production
    assert {name: development.get(name) for name in production} == production
