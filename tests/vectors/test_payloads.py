"""Payloads: what each schema, and the Python type behind it, make of every golden case."""

import json
import re
from typing import Any

import jsonschema
import msgspec
import pytest
from jsonschema.validators import Draft202012Validator
from tests.vectors.files import contract, encoded, levels, named, raw_payload, vectors

from gbe.contracts.types import REFUSALS, PayloadType, is_payload
from gbe.contracts.vectors import same, without_defaults
from gbe.errors import InvalidEnvelopeError, InvalidEventError
from gbe.lifecycle.schema import mismatch
from gbe.schemas.events.registry import BUILT_IN

CONTRACT = contract()
TYPES = {name: PayloadType(schema) for name, schema in CONTRACT.schemas.items() if is_payload(schema)}
PAYLOADS = list(vectors("payload"))
VALID = [(file, vector) for file, vector in PAYLOADS if vector["case"] != "invalid"]
INVALID = [(file, vector) for file, vector in PAYLOADS if vector["case"] == "invalid"]
CLASSES = {
    "type": {"type"},
    "missing": {"required"},
    "bound": {"minimum", "maximum", "minLength", "maxLength"},
    "enum": {"enum"},
    "format": {"pattern", "contentEncoding"},
}
NOT_IN_JSON_SCHEMA = {
    "invalid-ts-fraction",
    "invalid-ts-exponent",
}  # 1.0 is an integer there: README.md says how it is written


@pytest.mark.parametrize("schema", CONTRACT.schemas.values(), ids=CONTRACT.schemas)
def test_a_schema_is_one_of_2020_12(schema: dict[str, Any]) -> None:
    """By the judgement of another implementation than ours."""
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("file", "vector"), VALID, ids=[file for file, _ in VALID])
def test_a_valid_case_is_accepted_and_encoded_as_it_says(file: str, vector: dict[str, Any]) -> None:
    """By the schema, by an independent validator, and by the type; unknown fields are gone afterwards."""
    schema, payload = CONTRACT.schemas[vector["schema"]], raw_payload(file)
    value = msgspec.json.decode(payload)
    assert mismatch(value, schema) is None
    Draft202012Validator(schema).validate(value)
    again = json.loads(msgspec.json.encode(TYPES[vector["schema"]].decode(payload)))
    assert same(without_defaults(again, schema), without_defaults(encoded(vector), schema))
    assert mismatch(again, schema) is None


@pytest.mark.parametrize(("file", "vector"), INVALID, ids=[file for file, _ in INVALID])
def test_an_invalid_case_is_refused_at_its_field(file: str, vector: dict[str, Any]) -> None:
    """With the documented error, whose text names the field."""
    with pytest.raises(REFUSALS) as refusal:
        TYPES[vector["schema"]].decode(raw_payload(file))
    if isinstance(refusal.value, InvalidEventError):
        assert refusal.value.field == vector["path"]
    elif vector["path"]:
        assert f": {vector['path']}: " in re.sub(r"\[[0-9]+\]", "", str(refusal.value))
    else:
        assert isinstance(refusal.value, InvalidEnvelopeError)


@pytest.mark.parametrize(("file", "vector"), INVALID, ids=[file for file, _ in INVALID])
def test_the_reason_of_an_invalid_case_is_right(file: str, vector: dict[str, Any]) -> None:
    """Judged by an independent parser and validator."""
    payload, schema = raw_payload(file), CONTRACT.schemas[vector["schema"]]
    if vector["reason"] == "syntax":
        with pytest.raises((ValueError, UnicodeDecodeError)):
            _strict(payload)
        return
    value = _strict(payload)
    if file.rpartition("/")[2] in NOT_IN_JSON_SCHEMA:
        return
    assert mismatch(value, schema) is not None
    errors = [error for error in Draft202012Validator(schema).iter_errors(value) if _path(error) == vector["path"]]
    found = {str(error.validator) for error in errors}
    if vector["path"] == "original.payload":  # JSON Schema does not check encodings
        assert vector["reason"] == "format"
        return
    assert found & CLASSES[vector["reason"]], found


def _path(error: jsonschema.ValidationError) -> str:
    names = [str(name) for name in error.absolute_path if isinstance(name, str)]
    if error.validator == "required":
        names += [name for name in error.validator_value if name not in error.instance][:1]
    if names[-2:-1] == ["headers"]:  # the key of a map is not part of a path
        names.pop()
    return ".".join(names)


