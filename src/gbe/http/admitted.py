"""Streams and those who were let in: when rights change, whoever may no longer read is shown out."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from gbe.http.streams import Stream
from gbe.notify.access.access import Access
from gbe.notify.access.callers import Caller
from gbe.notify.access.names import EVERYONE
from gbe.notify.errors import Refusal


@dataclass(frozen=True, slots=True, eq=False)
class _Admission:
    caller: Caller
    topics: tuple[str, ...]
    stream: Stream

    def is_good(self) -> bool:
        """Whether the same request would be let in now."""
        return self.caller.is_still() and all(self.caller.may(topic, write=False) for topic in self.topics)


class Admitted:
    """The open streams of this process, by who opened them.

    Args:
        access: ``None``: everybody may read everything, for ever.
    """

    def __init__(self, access: Access | None) -> None:
        self._access = access
        self._by_name: dict[str | None, set[_Admission]] = {}
        if access is not None:
            access.directory.on_change.append(self._look_again)

    def run(self, caller: Caller, topics: tuple[str, ...], stream: Stream) -> Coroutine[Any, Any, None]:
        """Serve a stream for as long as its caller may read; a change in between counts too."""
        if self._access is None:
            return stream.run()
        return self._watched(_Admission(caller, topics, stream))

    async def _watched(self, admission: _Admission) -> None:
        streams = self._by_name.setdefault(admission.caller.name, set())
        streams.add(admission)
        try:
            if not admission.is_good():  # changed since it was asked
                raise Refusal.FORBIDDEN.error()
            await admission.stream.run()
        finally:
            streams.discard(admission)
            if not streams:
                self._by_name.pop(admission.caller.name, None)

    def _look_again(self, changed: frozenset[str]) -> None:
        names = list(self._by_name) if EVERYONE in changed else changed
        for name in names:
            for admission in list(self._by_name.get(name, ())):
                if not admission.is_good():
                    admission.stream.end()
