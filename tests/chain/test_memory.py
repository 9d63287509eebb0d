"""Freed memory is kept for the next block."""

from __future__ import annotations

import platform
import subprocess
import sys
import textwrap

CHILD = textwrap.dedent("""
    import resource, sys
    from openpay.chain.memory import keep_freed_memory

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(200):
            blocks = [bytearray(1_000_000) for _ in range(4)]
            del blocks
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    by_itself = faults()
    keep_freed_memory()
    faults()
    print(by_itself, faults())
""")


def test_memory_of_a_block_is_not_asked_for_again_with_every_block() -> None:
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, check=True)
    by_itself, kept = map(int, child.stdout.split())
    # Other C libraries are left alone.
    assert kept < by_itself / 10 or platform.libc_ver()[0] != "glibc"
