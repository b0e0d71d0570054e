"""A job's record: one byte for each task, so that a long job is not written anew in full at each step.

What never changes (definition, parameters) lies in the *plan*, a record of its own; the states of a fan-out's items lie
in records of ``CHUNK`` items each. So a step of a job writes a few bytes a task, and a step of a fan-out one chunk.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

import msgspec

from gbe.errors import TaskError
from gbe.schemas.stored import decimal, one_of, read, table


class JobState(StrEnum):
    """Where a job is; the value is what a record holds."""

    RUNNING = "running"
    FAILING = "failing"  # it will fail: what runs is stopped, what was done is undone
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended; only ``retry`` leads on."""
        return self not in (JobState.RUNNING, JobState.FAILING)


class Code(StrEnum):
    """Where a task of a job, or an item of a fan-out, is."""

    WAITING = "w"
    STARTING = "s"  # to be submitted; maybe it is
    RUNNING = "r"  # submitted
    COMPLETED = "c"
    FAILED = "f"
    SKIPPED = "k"
    CANCELLED = "x"  # the job ended before it did

    @property
    def word(self) -> str:
        """As people read it."""
        return self.name.lower()


class ChunkCode(StrEnum):
    """How far a chunk of items is."""

    FRESH = "n"  # to be submitted, whatever is stored of an earlier run
    STARTING = "s"  # to be submitted where it is not, and again where it has failed
    RUNNING = "r"
    BROKEN = "e"  # some have failed, others still run
    COMPLETED = "c"
    FAILED = "f"  # all have ended, some have failed


OPEN: Final = frozenset({Code.STARTING, Code.RUNNING})
TO_SUBMIT: Final = frozenset({ChunkCode.FRESH, ChunkCode.STARTING})
NOT_UNDONE: Final = "-"
MAX_ERRORS: Final = 64
MAX_ERROR: Final = 500
"""Characters. With ``MAX_ERRORS`` it keeps the record of the largest job below what a state store takes, 256 KiB."""
_CODES: Final = {code.value: code for code in Code}
_REQUIRED: Final = ("job_id", "job_type")


@dataclass(slots=True, kw_only=True)
class JobRecord:
    """One job. Moments are unix milliseconds.

    Attributes:
        rev: raised by every write: what a compare-and-set compares.
        run: 1, and one more for each ``retry``.
        look_at: when somebody must look at it at the latest; ``None`` once it has ended and all is done.
        deadline: end of its whole time.
        nodes: a code for each task, in the order of the definition.
        runs: the run in which each was started last.
        undo: a code for each task's undoing; ``-`` if there is none.
        chunks: of each fan-out that has started, by the task's number: a code for each chunk.
        sizes: how many items each fan-out has.
        errors: what went wrong outside of a task's own record, by the task's number; the last ``MAX_ERRORS``.
        settled: 1 if no waiting task could start when this was written, and no failure was left to be judged: what is
            next then depends on what has changed since, and not on the whole job.
        history: see ``gbe.graph.history``.
        touched: numbers of the tasks, and of the fan-outs with chunks, that changed since it was read; not stored.
    """

    job_id: str
    job_type: str
    state: JobState = JobState.RUNNING
    rev: int = 0
    run: int = 1
    created_at: int = 0
    updated_at: int = 0
    finished_at: int | None = None
    look_at: int | None = None
    deadline: int = 0
    retention_ms: int = 86_400_000
    nodes: str = ""
    runs: bytes = b""
    undo: str = ""
    chunks: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    error: str | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    settled: int | None = None
    history: str = ""
    touched: set[int] = field(default_factory=set, compare=False, repr=False)

    def code(self, number: int) -> Code:
        """Where a task is."""
        return _CODES[self.nodes[number]]

    def set(self, number: int, code: Code) -> None:
        """Put a task there."""
        self.nodes = f"{self.nodes[:number]}{code.value}{self.nodes[number + 1 :]}"
        self.touched.add(number)

    def set_chunk(self, number: int, chunk: int, code: ChunkCode) -> None:
        """How far a chunk of a fan-out is."""
        codes = self.chunks[number]
        self.chunks[number] = f"{codes[:chunk]}{code.value}{codes[chunk + 1 :]}"
        self.touched.add(number)

    def note_error(self, number: int, text: str) -> None:
        """What went wrong with a task, unless that is known. A record has room for some; the rest is in the tasks'."""
        if number in self.errors:
            return
        if len(self.errors) >= MAX_ERRORS:
            del self.errors[next(iter(self.errors))]
        self.errors[number] = printable(text, MAX_ERROR)

    def set_run(self, number: int, run: int) -> None:
        """A task is started in this run."""
        self.runs = self.runs[:number] + bytes([run]) + self.runs[number + 1 :]

    def set_undo(self, number: int, code: Code) -> None:
        """How far the undoing of a task is."""
        self.undo = f"{self.undo[:number]}{code.value}{self.undo[number + 1 :]}"

    def copy(self) -> "JobRecord":
        """One to change."""
        return dataclasses.replace(
            self, chunks=dict(self.chunks), sizes=dict(self.sizes), errors=dict(self.errors), touched=set()
        )

    def to_fields(self) -> dict[str, bytes]:
        """As the state store holds it."""
        encoded = ((name, _encode(kind, getattr(self, name))) for name, kind in _FIELDS.items())
        return {name: value for name, value in encoded if value is not None}

    def changes_from(self, seen: "JobRecord") -> dict[str, bytes | None]:
        """What is to be written where ``seen`` is stored; what is not there any more is removed."""
        changed = (name for name in _FIELDS if getattr(self, name) != getattr(seen, name))
        return {name: _encode(_FIELDS[name], getattr(self, name)) for name in changed}

    @classmethod
    def from_fields(cls, fields: Mapping[str, bytes]) -> Self:
        """Read a record; raises ``BrokenRecordError`` if it is none."""
        return cls(**read("a job's record", fields, _DECODERS, _REQUIRED))


