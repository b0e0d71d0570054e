"""Vectors of payloads: what a schema and its type make of golden cases (``schemas/README.md``)."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gbe.contracts.types import REFUSALS, PayloadType
from gbe.errors import ContractError
from gbe.lifecycle.schema import mismatch
from gbe.schemas.documents import FAULTS, check_document

KIND: Final = "payload"
INVALID: Final = "invalid"
_CASES: Final = frozenset({"valid", "unknown-fields", "extreme", INVALID})
_BODIES: Final = ("json", "text", "base64")


class _Vector(msgspec.Struct, kw_only=True):
    schema: str
    case: str
    json: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    text: str | None = None
    base64: str | None = None
    encoded: Any = None
    encoded_text: str | None = None
    path: str | None = None


class PayloadVector:
    """One golden case.

    Raises:
        ContractError: no such case, or not exactly one body.
    """

    def __init__(self, file: str, members: Mapping[str, msgspec.Raw]) -> None:
        self.file = file
        try:
            vector = msgspec.json.decode(msgspec.json.encode(members), type=_Vector)
        except FAULTS as exc:
            raise ContractError(f"vectors/{file}: {exc}") from None
        if vector.case not in _CASES:
            raise ContractError(f"vectors/{file}: case is {vector.case!r}; expected one of {', '.join(sorted(_CASES))}")
        self.schema, self.is_valid, self.path = vector.schema, vector.case != INVALID, vector.path
        self.case = vector.case
        self.encoded = vector.encoded if vector.encoded_text is None else msgspec.json.decode(vector.encoded_text)
        self.payload = self._body(vector)

    def _body(self, vector: _Vector) -> bytes:
        if sum((vector.json is not msgspec.UNSET, vector.text is not None, vector.base64 is not None)) != 1:
            raise ContractError(f"vectors/{self.file}: expected exactly one of {', '.join(_BODIES)}")
        if isinstance(vector.json, msgspec.Raw):
            return bytes(vector.json)
        if vector.text is not None:
            return vector.text.encode()
        try:
            return base64.b64decode(vector.base64 or "", validate=True)
        except binascii.Error as exc:
            raise ContractError(f"vectors/{self.file}: base64: {exc}") from None

    def failure(self, schema: Mapping[str, Any], kind: PayloadType | None) -> str | None:
        """What is wrong with what a schema, or a type, makes of this case; ``None`` if it is as it should be."""
        by_schema = refusal(self.payload, schema)
        by_type = by_schema if kind is None else _refused(self.payload, kind)
        if not self.is_valid:
            accepted = "the schema" if by_schema is None else "the type" if by_type is None else None
            return accepted and f"{accepted} accepts it; expected a refusal"
        if by_schema is not None or by_type is not None:
            return f"it is refused: {by_schema or by_type}"
        if kind is None:
            return None
        again = msgspec.json.decode(msgspec.json.encode(kind.decode(self.payload)))
        wanted, found = without_defaults(self.encoded, schema), without_defaults(again, schema)
        return None if same(wanted, found) else f"encoded again it is {_short(found)}; expected {_short(wanted)}"


def refusal(payload: bytes, schema: Mapping[str, Any]) -> str | None:
    """Why a schema refuses a payload, with the field."""
    try:
        check_document(payload)
        value = msgspec.json.decode(payload)
    except FAULTS as exc:
        return f"not JSON: {exc}"
    wrong = mismatch(value, schema)
    return None if wrong is None else f"{wrong[0]}: {wrong[1]}" if wrong[0] else wrong[1]


def without_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """A document without the declared fields that have their default, at every depth."""
    return _without_defaults(value, schema, schema)


def _without_defaults(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    schema = _shape(schema, root)
    if not schema.keys() & {"properties", "items"}:  # nothing is declared here, however deep it goes
        return value
    if isinstance(value, list):
        return [_without_defaults(item, schema.get("items", {}), root) for item in value]
    if not isinstance(value, dict):
        return value
    fields = schema.get("properties", {})
    return {
        name: _without_defaults(item, fields.get(name, {}), root)
        for name, item in value.items()
        if not ("default" in fields.get(name, {}) and same(item, fields[name]["default"]))
    }


def _shape(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What says which fields a value has: behind a reference, or beside ``null``."""
    if not isinstance(schema, Mapping):
        return {}
    if "$ref" in schema:
        return _shape(root.get("$defs", {}).get(str(schema["$ref"]).removeprefix("#/$defs/")), root)
    shapes = [_shape(option, root) for option in schema.get("anyOf", ())]
    return next((shape for shape in shapes if shape.keys() & {"properties", "items"}), schema)


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: ``1`` is not ``true``, and is ``1.0``."""
    pairs = [(one, other)]  # not by recursion: a document may be deeper than the stack
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
            pairs += [(value, right[name]) for name, value in left.items()]
        elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            pairs += zip(left, right, strict=True)
        elif isinstance(left, dict | list) or isinstance(left, bool) != isinstance(right, bool) or left != right:
            return False
    return True


def _refused(payload: bytes, kind: PayloadType) -> str | None:
    try:
        kind.decode(payload)
    except REFUSALS as exc:
        return str(exc)
    return None


def _short(value: object) -> str:
    return msgspec.json.encode(value).decode()[:400]
