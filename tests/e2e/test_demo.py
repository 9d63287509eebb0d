"""`openpay demo`: status 0 means that all of it happened, and nothing else does."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openpay import cli
from openpay.cli import app
from openpay.devnet import demo as scenario
from tests.e2e.dev import OPENPAY, Dev

ANOTHER_KEY = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
STEPS = ["create", "open", "pay", "confirm", "paid", "webhook", "settle", "withdraw"]


@pytest.fixture(autouse=True)
def _log_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    # It is the whole process's, and would keep writing to where a single command's output went.
    monkeypatch.setattr(cli, "log_to_stderr", lambda _level: None)


def test_demo_without_anything_running_shows_every_step_for_both_tokens() -> None:
    ended = subprocess.run([OPENPAY, "demo", "--block-time", "0.15"], capture_output=True, text=True, timeout=120)
    said = ended.stdout
    assert (ended.returncode, ended.stderr) == (0, ""), said
    steps = re.findall(r"^  (\w+) ", said, re.MULTILINE)
    once = [step for step, before in zip(steps, ["", *steps], strict=False) if step != before]
    assert once == STEPS * 2
    assert re.findall(r"^(USDT|BNB)$", said, re.MULTILINE) == ["USDT", "BNB"]
    assert said.endswith("All steps happened.\n")


@pytest.mark.nightly
def test_demo_fails_when_the_webhooks_do_not_verify(dev: Dev, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The merchant's server holds another key than the one that signs; everything else happens.
    (tmp_path / "dev.json").write_text(json.dumps({**dev.facts, "webhook_public_key": ANOTHER_KEY}))
    monkeypatch.setattr(scenario, "STEP_TIMEOUT_S", 12)
    result = CliRunner().invoke(app, ["demo", "--state-dir", str(tmp_path)])
    assert result.exit_code == 1, result.output
    assert "a webhook was refused" in result.output
    assert "All steps happened" not in result.output


def test_demo_names_the_directory_where_nothing_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--state-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"openpay: {tmp_path} holds no dev.json: is `openpay dev` running there?\n"
