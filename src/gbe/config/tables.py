"""Keys of the file alone, with entries that users name. Each reader raises ``ConfigError``, with place and reason."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gbe.config.keys import Key, suggestion
from gbe.errors import ConfigError, InvalidJobError, InvalidScheduleError
from gbe.graph.definition import parse_definition
from gbe.lifecycle.types import TaskType, check_type_name
from gbe.schedules.definition import Definition, check_keys

_STREAM_KEYS: Final[dict[str, str]] = {
    "name": "text",
    "subjects": "list",
    "max_age": "duration",
    "max_bytes": "size",
    "max_msgs": "integer",
    "storage": "text",
    "replicas": "integer",
    "dedup_window": "duration",
}


def stream_tables(value: object, source: str) -> list[Mapping[str, Any]]:
    """The streams of the file, their settings read; what is not set stays out."""
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise ConfigError(f"{source}: streams: expected a list of entries with name and subjects")
    tables: list[Mapping[str, Any]] = []
    for entry in value:
        parsed: dict[str, Any] = {}
        for raw, setting in entry.items():
            name = str(raw).replace("-", "_")
            if name not in _STREAM_KEYS:
                raise ConfigError(f"{source}: streams: unknown key {name}{suggestion(name, list(_STREAM_KEYS))}")
            if setting is not None:
                parsed[name] = Key(f"streams.{name}", _STREAM_KEYS[name], None, "").parse(setting, source)
        if "name" not in parsed:
            raise ConfigError(f"{source}: streams: an entry has no name")
        tables.append(parsed)
    return tables


def task_tables(value: object, source: str) -> dict[str, Mapping[str, object]]:
    """The task types of the file, by name; each is checked here, and kept as it is written."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: tasks: expected task types, each with its settings")
    tables: dict[str, Mapping[str, object]] = {}
    for raw, settings in value.items():
        name = check_type_name(str(raw))
        if settings is not None and not isinstance(settings, Mapping):
            raise ConfigError(f"{source}: tasks.{name}: expected settings, such as max_retries: 3")
        tables[name] = dict(settings or {})
        TaskType().changed(tables[name], source=f"{source}: tasks.{name}")
    return tables


def schedule_tables(value: object, source: str) -> dict[str, Mapping[str, Any]]:
    """The schedules of the file, by name; each is checked here, and kept as JSON would hold it."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: schedules: expected schedules by name, each with its settings")
    tables: dict[str, Mapping[str, Any]] = {}
    for raw, settings in value.items():
        name = str(raw)
        if not isinstance(settings, Mapping):
            raise ConfigError(
                f"{source}: schedules.{name[:80]}: expected settings, such as task: TYPE and cron: '@daily'"
            )
        try:
            Definition.parse(name, settings)
            tables[name] = msgspec.json.decode(msgspec.json.encode(check_keys(name, settings)))
        except InvalidScheduleError as exc:
            where = f"schedules.{name[:80]}.{exc.field}" if exc.field else f"schedules.{name[:80]}"
            raise ConfigError(f"{source}: {where}: {exc.reason}") from None
    return tables


def job_tables(value: object, source: str) -> dict[str, Mapping[str, Any]]:
    """The job types of the file, by name; each is checked here, and kept as JSON would hold it."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: jobs: expected job types by name, each with its tasks")
    tables: dict[str, Mapping[str, Any]] = {}
    for name, document in value.items():
        try:
            tables[str(name)] = msgspec.json.decode(parse_definition(name, document).to_json())
        except InvalidJobError as exc:
            raise ConfigError(f"{source}: {exc}") from None
    return tables


def event_table(value: object, source: str) -> dict[str, str | None]:
    """The events of the file: pattern to ``MODULE:TYPE``, or to nothing for events of any shape."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: events: expected patterns, each with MODULE:TYPE, or with nothing")
    for pattern, target in value.items():
        if not isinstance(pattern, str) or not (target is None or isinstance(target, str)):
            raise ConfigError(f"{source}: events.{pattern}: expected MODULE:TYPE, or nothing for events of any shape")
    return dict(value)


TABLES: Final[Mapping[str, Callable[[object, str], object]]] = {
    "streams": stream_tables,
    "tasks": task_tables,
    "jobs": job_tables,
    "schedules": schedule_tables,
    "events": event_table,
}
"""How each is read: from its value, and the name of its source."""
