"""How many connections this process may hold: as many as the system lets it ask for."""

from __future__ import annotations

import resource

import structlog

WANTED = 20_000
"""File descriptors: 10,000 open pages, as many again for everything else."""

_log = structlog.get_logger(__name__)


def allow_connections(wanted: int = WANTED) -> int:
    """Raise the soft limit of open files to `wanted`, or to the hard limit, which only the operator may raise.

    The soft one is usually 1,024 for the sake of programs that use select(2); ours do not. Returns the limit now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
        soft = possible
    if soft != resource.RLIM_INFINITY and soft < wanted:
        _log.warning("few connections are allowed", open_files=soft, wanted=wanted, see="docs/operations.md")
    return soft
