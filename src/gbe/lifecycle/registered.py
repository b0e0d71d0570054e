"""What the state store knows of a task type, and how that and the configuration make its settings."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gbe.errors import ConfigError
from gbe.lifecycle.types import TaskType

logger = logging.getLogger(__name__)

FUNCTION: Final = "function"
SETTINGS: Final = "settings"
PAUSED: Final = "paused"
SCHEMA: Final = "schema"

Settings = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Registered:
    """The record of a type.

    Attributes:
        function: the settings that its worker's program gives it.
        settings: what operators have set.
        is_paused: nothing of it is started.
        schema: JSON Schema of its parameters; empty if nobody has said.
    """

    function: Settings
    settings: Settings
    is_paused: bool
    schema: Mapping[str, Any]

    @classmethod
    def from_fields(cls, fields: Mapping[str, bytes]) -> "Registered":
        """Read the record; what cannot be read counts as not said."""
        return cls(
            as_mapping(fields.get(FUNCTION)),
            as_mapping(fields.get(SETTINGS)),
            fields.get(PAUSED) == b"1",
            as_mapping(fields.get(SCHEMA)),
        )


def compose(
    name: str, configured: Settings, registered: Registered | None, function: TaskType | None = None
) -> TaskType:
    """The settings that count: of the function, then the configuration, then what operators have set.

    Args:
        function: as this program has it; ``None`` takes what its worker has written down.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    task_type = function
    if task_type is None:
        task_type = TaskType() if registered is None else _with(TaskType(), registered.function, name)
    task_type = task_type.changed(configured, source=f"tasks.{name}")
    if registered is None:
        return task_type
    task_type = _with(task_type, registered.settings, name)
    return _with(task_type, {"paused": True}, name) if registered.is_paused else task_type


def _with(task_type: TaskType, settings: Settings, name: str) -> TaskType:
    try:
        return task_type.changed(settings, source=f"settings of {name}")
    except ConfigError as exc:  # of another version: what is known stays
        logger.warning("settings left alone: %s", exc)
        return task_type


def as_mapping(value: bytes | None) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    try:
        found = msgspec.json.decode(value or b"{}")
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}
