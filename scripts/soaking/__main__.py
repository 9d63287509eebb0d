"""The command: `python -m scripts.soaking [--transfers N] [--kills N] [--seed S] [--minutes M] [--database …]`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from openpay.store.migrate import upgrade
from scripts.soaking.plan import Plan
from scripts.soaking.run import Soak, Stuck, report
from tests.support.databases import empty_database


def main() -> int:
    """The exit status: 0 when everything was done and nothing is missed, doubled or wrong."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--transfers", type=int, default=1_000_000, help="to payments, on the chain in the end")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, help="repeats the chain of another run; by default a new one")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which the soak ends, done or not")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"{arguments.transfers:,} transfers, {arguments.kills} kills, seed {seed}, {arguments.database}", flush=True)
    with tempfile.TemporaryDirectory(prefix="openpay-soak-") as name:
        log = Path(name) / "watcher.log"
        with empty_database(arguments.database, Path(name)) as url:
            upgrade(url)
            soak = Soak(
                Plan(seed, arguments.transfers),
                kills=arguments.kills,
                seed=seed,
                database_url=url,
                log=log,
                minutes=arguments.minutes,
                echo=lambda line: print(line, flush=True),
            )
            try:
                soaked = asyncio.run(soak.run())
            except BaseException as error:
                print("".join(log.read_text().splitlines(keepends=True)[-60:]) if log.exists() else "", file=sys.stderr)
                print(f"seed {seed}: {error}", file=sys.stderr)
                if isinstance(error, Stuck):
                    return 1
                raise
    print("\n".join(report(soaked)))
    return 0 if soaked.verdict.is_right and soaked.is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
