"""Runs one benchmark by name and prints its figures: `python -m scripts.benchmarks NAME [--json] [--docs DIR]`."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import structlog

from scripts.benchmarks.figures import Figure

NOT_BENCHMARKS = {"__init__", "__main__", "figures", "page", "plots", "samples", "web3_py"}


def main() -> int:
    """Exit status 1 when a limit is exceeded; a missed aim is only said, since speeds depend on the machine."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    parser = argparse.ArgumentParser(prog="scripts/bench", description=f"Benchmarks: {', '.join(names)}.")
    parser.add_argument("name", choices=names)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--docs", type=Path, metavar="DIR", help="put the figures and their plots into the pages there")
    arguments = parser.parse_args()
    benchmark = importlib.import_module(f"scripts.benchmarks.{arguments.name}")
    if arguments.docs is not None and not hasattr(benchmark, "document"):
        parser.error(f"{arguments.name} has no place in the documentation")
    # What the measured parts have to say would stand between the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    figures: list[Figure] = benchmark.run() if arguments.docs is None else benchmark.document(arguments.docs)
    print(_json(arguments.name, figures) if arguments.json else _table(figures))
    return 1 if any(figure.limit is not None and not figure.met for figure in figures) else 0


def _json(name: str, figures: list[Figure]) -> str:
    machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
    rows = [asdict(figure) | {"met": figure.met} for figure in figures]
    return json.dumps({"benchmark": name, "machine": machine, "figures": rows}, indent=2)


def _table(figures: list[Figure]) -> str:
    width = max(len(figure.name) for figure in figures)
    lines = []
    for figure in figures:
        wanted = "" if figure.aim is None else f"  aim {figure.aim:g}:"
        wanted += "" if figure.limit is None else f"  limit {figure.limit:g}:"
        verdict = "" if figure.met is None else " met" if figure.met else " MISSED"
        value = f"{figure.value:,.0f}" if figure.unit == "gas" else f"{figure.value:.4g}"
        lines.append(f"{figure.name:<{width}}  {value:>10} {figure.unit:<10}{wanted}{verdict}".rstrip())
    return "\n".join(lines)


sys.exit(main())
