"""Reading the history of many subjects, page by page."""

import time
from collections.abc import Sequence

import pytest
from tests.conformance.transport.helpers import payloads
from tests.waiting import next_millisecond

from gbe.errors import InvalidCursorError, InvalidSubjectError, MessageNotFoundError, StreamNotFoundError
from gbe.ids import new_ulid
from gbe.transport.base import EARLIEST, LATEST, AfterId, FromTime, Start, StoredMessage, Transport


async def pages(
    transport: Transport, patterns: Sequence[str], *, start: Start = EARLIEST, limit: int
) -> list[list[StoredMessage]]:
    """All pages, from the first to the one that has no successor."""
    page = await transport.read_page(patterns, start=start, limit=limit)
    found = [page.messages]
    while page.cursor is not None:
        page = await transport.read_page(patterns, cursor=page.cursor, limit=limit)
        found.append(page.messages)
    return found


def numbers(found: Sequence[Sequence[StoredMessage]]) -> list[int]:
    return [int(payload) for page in found for payload in payloads(page)]


async def publish_around(transport: Transport, subjects: Sequence[str], count: int) -> list[str]:
    """Numbered messages, on one subject after the other."""
    return [await transport.publish(subjects[n % len(subjects)], b"%d" % n) for n in range(count)]


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_pages_show_everything_once_in_the_order_of_storing(transport: Transport, ns: str, limit: int) -> None:
    """Whatever the size of a page, and also where many subjects have few messages each."""
    subjects = [f"{ns}.a.{name}" for name in ("x", "y.z", *(f"n{number}" for number in range(12)))]
    await publish_around(transport, subjects, 40)
    await transport.publish(f"{ns}.b.x", b"99")
    found = await pages(transport, [f"{ns}.a.>"], limit=limit)
    assert numbers(found) == list(range(40))
    assert all(len(page) <= limit for page in found)
    assert {message.envelope.subject for page in found for message in page} == set(subjects)


async def test_streams_are_read_as_one(transport: Transport, ns: str) -> None:
    """Each message once, in order per subject, and in the order of time where the times differ."""
    for number in range(12):
        await transport.publish(f"{ns}.{'ab'[number % 2]}.x", b"%d" % number)
        await next_millisecond()
    found = await pages(transport, [f"{ns}.*.x"], limit=5)
    assert numbers(found) == list(range(12))


async def test_patterns_that_overlap_show_a_message_once(transport: Transport, ns: str) -> None:
    """A literal among them too."""
    await publish_around(transport, [f"{ns}.a.x", f"{ns}.a.y.z", f"{ns}.a.y.w", f"{ns}.b.x"], 20)
    patterns = [f"{ns}.a.y.*", f"{ns}.a.x", f"{ns}.a.*.z", f"{ns}.a.x", f"{ns}.a.*"]
    assert numbers(await pages(transport, patterns, limit=4)) == [n for n in range(20) if n % 4 != 3]


async def test_where_the_first_page_begins(transport: Transport, ns: str) -> None:
    """Behind an id, with the first message of a time; nothing is newer than the latest."""
    subjects = [f"{ns}.a.x", f"{ns}.b.y", f"{ns}.a.z"]
    early = await publish_around(transport, subjects, 6)
    moment = await next_millisecond()
    await transport.publish(subjects[0], b"6")
    await transport.publish(subjects[1], b"7")
    for start, expected in (
        (EARLIEST, set(range(8))),
        (FromTime(0), set(range(8))),
        (FromTime(moment), {6, 7}),
        (FromTime(moment + 3_600_000), set()),
        (LATEST, set()),
    ):
        found = await pages(transport, [f"{ns}.>"], start=start, limit=3)
        assert set(numbers(found)) == expected, start
    behind = numbers(await pages(transport, [f"{ns}.a.*"], start=AfterId(early[3]), limit=1))
    assert behind == [5, 6]
    assert set(numbers(await pages(transport, [f"{ns}.>"], start=AfterId(early[5]), limit=3))) >= {6, 7}
    with pytest.raises(MessageNotFoundError):
        await transport.read_page([f"{ns}.>"], start=AfterId(new_ulid()))


async def test_what_is_stored_meanwhile_disturbs_nothing(transport: Transport, ns: str) -> None:
    """What was there when the first page was read comes once; what is new may come behind it."""
    subjects = [f"{ns}.a.{name}" for name in "xyz"]
    await publish_around(transport, subjects, 12)
    page = await transport.read_page([f"{ns}.a.*"], limit=5)
    seen = numbers([page.messages])
    while page.cursor is not None and len(seen) < 60:
        await transport.publish(f"{ns}.a.new{len(seen)}", b"%d" % (100 + len(seen)))
        page = await transport.read_page([f"{ns}.a.*"], cursor=page.cursor, limit=5)
        seen += numbers([page.messages])
    assert [number for number in seen if number < 100] == list(range(12))
    assert len(set(seen)) == len(seen)


async def test_a_page_of_large_messages_is_shorter(transport: Transport, ns: str) -> None:
    """Nobody has to hold what a thousand of them take."""
    for number in range(12):
        await transport.publish(f"{ns}.a.{'xy'[number % 2]}", b"%d " % number + b" " * 999_000)
    first = await transport.read_page([f"{ns}.a.*"], limit=1000)
    assert 1 <= len(first.messages) < 12
    assert first.cursor is not None
    assert numbers(await pages(transport, [f"{ns}.a.*"], limit=1000)) == list(range(12))


async def test_what_is_delayed_is_no_history_yet(transport: Transport, ns: str) -> None:
    """It was not published yet."""
    await transport.publish(f"{ns}.a.x", b"1")
    await transport.publish(f"{ns}.a.x", b"2", deliver_at=time.time_ns() // 1_000_000 + 3_600_000)
    assert numbers(await pages(transport, [f"{ns}.>"], limit=10)) == [1]


async def test_nothing_is_an_empty_page(transport: Transport, ns: str) -> None:
    """Without a successor."""
    page = await transport.read_page([f"{ns}.a.>", f"{ns}.b.x"])
    assert (page.messages, page.cursor) == ([], None)


@pytest.mark.parametrize("cursor", ["", "x", "1-", "~", "1~a", "-1-1~x", "9" * 400, "1~a:b:c", "\x00"])
async def test_a_cursor_that_is_none_is_refused(transport: Transport, ns: str, cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        await transport.read_page([f"{ns}.a.>"], cursor=cursor)


async def test_patterns_that_cannot_be_read_are_refused(transport: Transport, ns: str) -> None:
    """What is no pattern, and what no stream stores."""
    with pytest.raises(InvalidSubjectError):
        await transport.read_page([f"{ns}..x"])
    with pytest.raises(StreamNotFoundError):
        await transport.read_page([f"{ns}.nowhere.*"])
