"""A queue's books, kept as Jepsen's total-queue keeps them, for tests and for the long runs of ``chaos``.

What was attempted, what of it was acknowledged to its publisher, and what every member of a group was handed, in
whichever process. *Lost* is what was acknowledged and that no member ended; *unexpected*, what nobody attempted. An
attempt that was not acknowledged has an unknown outcome: it may come out or not. A message that comes out again is
*duplicated*, and the contract has to have a reason for it.
"""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.waiting import eventually

from gbe.errors import TransportUnavailableError
from gbe.ids import new_ulid
from gbe.transport.base import AfterPosition, ConsumeOptions, Delivery, Handler, StoredMessage, Tail, Transport

LATE: Final = "not answered in time"
CUT: Final = "a connection, server or member was lost"
UNEXPLAINED: Final = "without a reason"
_NEVER: Final = float("inf")


@dataclass(slots=True)
class Handling:
    """One message in the hands of one member; moments of the machine's monotonic clock, the same in all processes."""

    attempt: int
    member: str
    at: float
    ended: float = _NEVER


class Journal:
    """What one member writes down, line by line, so that it is on record whenever its process ends."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def handed(self, delivery: Delivery) -> None:
        """A message came."""
        self._write("handed", delivery)

    def ended(self, delivery: Delivery) -> None:
        """It was acknowledged."""
        self._write("ended", delivery)

    def _write(self, what: str, delivery: Delivery) -> None:
        os.write(self._file, f"{what} {delivery.envelope.id} {delivery.attempt} {time.monotonic()}\n".encode())


class Account:
    """The books.

    Args:
        ack_timeout: of the group, in seconds.
    """

    def __init__(self, ack_timeout: float) -> None:
        self.ack_timeout = ack_timeout
        self.attempted: set[str] = set()
        self.acknowledged: set[str] = set()
        self.handlings: dict[str, list[Handling]] = {}
        self.disturbances: list[tuple[float, float]] = []

    # -- keeping them

    def handed(self, delivery: Delivery, member: str) -> Handling:
        """A member has got a message; it says itself when it ended it."""
        return self._enter(delivery.envelope.id, Handling(delivery.attempt, member, time.monotonic()))

    def _enter(self, id: str, handling: Handling) -> Handling:
        self.handlings.setdefault(id, []).append(handling)
        return handling

    def read_journal(self, path: Path) -> None:
        """Enter what a member in another process has written down."""
        open_ones: dict[tuple[str, str], Handling] = {}
        for line in path.read_text().splitlines():
            what, id, attempt, moment = line.split(" ")
            if what == "handed":
                open_ones[id, attempt] = self._enter(id, Handling(int(attempt), path.stem, float(moment)))
            else:
                open_ones[id, attempt].ended = float(moment)

    @contextmanager
    def disturbance(self, aftermath: float = 1.0) -> Iterator[None]:
        """Something is broken on purpose inside the block, and its consequences show for ``aftermath`` seconds."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.disturbances.append((began, time.monotonic() + aftermath))

    # -- reading them

    @property
    def unknown(self) -> set[str]:
        """Attempts that nobody confirmed."""
        return self.attempted - self.acknowledged

    @property
    def ended(self) -> set[str]:
        """What some member has ended."""
        return {id for id, found in self.handlings.items() if any(one.ended < _NEVER for one in found)}

    @property
    def lost(self) -> set[str]:
        return self.acknowledged - self.ended

    @property
    def unexpected(self) -> set[str]:
        return set(self.handlings) - self.attempted

    def duplicates(self) -> dict[str, int]:
        """How often messages came out again, by reason."""
        reasons = {LATE: 0, CUT: 0, UNEXPLAINED: 0}
        for found in self.handlings.values():
            ordered = sorted(found, key=lambda one: (one.attempt, one.at))
            for before, again in itertools.pairwise(ordered):
                reasons[self._reason(before, again)] += 1
        return reasons

    def _reason(self, before: Handling, again: Handling) -> str:
        # the engine's ack timeout began when it handed the message out, a little ahead of our note; much, if the member
        # was frozen in between
        is_late = before.ended - before.at > 0.9 * self.ack_timeout or before.ended > again.at
        if again.attempt > before.attempt and is_late:
            return LATE
        first, last = sorted((before.at, again.at))
        if any(began <= last and first <= over for began, over in self.disturbances):
            return CUT
        return UNEXPLAINED

    def report(self) -> str:
        """The account, as people read it."""
        reasons = self.duplicates()
        lines = [
            ("attempted", len(self.attempted)),
            ("acknowledged", len(self.acknowledged)),
            ("unknown", len(self.unknown)),
            ("  of them delivered", len(self.unknown & self.ended)),
            ("delivered", len(self.ended)),
            ("lost", len(self.lost)),
            ("unexpected", len(self.unexpected)),
            ("duplicated", sum(reasons.values())),
            *((f"  {reason}", count) for reason, count in reasons.items()),
        ]
        return "\n".join(f"{name:<48}{count:>10}" for name, count in lines)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is lost or unexpected, and whatever came twice had a reason to."""
        return not (self.lost or self.unexpected or self.duplicates()[UNEXPLAINED])


@dataclass
class Seen:
    """What a tail has shown."""

    patterns: tuple[str, ...]
    messages: list[StoredMessage] = field(default_factory=list)


class Load:
    """Publishers, members of a group and tails, all at once, while a test breaks things; keeps an ``Account``.

    Args:
        publishing: publishers take turns on these.
        consuming: one member of the group on each.
        tailing: the tails' transport.
        root: what the subjects begin with; a stream must store them.
        pattern: what the group consumes; it must cover ``root.*``, or be one of the subjects with ``subjects=1``.
        options: of the group.
        elections: a server may be replaced by a replica that lacks what was not confirmed yet. Such a message was
            shown to tails, and is stored again when its publisher repeats it.
    """

    def __init__(
        self,
        publishing: Sequence[Transport],
        consuming: Sequence[Transport],
        tailing: Transport,
        root: str,
        options: ConsumeOptions,
        *,
        subjects: int = 3,
        pattern: str = "",
        elections: bool = False,
    ) -> None:
        self._publishing, self._consuming, self._tailing = publishing, consuming, tailing
        self.subjects = tuple(f"{root}.s{number}" for number in range(subjects))
        self.pattern, self.options, self._elections = pattern or f"{root}.*", options, elections
        self.account = Account(options.ack_timeout)
        self.tails = {
            "literal": Seen(self.subjects[:1]),
            "wildcard": Seen((f"{root}.*",)),
            "merged": Seen(self.subjects),
        }
        self._publishers: list[asyncio.Task[None]] = []
        self._readers: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def flowing(self, total: int, publishers: int = 20) -> AsyncIterator[None]:
        """All run inside the block; on leaving it the publishers have ended and the books are balanced."""
        async with AsyncExitStack() as stack:
            for number, transport in enumerate(self._consuming):
                member = await stack.enter_async_context(transport.consume(self.pattern, "g", self.options))
                handler = self._handler(f"member {number}")
                self._readers.append(asyncio.create_task(member.run(handler, concurrency=20)))
            for seen in self.tails.values():
                tail = await stack.enter_async_context(self._tailing.tail(seen.patterns))
                self._readers.append(asyncio.create_task(_read(tail, seen.messages)))
            numbers = iter(range(total))
            self._publishers = [
                asyncio.create_task(self._publish(self._publishing[number % len(self._publishing)], numbers))
                for number in range(publishers)
            ]
            try:
                yield
                await asyncio.gather(*self._publishers)
                await self.balance()
            finally:
                for task in (*self._publishers, *self._readers):
                    task.cancel()
                await asyncio.gather(*self._publishers, *self._readers, return_exceptions=True)

    async def reached(self, count: int, *, within: float = 60.0) -> None:
        """Wait until as many publishes are acknowledged."""
        acknowledged = self.account.acknowledged
        await eventually(lambda: len(acknowledged) >= count, f"{count} acknowledged publishes", within=within)
        self._raise_what_failed()

    def _raise_what_failed(self) -> None:
        for task in (*self._publishers, *self._readers):
            if task.done():
                task.result()

    async def _publish(self, transport: Transport, numbers: Iterator[int]) -> None:
        for number in numbers:
            id = new_ulid()
            self.account.attempted.add(id)
            is_patient = number % 5 > 0
            while id not in self.account.acknowledged:
                subject = self.subjects[number % len(self.subjects)]
                try:
                    await transport.publish(subject, b"%d" % number, id=id, timeout=8.0 if is_patient else 2.0)
                    self.account.acknowledged.add(id)
                except TransportUnavailableError:
                    if not is_patient:
                        break  # nobody will know
                    await asyncio.sleep(0.01)

    def _handler(self, member: str) -> Handler:
        async def handle(delivery: Delivery) -> None:
            handling = self.account.handed(delivery, member)
            await asyncio.sleep(0)
            with suppress(TransportUnavailableError):
                await delivery.ack()
            handling.ended = time.monotonic()

        return handle

    async def balance(self) -> None:
        """Everything that is stored comes out, and all views of it agree."""
        account = self.account
        stored = {subject: await history(self._tailing, subject) for subject in self.subjects}
        ids = [message.envelope.id for messages in stored.values() for message in messages]
        assert len(set(ids)) == len(ids), "stored twice"
        assert account.acknowledged <= set(ids), f"{len(account.acknowledged - set(ids))} acknowledged, not stored"
        assert set(ids) <= account.attempted, "stored, and never attempted"
        await eventually(lambda: account.ended >= set(ids), "all stored messages to be consumed", within=60.0)
        self._raise_what_failed()
        assert account.is_sound, f"\n{account.report()}"
        for name, seen in self.tails.items():
            wanted = {id for subject, found in stored.items() for id in _ids(found) if _covers(seen.patterns, subject)}
            await eventually(lambda seen=seen, wanted=wanted: wanted <= set(_ids(seen.messages)), f"the {name} tail")
            for subject in self.subjects:
                expected = stored[subject] if _covers(seen.patterns, subject) else []
                shown = [message for message in seen.messages if message.envelope.subject == subject]
                if self._elections:
                    shown = [message for message in shown if message in expected]
                assert shown == expected, f"{name} tail of {subject}"


async def _read(tail: Tail, seen: list[StoredMessage]) -> None:
    async for message in tail:
        seen.append(message)  # noqa: PERF401  one by one: the others look on


def _covers(patterns: Sequence[str], subject: str) -> bool:
    return subject in patterns or any(pattern.endswith(".*") for pattern in patterns)


def _ids(messages: Sequence[StoredMessage]) -> list[str]:
    return [message.envelope.id for message in messages]


async def history(transport: Transport, subject: str) -> list[StoredMessage]:
    """Everything that is stored on a subject."""
    found = page = await transport.read(subject)
    while page:
        position = page[-1].position
        assert position is not None
        page = await transport.read(subject, start=AfterPosition(position))
        found = found + page
    return found
