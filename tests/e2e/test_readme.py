"""What the README tells a newcomer to type does what it says, as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.e2e.dev import Dev, running
from tests.e2e.installation import PATIENCE_S
from tests.support.process import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
TRY_IT = re.compile(r"<!-- begin: try it -->\n```sh\n(.*?)```\n<!-- end: try it -->", re.DOTALL)
SHOP = re.compile(r"<!-- begin: shop.py -->\n```python\n(.*?)```\n<!-- end: shop.py -->", re.DOTALL)
BROWSER = {"Accept": "text/html,application/xhtml+xml", "User-Agent": "Mozilla/5.0"}
PORT = 8080


def commands() -> str:
    found = TRY_IT.search(README)
    assert found is not None, "the marks around the commands are gone"
    return found[1]


def test_commands_to_try_create_a_payment_and_find_it(tmp_path: Path) -> None:
    port = PORT if is_free(PORT) else free_port()
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / ".venv").symlink_to(sys.prefix)
    assert ".venv/bin/openpay dev\n" in README
    with running(checkout / ".openpay", "--port", str(port)):
        answers = subprocess.run(
            ["bash", "-eu", "-c", commands().replace(f":{PORT}/", f":{port}/")],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert answers.stderr == ""
        created, found = documents(answers.stdout)
        assert (created["status"], created["amount"], created["description"]) == ("initiated", "25.00", "Order #1042")
        assert created["accepted_tokens"] == ["USDT", "USDC", "BNB"]
        assert created["metadata"] == {"order_id": "1042", "customer_email": "buyer@example.com"}
        assert found == {"data": [created], "has_more": False}

        with urllib.request.urlopen(urllib.request.Request(created["checkout_url"], headers=BROWSER)) as page:
            assert (page.status, page.headers.get_content_type()) == (200, "text/html")
            assert "Order #1042" in page.read().decode()


def test_shop_in_python_is_told_by_a_verified_webhook_that_it_was_paid(dev: Dev, tmp_path: Path) -> None:
    script = SHOP.search(README)
    assert script is not None, "the marks around the script are gone"
    text, changes = re.subn(
        r"\b3000\b", str(free_port()), script[1].replace("http://127.0.0.1:8080", dev.facts["api_url"])
    )
    assert changes == 2
    (tmp_path / "shop.py").write_text(text)
    log = tmp_path / "log"
    environment = {**os.environ, "OPENPAY_KEY": dev.facts["api_key"]}
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "shop.py"], cwd=tmp_path, env=environment, stdout=output, stderr=output
        ) as shop,
    ):
        try:
            wait_until(
                lambda: "Running on" in log.read_text() or shop.poll() is not None, timeout_s=60, what="the shop"
            )
            found = re.search(r"^Pay at \S+/checkout/(pay_\w+)$", log.read_text(), re.MULTILINE)
            assert found is not None, log.read_text()
            paying = json.dumps({"payment": found[1], "token": "USDT"}).encode()
            urllib.request.urlopen(
                urllib.request.Request(
                    f"{dev.facts['api_url']}/demo/pay", data=paying, headers={"Content-Type": "application/json"}
                )
            ).close()
            wait_until(lambda: "Deliver order 1043\n" in log.read_text(), timeout_s=PATIENCE_S, what="the webhook")
        finally:
            shop.terminate()
            for endpoint in dev.api.webhooks.endpoints():
                if endpoint["url"].endswith("/openpay"):
                    dev.api.webhooks.delete(endpoint["id"])


def test_commands_are_safe_for_shells_that_expand_question_marks() -> None:
    for line in commands().splitlines():
        assert "?" not in re.sub(r"'[^']*'|\"[^\"]*\"", "", line), line


def test_scripts_that_it_names_are_there() -> None:
    for script in re.findall(r"^(scripts/\w+)$", README, re.MULTILINE):
        assert shutil.which(str(ROOT / script)), script


def documents(text: str) -> list[dict[str, Any]]:
    """The JSON documents that stand one after another in `text`."""
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
