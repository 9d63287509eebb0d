"""The compiled contracts: ABI and creation code, as committed by scripts/build-contracts."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# A link to contracts/artifacts, so that an installed package carries its own copy.
_DIRECTORY = Path(__file__).parent / "compiled"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One compiled contract. `abi` is in the Solidity compiler's JSON form; `bytecode` is the creation code without
    constructor arguments, empty for an interface."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes


@cache
def load_artifact(name: str) -> Artifact:
    """The artifact of a contract such as "Escrow"; FileNotFoundError, listing what there is, for any other name."""
    path = _DIRECTORY / f"{name}.json"
    if not path.is_file():
        known = sorted(each.stem for each in _DIRECTORY.glob("*.json"))
        raise FileNotFoundError(f"no compiled contract {name!r} in {_DIRECTORY}; there are {known}")
    content = json.loads(path.read_text())
    return Artifact(name=name, abi=content["abi"], bytecode=bytes.fromhex(content["bytecode"].removeprefix("0x")))
