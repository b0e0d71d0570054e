"""The streams of a deployment: one per retention class, and what the file changes of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gbe.errors import ConfigError, InvalidSubjectError
from gbe.notify.config import NotifyConfig
from gbe.transport.base import StreamConfig

_DAY: Final = 86_400.0


def default_streams(namespace: str, notify: NotifyConfig) -> tuple[StreamConfig, ...]:
    """One stream per retention class (system.md section 7). Subjects get the namespace in front."""
    topics_age = max(notify.cache_duration, 60.0)
    table: tuple[tuple[str, tuple[str, ...], float, float], ...] = (
        # a client repeats a publish within seconds or not at all: short, because the engine keeps the ids in memory
        ("notify-topic", ("notify.topic.*",), topics_age, 30.0),
        ("notify", ("notify.broadcast.*", "notify.customer.>"), 7 * _DAY, 120.0),
        ("events", ("events.system.*", "events.auth.*", "events.lifecycle.>"), 7 * _DAY, 120.0),
        ("events-api", ("events.api.*",), 3 * _DAY, 120.0),
        ("events-audit", ("events.audit.*",), 7 * _DAY, 120.0),
        ("tasks", ("tasks.>", "jobs.>"), 1 * _DAY, 120.0),
        ("deadletter", ("_deadletter.*",), 7 * _DAY, 120.0),
    )
    return tuple(
        StreamConfig(
            name=f"{namespace}-{name}",
            subjects=tuple(f"{namespace}.{subject}" for subject in subjects),
            max_age=max_age,
            dedup_window=dedup_window,
        )
        for name, subjects, max_age, dedup_window in table
    )


def configured_streams(
    namespace: str, notify: NotifyConfig, tables: Sequence[Mapping[str, Any]]
) -> tuple[StreamConfig, ...]:
    """The default streams; entries of the file change those of the same name and add others. Raises ``ConfigError``."""
    streams = {stream.name: stream for stream in default_streams(namespace, notify)}
    for table in tables:
        name = f"{namespace}-{table['name']}"
        changes = {key: value for key, value in table.items() if key != "name"}
        if "subjects" in changes:
            changes["subjects"] = tuple(f"{namespace}.{subject}" for subject in changes["subjects"])
        try:
            known = streams.get(name)
            streams[name] = (
                dataclasses.replace(known, **changes) if known is not None else StreamConfig(name=name, **changes)
            )
        except TypeError:
            raise ConfigError(f"stream {table['name']}: subjects is missing; name at least one pattern") from None
        except InvalidSubjectError as exc:
            raise ConfigError(f"stream {table['name']}: {exc}") from exc
    return tuple(streams.values())