def _strict(payload: bytes) -> Any:
    """JSON as RFC 8259 has it: Python's own parser lets NaN and lone surrogates pass."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    value = json.loads(payload.decode("utf-8"), parse_constant=refuse)
    if levels(value) > CONTRACT.schemas["payload"]["x-max-depth"]:
        raise ValueError("nested too deep")
    json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def test_every_field_of_every_schema_occurs_in_a_vector() -> None:
    """A field that no case mentions is one that no language is tested with."""
    for name, schema in CONTRACT.schemas.items():
        key, kinds = ("record", ("record",)) if "x-stored" in json.dumps(schema) else ("encoded", ("payload",))
        if name == "envelope":
            key, kinds = "envelope", ("nats-message",)
        documents = [
            vector[key] for _, vector in vectors(*kinds) if key in vector and vector.get("schema", name) == name
        ]
        missing = _declared(schema) - set().union(*(_present(document, schema) for document in documents))
        assert not missing, f"{name}: no vector has {sorted(missing)}"


def test_every_value_of_every_list_occurs_in_a_vector() -> None:
    """The same of enumerations."""
    all_vectors = [vector for _, vector in vectors()]
    for name, schema in CONTRACT.schemas.items():
        for field, inner in schema["properties"].items():
            values = {value for value in inner.get("enum", ()) if value is not None}
            documents = [v.get("encoded", v.get("record", {})) for v in all_vectors if v.get("schema") == name]
            values -= {inner["default"]} if isinstance(inner.get("default"), str) else set()
            values -= {document[field] for document in documents if isinstance(document.get(field), str)}
            assert not values, f"{name}: {field}: no vector has {sorted(values)}"


def _declared(schema: Any, path: str = "") -> set[str]:
    found = set()
    for name, inner in schema.get("properties", {}).items():
        found |= {f"{path}{name}"} | _declared(inner, f"{path}{name}.")
    for pattern, inner in schema.get("patternProperties", {}).items():
        found |= {f"{path}{pattern}"} | _declared(inner, f"{path}{pattern}.")
    if "items" in schema:
        found |= _declared(schema["items"], path)
    return found


def _present(value: Any, schema: Any, path: str = "") -> set[str]:
    if isinstance(value, list):
        return set().union(*(_present(item, schema.get("items", {}), path) for item in value))
    if not isinstance(value, dict):
        return set()
    found = set()
    for name, inner in schema.get("properties", {}).items():
        if name in value:
            found |= {f"{path}{name}"} | _present(value[name], inner, f"{path}{name}.")
    for pattern, inner in schema.get("patternProperties", {}).items():
        for name in value.keys() - schema.get("properties", {}).keys():
            if re.search(pattern, name):
                found |= {f"{path}{pattern}"} | _present(value[name], inner, f"{path}{pattern}.")
    return found


def test_every_event_that_gbe_knows_has_its_schema() -> None:
    """The registry of programs and the files name the same type for the same subjects."""
    stated = {subject: TYPES[name].kind for name in TYPES for subject in CONTRACT.schemas[name].get("x-subjects", ())}
    assert {subject: kind for subject, kind in stated.items() if subject.startswith("events.")} == BUILT_IN


def test_every_kind_of_case_is_there_for_every_payload() -> None:
    """Valid, with unknown fields, and invalid."""
    for name in TYPES:
        cases = {vector["case"] for _, vector in PAYLOADS if vector["schema"] == name}
        assert {"valid", "unknown-fields", "invalid"} <= cases, f"{name} has only {sorted(cases)}"


@pytest.mark.parametrize(("value", "field"), [({"amount": 1}, "amount")])
def test_the_comparison_of_documents_can_fail(value: dict[str, Any], field: str) -> None:
    """1 is not true, a missing field is not null, and a default is absence."""
    assert not same(value, {field: True})
    assert not same(value, {})
    assert same(without_defaults(value, {"properties": {field: {"default": 1}}}), {})


def test_kinds_of_vectors_are_known() -> None:
    """Every kind has tests; a new one needs some."""
    known = {
        *("payload", "nats-message", "redis-entry", "subject", "pattern", "ulid", "traceparent", "record", "move"),
        *("task-id-of-key", "job-id-of-key", "task-id-of-job", "subject-keys", "state-keys", "task-names", "job-names"),
        *("deadletter-subject", "state-write"),
    }
    assert {vector["kind"] for _, vector in vectors()} == known
    assert named("move")["ids"]
