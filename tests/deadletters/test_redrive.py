"""A message fails, is looked into and is sent again: on every engine."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from tests.deadletters.conftest import Desk, OpenDesk
from tests.waiting import eventually

from gbe.clock import ManualClock, SystemClock
from gbe.deadletters.query import LetterFilter
from gbe.deadletters.record import Status
from gbe.deadletters.redrive import PATIENCE
from gbe.errors import LetterNotFoundError, TransportUnavailableError
from gbe.ids import new_ulid
from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery, Handler, Transport

OPTIONS = ConsumeOptions(start=EARLIEST, max_deliver=2)
EVERYTHING = LetterFilter()


@asynccontextmanager
async def working(desk: Desk, pattern: str, group: str, handler: Handler) -> AsyncIterator[None]:
    async with desk.transport.consume(pattern, group, OPTIONS) as deliveries:
        running = asyncio.create_task(deliveries.run(handler, concurrency=4))
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


class Flaky:
    """A handler that fails until it is mended; it counts what it was handed and what it did."""

    def __init__(self) -> None:
        self.is_mended = False
        self.handed: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    async def __call__(self, delivery: Delivery) -> None:
        self.handed[delivery.envelope.id] += 1
        if not self.is_mended:
            raise ValueError(f"invoice {delivery.envelope.payload.decode()} has no total")
        self.done[delivery.envelope.id] += 1


class Deduplicating:
    """A handler that does each id once."""

    def __init__(self) -> None:
        self.handed: Counter[str] = Counter()
        self.effects: list[str] = []

    async def __call__(self, delivery: Delivery) -> None:
        self.handed[delivery.envelope.id] += 1
        if delivery.envelope.id not in self.effects:
            self.effects.append(delivery.envelope.id)


async def fail(desk: Desk, count: int, subject: str = "events.audit.invoice", group: str = "billing") -> list[str]:
    """Publish messages that a group gives up; their ids, once their letters are there."""
    subject = f"{desk.ns}.{subject}"
    before = (await desk.letters.groups(LetterFilter(group=group))) or []
    already = sum(one.count for one in before)
    ids = [await desk.transport.publish(subject, b"%d" % number) for number in range(count)]
    async with working(desk, subject, group, Flaky()):

        async def are_there() -> bool:
            return sum(one.count for one in await desk.letters.groups(LetterFilter(group=group))) == already + count

        await eventually(are_there, "the letters", interval=0.05)
    return ids


async def test_one_group_fails_and_its_letters_are_sent_again_each_once(desk: Desk) -> None:
    """Two groups, one failing: grouped letters, a dry run that counts, a redrive; the other group tells by the id."""
    subject = f"{desk.ns}.events.audit.invoice"
    billing, mirror = Flaky(), Deduplicating()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(working(desk, subject, "billing", billing))
        await stack.enter_async_context(working(desk, subject, "mirror", mirror))
        ids = [await desk.transport.publish(subject, b"%d" % number) for number in range(7)]

        async def all_failed() -> bool:
            return sum(group.count for group in await desk.letters.groups()) == 7

        await eventually(all_failed, "seven letters", interval=0.05)
        (group,) = await desk.letters.groups()
        assert (group.group, group.domain, group.subject, group.error_type) == (
            "billing",
            "events",
            subject,
            "ValueError",
        )
        assert group.by_status == {"open": 7}
        assert "has no total" in group.reason

        assert await desk.letters.count(LetterFilter(fingerprint=group.fingerprint)) == 7
        assert sum(billing.handed.values()) == 14

        billing.is_mended = True
        outcomes = await desk.redrive(LetterFilter(fingerprint=group.fingerprint))
        assert Counter(outcome.result for outcome in outcomes) == {"redriven": 7}
        assert sorted(str(outcome.sent_as) for outcome in outcomes) == sorted(ids)
        await eventually(lambda: len(billing.done) == 7 and sum(mirror.handed.values()) == 14, "all handed out again")

        assert billing.done == Counter(ids)
        assert sorted(mirror.effects) == sorted(ids)
        assert all(count == 2 for count in mirror.handed.values())
        assert await desk.redrive(EVERYTHING) == []
        assert len(await desk.transport.read(subject)) == 14

    page = await desk.letters.page(LetterFilter(status=Status.REDRIVEN))
    assert [letter.redrives for letter in page.letters] == [1] * 7
    changes = await desk.audited()
    assert {change.target for change in changes} == {f"deadletter/{message_id}.billing" for message_id in ids}
    assert {(change.actor, change.action) for change in changes} == {("test", "redrive")}


async def test_what_fails_again_is_open_again_and_remembers_its_redrives(desk: Desk) -> None:
    """One letter for a message and a group, however often it fails; each failure is counted."""
    (message_id,) = await fail(desk, 1)
    letter_id = f"{message_id}.billing"
    for redrives in (1, 2):
        first = await desk.letters.get(letter_id)
        assert [outcome.result for outcome in await desk.redrive(EVERYTHING)] == ["redriven"]
        async with working(desk, first.subject, "billing", Flaky()):

            async def is_open_again(failures: int = redrives + 1) -> bool:
                await desk.letters.indexer.catch_up()
                found = await desk.letters.get(letter_id)
                return found.status is Status.OPEN and found.failures == failures

            await eventually(is_open_again, "the letter, open again", interval=0.05)
        again = await desk.letters.get(letter_id)
        assert again.redrives == redrives
        assert again.first_failed_at == first.first_failed_at
        assert again.last_failed_at >= first.last_failed_at
    assert (await desk.letters.original_of(again)).payload == b"0"


async def test_a_redrive_may_go_elsewhere(desk: Desk) -> None:
    """To another subject, with the original's id, payload and trace."""
    ids = await fail(desk, 2)
    target = f"{desk.ns}.events.system.repair"
    outcomes = await desk.redrive([f"{message_id}.billing" for message_id in ids], to=target)
    assert [outcome.result for outcome in outcomes] == ["redriven"] * 2
    assert [message.envelope.id for message in await desk.transport.read(target)] == ids
    assert (await desk.letters.get(f"{ids[0]}.billing")).target == target


