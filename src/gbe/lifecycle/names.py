"""Subjects and keys of tasks (system.md section 3), and which ids are accepted."""

import hashlib
import re
from enum import IntEnum
from typing import Final

from gbe.errors import InvalidTaskError, TaskNotFoundError
from gbe.ids import encode_ulid
from gbe.lifecycle.types import check_type_name

MAX_KEY_CHARACTERS: Final = 200
_TASK_ID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")


class Priority(IntEnum):
    """Which queue a task waits in: workers look at the higher ones first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2

    @classmethod
    def parse(cls, value: object) -> "Priority":
        """Read ``high``, ``normal`` or ``low``."""
        try:
            return value if isinstance(value, Priority) else cls[str(value).strip().upper()]
        except KeyError:
            raise InvalidTaskError("task", "priority", f"{str(value)[:40]!r}; expected high, normal or low") from None

    @property
    def word(self) -> str:
        """As it is written."""
        return self.name.lower()


class TaskNames:
    """The names of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.state_prefix = f"{namespace}.state.tasks"
        self.types_prefix = f"{namespace}.state.tasktypes"
        self.sweeper_lease = f"{namespace}.state.leases.sweeper"
        self.sweep_reports = f"{namespace}.events.system.sweep"
        self.errors = f"{namespace}.events.system.error"
        self.dead_letters = f"{namespace}._deadletter.tasks"

    def queue(self, task_type: str, priority: Priority) -> str:
        """Where the signals of pending tasks go."""
        base = f"{self.namespace}.tasks.{task_type}.queue"
        return base if priority is Priority.NORMAL else f"{base}.{priority.word}"

    def group(self, task_type: str) -> str:
        """The consumer group of the workers of a type."""
        return f"{task_type}-workers"

    def progress(self, task_type: str) -> str:
        """Where progress goes."""
        return f"{self.namespace}.tasks.{task_type}.progress"

    def terminal(self, task_type: str) -> str:
        """Where outcomes go."""
        return f"{self.namespace}.tasks.{task_type}.terminal"

    def reply(self, client_id: str) -> str:
        """Where one client hears of the ends of the tasks that it waits for; nothing is stored there."""
        return f"{self.namespace}.tasks._reply.{client_id}"

    def is_reply(self, subject: str) -> bool:
        """Whether a subject, read from a message, is where some client listens."""
        start = f"{self.namespace}.tasks._reply."
        return subject.startswith(start) and _TASK_ID.match(subject[len(start) :]) is not None

    def task(self, task_type: str, task_id: str) -> str:
        """The key of a task's record."""
        return f"{self.state_prefix}.{task_type}.{task_id}"

    def type(self, task_type: str) -> str:
        """The record of what is registered and set of a type."""
        return f"{self.types_prefix}.{task_type}"

    def limit(self, kind: str, task_type: str, key: str = "") -> str:
        """The record of a limit, of a type or of one key of it."""
        tail = f".{_digest(key)}" if key else ""
        return f"{self.namespace}.state.tasklimits.{kind}.{task_type}{tail}"


def check_task_id(task_id: str) -> str:
    """Return ``task_id`` if it can be one; raise ``TaskNotFoundError`` otherwise."""
    if _TASK_ID.match(task_id) is None:
        raise TaskNotFoundError(task_id)
    return task_id


def id_of_key(task_type: str, idempotency_key: str) -> str:
    """The id of the one task with this idempotency key: the same for every submit, so that one write decides.

    It looks like any other id; the moment that it names means nothing.
    """
    check_type_name(task_type)
    digest = hashlib.blake2b(f"{task_type}\n{idempotency_key}".encode(), digest_size=16).digest()
    return encode_ulid(int.from_bytes(digest[:6]), int.from_bytes(digest[6:]))


def check_limit_key(what: str, value: str) -> str:
    """Return an idempotency or limit key that can be stored and shown; raise ``InvalidTaskError`` otherwise."""
    if not value or len(value) > MAX_KEY_CHARACTERS or not value.isprintable():
        raise InvalidTaskError("task", what, f"expected 1 to {MAX_KEY_CHARACTERS} printable characters")
    return value


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
