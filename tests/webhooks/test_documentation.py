"""docs/webhooks.md says what the code does, and its examples run."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from openpay.app.webhooks import MAX_ACTIVE_ENDPOINTS
from openpay.domain.events import EventType
from openpay.domain.retry import LATER_DELAY_S, RETRY_DELAYS_S
from openpay.webhooks.dispatcher import PER_ENDPOINT
from openpay.webhooks.sender import TIMEOUT_S
from openpay.webhooks.signing import Signer, signed_headers
from tests.support.process import free_port, spawn, stop, wait_until

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "webhooks.md").read_text()

SECONDS = {"s": 1, "min": 60, "h": 3_600}


def test_every_event_is_documented_and_no_other() -> None:
    named = set(re.findall(r"^\| `((?:payment|webhook)\.[a-z_]+)` \|", TEXT, flags=re.MULTILINE))
    assert named == {event.value for event in EventType}


def test_waits_are_those_of_the_schedule() -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith("| wait |"))
    waits = [int(number) * SECONDS[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", row)]
    assert waits == [*RETRY_DELAYS_S, LATER_DELAY_S]


def test_limits_are_those_of_the_code() -> None:
    assert (PER_ENDPOINT, TIMEOUT_S, MAX_ACTIVE_ENDPOINTS) == (4, 10, 200)
    for words in ("At most four requests", "within 10 seconds", "Up to 200 active endpoints"):
        assert words in TEXT


# --- the examples, as whole servers ----------------------------------------------------------------------------------

BODY = '{"event":"payment.completed","note":"größer","metadata":{"order_id":"1042"}}'.encode()
KEY = SigningKey(b"\x07" * 32)
PUBLIC_KEY = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + bytes(KEY.verify_key)).decode()


def headers_signed(age_s: int) -> Mapping[str, str]:
    return signed_headers(
        BODY,
        event_id="evt_1",
        timestamp=int(time.time()) - age_s,
        signers=[Signer(key_id="sig_1", seed=bytes(KEY))],
        secret="whsec_" + base64.b64encode(b"s" * 32).decode(),
    )


def example(language: str) -> str:
    """The page's server in this language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)
    assert found is not None
    return found[1]


def on_port(port: int, code: str) -> str:
    moved, changes = re.subn(r"\b3000\b", str(port), code)
    assert changes == 1
    return moved


def python_server(directory: Path, port: int) -> list[str]:
    (directory / "server.py").write_text(f"PUBLIC_KEY = {PUBLIC_KEY!r}\n{on_port(port, example('python'))}")
    return [sys.executable, str(directory / "server.py")]


def node_server(directory: Path, port: int) -> list[str]:
    (directory / "server.mjs").write_text(
        f"const PUBLIC_KEY = {json.dumps(PUBLIC_KEY)};\n{on_port(port, example('js'))}"
    )
    node = shutil.which("node", path=f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert node is not None, "scripts/setup installs Node"
    return [node, str(directory / "server.mjs")]


def php_server(directory: Path, port: int) -> list[str]:
    code = example("php").replace("<?php\n", f"<?php\nconst PUBLIC_KEY = {PUBLIC_KEY!r};\n")
    (directory / "receive.php").write_text(code)
    php = shutil.which("php")
    if php is None:
        pytest.skip("PHP is not installed: scripts/setup installs it where it may")
    return [php, "-S", f"127.0.0.1:{port}", str(directory / "receive.php")]


@pytest.fixture(scope="module", params=[python_server, node_server, php_server], ids=["python", "node", "php"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running example."""
    directory = tmp_path_factory.mktemp("example")
    port = free_port()
    program = spawn(request.param(directory, port), log=directory / "log")

    def listens() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        assert program.poll() is None, (directory / "log").read_text()
        return False

    wait_until(listens, timeout_s=60, what="the example listens")
    yield f"http://127.0.0.1:{port}/openpay"
    stop(program)


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def without(headers: Mapping[str, str], name: str) -> dict[str, str]:
    return {each: value for each, value in headers.items() if each.lower() != name.lower()}


def test_example_accepts_what_we_sign_and_answers_400_to_everything_else(server: str) -> None:
    good = headers_signed(0)
    bad = [
        (BODY, {}),
        (BODY, without(good, "X-OpenPay-Signature")),
        (BODY, without(good, "X-OpenPay-Timestamp")),
        (BODY, {**good, "X-OpenPay-Signature": "not base64 at all"}),
        (BODY, {**good, "X-OpenPay-Signature": "c2hvcnQ="}),
        (BODY, {**good, "X-OpenPay-Timestamp": "soon"}),
        (BODY + b" ", good),
        (b"", good),
        (BODY, headers_signed(400)),
        (BODY, headers_signed(-400)),
    ]
    assert post(server, BODY, good) == 204
    assert [post(server, body, headers) for body, headers in bad] == [400] * len(bad)
    assert post(server, BODY, good) == 204  # it is still there
