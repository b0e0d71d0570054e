"""The contract's files, as tests read them."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gbe.contracts.folder import Contract, read_contract

ROOT = Path(__file__).parents[2] / "schemas"


def contract() -> Contract:
    """The working schemas."""
    return read_contract(ROOT)


def vectors(*kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every vector of some kinds, or of all, with its file."""
    for file in sorted((ROOT / "vectors").rglob("*.json")):
        vector = json.loads(file.read_bytes())
        if not kinds or vector["kind"] in kinds:
            yield str(file.relative_to(ROOT / "vectors").with_suffix("")), vector


def named(*kinds: str) -> dict[str, Any]:
    """Arguments of ``pytest.mark.parametrize``: a case a file, named after it."""
    found = list(vectors(*kinds))
    assert found, f"there is no vector of {kinds}"
    return {"argvalues": [vector for _, vector in found], "ids": [file for file, _ in found]}


def in_bytes(value: dict[str, str]) -> bytes:
    """``{"text": …}`` or ``{"base64": …}``."""
    assert len(value) == 1, value
    return value["text"].encode() if "text" in value else base64.b64decode(value["base64"], validate=True)


def encoded(vector: dict[str, Any]) -> Any:
    """What a valid payload is, encoded again."""
    return json.loads(vector["encoded_text"]) if "encoded_text" in vector else vector["encoded"]


def levels(value: Any) -> int:
    """How deep a value is, level by level."""
    level, found = [value], 0
    while level := [one for one in level if isinstance(one, list | dict)]:
        found += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return found


def raw_payload(file: str) -> bytes:
    """The payload of a vector, byte by byte as the file has it."""
    members = msgspec.json.decode((ROOT / "vectors" / f"{file}.json").read_bytes(), type=dict[str, msgspec.Raw])
    if "json" in members:
        return bytes(members["json"])
    name = "text" if "text" in members else "base64"
    return in_bytes({name: msgspec.json.decode(members[name])})
