"""The Python types that schemas name (``x-python``), and whether both say the same."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from gbe.contracts.evolution import Finding
from gbe.contracts.structure import Field, fields_of
from gbe.errors import ConfigError, ContractError, InvalidEnvelopeError, InvalidEventError
from gbe.imports import imported
from gbe.schemas.decoding import decoded
from gbe.schemas.events.registry import RESERVED, EventSchema
from gbe.schemas.fields import Head

RULE: Final = "type"
_HEAD: Final = ("v", "ts", "id")


class PayloadType:
    """The type of a payload, and how gbe reads it: with what every event must have, if it is one.

    Raises:
        ConfigError: there is no such type, or it is none of a JSON document.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.target = str(schema["x-python"])
        self.kind = cast("type[Any]", imported(self.target, "x-python names a type"))
        subjects = [str(subject) for subject in schema.get("x-subjects", ())]
        domains = {subject.partition(".")[0] for subject in subjects}
        self._event = EventSchema(subjects[0], self.kind) if subjects and not domains & RESERVED else None
        try:
            self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self.kind)
        except TypeError as exc:
            raise ConfigError(f"{self.target} is no type of a JSON document: {exc}") from exc

    def decode(self, payload: bytes) -> Any:
        """The value of a payload. Raises ``InvalidEnvelopeError`` or ``InvalidEventError``, which name the field."""
        if self._event is not None:
            return self._event.decode(self._event.pattern, payload)
        return decoded(self._decoder, payload, f"a {self.kind.__name__}")

    def fields(self) -> dict[str, Field]:
        """What the type says of each field."""
        fields = fields_of(_schema(self.kind))
        if self._event is not None:
            fields |= {path: field for path, field in fields_of(_schema(Head)).items() if path}
        return fields


def _schema(kind: type[Any]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(kind)))  # lists, not tuples
    return found


def is_payload(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is one of payloads, which JSON carries; records and envelopes are written otherwise."""
    return set(_HEAD) <= set(schema.get("required", ())) and "x-python" in schema


def differences(name: str, schema: Mapping[str, Any], kind: PayloadType) -> Iterator[Finding]:
    """Where a schema and its type do not say the same."""
    there, here = fields_of(schema), kind.fields()
    for path in sorted(there.keys() | here.keys()):
        if path not in here:
            yield Finding(name, path, RULE, f"{kind.target} does not have it")
        elif path not in there:
            yield Finding(name, path, RULE, f"the schema does not have it, {kind.target} does")
        else:
            for what, stated, found in _compared(there[path], here[path]):
                yield Finding(name, path, RULE, f"{what}: {stated!r} in the schema, {found!r} in {kind.target}")


def _compared(there: Field, here: Field) -> Iterator[tuple[str, object, object]]:
    pairs: list[tuple[str, Any, Any]] = [
        ("types", there.types, here.types),
        ("required", there.required, here.required),
        ("limits", there.limits, here.limits),
        ("shapes", there.shapes, here.shapes),
        ("values", there.values, here.values),
        ("default", there.meanings.get("default"), here.meanings.get("default")),
        ("unknown fields refused", there.is_closed, here.is_closed),
    ]
    for what, stated, found in pairs:
        if stated != found:
            yield what, _shown(stated), _shown(found)


def _shown(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, frozenset) else value


def type_of(name: str, schema: Mapping[str, Any]) -> PayloadType:
    """The type that a schema names. Raises ``ContractError``."""
    try:
        return PayloadType(schema)
    except ConfigError as exc:
        raise ContractError(f"{name}.json: x-python: {exc}") from None


REFUSALS: Final = (InvalidEnvelopeError, InvalidEventError)
"""What ``PayloadType.decode`` raises."""