@dataclass(slots=True)
class Chunk:
    """The items of one chunk: a code and a run for each."""

    rev: int
    codes: str
    runs: bytes

    def summary(self) -> ChunkCode:
        """How far it is as a whole."""
        found = set(self.codes)
        if "s" in found:
            return ChunkCode.STARTING
        if "r" in found:
            return ChunkCode.BROKEN if found & {"f", "x"} else ChunkCode.RUNNING
        return ChunkCode.FAILED if found & {"f", "x"} else ChunkCode.COMPLETED

    def to_fields(self) -> dict[str, bytes]:
        """As the state store holds it."""
        return {"rev": b"%d" % self.rev, "codes": self.codes.encode(), "runs": self.runs}

    @classmethod
    def from_fields(cls, fields: Mapping[str, bytes]) -> Self:
        """Read a record; raises ``TaskError`` if it is none."""
        try:
            return cls(int(fields["rev"]), fields["codes"].decode(), fields["runs"])
        except (KeyError, ValueError) as exc:
            raise TaskError(f"not a record of a job's items: {exc}") from exc


def _kind(field: "dataclasses.Field[Any]") -> str:
    kind = str(field.type)
    for word, name in (("dict", "table"), ("int", "integer"), ("bytes", "bytes"), ("JobState", "state")):
        if word in kind:
            return f"{name}:{'int' if 'dict[int, int]' in kind else 'text'}" if name == "table" else name
    return "text"


_FIELDS: Final = {field.name: _kind(field) for field in dataclasses.fields(JobRecord) if field.compare}


def printable(text: str, most: int) -> str:
    """Without what JSON writes as six bytes."""
    return "".join(char if char.isprintable() else " " for char in text[:most])


def _encode(kind: str, value: Any) -> bytes | None:
    if value is None:
        return None
    match kind:
        case "integer":
            return b"%d" % value
        case "bytes":
            return bytes(value)
        case "state":
            return str(value.value).encode()
        case "text":
            return str(value).encode(errors="replace")
        case _:
            return msgspec.json.encode({str(key): str(item) for key, item in value.items()}) if value else None


_KIND_DECODERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "integer": decimal,
    "bytes": bytes,
    "state": one_of({state.value: state for state in JobState}),
    "text": bytes.decode,
    "table:text": table(str),
    "table:int": table(int),
}
_DECODERS: Final = {name: _KIND_DECODERS[kind] for name, kind in _FIELDS.items()}
