"""What may change between releases: one deliberate breakage for each rule, and additions that pass."""

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vectors.files import contract

from gbe.contracts.evolution import compare
from gbe.contracts.structure import fields_of
from gbe.contracts.vectors import without_defaults
from gbe.errors import ContractError

Schema = dict[str, Any]
INVOICE: Schema = {
    "$id": "urn:billing:invoice",
    "description": "An invoice was sent.",
    "x-version": 1,
    "x-subjects": ["billing.sent", "billing.resent"],
    "type": "object",
    "required": ["v", "ts", "id", "number"],
    "properties": {
        "v": {"type": "integer", "minimum": 1},
        "ts": {"type": "integer", "description": "When.", "x-unit": "unix milliseconds"},
        "id": {"type": "string", "minLength": 1, "maxLength": 256},
        "number": {"type": "integer", "minimum": 0, "maximum": 1000, "description": "Which one."},
        "amount": {"type": ["number", "null"], "default": None, "x-unit": "euro"},
        "status": {"enum": ["open", "paid", None], "default": None},
        "code": {"type": "string", "pattern": "^[A-Z]+$"},
        "old": {"type": "string", "deprecated": True},
        "raw": {"type": "string", "contentEncoding": "base64"},
        "lines": {
            "type": "array",
            "maxItems": 10,
            "items": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
        },
        "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 10}},
    },
    "patternProperties": {
        r"^tax\.[0-9]$": {"type": "object", "required": ["rate"], "properties": {"rate": {"type": "number"}}},
    },
}
TAX = r"^tax\.[0-9]$"
Change = Callable[[Schema], object]


def changed(change: Change) -> Schema:
    """The schema after a change, which is a change indeed."""
    after = copy.deepcopy(INVOICE)
    change(after["properties"] if "properties" in change.__code__.co_varnames else after)
    assert after != INVOICE
    return after


def broken(change: Change, *, earlier: tuple[Schema, ...] = ()) -> list[tuple[str, str, str]]:
    """File, field and rule of what a change breaks."""
    releases = [{"invoice": schema} for schema in (*earlier, INVOICE)]
    return [(f.file, f.field, f.rule) for f in compare({"invoice": changed(change)}, releases)]


BREAKAGES: list[tuple[str, str, Change]] = [
    ("removed-field", "amount", lambda properties: properties.pop("amount")),
    ("removed-field", "lines[].sku", lambda properties: properties["lines"]["items"]["properties"].pop("sku")),
    ("removed-field", "old", lambda properties: properties.pop("old")),  # deprecated, but x-version is the same
    ("changed-type", "number", lambda properties: properties["number"].update(type="string")),
    ("changed-type", "number", lambda properties: properties["number"].update(type="number")),
    ("changed-type", "number", lambda properties: properties["number"].update(type=["integer", "null"])),
    (
        "changed-type",
        "lines[].sku",
        lambda properties: properties["lines"]["items"]["properties"]["sku"].update(type="integer"),
    ),
    (
        "changed-type",
        "labels{}",
        lambda properties: properties["labels"]["additionalProperties"].update(type="integer"),
    ),
    ("removed-field", f"<{TAX}>", lambda schema: schema["patternProperties"].pop(TAX)),
    ("removed-field", f"<{TAX}>.rate", lambda schema: schema["patternProperties"][TAX]["properties"].pop("rate")),
    (
        "removed-field",
        f"<{TAX}>",
        lambda schema: schema["patternProperties"].update({"^tax$": schema["patternProperties"].pop(TAX)}),
    ),
    ("changed-type", f"<{TAX}>", lambda schema: schema["patternProperties"][TAX].update(type="string")),
    (
        "new-required-field",
        f"<{TAX}>.of",
        lambda schema: schema["patternProperties"][TAX].update(
            required=["rate", "of"], properties={"rate": {"type": "number"}, "of": {"type": "string"}}
        ),
    ),
    ("changed-type", "raw", lambda properties: properties["raw"].pop("contentEncoding")),
    ("narrowed-bound", "number", lambda properties: properties["number"].update(maximum=999)),
    ("narrowed-bound", "number", lambda properties: properties["number"].update(minimum=1)),
    ("narrowed-bound", "id", lambda properties: properties["id"].update(maxLength=255)),
    ("narrowed-bound", "id", lambda properties: properties["id"].update(minLength=2)),
    ("narrowed-bound", "lines", lambda properties: properties["lines"].update(maxItems=9)),
    ("narrowed-bound", "lines", lambda properties: properties["lines"].update(minItems=1)),
    ("narrowed-bound", "amount", lambda properties: properties["amount"].update(exclusiveMinimum=0)),
    ("narrowed-bound", "status", lambda properties: properties["status"]["enum"].remove("open")),
    ("narrowed-bound", "code", lambda properties: properties["code"].update(enum=["A"])),
    ("narrowed-bound", "code", lambda properties: properties["code"].update(pattern="^[A-Y]+$")),
    ("narrowed-bound", "", lambda schema: schema.update(additionalProperties=False)),
    (
        "new-required-field",
        "who",
        lambda schema: (schema["required"].append("who"), schema["properties"].update(who={"type": "string"})),
    ),
    ("new-required-field", "code", lambda schema: schema["required"].append("code")),
    ("changed-meaning", "ts", lambda properties: properties["ts"].update({"x-unit": "unix seconds"})),
    ("changed-meaning", "amount", lambda properties: properties["amount"].update(default=0)),
    ("changed-meaning", "number", lambda properties: properties["number"].update(description="How many.")),
    ("changed-meaning", "code", lambda properties: properties["code"].update(format="uri")),
    ("changed-meaning", "", lambda schema: schema["x-subjects"].remove("billing.resent")),
    ("no-longer-required", "number", lambda schema: schema["required"].remove("number")),
]


