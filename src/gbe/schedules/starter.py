"""What schedules start, and who starts it for them: domains do not know one another."""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from gbe.errors import ObjectUnavailableError, StateError, TransportClosedError, TransportUnavailableError

Kind = Literal["task", "job"]
KINDS: Final[tuple[Kind, ...]] = ("task", "job")
ENGINE_ERRORS: Final = (StateError, TransportUnavailableError, TransportClosedError, ObjectUnavailableError)
"""What passes by itself when something is to be started: the same call may succeed later."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a schedule starts: a task of a type, or a job of a type."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Started:
    """What was started, now or by an earlier call with the same key."""

    kind: Kind
    name: str
    id: str


class Starter(Protocol):
    """Starts tasks and jobs. Refusals are errors of gbe; those of an engine mean that the call may be repeated."""

    async def check(self, target: Target, params: bytes | None) -> None:
        """Raise if the target is not known, or cannot take these parameters (JSON; ``None``: not known yet)."""
        ...

    async def start(self, target: Target, params: bytes, *, key: str) -> Started:
        """Start it once, however often this is called with the same ``key`` (at most 200 printable characters)."""
        ...

    async def key_of(self, kind: Kind, name: str, id: str) -> str | None:
        """The ``key`` that a task or job was started with; of a task that is part of a job, the job's."""
        ...
