#!/usr/bin/env python3
"""Write the Rust types of ``schemas/json`` to ``schemas/rust/src/schema``; ``--check`` only says what would change.

Needs nothing but Python. A schema keyword or a pattern that is not known here ends it with an error that names the
field: then this program and ``src/rule.rs`` must learn it.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCHEMAS = HERE.parent
TARGET = HERE / "src" / "schema"

FORMATS = {
    "^[0-7][0-9A-HJKMNP-TV-Z]{25}$": "Ulid",
    "^[A-Za-z0-9_-]+$": "Token",
    "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$": "Subject",
    "^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$": "Traceparent",
    "^[0-9]+$": "Digits",
    "^[^ ]+$": "Word",
}
"""The patterns of the schemas, by their names in ``rule.rs``."""
KNOWN = {
    *("type", "enum", "properties", "required", "items", "additionalProperties", "anyOf", "$ref"),
    *("minimum", "maximum", "minLength", "maxLength", "pattern", "contentEncoding"),
    *("description", "default", "format", "deprecated", "x-unit", "x-stored", "x-formerly", "x-absent", "title"),
}
RING = re.compile(r"\^(\w+)\(\[0-9\]\|\[12\]\[0-9\]\|3\[01\]\)(\w+)\$\Z")
"""A pattern of names with a number from 0 to 31 between two texts."""
HEAD = ("v", "ts", "id")
LARGEST = 2**64 - 1
ROOMS = {
    "base": "What every payload has, dead letters, and the envelope.",
    "events": "Events: what happened to systems, interfaces, users and data.",
    "jobs": "Jobs of several tasks.",
    "notify": "Notifications.",
    "tasks": "Tasks: signals, progress, outcomes, records.",
}


class UnknownError(Exception):
    """Something in a schema that this program does not know."""


@dataclass
class Room:
    """The types of one file."""

    name: str
    parts: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def text(self) -> str:
        """The file."""
        body = "\n".join(self.parts)
        used = [name for name in ("Bytes", "Json", "JsonObject") if _uses(body, name)]
        held = [name for name in ("check", "store", "Held") if f" {name}(" in body]
        lines_in = ["check_lines", "join", "store_lines", "Line", "Parts", "Ring"] if "impl Line" in body else []
        model = sorted(
            [*held, "serde_of", "Members", "Model", "Visit"]
            + [name for name in ("words",) if "words!(" in body]
            + [name for name in ("Fields", "Record") if "impl Record" in body]
            + [name for name in ("Schema",) if "impl Schema" in body],
            key=lambda name: (name[0].isupper(), name),
        )
        rule = [name for name in ("Format", "Rule", "ANY") if _uses(body, name)]
        lines = [
            f"//! {ROOMS[self.name]}",
            "//!",
            "//! Written by `schemas/rust/generate.py` from `schemas/json`. Do not change it by hand.",
            "",
            *(["use std::collections::BTreeMap;", ""] if "BTreeMap" in body else []),
            *(["use crate::ids::Ulid;"] if "Ulid::new" in body else []),
            "use crate::invalid::Invalid;",
            *([f"use crate::json::{_braced(used)};"] if used else []),
            *([f"use crate::line::{_braced(lines_in)};"] if lines_in else []),
            f"use crate::model::{_braced(model)};",
            f"use crate::rule::{_braced(rule)};",
            *(["use crate::clock::now_ms;"] if "now_ms()" in body else []),
            "",
            body,
            f"serde_of!({', '.join(self.models)});",
        ]
        return "\n".join(lines) + "\n"


def _uses(body: str, name: str) -> bool:
    return any(f"{before}{name}{after}" in body for before in " <&(" for after in ("::", ">", ",", ".", " ", "<", ")"))


def _braced(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{{{', '.join(names)}}}"


@dataclass(frozen=True)
class Field:
    """One field as Rust has it."""

    name: str
    type: str
    schema: Mapping[str, Any]
    is_required: bool
    default: str | None
    rule: str
    is_free: bool
    ring: str | None = None  # of a field for each number: what its names are

    @property
    def is_optional(self) -> bool:
        """Whether it may be absent, and is `None` then."""
        return not self.is_required and self.default is None

    @property
    def identifier(self) -> str:
        """Its name in Rust."""
        return f"r#{self.name}" if self.name in {"type", "ref", "move", "match"} else self.name

    @property
    def shown_type(self) -> str:
        """Its type in the struct."""
        return self.type if self.ring else f"Option<{self.type}>" if self.is_optional else self.type

    @property
    def parameter(self) -> str:
        """As a parameter of a builder."""
        return f"impl Into<{self.type}>" if self.type in {"String", "Bytes"} else self.type

    @property
    def converted(self) -> str:
        """The parameter as the field takes it."""
        return f"{self.identifier}.into()" if self.type in {"String", "Bytes"} else self.identifier


def generate(into: Path) -> None:
    """Write every file into a folder."""
    rooms = {name: Room(name) for name in ROOMS}
    for file in sorted((SCHEMAS / "json").rglob("*.json")):
        name = file.relative_to(SCHEMAS / "json").with_suffix("").as_posix()
        domain = name.partition("/")[0] if "/" in name else "base"
        schema = json.loads(file.read_text())
        try:
            _document(rooms[domain], name, schema)
        except UnknownError as exc:
            raise SystemExit(f"{file}: {exc}") from None
    into.mkdir(parents=True, exist_ok=True)
    for room in rooms.values():
        (into / f"{room.name}.rs").write_text(room.text())
    shutil.copyfile(SCHEMAS / "redis" / "write.lua", into / "write.lua")


def _document(room: Room, name: str, schema: Mapping[str, Any]) -> None:
    title = schema["title"]
    fields = _struct(room, title, schema, schema["description"])
    if any("x-stored" in inner for inner in schema["properties"].values()):
        room.parts += _record(title, name, fields)
    elif "v" in schema["properties"]:
        subjects = ", ".join(json.dumps(subject) for subject in schema.get("x-subjects", ()))
        room.parts += [
            f"impl Schema for {title} {{",
            f"    const NAME: &'static str = {json.dumps(name)};",
            f"    const VERSION: u64 = {schema['x-version']};",
            f"    const SUBJECTS: &'static [&'static str] = &[{subjects}];",
            "}",
            "",
        ]


def _struct(room: Room, title: str, schema: Mapping[str, Any], description: str) -> list[Field]:
    fields = [
        _field(room, title, name, inner, is_required=name in schema.get("required", ()))
        for name, inner in schema["properties"].items()
    ]
    fields += [_ring(room, pattern, inner) for pattern, inner in schema.get("patternProperties", {}).items()]
    room.models.append(title)
    room.parts += [
        *_doc(description, ""),
        "#[derive(Debug, Clone, PartialEq)]",
        "#[non_exhaustive]",
        f"pub struct {title} {{",
        *(
            line
            for one in fields
            for line in (*_doc(_about(one), "    "), f"    pub {one.identifier}: {one.shown_type},")
        ),
        "}",
        "",
        *_builders(title, fields),
        f"impl Model for {title} {{",
        "    fn read(members: &Members<'_>) -> Result<Self, Invalid> {",
        "        Ok(Self {",
        *(f"            {one.identifier}: members.{_read(one)}?," for one in fields),
        "        })",
        "    }",
        "",
        "    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {",
        *(f"        to.{_visit(one)}{'?;' if one is not fields[-1] else ''}" for one in fields),
        "    }",
        "}",
        "",
    ]
    return fields


def _ring(room: Room, pattern: str, schema: Mapping[str, Any]) -> Field:
    """A field for each number, as one of the struct: a map by name."""
    names = RING.match(pattern)
    if names is None or schema.get("x-stored") != "line":
        raise UnknownError(f"{pattern}: names that are no ring, or no lines")
    title = schema["title"]
    room.parts += _line(title, _struct(room, title, schema, schema["description"]))
    name = re.sub("(?<!^)(?=[A-Z])", "_", title).lower()
    ring = f'Ring {{ before: "{names[1]}", after: "{names[2]}" }}'
    return Field(name, f"BTreeMap<String, {title}>", schema, False, "BTreeMap::new()", "ANY", False, ring)


def _line(title: str, fields: list[Field]) -> Iterator[str]:
    yield from (f"impl Line for {title} {{", "    fn from_line(line: &str) -> Option<Self> {")
    yield from (f"        let mut parts = Parts::of(line, {len(fields)});", "        Some(Self {")
    for one in fields:
        absent = one.schema.get("x-absent")
        how = f"next({one.rule})" if absent is None else f"next_unless({json.dumps(absent)}, {one.rule})"
        yield f"            {one.identifier}: parts.{how}?,"
    yield from ("        })", "    }", "", "    fn to_line(&self) -> String {", "        join([")
    for one in fields:
        value = f"self.{one.identifier}"
        absent = json.dumps(one.schema.get("x-absent"))
        held = f"{value}.as_ref().map_or({absent}.to_owned(), ToString::to_string)" if one.is_optional else ""
        yield f"            {held or f'{value}.to_string()'},"
    yield from ("        ])", "    }", "}", "")


def _read(one: Field) -> str:
    if one.ring:
        return f"ring({one.ring})"
    how = "required" if one.is_required else "or" if one.default is not None else "free" if one.is_free else "optional"
    default = "" if one.default is None or one.is_required else f", {one.default}"
    return f'{how}("{one.name}", {one.rule}{default})'


def _visit(one: Field) -> str:
    if one.ring:
        return f"ring(&self.{one.identifier})"
    if one.is_required:
        return f'field("{one.name}", &self.{one.identifier}, {one.rule})'
    if one.default is not None:
        return f'or("{one.name}", &self.{one.identifier}, {one.rule}, &{one.default})'
    return f'optional("{one.name}", &self.{one.identifier}, {one.rule})'


def _builders(title: str, fields: list[Field]) -> list[str]:
    names = [one.name for one in fields]
    has_head = names[:3] == list(HEAD)
    filled = {"v": "<Self as Schema>::VERSION", "ts": "now_ms()", "id": "Ulid::new().to_string()"} if has_head else {}
    given = [one for one in fields if one.is_required and one.name not in filled]
    later = [one for one in fields if one not in given and one.name != "v"]
    about = "A value with what it must have" + (": `ts` is now, `id` a new ULID." if has_head else ".")
    lines = [f"impl {title} {{", f"    /// {about}"]
    if not given:
        lines.append("    #[allow(clippy::new_without_default)] // no two are equal")
    lines += [
        f"    pub fn new({', '.join(f'{one.identifier}: {one.parameter}' for one in given)}) -> Self {{",
        "        Self {",
    ]
    for one in fields:
        value = filled.get(one.name) or (
            one.converted if one in given else "None" if one.default is None else one.default
        )
        lines.append(f"            {one.identifier}{'' if value == one.identifier else f': {value}'},")
    lines += ["        }", "    }"]
    for one in later:
        value = f"Some({one.converted})" if one.is_optional else one.converted
        lines += [
            "",
            f"    /// The same with [`{one.name}`](Self::{one.name}).",
            f"    pub fn with_{one.name}(mut self, {one.identifier}: {one.parameter}) -> Self {{",
            f"        self.{one.identifier} = {value};",
            "        self",
            "    }",
        ]
    return [*lines, "}", ""]


def _record(title: str, name: str, fields: list[Field]) -> Iterator[str]:
    yield from (
        f"impl Record for {title} {{",
        f"    const NAME: &'static str = {json.dumps(name)};",
        "",
        "    fn from_fields(fields: &Fields) -> Result<Self, Invalid> {",
        "        let held = Held(fields);",
        "        Ok(Self {",
    )
    for one in fields:
        how = _read(one).replace("free(", "optional(", 1).replace("ring(", "lines(", 1)
        yield f"            {one.identifier}: held.{how}?,"
    yield from ("        })", "    }", "")
    yield from ("    fn to_fields(&self) -> Fields {", "        let mut fields = Fields::new();")
    for one in fields:
        if one.ring:
            yield f"        store_lines(&mut fields, &self.{one.identifier});"
        elif one.is_optional:
            yield f"        if let Some(value) = &self.{one.identifier} {{"
            yield f'            store(&mut fields, "{one.name}", value);'
            yield "        }"
        else:
            yield f'        store(&mut fields, "{one.name}", &self.{one.identifier});'
    yield from ("        fields", "    }", "", "    fn validate(&self) -> Result<(), Invalid> {")
    for one in fields:
        if one.ring:
            yield f"        check_lines(&self.{one.identifier}, {one.ring})?;"
        elif one.is_optional:
            yield f"        if let Some(value) = &self.{one.identifier} {{"
            yield f'            check("{one.name}", value, {one.rule})?;'
            yield "        }"
        else:
            yield f'        check("{one.name}", &self.{one.identifier}, {one.rule})?;'
    yield from ("        Ok(())", "    }", "}", "")


def _field(room: Room, owner: str, name: str, schema: Mapping[str, Any], *, is_required: bool) -> Field:
    unknown = schema.keys() - KNOWN
    if unknown:
        raise UnknownError(f"{name}: {', '.join(sorted(unknown))}")
    kind = _type(room, owner, name, schema)
    default = _default(name, kind, schema.get("default"))
    # a field without a type and without a default: its null is a value
    is_free = kind == "Json" and "default" not in schema
    return Field(name, kind, schema, is_required, default, _rule(name, schema), is_free)


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return [one for one in ([types] if isinstance(types, str) else types) if one != "null"]


def _type(room: Room, owner: str, name: str, schema: Mapping[str, Any]) -> str:
    types = _types(schema)
    if "enum" in schema:
        return _words(room, owner, name, schema["enum"], schema["description"])
    if not types:
        return "Json"
    if len(types) > 1:
        raise UnknownError(f"{name}: several types")
    match types[0]:
        case "string":
            return "Bytes" if schema.get("contentEncoding") == "base64" else "String"
        case "integer":
            return "u64"
        case "number":
            return "f64"
        case "boolean":
            return "bool"
        case "array":
            items = {"description": schema["description"], **schema["items"]}
            return f"Vec<{_type(room, owner, name.removesuffix('s'), items)}>"
        case "object" if "properties" in schema:
            nested = owner + _camel(name)
            _struct(room, nested, schema, schema["description"])
            return nested
        case "object" if "additionalProperties" in schema:
            inner = _type(room, owner, name, schema["additionalProperties"])
            return f"BTreeMap<String, {inner}>"
        case "object":
            return "JsonObject"
    raise UnknownError(f"{name}: {types[0]}")


def _words(room: Room, owner: str, name: str, values: list[str], description: str) -> str:
    tail = _camel(name)
    start = owner.removesuffix("Record")
    title = f"{start}Kind" if start.endswith(tail) else start + tail
    if title in room.names:
        raise UnknownError(f"{name}: two types would be named {title}")
    room.names.add(title)
    room.parts += [
        *_doc(description, ""),
        "#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]",
        "#[non_exhaustive]",
        f"pub enum {title} {{",
        *(line for value in values for line in (f"    /// `{value}`", f"    {_camel(value)},")),
        "}",
        "",
        f"words!({title} {{ {', '.join(f'{_camel(value)} = {json.dumps(value)}' for value in values)} }});",
        "",
    ]
    return title


def _default(name: str, kind: str, default: Any) -> str | None:
    match default:
        case None:
            return None
        case str() if kind == "String":
            return f"{json.dumps(default)}.to_owned()" if default else "String::new()"
        case "" if kind == "Bytes":
            return "Bytes::default()"
        case str():
            return f"{kind}::{_camel(default)}"
        case bool():
            return str(default).lower()
        case int():
            return str(default)
        case []:
            return "Vec::new()"
        case {} if not default:
            return "BTreeMap::new()"
    raise UnknownError(f"{name}: default {default!r}")


def _rule(name: str, schema: Mapping[str, Any]) -> str:
    items = schema.get("additionalProperties")
    rule = "ANY"
    if "minimum" in schema or "maximum" in schema:
        least, most = schema.get("minimum", 0), schema.get("maximum", LARGEST)
        if not 0 <= least <= most <= LARGEST:
            raise UnknownError(f"{name}: a range of {least} to {most}")
        if (least, most) != (0, LARGEST):
            rule += f".range({least}, {'u64::MAX' if most == LARGEST else most})"
    elif "integer" in _types(schema) or "number" in _types(schema):
        raise UnknownError(f"{name}: a number without a minimum, which may be negative")
    if "minLength" in schema or "maxLength" in schema:
        rule += f".length({schema.get('minLength', 0)}, {schema.get('maxLength', 'usize::MAX')})"
    pattern = schema.get("pattern") or (items.get("pattern") if isinstance(items, dict) else None)
    if pattern is not None:
        if pattern not in FORMATS:
            raise UnknownError(f"{name}: the pattern {pattern}")
        rule += f".format(Format::{FORMATS[pattern]})"
    return rule


def _about(one: Field) -> str:
    """Description, unit, bounds and default of a field."""
    schema, notes = one.schema, []
    if "x-unit" in schema:
        notes.append(f"In {schema['x-unit']}.")
    if "minimum" in schema and "maximum" in schema:
        notes.append(f"{schema['minimum']} to {schema['maximum']}.")
    elif "minimum" in schema:
        notes.append(f"At least {schema['minimum']}.")
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
    if longest is not None:
        count = f"{longest}" if shortest == longest else f"{shortest} to {longest}"
        notes.append(f"{count} characters.")
    if "pattern" in schema:
        notes.append(f"It matches `{schema['pattern']}`.")
    if schema.get("contentEncoding") == "base64":
        notes.append("Base64 in JSON.")
    if one.is_free:
        notes.append("`null` is a value, and not absence.")
    if "default" in schema and schema["default"] is not None:
        notes.append(f"Default: `{json.dumps(schema['default'])}`.")
    text = schema["description"]
    return f"{text}\n\n{' '.join(notes)}" if notes else text


def _doc(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"{indent}/// {line}".rstrip()


def _camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.replace("-", "_").split("_"))


def main() -> None:
    """Write, or with ``--check`` compare."""
    if sys.argv[1:] not in ([], ["--check"]):
        raise SystemExit("usage: generate.py [--check]")
    if not sys.argv[1:]:
        generate(TARGET)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        stale = [
            file.name
            for file in sorted(Path(folder).iterdir())
            if not (TARGET / file.name).is_file() or (TARGET / file.name).read_bytes() != file.read_bytes()
        ]
    if stale:
        raise SystemExit(f"schemas/rust/src/schema: {', '.join(stale)}: run schemas/rust/generate.py")


if __name__ == "__main__":
    main()
