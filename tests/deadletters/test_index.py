"""The index: what is listed, in which order, and what happens to letters that are none."""

import asyncio
import json

import pytest
from tests.deadletters.conftest import Desk, OpenDesk
from tests.waiting import eventually

from gbe.deadletters.query import LetterFilter
from gbe.deadletters.record import Status
from gbe.errors import InvalidLetterQueryError, LetterConflictError
from gbe.ids import new_ulid
from gbe.schemas import deadletter
from gbe.schemas.deadletter import DeadLetter, OriginalMessage


def letter(desk: Desk, number: int, **changes: object) -> DeadLetter:
    """A letter that failed ``number`` seconds after some moment."""
    message_id = new_ulid()
    at = 1_790_000_000_000 + 1000 * number
    values = {
        "v": 1,
        "ts": at,
        "id": f"{message_id}.g",
        "reason": f"no row {number}",
        "group": "g",
        "deliveries": 5,
        "original": OriginalMessage(
            id=message_id, subject=f"{desk.ns}.events.api.error", timestamp=at - 500, payload=b"%d" % number
        ),
    }
    return DeadLetter(**{**values, **changes})  # type: ignore[arg-type]


async def post(desk: Desk, *letters: DeadLetter, domain: str = "events") -> None:
    for one in letters:
        await desk.transport.publish(
            desk.names.stream(domain), deadletter.encode(one), idempotency_key=one.storage_key()
        )


async def test_letters_are_listed_the_newest_first_page_by_page(desk: Desk) -> None:
    """Cursors lead from page to page, and each letter is on one of them."""
    posted = [letter(desk, number) for number in range(23)]
    await post(desk, *posted)
    listed, cursor = [], None
    while True:
        page = await desk.letters.page(limit=5, cursor=cursor)
        listed += [found.id for found in page.letters]
        cursor = page.cursor
        if cursor is None:
            break
    assert listed == [one.id for one in reversed(posted)]


async def test_filters_narrow_lists_and_groups(desk: Desk) -> None:
    """By domain, subject, group, reason, type, status, time and fingerprint."""
    tasks = letter(desk, 50, reason="ValueError: odd", error_type="ValueError")
    await post(desk, *(letter(desk, number) for number in range(4)))
    await post(desk, tasks, domain="tasks")
    all_groups = await desk.letters.groups()
    assert [(group.count, group.domain) for group in all_groups] == [(4, "events"), (1, "tasks")]
    fingerprint = all_groups[0].fingerprint
    at = 1_790_000_000_000
    for wanted, count in (
        (LetterFilter(domain="tasks"), 1),
        (LetterFilter(subject=f"{desk.ns}.events.api.*"), 5),
        (LetterFilter(subject=f"{desk.ns}.events.auth.*"), 0),
        (LetterFilter(group="g"), 5),
        (LetterFilter(group="h"), 0),
        (LetterFilter(reason="NO ROW"), 4),
        (LetterFilter(reason="valueerror"), 1),
        (LetterFilter(status=Status.OPEN), 5),
        (LetterFilter(status=Status.REDRIVEN), 0),
        (LetterFilter(since=at + 1000, until=at + 3000), 2),
        (LetterFilter(fingerprint=fingerprint), 4),
    ):
        assert len((await desk.letters.page(wanted)).letters) == count, wanted
        assert sum(group.count for group in await desk.letters.groups(wanted)) == count, wanted
        assert await desk.letters.count(wanted) == count, wanted


async def test_letters_of_earlier_releases_are_indexed(desk: Desk) -> None:
    """What came later to version 1 may be absent: fingerprint and moments are found out."""
    old = letter(desk, 1)
    document = json.loads(deadletter.encode(old))
    for name in (
        "error_type",
        "first_failed_at",
        "last_failed_at",
        "fingerprint",
        "payload_left_out",
        "task_type",
        "task_id",
    ):
        del document[name]
    await desk.transport.publish(desk.names.stream("events"), json.dumps({**document, "later": 1}).encode())
    record = await desk.letters.get(old.id)
    assert (record.first_failed_at, record.last_failed_at) == (old.ts, old.ts)
    assert record.fingerprint == old.failure_fingerprint()
    assert [outcome.result for outcome in await desk.redrive([old.id])] == ["redriven"]


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 100_000, b'{"v":1}', b"null"], ids=range(6))
async def test_what_is_no_letter_hides_no_letter(desk: Desk, payload: bytes) -> None:
    """It stays where it is, and the others are indexed."""
    await desk.transport.publish(desk.names.stream("events"), payload)
    hostile = letter(desk, 1)
    await post(desk, letter(desk, 1, id="../../x"), letter(desk, 1, id=f"{new_ulid()}.a.b"), hostile)
    assert [found.id for found in (await desk.letters.page()).letters] == [hostile.id]


async def test_one_failure_is_counted_once_however_often_it_is_told(desk: Desk) -> None:
    """A letter that was stored twice, as after an unknown outcome, is one failure."""
    one = letter(desk, 1)
    for _ in range(2):
        await desk.transport.publish(desk.names.stream("events"), deadletter.encode(one))
    await desk.letters.page()
    found = await desk.letters.get(one.id)
    assert (found.failures, found.status) == (1, Status.OPEN)
    await desk.redrive([one.id])
    await desk.transport.publish(desk.names.stream("events"), deadletter.encode(one))
    await desk.letters.page()
    found = await desk.letters.get(one.id)
    assert (found.failures, found.status) == (1, Status.REDRIVEN)


async def test_an_indexer_at_work_and_others_that_look_write_one_index(open_desk: OpenDesk) -> None:
    """Whoever takes a letter, its record is written once."""
    desk, other = await open_desk(), await open_desk()
    running = asyncio.create_task(desk.letters.indexer.run())
    posted = [letter(desk, number) for number in range(40)]
    await asyncio.gather(post(desk, *posted), *(other.letters.page() for _ in range(3)))

    async def all_there() -> bool:
        return len((await other.letters.page()).letters) == 40

    await eventually(all_there, "forty letters", interval=0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert {found.failures for found in (await other.letters.page()).letters} == {1}


async def test_a_letter_whose_message_was_too_large_is_not_sent(desk: Desk) -> None:
    """An empty message in its place would be worse."""
    one = letter(desk, 1, payload_left_out=9_000_000)
    await post(desk, one)
    (outcome,) = await desk.redrive([one.id])
    assert (outcome.result, "9000000" in str(outcome.error)) == ("failed", True)


async def test_a_letter_that_retention_has_removed_cannot_be_sent(desk: Desk) -> None:
    """Its record says so; nothing is sent, and nothing is counted."""
    one = letter(desk, 1)
    await post(desk, one)
    record = await desk.letters.get(one.id)
    await desk.state.set_fields(desk.names.record(one.id), {"letters": new_ulid(0).encode()})
    record = await desk.letters.get(one.id)
    (outcome,) = await desk.redrive([one.id])
    assert (outcome.result, "retention" in str(outcome.error)) == ("failed", True)
    with pytest.raises(LetterConflictError):
        await desk.letters.original_of(record)
    assert (await desk.letters.get(one.id)).redrives == 0


@pytest.mark.parametrize("cursor", ["", "x", "1-x", "1-" + "x" * 200])
async def test_a_cursor_that_is_none_is_refused(desk: Desk, cursor: str) -> None:
    with pytest.raises(InvalidLetterQueryError, match="cursor"):
        await desk.letters.page(cursor=cursor)
