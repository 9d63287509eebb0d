"""Compare what slither finds in the contracts with the answers in docs/security.md; run by scripts/slither.

An answer is a row of the page's table of findings: | `detector` | `Contract.function` | why it is no fault |
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
PAGE = ROOT / "docs" / "security.md"
ANSWER = re.compile(r"^\| `([a-z0-9-]+)` \| `(\w+\.\w+)` \| .*\w.* \|$", re.MULTILINE)
TIMEOUT_S = 300

Finding = tuple[str, str]
"""A detector's name, and the function it complains about."""


def findings() -> set[Finding]:
    """What slither says about the sources that go to a real chain. Raises `RuntimeError` when it or forge fails."""
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory)
        shutil.copytree(CONTRACTS / "src", project / "src")
        for name in ("foundry.toml", "solc"):
            shutil.copy(CONTRACTS / name, project / name)
        (project / "node_modules").symlink_to(CONTRACTS / "node_modules")
        run(["forge", "build", "src", "--build-info", "--force"], project)
        # It compiles nothing itself: its own way of finding a compiler would download one.
        command = [str(ROOT / ".tools/slither/bin/slither"), ".", "--ignore-compile", "--foundry-out-directory", "out"]
        run([*command, "--filter-paths", "node_modules|src/local", "--json", "found.json", "--fail-none"], project)
        report = json.loads((project / "found.json").read_text())
    if not report["success"]:
        raise RuntimeError(f"slither failed: {report['error']}")
    return {(found["check"], place(found["elements"][0])) for found in report["results"].get("detectors", [])}


def run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")


def place(element: dict[str, Any]) -> str:
    """`Contract.function`, or `Contract.contract` for a finding about the whole."""
    parent = element.get("type_specific_fields", {}).get("parent")
    return f"{parent['name']}.{element['name']}" if parent else f"{element['name']}.{element['type']}"


def main() -> int:
    try:
        found = findings()
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        print(f"slither: error: {error}")
        return 1
    answered = {(answer[1], answer[2]) for answer in ANSWER.finditer(PAGE.read_text())}
    for detector, where in sorted(found - answered):
        print(f"slither: {detector} in {where}: fix it, or answer it in docs/security.md")
    for detector, where in sorted(answered - found):
        print(f"slither: docs/security.md answers {detector} in {where}, which is not found any more")
    print(f"slither: {len(found)} findings, {len(found & answered)} answered")
    return 0 if found == answered else 1


if __name__ == "__main__":
    sys.exit(main())
