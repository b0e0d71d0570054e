"""What jobs need of a deployment; the tasks' own back end is one."""

from collections.abc import Mapping
from typing import Protocol

from gbe.clock import Clock
from gbe.lifecycle.names import TaskNames
from gbe.lifecycle.record import TaskRecord
from gbe.state.base import StateStore
from gbe.transport.base import Transport


class JobBackend(Protocol):
    """One deployment as one process reaches it."""

    @property
    def transport(self) -> Transport: ...
    @property
    def state(self) -> StateStore: ...
    @property
    def names(self) -> TaskNames: ...
    @property
    def clock(self) -> Clock: ...

    async def fields_for(self, key: str, name: str, value: bytes) -> Mapping[str, bytes | None]:
        """A value as fields of a record; a large one goes into the object store."""
        ...

    async def value_of(self, fields: Mapping[str, bytes], name: str) -> bytes | None:
        """The value behind a record's field."""
        ...

    async def signal(self, record: TaskRecord, *, timeout: float = 2.0) -> None:
        """Publish the signal of a pending task."""
        ...

    async def announce_end(self, record: TaskRecord) -> bool:
        """Tell that a task has ended; whether that is published."""
        ...
