"""Figures about Open Pay, each beside what it is compared with, measured in one run. Run by `scripts/bench NAME`.

A benchmark is a module with `run() -> list[Figure]`. Those that are none: `figures`, what benchmarks return, and
`samples`, made-up blocks and a node that serves them.
"""
