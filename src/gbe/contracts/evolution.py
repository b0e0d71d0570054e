"""What may change between two releases of a schema: additions. Everything else would break somebody.

| rule | what fails | unless |
|---|---|---|
| ``removed-field`` | a field or a schema is gone | it was ``deprecated`` in the last release, and ``x-version`` rises |
| ``changed-type`` | its JSON type or encoding is another | never |
| ``narrowed-bound`` | a limit, pattern or list of values refuses what was accepted | never |
| ``new-required-field`` | what was not required is | never |
| ``reused-name`` | the name of a field that an earlier release had, and a later one no more | never |
| ``changed-meaning`` | another unit, format, default, description or subject | ``x-version`` rises |
| ``no-longer-required`` | consumers that count on it would fail | ``x-version`` rises |
| ``version`` | ``x-version`` falls | never |
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gbe.contracts.structure import LOWER, UPPER, Field, fields_of, parent_of
from gbe.errors import ContractError

Schemas = Mapping[str, Mapping[str, Any]]
"""The schemas of a release by their name, such as ``billing/invoice``."""

_INSTEAD: Final = "give it a new name and keep the old field"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a schema breaks.

    Attributes:
        file: the schema, such as ``billing/invoice``.
        field: its path; empty for the schema as a whole.
        rule: as in the table above.
        text: what is wrong, and what to do.
    """

    file: str
    field: str
    rule: str
    text: str

    def __str__(self) -> str:
        at = f"{self.file}.json: {self.field}" if self.field else f"{self.file}.json"
        return f"{at}: {self.rule}: {self.text}"


def compare(working: Schemas, released: Sequence[Schemas]) -> list[Finding]:
    """Every rule that the working schemas break.

    Args:
        released: all releases, the oldest first.

    Raises:
        ContractError: a schema that cannot be compared.
    """
    if not released:
        return []
    found: list[Finding] = []
    for name, before in released[-1].items():
        after = working.get(name)
        if after is None:
            found.append(Finding(name, "", "removed-field", "the whole schema is gone; keep the file"))
        else:
            found += _Comparison(name, before, after).findings()
    for name, after in working.items():
        found += _reused(name, after, [release[name] for release in released if name in release])
    return found


class _Comparison:
    """One schema, as it was released last and as it is now."""

    def __init__(self, name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        self.name = name
        self.before, self.after = _fields(name, before), _fields(name, after)
        self._old, self._new = before, after
        self.version, self.was_version = _version(name, after), _version(name, before)

    @property
    def is_bumped(self) -> bool:
        return self.version > self.was_version

    def findings(self) -> Iterator[Finding]:
        if self.version < self.was_version:
            yield self._say("", "version", f"x-version was {self.was_version}, is {self.version}; it only rises")
        yield from self._subjects()
        for path, old in self.before.items():
            new = self.after.get(path)
            if new is not None:
                yield from self._field(path, old, new)
            elif parent_of(path) in self.after or not path:
                yield from self._removed(path, old)
        for path, new in self.after.items():
            is_added = path not in self.before
            if is_added and new.required and parent_of(path) in self.before:
                yield self._say(path, "new-required-field", "earlier producers do not write it; make it optional")

    def _say(self, path: str, rule: str, text: str) -> Finding:
        return Finding(self.name, path, rule, text)

    def _subjects(self) -> Iterator[Finding]:
        gone = sorted(set(self._old.get("x-subjects", ())) - set(self._new.get("x-subjects", ())))
        if gone and not self.is_bumped:
            yield self._say("", "changed-meaning", f"it is no longer on {', '.join(gone)}; keep it, or raise x-version")

    def _removed(self, path: str, old: Field) -> Iterator[Finding]:
        if not old.is_deprecated:
            yield self._say(path, "removed-field", "release it as `deprecated: true` first, and stop writing it")
        elif not self.is_bumped:
            yield self._say(path, "removed-field", f"raise x-version to {self.was_version + 1}, and v with it")

    def _field(self, path: str, old: Field, new: Field) -> Iterator[Finding]:
        if old.types != new.types:
            text = f"was {_words(old.types)}, is {_words(new.types)}; {_INSTEAD}"
            yield self._say(path, "changed-type", text)
            return
        for text in _narrowed(old, new):
            yield self._say(path, "narrowed-bound", f"{text}; {_INSTEAD}")
        if new.required and not old.required:
            yield self._say(path, "new-required-field", "it was optional: what is stored may not have it")
        if old.required and not new.required and not self.is_bumped:
            yield self._say(path, "no-longer-required", f"consumers count on it; raise x-version to {self.version + 1}")
        if not self.is_bumped:
            for text in _meant(old, new):
                yield self._say(
                    path, "changed-meaning", f"{text}; raise x-version to {self.version + 1}, or {_INSTEAD}"
                )


def _fields(name: str, schema: Mapping[str, Any]) -> dict[str, Field]:
    try:
        return fields_of(schema)
    except ContractError as exc:
        raise ContractError(f"{name}.json: {exc}") from None


def _version(name: str, schema: Mapping[str, Any]) -> int:
    version = schema.get("x-version", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ContractError(f"{name}.json: x-version is {version!r}; expected a whole number from 1 on")
    return version


def _words(types: frozenset[str]) -> str:
    kinds = sorted(types)
    return "anything" if len(kinds) >= 7 else " or ".join(kinds)


def _narrowed(old: Field, new: Field) -> Iterator[str]:
    for keywords, is_narrower in ((LOWER, _above), (UPPER, _below)):
        for keyword in keywords:
            limit, before = new.limits.get(keyword), old.limits.get(keyword)
            if limit is not None and (before is None or is_narrower(limit, before)):
                yield f"{keyword} was {'not there' if before is None else before}, is {limit}"
    for keyword, value in new.shapes.items():
        if old.shapes.get(keyword) != value:
            yield f"{keyword} was {old.shapes.get(keyword, 'not there')!r}, is {value!r}"
    if new.values is not None:
        gone = "any value" if old.values is None else ", ".join(sorted(map(str, old.values - new.values)))
        if gone:
            yield f"no longer accepted: {gone}"
    if new.is_closed and not old.is_closed:
        yield "unknown fields are refused (additionalProperties is false)"


def _above(limit: float, before: float) -> bool:
    return limit > before


def _below(limit: float, before: float) -> bool:
    return limit < before


def _meant(old: Field, new: Field) -> Iterator[str]:
    for keyword in sorted(old.meanings.keys() | new.meanings.keys()):
        was, now = old.meanings.get(keyword, "not there"), new.meanings.get(keyword, "not there")
        if was != now or isinstance(was, bool) != isinstance(now, bool):
            yield f"{keyword} was {was!r}, is {now!r}"
    if old.description != new.description and old.description not in new.formerly:
        was = old.description[:120]
        yield f"the description was {was!r}; if only the wording is new, put the old one into x-formerly"


def _reused(name: str, after: Mapping[str, Any], releases: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Fields whose name meant something once, and then nothing for a release or more."""
    if len(releases) < 2:
        return
    last = _fields(name, releases[-1])
    for path in _fields(name, after):
        if path not in last and any(path in _fields(name, release) for release in releases[:-1]):
            yield Finding(name, path, "reused-name", "an earlier release had a field of this name; take another one")
