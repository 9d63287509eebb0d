"""The command: `python -m scripts.simulation [--payments N] [--seed S] [--database sqlite|postgresql]`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.simulation.run import simulate
from scripts.simulation.table import report
from scripts.simulation.world import Stuck
from tests.support.databases import empty_database

KILL_EVERY_S = (8.0, 25.0)
REORGANISE_EVERY_S = (0.5, 4.0)


def main() -> int:
    """The exit status: 0 when nothing disagrees."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--payments", type=int, default=2_000)
    parser.add_argument("--seed", type=int, help="repeats the plans of another run; by default a new one")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--kills", type=int, help="how often the services are killed at most; by default as it comes")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    what = f"{arguments.payments:,} payments, seed {seed}, {arguments.database}"
    print(what, flush=True)
    began = time.monotonic()
    with _directory() as directory, empty_database(arguments.database, directory) as url:
        try:
            found = asyncio.run(
                simulate(
                    payments=arguments.payments,
                    seed=seed,
                    database_url=url,
                    directory=directory,
                    kill_every_s=KILL_EVERY_S,
                    most_kills=arguments.kills,
                    reorganise_every_s=REORGANISE_EVERY_S,
                    echo=lambda line: print(line, flush=True),
                )
            )
        except BaseException as error:
            log = directory / "services.log"
            print("".join(log.read_text().splitlines(keepends=True)[-60:]) if log.exists() else "", file=sys.stderr)
            print(f"The services are stuck ({what}): {error}", file=sys.stderr)
            if isinstance(error, Stuck):
                return 1
            raise
    print("\n".join(report(found)))
    print(f"{what}: {time.monotonic() - began:.0f} s")
    return 1 if found.disagreements else 0


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="openpay-simulation-") as name:
        yield Path(name)


if __name__ == "__main__":
    sys.exit(main())
