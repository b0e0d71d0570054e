"""Reads messages back out of an archive, in the order of their streams."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from gbe.archive import files
from gbe.archive.batch import Archived, day_of
from gbe.archive.layout import DATA, DataFile, is_cut
from gbe.errors import ArchiveError
from gbe.objects.store import ObjectStore
from gbe.subjects import matches
from gbe.transport.base import Position


class Found(NamedTuple):
    """A message, and its place among those of its subject: places sort as text, and stay the same."""

    message: Archived
    place: str


@dataclass(frozen=True, slots=True)
class Range:
    """What is wanted.

    Attributes:
        pattern: of subjects, with the namespace; wildcards as in subscriptions.
        since, until: unix milliseconds of publishing, the first included, the last not; ``None`` is open.
    """

    pattern: str
    since: int | None = None
    until: int | None = None

    def has(self, message: Archived) -> bool:
        """Whether a message is in it."""
        moment = message.envelope.timestamp
        return (
            matches(self.pattern, message.envelope.subject)
            and (self.since is None or moment >= self.since)
            and (self.until is None or moment < self.until)
        )

    def has_day(self, day: str) -> bool:
        """Whether a day may have such messages."""
        return (self.since is None or day >= day_of(self.since)) and (self.until is None or day <= day_of(self.until))


class History(ABC):
    """The messages of an archive. Use it as ``async with``."""

    @abstractmethod
    def messages(self, wanted: Range) -> AsyncIterator[Found]:
        """Subject by subject, and within one in the order in which they were published.

        Raises:
            ArchiveError: a file is damaged, the database refuses.
            ObjectError: the object store does not answer, or refuses.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class ObjectHistory(History):
    """Of an archive of files. Closes the object store that it is given."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def messages(self, wanted: Range) -> AsyncIterator[Found]:
        """See ``History.messages``."""
        for file in await self._files(wanted):
            for row in files.unpack(await self._objects.get(file.name), file.name):
                try:
                    message = row.archived()
                except ValueError as exc:
                    raise ArchiveError(f"{file.name}: not a row of an archive: {exc}") from None
                if wanted.has(message):
                    yield Found(message, _place(file.generation, message.position))

    async def _files(self, wanted: Range) -> list[DataFile]:
        found = [
            file
            async for info in self._objects.list(DATA)
            if (file := DataFile.parse(info.name)) is not None and wanted.has_day(file.day)
        ]
        some = [one for one in found if is_cut(one.subject) or matches(wanted.pattern, one.subject)]
        return sorted(some, key=lambda one: (one.domain, one.subject, one.generation, one.first))

    async def close(self) -> None:
        """See ``History.close``."""
        await self._objects.close()


def _place(generation: int, position: Position) -> str:
    return f"{generation:06}-{position.major:020}-{position.minor:020}"
