"""``gbe schema new``: a domain of events of one's own, ready to be published, checked and changed."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gbe.contracts.templates import CONFIGURATION, MODULE
from gbe.errors import ContractError
from gbe.schemas.events.registry import RESERVED
from gbe.schemas.fields import MAX_MOMENT, MAX_VERSION

MAX_NAME: Final = 32
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")
_TAKEN: Final = RESERVED | {"events", "gbe", "state"}
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Final[Mapping[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 256}
_MOMENT: Final = 1_790_000_000_000


@dataclass(frozen=True, slots=True)
class Scaffold:
    """The files of a new domain.

    Attributes:
        files: their text by path, relative to where they go.
        configuration: what gbe.yaml needs.
    """

    files: Mapping[Path, str]
    configuration: str

    def write(self, folder: Path) -> bool:
        """Write everything; returns whether gbe.yaml was written too, which it is only where there is none.

        Raises:
            ContractError: a file is there already; nothing was written.
        """
        for path in self.files:
            if (folder / path).exists():
                raise ContractError(f"{folder / path} is there already; choose another name or another folder (--into)")
        for path, text in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        configuration = folder / "gbe.yaml"
        if configuration.exists():
            return False
        configuration.write_text(self.configuration, encoding="utf-8")
        return True


def scaffold(name: str) -> Scaffold:
    """A domain of this name.

    Raises:
        ContractError: it cannot be the name of one.
    """
    if _NAME.match(name) is None or len(name) > MAX_NAME:
        raise ContractError(
            f"{name[:80]!r} cannot name a domain: expected at most {MAX_NAME} of a-z, 0-9 and single -, a letter first"
        )
    if name in _TAKEN:
        raise ContractError(f"{name!r} is a domain of gbe's own; choose another name")
    words = {
        "name": name,
        "module": f"{name.replace('-', '_')}_events",
        "type": f"{''.join(word.capitalize() for word in name.split('-'))}Recorded",
        "publisher": "".join(word.capitalize() for word in name.split("-")),
        "variable": name.replace("-", "_"),
    }
    schema = Path("schemas", "json", name, "recorded.json")
    vectors = Path("schemas", "vectors", "payloads", name, "recorded")
    files = {
        Path(f"{words['module']}.py"): _filled(MODULE, words),
        schema: _document(_schema(words)),
        **{vectors / f"{case}.json": _document(vector) for case, vector in _vectors(f"{name}/recorded").items()},
    }
    return Scaffold(files, _filled(CONFIGURATION, words))


def _filled(template: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        template = template.replace(f"@{word}@", value)
    return template


def _document(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _schema(words: Mapping[str, str]) -> dict[str, Any]:
    return {
        "$schema": _DIALECT,
        "$id": f"urn:{words['name']}:recorded",
        "title": words["type"],
        "description": "Something was recorded.",
        "x-version": 1,
        "x-subjects": [f"{words['name']}.recorded"],
        "x-python": f"{words['module']}:{words['type']}",
        "type": "object",
        "required": ["v", "ts", "id", "item"],
        "properties": {
            "v": {
                "description": "Version of the schema that the event was written by.",
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_VERSION,
            },
            "ts": {
                "description": "When it happened.",
                "x-unit": "unix milliseconds",
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_MOMENT,
            },
            "id": {"description": "Of the event itself: consumers and archives deduplicate on it.", **_TEXT},
            "item": {"description": "What it is about: kind and name, such as `invoice/17`.", **_TEXT},
            "actor": {"description": "Who did it.", **_TEXT, "type": ["string", "null"], "default": None},
            "note": {
                "description": "More, in words.",
                "type": ["string", "null"],
                "maxLength": 8192,
                "default": None,
            },
        },
    }


def _vectors(schema: str) -> dict[str, dict[str, Any]]:
    least = {"v": 1, "ts": _MOMENT, "id": "1", "item": "invoice/17"}
    full = {**least, "actor": "ann", "note": "paid by phone"}
    longest = {**least, "item": "😀" * 256}

    def vector(case: str, description: str, payload: Mapping[str, Any], **more: object) -> dict[str, Any]:
        return {
            "kind": "payload",
            "schema": schema,
            "case": case,
            "description": description,
            "json": payload,
            **more,
        }

    without_item = {name: value for name, value in least.items() if name != "item"}
    newer = {**full, "added_later": {"a": [1]}}
    too_long = {**least, "item": "x" * 257}
    return {
        "valid-minimal": vector("valid", "What it must have.", least, encoded=least),
        "valid-full": vector("valid", "Every field.", full, encoded=full),
        "unknown-fields": vector("unknown-fields", "Fields of a newer producer are skipped.", newer, encoded=full),
        "extreme-item": vector("extreme", "256 characters outside the BMP.", longest, encoded=longest),
        "invalid-no-item": vector("invalid", "`item` is missing.", without_item, reason="missing", path="item"),
        "invalid-item-too-long": vector("invalid", "257 characters.", too_long, reason="bound", path="item"),
    }