@pytest.mark.parametrize(("rule", "field", "change"), BREAKAGES)
def test_a_breakage_is_caught_by_its_rule_alone(rule: str, field: str, change: Change) -> None:
    """And the finding names file, field and rule."""
    assert broken(change) == [("invoice", field, rule)]


ADDITIONS: list[Change] = [
    lambda properties: properties.update(note={"type": "string", "description": "More."}),
    lambda properties: properties.update(
        nested={"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}
    ),
    lambda properties: properties["lines"]["items"]["properties"].update(count={"type": "integer"}),
    lambda properties: properties["number"].update(maximum=2000),
    lambda properties: properties["number"].pop("minimum"),
    lambda properties: properties["id"].update(maxLength=300),
    lambda properties: properties["status"]["enum"].append("lost"),
    lambda properties: properties["status"].pop("enum") and properties["status"].update(type=["string", "null"]),
    lambda properties: properties["code"].pop("pattern"),
    lambda properties: properties["code"].update(deprecated=True),
    lambda properties: properties["number"].update({"description": "The number.", "x-formerly": ["Which one."]}),
    lambda schema: schema["x-subjects"].append("billing.again"),
    lambda schema: schema["patternProperties"].update({"^fee_[0-9]$": {"type": "number"}}),
    lambda schema: schema["patternProperties"][TAX]["required"].remove("rate") or schema.update({"x-version": 2}),
    lambda schema: schema.update({"x-version": 2}),
    lambda schema: schema.update(title="Invoice"),
]


@pytest.mark.parametrize("change", ADDITIONS)
def test_an_addition_passes(change: Change) -> None:
    """New optional fields, wider bounds, more values, other words for the same."""
    assert broken(change) == []


def test_a_higher_version_may_change_meanings_and_drop_what_was_deprecated() -> None:
    """But never a type, a bound, or what was not announced."""

    def change(schema: Schema) -> None:
        schema["x-version"] = 2
        schema["properties"].pop("old")
        schema["properties"]["ts"]["x-unit"] = "unix seconds"
        schema["required"].remove("number")
        schema["properties"]["number"]["maximum"] = 5
        schema["properties"].pop("amount")

    assert sorted(broken(change)) == [("invoice", "amount", "removed-field"), ("invoice", "number", "narrowed-bound")]


def test_a_version_never_falls() -> None:
    """Neither does it begin at 0."""
    second = {**INVOICE, "x-version": 2}
    (finding,) = compare({"invoice": INVOICE}, [{"invoice": second}])
    assert (finding.rule, finding.field) == ("version", "")
    with pytest.raises(ContractError, match=r"invoice\.json: x-version is 0"):
        compare({"invoice": {**INVOICE, "x-version": 0}}, [{"invoice": INVOICE}])


def test_the_name_of_a_field_that_was_dropped_is_never_used_again() -> None:
    """Whoever still reads the first release would take it for the old one."""
    first = copy.deepcopy(INVOICE)
    first["properties"]["note"] = {"type": "string", "deprecated": True}
    found = broken(lambda properties: properties.update(note={"type": "string"}), earlier=(first,))
    assert found == [("invoice", "note", "reused-name")]


def test_a_schema_that_is_gone_is_a_finding() -> None:
    """Its subjects may still be in use."""
    (finding,) = compare({}, [{"invoice": INVOICE}])
    assert (finding.file, finding.rule) == ("invoice", "removed-field")


def test_a_finding_says_what_to_do() -> None:
    """In one line."""
    (finding,) = compare(
        {"invoice": changed(lambda properties: properties["number"].update(maximum=5))}, [{"invoice": INVOICE}]
    )
    text = "invoice.json: number: narrowed-bound: maximum was 1000, is 5; give it a new name and keep the old field"
    assert str(finding) == text


@pytest.mark.parametrize("keyword", ["oneOf", "allOf", "not", "prefixItems"])
def test_what_cannot_be_compared_is_said(keyword: str) -> None:
    """Rather than taken for no change."""
    after = copy.deepcopy(INVOICE)
    after["properties"]["number"][keyword] = [{}]
    with pytest.raises(ContractError, match=rf"invoice\.json: number: {keyword} cannot be compared"):
        compare({"invoice": after}, [{"invoice": INVOICE}])


def test_a_pattern_of_names_that_cannot_be_a_path_is_said() -> None:
    """Paths have it between < and >."""
    with pytest.raises(ContractError, match=r"the pattern .* cannot be compared"):
        fields_of({"patternProperties": {"(?<=a)b": {}}})


def test_a_schema_within_itself_is_refused() -> None:
    """Instead of being walked for ever."""
    tree = {
        "$ref": "#/$defs/tree",
        "$defs": {"tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}}},
    }
    with pytest.raises(ContractError, match="within itself"):
        fields_of(tree)


class Part(msgspec.Struct):
    size: int | None = None


class Whole(msgspec.Struct):
    part: Part | None = None
    parts: tuple[Part, ...] = ()


def test_references_and_alternatives_are_the_same_as_what_they_stand_for() -> None:
    """As msgspec writes them, and as people do."""
    number = {"type": ["integer", "null"], "default": None}
    part = {"title": "Part", "type": ["object", "null"], "default": None, "properties": {"size": number}}
    by_hand = {
        "type": "object",
        "properties": {
            "part": part,
            "parts": {"type": "array", "default": [], "items": {"type": "object", "properties": {"size": number}}},
        },
    }
    found = fields_of(msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Whole))))
    assert found == fields_of(by_hand)


def test_defaults_are_left_out_behind_references_too() -> None:
    """As in the schemas that msgspec writes."""
    schema = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Whole)))
    document = {"part": {"size": None}, "parts": [{"size": None}, {"size": 1, "more": None}]}
    assert without_defaults(document, schema) == {"part": {}, "parts": [{}, {"size": 1, "more": None}]}
    assert without_defaults({"part": None, "parts": []}, schema) == {}


ALL = contract().schemas


@given(st.sampled_from(sorted(ALL)), st.randoms(use_true_random=False))
def test_every_field_of_every_schema_of_gbe_is_watched(name: str, chance: Any) -> None:
    """Whichever field goes, it is noticed."""
    after = copy.deepcopy(dict(ALL[name]))
    field = chance.choice(sorted(after["properties"]))
    del after["properties"][field]
    found = compare({**ALL, name: after}, [ALL])
    assert {(f.file, f.field, f.rule) for f in found} >= {(name, field, "removed-field")}
