"""A process that proves blocks for another: `python -m openpay.chain.prover FD`, started by `openpay.chain.provers`.

On standard input comes first what concerns payments, then one request after another: the size of a body, which stands
at the start of the file `FD`, and the block's hash. Each is answered on standard output by its digest. Messages are
preceded by their length; an empty one says that the body does not prove, and, before all others, that the process is
ready. The process ends when its input does, which
also happens when the process that started it is killed.
"""

from __future__ import annotations

import os
import struct
import sys
from contextlib import suppress
from typing import BinaryIO

import msgspec

from openpay.chain.digest import Concerns, digest_body
from openpay.chain.memory import keep_freed_memory

LENGTH = struct.Struct(">I")
REQUEST = struct.Struct(">Q32s")
"""The size of the body, the hash of the block."""


def serve(requests: BinaryIO, answers: BinaryIO, bodies: int) -> None:
    """Answer requests until there are no more. `bodies` is the file descriptor where the bodies are put."""
    head = requests.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return  # whoever started this died before it could say what is wanted
    (length,) = LENGTH.unpack(head)
    concerns = msgspec.msgpack.decode(requests.read(length), type=Concerns)
    _answer(answers, b"")
    while request := requests.read(REQUEST.size):
        size, block_hash = REQUEST.unpack(request)
        digest = digest_body(os.pread(bodies, size, 0), block_hash, concerns)
        _answer(answers, b"" if digest is None else msgspec.msgpack.encode(digest))


def _answer(answers: BinaryIO, answer: bytes) -> None:
    answers.write(LENGTH.pack(len(answer)) + answer)
    answers.flush()


if __name__ == "__main__":
    keep_freed_memory()
    with suppress(BrokenPipeError):  # nobody is left who could read the answer
        serve(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]))
