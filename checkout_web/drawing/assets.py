"""Static files under one address that changes with their content, so that browsers may keep them for ever."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# `import … from "./x.js"` and `import "./x.js"`, at a line's start; `import("./x.js")` is asked for later, or never.
_IMPORT = re.compile(rb'^import\s+(?:[^"()]*?\sfrom\s+)?"\./([^"/]+)"', re.MULTILINE)


# Only what certainly means nothing, without reading the language. Comments: whole lines in scripts, and all of CSS's,
# none of whose strings here holds one. (No text of several lines in our scripts has a line that starts with two
# slashes.) And what a line begins with: the only text of several lines in a script here is CSS.
_FOR_READERS = {
    ".js": re.compile(rb"^[ \t]*//.*\n|^[ \t]+|^\n", re.MULTILINE),
    ".css": re.compile(rb"/\*.*?\*/\n*|^[ \t]+|^\n", re.DOTALL | re.MULTILINE),
}


@dataclass(frozen=True, kw_only=True)
class Asset:
    """As it is sent: comments and indents are for readers of the source, and a fifth of the bytes."""

    body: bytes
    gzipped: bytes
    """The body compressed once, as small as it gets."""
    content_type: str


@dataclass(frozen=True, kw_only=True)
class Assets:
    """All static files, held in memory. `version` is a hash over every name and byte: modules that import each other
    by relative path always come from the same set."""

    version: str
    files: Mapping[str, Asset]

    def modules(self, entry: str) -> tuple[str, ...]:
        """The module `entry` and all that it imports, directly or not: what a browser needs before it can start.

        Named in the document, they are asked for together instead of one level after the other.
        """
        found = [entry]
        for name in found:
            found += [name.decode() for name in _IMPORT.findall(self.files[name].body) if name.decode() not in found]
        return tuple(found)


def load_assets(directory: Path) -> Assets:
    """Read every file of `directory` (not below it). A suffix without a known type is a KeyError: add it above."""
    digest = hashlib.sha256()
    files = {}
    for path in sorted(directory.iterdir()):
        if not path.is_file():
            continue
        for_readers = _FOR_READERS.get(path.suffix)
        body = path.read_bytes()
        if for_readers is not None:
            body = for_readers.sub(b"", body)
        digest.update(f"{path.name}\0{len(body)}\0".encode())
        digest.update(body)
        # mtime 0: the same file compresses to the same bytes in every process.
        gzipped = gzip.compress(body, compresslevel=9, mtime=0)
        files[path.name] = Asset(body=body, gzipped=gzipped, content_type=_TYPES[path.suffix])
    return Assets(version=digest.hexdigest()[:12], files=files)