async def test_a_target_that_nothing_stores_leaves_the_letter_open(desk: Desk) -> None:
    """The outcome says why, nothing is counted, and it can be sent again."""
    (message_id,) = await fail(desk, 1)
    (outcome,) = await desk.redrive(EVERYTHING, to="nowhere.at.all")
    assert outcome.result == "failed"
    assert "nowhere.at.all" in str(outcome.error)
    letter = await desk.letters.get(f"{message_id}.billing")
    assert (letter.status, letter.redrives, letter.target) == (Status.OPEN, 0, None)
    assert await desk.audited() == []
    assert [outcome.result for outcome in await desk.redrive(EVERYTHING)] == ["redriven"]


class CrashError(Exception):
    """The operator's process ends here."""


class CrashingTransport:
    """A transport whose process dies around a publish: before it, or after the engine has stored the message."""

    def __init__(self, transport: Transport, *, after: bool, survive: int) -> None:
        self._transport, self._after, self._survive = transport, after, survive

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    async def publish(self, *arguments: object, **options: object) -> str:
        self._survive -= 1
        if self._survive < 0 and not self._after:
            raise CrashError
        sent = await self._transport.publish(*arguments, **options)  # type: ignore[arg-type]
        if self._survive < 0:
            raise CrashError
        return sent


@pytest.mark.parametrize("after", [False, True], ids=["before-publish", "after-publish"])
@pytest.mark.parametrize("forgetful", [False, True], ids=["key-known", "key-forgotten"])
async def test_a_redrive_that_crashes_half_way_is_resumed_and_sends_nothing_twice(
    open_desk: OpenDesk, after: bool, forgetful: bool
) -> None:
    """Also when the engine has forgotten the key by then: the next operator looks into the subject's history."""
    crashing = await open_desk(
        transport=lambda one: CrashingTransport(one, after=after, survive=2),  # type: ignore[return-value, arg-type]
    )
    ids = await fail(crashing, 5)
    subject = f"{crashing.ns}.events.audit.invoice"
    with pytest.raises(CrashError):
        await crashing.redrive(EVERYTHING)
    assert len(await crashing.transport.read(subject)) == 5 + 2 + after
    (letter,) = (await crashing.letters.page(LetterFilter(status=Status.REDRIVING))).letters
    assert letter.redrives == 1

    def forget(transport: Transport) -> Transport:
        return ForgetfulTransport(transport) if forgetful else transport  # type: ignore[return-value]

    # to others it is under way, until their patience is over
    assert await (await open_desk()).letters.count() == 2
    later = ManualClock(SystemClock().now_ms() + round(1000 * PATIENCE) + 1)
    hurried = await open_desk(clock=later, transport=forget)
    assert await hurried.letters.count() == 3
    outcomes = await hurried.redrive(EVERYTHING)
    assert [outcome.result for outcome in outcomes] == ["redriven"] * 3
    stored = Counter(message.envelope.id for message in await hurried.transport.read(subject))
    assert stored == Counter(dict.fromkeys(ids, 2))
    letters = (await hurried.letters.page()).letters
    assert {(letter.status, letter.redrives) for letter in letters} == {(Status.REDRIVEN, 1)}
    changes = await hurried.audited()
    assert len({change.target for change in changes}) == len({change.id for change in changes}) == 5


