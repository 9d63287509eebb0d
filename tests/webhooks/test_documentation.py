"""docs/webhooks.md says what the code does, and its Node example runs."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from openpay.app.webhooks import MAX_ACTIVE_ENDPOINTS
from openpay.domain.events import EventType
from openpay.domain.retry import LATER_DELAY_S, RETRY_DELAYS_S
from openpay.webhooks.dispatcher import PER_ENDPOINT
from openpay.webhooks.sender import TIMEOUT_S
from openpay.webhooks.signing import Signer, signed_headers

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


@pytest.mark.parametrize(
    ("tamper", "age_s", "outcome"), [("", 0, "accepted"), (" ", 0, "wrong signature"), ("", 400, "too old or too new")]
)
def test_node_example_accepts_only_what_we_sign(tmp_path: Path, tamper: str, age_s: int, outcome: str) -> None:
    example = re.search(r"```js\n(.*?)```", TEXT, flags=re.DOTALL)
    assert example is not None
    key, body = SigningKey.generate(), '{"event":"payment.completed","note":"größer"}'.encode()
    headers = signed_headers(
        body,
        event_id="evt_1",
        timestamp=int(time.time()) - age_s,
        signers=[Signer(key_id="sig_1", seed=bytes(key))],
        secret="whsec_" + base64.b64encode(b"s" * 32).decode(),
    )
    der = bytes.fromhex("302a300506032b6570032100") + bytes(key.verify_key)
    arrived = {name.lower(): value for name, value in headers.items()}  # as Node's http module gives them
    script = tmp_path / "verify.mjs"
    script.write_text(
        f"const PUBLIC_KEY = {json.dumps(base64.b64encode(der).decode())};\n{example[1]}\n"
        f"try {{ verifyWebhook(Buffer.from({json.dumps((body + tamper.encode()).decode())}), {json.dumps(arrived)});"
        ' console.log("accepted"); } catch (error) { console.log(error.message); }\n'
    )
    node = shutil.which("node", path=f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert node is not None, "scripts/setup installs Node"
    printed = subprocess.run([node, script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == outcome
