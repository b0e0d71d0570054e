"""Streams and those who were let in: when rights change or tokens expire, whoever may no longer read is shown out."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from gbe.http.streams import Stream
from gbe.notify.access.access import Access
from gbe.notify.access.callers import Caller
from gbe.notify.access.names import EVERYONE
from gbe.notify.errors import Refusal

_LONGEST_WAIT: Final = 600.0
"""Seconds after which an expiry is looked at anew: the clock of the wall may have been set meanwhile."""


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
        self._expiring: dict[_Admission, asyncio.TimerHandle] = {}
        if access is not None:
            access.directory.on_change.append(self._look_again)

    def run(self, caller: Caller, topics: tuple[str, ...], stream: Stream) -> Coroutine[Any, Any, None]:
        """Serve a stream for as long as its caller may read; a change or an expiry in between counts too."""
        if self._access is None:
            return stream.run()
        return self._watched(_Admission(caller, topics, stream))

    async def _watched(self, admission: _Admission) -> None:
        streams = self._by_name.setdefault(admission.caller.name, set())
        streams.add(admission)
        try:
            if not admission.is_good():  # changed since it was asked
                raise Refusal.FORBIDDEN.error()
            self._await_expiry(admission)
            await admission.stream.run()
        finally:
            self._forget_expiry(admission)
            streams.discard(admission)
            if not streams:
                self._by_name.pop(admission.caller.name, None)

    def _look_again(self, changed: frozenset[str]) -> None:
        names = list(self._by_name) if EVERYONE in changed else changed
        for name in names:
            for admission in list(self._by_name.get(name, ())):
                self._look_at(admission)

    def _look_at(self, admission: _Admission) -> None:
        if admission.is_good():
            self._await_expiry(admission)
        else:
            self._forget_expiry(admission)
            admission.stream.end()

    def _await_expiry(self, admission: _Admission) -> None:
        """Look again when the token expires; those that never do, as nearly all, have no timer."""
        self._forget_expiry(admission)
        if expires := admission.caller.expires:
            wait = min(max(0.0, expires - time.time()), _LONGEST_WAIT)
            self._expiring[admission] = asyncio.get_running_loop().call_later(wait, self._look_at, admission)

    def _forget_expiry(self, admission: _Admission) -> None:
        timer = self._expiring.pop(admission, None)
        if timer is not None:
            timer.cancel()
