"""What an installation contains: every file of the program, as the Docker image builds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("openpay", "watcher", "checkout_web")


def test_wheel_holds_every_file_of_the_program(tmp_path: Path) -> None:
    # Built from a copy of what the Dockerfile copies, because a build leaves its traces where it runs.
    source = tmp_path / "source"
    for name in (*PACKAGES, "contracts/artifacts"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    built = subprocess.run([*command, "--wheel-dir", tmp_path, source], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr

    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == _files_below(*(ROOT / package for package in PACKAGES))


def _files_below(*directories: Path) -> set[str]:
    """Files below directories, links followed, as paths from the root; what Python caches is left out."""
    found: set[str] = set()
    for directory in directories:
        for path in directory.iterdir():
            if path.is_dir() and path.name != "__pycache__":
                found |= _files_below(path)
            elif path.is_file():
                found.add(path.relative_to(ROOT).as_posix())
    return found
