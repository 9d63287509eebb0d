"""Static files under one address that changes with their content, so that browsers may keep them for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True)
class Asset:
    body: bytes
    content_type: str


@dataclass(frozen=True, kw_only=True)
class Assets:
    """All static files, held in memory. `version` is a hash over every name and byte: modules that import each other
    by relative path always come from the same set."""

    version: str
    files: Mapping[str, Asset]


def load_assets(directory: Path) -> Assets:
    """Read every file of `directory` (not below it). A suffix without a known type is a KeyError: add it above."""
    digest = hashlib.sha256()
    files = {}
    for path in sorted(directory.iterdir()):
        if not path.is_file():
            continue
        body = path.read_bytes()
        digest.update(f"{path.name}\0{len(body)}\0".encode())
        digest.update(body)
        files[path.name] = Asset(body=body, content_type=_TYPES[path.suffix])
    return Assets(version=digest.hexdigest()[:12], files=files)