class ForgetfulTransport:
    """A transport whose engine has forgotten every idempotency key by now."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    async def publish(self, *arguments: object, **options: object) -> str:
        options["idempotency_key"] = f"later {new_ulid()}"
        return await self._transport.publish(*arguments, **options)  # type: ignore[arg-type]


async def test_two_operators_at_once_send_each_letter_once(open_desk: OpenDesk) -> None:
    """Who is second is told so."""
    one, two = await open_desk(), await open_desk()
    ids = await fail(one, 12)
    results = await asyncio.gather(one.redrive(EVERYTHING), two.redrive(EVERYTHING))
    redriven = [outcome.id for outcomes in results for outcome in outcomes if outcome.result == "redriven"]
    assert sorted(redriven) == sorted(f"{message_id}.billing" for message_id in ids)
    assert len(await one.transport.read(f"{one.ns}.events.audit.invoice")) == 24


async def test_an_engine_that_does_not_answer_leaves_the_letter_to_be_resumed(open_desk: OpenDesk) -> None:
    """Whether it was sent nobody knows, and the letter says so."""

    class Unreachable(ForgetfulTransport):
        async def publish(self, *_: object, **__: object) -> str:
            raise TransportUnavailableError("no answer")

    desk = await open_desk(transport=Unreachable)  # type: ignore[arg-type]
    (message_id,) = await fail(desk, 1)
    with pytest.raises(TransportUnavailableError):
        await desk.redrive(EVERYTHING)
    assert (await desk.letters.get(f"{message_id}.billing")).status is Status.REDRIVING


async def test_a_discarded_letter_is_not_sent_and_stays_listed(desk: Desk) -> None:
    """Discarding is final, and audited."""
    ids = await fail(desk, 2)
    letter_id = f"{ids[0]}.billing"
    assert [outcome.result for outcome in await desk.discard([letter_id])] == ["discarded"]
    assert [outcome.result for outcome in await desk.discard([letter_id])] == ["skipped"]
    assert [outcome.result for outcome in await desk.redrive([letter_id])] == ["failed"]
    assert [outcome.id for outcome in await desk.redrive(EVERYTHING)] == [f"{ids[1]}.billing"]
    (group,) = await desk.letters.groups()
    assert group.by_status == {"discarded": 1, "redriven": 1}
    assert [change.action for change in await desk.audited()] == ["discard", "redrive"]


async def test_an_id_that_is_none_is_an_error(desk: Desk) -> None:
    for letter_id in (f"{new_ulid()}.billing", "x", "*", f"{new_ulid()}.a.b", ""):
        with pytest.raises(LetterNotFoundError):
            await desk.redrive([letter_id])


async def test_a_poison_message_stops_nobody_else(desk: Desk) -> None:
    """Its own group goes on with the others while it fails, and so do other groups."""
    subject = f"{desk.ns}.events.system.deploy"
    done: dict[str, set[bytes]] = {"a": set(), "b": set()}

    async def touchy(delivery: Delivery) -> None:
        if delivery.envelope.payload == b"poison":
            raise ZeroDivisionError("division by zero")
        done["a"].add(delivery.envelope.payload)

    async def robust(delivery: Delivery) -> None:
        done["b"].add(delivery.envelope.payload)

    good = {b"%d" % number for number in range(30)}
    async with working(desk, subject, "a", touchy), working(desk, subject, "b", robust):
        for payload in (b"poison", *sorted(good), b"poison"):
            await desk.transport.publish(subject, payload)
        await eventually(lambda: done == {"a": good, "b": good | {b"poison"}}, "all the others handled")

        async def letters() -> int:
            return sum(group.count for group in await desk.letters.groups())

        await eventually(letters, "letters", interval=0.05)
    (group,) = await desk.letters.groups()
    assert (group.error_type, group.group) == ("ZeroDivisionError", "a")
