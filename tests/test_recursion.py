"""Nested input ends in an error, never in an overflow of the C stack."""

from __future__ import annotations

import subprocess
import sys

import pytest

from openpay.errors import Malformed
from openpay.http.bodies import MAX_DEPTH, parse_json

EVERYTHING = (
    "import openpay.cli, openpay.bootstrap.dev; from openpay.chain.signing import Signer; Signer(bytes([1] * 32))"
)
"""What the program ever imports: a key is what loads eth_account."""


def run(code: str) -> str:
    """In an interpreter of its own: other tests' libraries have raised this one's limit."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_importing_the_program_leaves_pythons_recursion_limit_alone() -> None:
    code = f"import sys; before = sys.getrecursionlimit(); {EVERYTHING}; print(sys.getrecursionlimit() - before)"
    assert run(code) == "0"


def test_a_nodes_deeply_nested_answer_is_an_error() -> None:
    code = f"""
import msgspec
{EVERYTHING}
try:
    msgspec.json.decode(b"[" * 5_000_000)
except RecursionError:
    print("refused")
"""
    assert run(code) == "refused"


def test_a_deeply_nested_body_is_refused_whatever_the_recursion_limit() -> None:
    code = """
import sys; sys.setrecursionlimit(1_000_000)
from openpay.errors import Malformed
from openpay.http.bodies import parse_json
try:
    parse_json(b"[" * 500_000)
except Malformed as error:
    print(error)
"""
    assert run(code) == f"The body nests more than {MAX_DEPTH} levels deep"


def test_brackets_inside_strings_are_text() -> None:
    body = rb'["]]]]\"[[[[[[[[[[[[[[{{{{{{{{{{"]'
    assert parse_json(body) == [']]]]"[[[[[[[[[[[[[[{{{{{{{{{{']


@pytest.mark.parametrize("depth", [1, MAX_DEPTH])
def test_nesting_up_to_the_limit_is_read(depth: int) -> None:
    assert parse_json(b"[" * depth + b"]" * depth) is not None
    with pytest.raises(Malformed):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
