"""A task's record: what is stored of it, and how."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from gbe.lifecycle.names import Priority
from gbe.lifecycle.transitions import TaskState
from gbe.schemas.stored import decimal, one_of, read

MAX_ERROR_CHARACTERS: Final = 4_000
_REQUIRED: Final = ("task_type", "task_id", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """One task, as it is stored. Moments are unix milliseconds.

    Attributes:
        attempt: claims so far.
        retry_count: attempts that failed, timed out or were lost.
        timeout_at: when somebody must look: of a pending task, whether its signal got lost; of a running one, whether
            its worker did; of one that has ended, whether its outcome is published. ``None`` once it is.
        deadline: end of its whole time.
        current_step, step_count, note: its progress.
        params_ref, result_ref: claim checks of large ones.
        traceparent: of the submit; ``attempt_trace`` is that of the first attempt, which retries link to.
    """

    task_type: str
    task_id: str
    state: TaskState
    attempt: int = 0
    retry_count: int = 0
    created_at: int = 0
    updated_at: int = 0
    priority: Priority = Priority.NORMAL
    max_retries: int | None = None
    step_timeout_ms: int | None = None
    timeout_at: int | None = None
    run_at: int | None = None
    signalled_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    deadline: int | None = None
    current_step: int | None = None
    step_count: int | None = None
    note: str | None = None
    worker: str | None = None
    job_id: str | None = None
    key: str | None = None
    idempotency_key: str | None = None
    retry_of: str | None = None
    reply_to: str | None = None
    error: str | None = None
    traceparent: str | None = None
    attempt_trace: str | None = None
    params: bytes | None = None
    params_ref: bytes | None = None
    result: bytes | None = None
    result_ref: bytes | None = None

    def to_fields(self) -> dict[str, bytes]:
        """As the state store holds it."""
        fields: dict[str, bytes] = {}
        for name, kind in FIELDS.items():
            value = getattr(self, name)
            if value is not None:
                fields[name] = encode_value(kind, value)
        return fields

    @classmethod
    def from_fields(cls, fields: Mapping[str, bytes]) -> Self:
        """Read a record; fields that are not known are left alone.

        Raises:
            BrokenRecordError: not a task's record. JSON is not looked into: a task moves on whatever its parameters
                are, and who needs them checks them.
        """
        return cls(**read("a task's record", fields, _DECODERS, _REQUIRED))


_KINDS: Final = {"state": "state", "priority": "priority", "task_type": "text", "task_id": "text"}


def _kind(field: "dataclasses.Field[Any]") -> str:
    if field.name in _KINDS:
        return _KINDS[field.name]
    kind = str(field.type)
    return "integer" if "int" in kind else "bytes" if "bytes" in kind else "text"


FIELDS: Final[Mapping[str, str]] = {field.name: _kind(field) for field in dataclasses.fields(TaskRecord)}
"""Every field with its kind: ``text``, ``integer``, ``bytes``, ``state`` or ``priority``."""


def encode_value(kind: str, value: Any) -> bytes:
    """One field as bytes."""
    match kind:
        case "integer":
            return b"%d" % value
        case "bytes":
            return bytes(value)
        case "state":
            return str(value.value).encode()
        case "priority":
            return str(value.word).encode()
        case _:
            return str(value).encode()


_KIND_DECODERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "integer": decimal,
    "bytes": bytes,
    "state": one_of({state.value: state for state in TaskState}),
    "priority": one_of({priority.word: priority for priority in Priority}),
    "text": bytes.decode,
}
_DECODERS: Final = {name: _KIND_DECODERS[kind] for name, kind in FIELDS.items()}
