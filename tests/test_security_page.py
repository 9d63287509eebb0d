"""docs/security.md and docs/contracts.md against the sources: what they name is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECURITY = (ROOT / "docs" / "security.md").read_text()
CONTRACTS = (ROOT / "docs" / "contracts.md").read_text()
ABI = json.loads((ROOT / "contracts" / "artifacts" / "Escrow.json").read_text())["abi"]


def names(kind: str) -> set[str]:
    return {entry["name"] for entry in ABI if entry["type"] == kind}


def test_every_test_named_on_the_security_page_exists() -> None:
    named = set(re.findall(r"`((?:test|invariant)_\w+)`", SECURITY))
    sources = [*(ROOT / "contracts" / "test").rglob("*.sol"), *(ROOT / "tests").rglob("test_*.py")]
    text = "\n".join(path.read_text() for path in sources)
    there = set(re.findall(r"(?:function|def) ((?:test|invariant)_\w+)", text))
    assert named
    assert named - there == set()


def test_every_line_of_a_threat_table_names_a_test() -> None:
    threats = SECURITY.partition("## Threats")[2].partition("## How the contracts are checked")[0]
    rows = [line for line in threats.splitlines() if line.startswith("| ") and not line.startswith("| threat ")]
    assert rows
    assert [row for row in rows if "`test_" not in row and "`invariant_" not in row] == []


def test_every_operation_of_the_escrow_has_its_section() -> None:
    changing = {entry["name"] for entry in ABI if entry.get("stateMutability") == "nonpayable" and "name" in entry}
    sections = set(re.findall(r"^### `(\w+)\(", CONTRACTS, re.MULTILINE))
    assert sections == changing - {"settleItem"}  # which the escrow alone may call


@pytest.mark.parametrize("kind", ["error", "event"])
def test_every_error_and_event_of_the_escrow_is_explained(kind: str) -> None:
    # Ownable's own speak for themselves; so do the errors that OpenZeppelin's clones and transfers end in.
    own = names(kind) & set(re.findall(rf"\b{kind} (\w+)\(", (ROOT / "contracts" / "src" / "IEscrow.sol").read_text()))
    assert own
    assert {name for name in own if f"`{name}" not in CONTRACTS} == set()
