"""The record of a schedule in the state store."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Self

import msgspec

from gbe.schedules.catchup import Plan, Policy
from gbe.schedules.definition import Definition, overlaid
from gbe.schedules.names import FIRE_AT
from gbe.schedules.rules import Rule

DONE_TTL: Final = 7 * 86_400.0
"""Seconds that a schedule of a single moment, made at run time, is kept after it."""

_JSON: Final = frozenset({"configured", "changed"})
_NUMBERS: Final = frozenset(
    {"rev", "anchor", "created_at", "updated_at", "cursor", "fires", "misses", "refusals"}
    | {"last_due", "last_fired_at", "last_refused_at", FIRE_AT}
)
_TEXTS: Final = frozenset({"last_id", "last_kind", "last_error"})
_settings: Final = msgspec.json.Decoder(dict[str, Any])
_plans: Final = msgspec.json.Decoder(Plan)


@dataclass(frozen=True, kw_only=True)
class ScheduleRecord:
    """One schedule. Moments are unix milliseconds.

    Attributes:
        configured: its settings in the file; ``None``: it is not in the file.
        changed: its settings as given at run time.
        paused: as set at run time; ``None``: as its settings say.
        rev: goes up with each change of what it is.
        anchor: when it began, or began anew: intervals count from here, and earlier events are nothing to it.
        cursor: due times up to here are dealt with: clocks that are set back bring none of them again.
        fire_at: when it is due; ``None`` for paused ones, and for those that go by no clock.
        firing: what was decided and is not done.
        fires, misses, refusals: how many there were.
        last_due, last_fired_at, last_kind, last_id: of what it started last.
        last_error, last_refused_at: why something could not be started.
    """

    name: str
    configured: Mapping[str, Any] | None = None
    changed: Mapping[str, Any] = field(default_factory=dict)
    paused: bool | None = None
    rev: int = 0
    anchor: int = 0
    created_at: int = 0
    updated_at: int = 0
    cursor: int = 0
    fire_at: int | None = None
    firing: Plan | None = None
    fires: int = 0
    misses: int = 0
    refusals: int = 0
    last_due: int | None = None
    last_fired_at: int | None = None
    last_kind: str | None = None
    last_id: str | None = None
    last_error: str | None = None
    last_refused_at: int | None = None

    @cached_property
    def definition(self) -> Definition:
        """What counts. Raises ``InvalidScheduleError``."""
        return Definition.parse(self.name, overlaid(self.configured or {}, self.changed))

    @property
    def is_paused(self) -> bool:
        """Whether nothing is started but by a call."""
        return self.definition.paused if self.paused is None else self.paused

    @cached_property
    def rule(self) -> Rule | None:
        """When it is due."""
        return self.definition.rule(self.anchor)

    def policy(self, grace: float) -> Policy:
        """How it makes up for missed due times; ``grace`` in seconds."""
        definition = self.definition
        within = round(definition.catch_up_within * 1000)
        return Policy(catch_up=definition.catch_up, within=within, grace=round(grace * 1000))

    def begun(self, now: int) -> Self:
        """From now on: due times that have passed are left."""
        anchor, cursor = whole_second(now), max(self.cursor, now)
        rule = self.definition.rule(anchor)
        due = None if rule is None or self.is_paused else rule.after(cursor)
        return replace(self, anchor=anchor, cursor=cursor, fire_at=due, firing=None)

    @classmethod
    def from_fields(cls, name: str, fields: Mapping[str, bytes]) -> Self:
        """Read a record.

        Raises:
            ValueError, TypeError, MsgspecError: it is of another version, or damaged.
        """
        values: dict[str, Any] = {key: _settings.decode(value) for key, value in fields.items() if key in _JSON}
        values |= {key: int(value) for key, value in fields.items() if key in _NUMBERS}
        values |= {key: value.decode() for key, value in fields.items() if key in _TEXTS}
        if "paused" in fields:
            values["paused"] = fields["paused"] == b"1"
        if "firing" in fields:
            values["firing"] = _plans.decode(fields["firing"])
        return cls(name=name, **values)

    def to_fields(self) -> dict[str, bytes | None]:
        """Every field; ``None`` for one that is not there."""
        found: dict[str, bytes | None] = {}
        for key in _NUMBERS:
            value = getattr(self, key)
            found[key] = None if value is None else b"%d" % value
        for key in _TEXTS:
            text = getattr(self, key)
            found[key] = None if text is None else text.encode()
        found["configured"] = None if self.configured is None else msgspec.json.encode(self.configured)
        found["changed"] = msgspec.json.encode(self.changed)
        found["paused"] = None if self.paused is None else b"1" if self.paused else b"0"
        found["firing"] = None if self.firing is None else msgspec.json.encode(self.firing)
        return found


def whole_second(moment: int) -> int:
    """The moment, or the next whole second: schedulers look at whole seconds."""
    return -(-moment // 1000) * 1000


def as_document(record: ScheduleRecord, *, upcoming: int = 0) -> dict[str, object]:
    """A schedule for people and programs; ``upcoming`` due times ahead."""
    definition = record.definition
    found: dict[str, object] = {
        "name": record.name,
        "settings": definition.settings(),
        "source": "run time" if record.configured is None else "changed file" if record.changed else "file",
        "paused": record.is_paused,
        "next": record.fire_at,
        "fires": record.fires,
        "misses": record.misses,
        "refusals": record.refusals,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "last_due": record.last_due,
        "last_fired_at": record.last_fired_at,
        "last_kind": record.last_kind,
        "last_id": record.last_id,
        "last_error": record.last_error,
        "last_refused_at": record.last_refused_at,
    }
    if upcoming:
        found["upcoming"] = _upcoming(record, upcoming)
    return {key: value for key, value in found.items() if value is not None}


def _upcoming(record: ScheduleRecord, count: int) -> list[int]:
    found: list[int] = []
    moment, rule = record.fire_at, record.rule
    while moment is not None and rule is not None and len(found) < count:
        found.append(moment)
        moment = rule.after(moment)
    return found
