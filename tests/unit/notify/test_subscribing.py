"""What a subscription asks for, and what its filters let through."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import NotifyError
from gbe.notify.filters import NO_FILTERS, Filters, parse_filters
from gbe.notify.parameters import Parameters
from gbe.notify.since import FromTime, Replay
from gbe.notify.subscribing import SubscribeOptions, subscribe_options
from gbe.schemas.notify import Notification

NOW_MS = 1_790_000_000_000


def message(event: str = "message", **fields: object) -> Notification:
    return Notification(v=1, ts=NOW_MS, id="q3XbT0fKm2Lz", time=NOW_MS // 1000, event=event, **fields)  # type: ignore[arg-type]


def asked(query: str) -> SubscribeOptions:
    return subscribe_options(Parameters(query=query.encode()), now_ms=NOW_MS)


def test_a_plain_stream_replays_nothing_and_filters_nothing() -> None:
    assert asked("") == SubscribeOptions(poll=False, since=Replay.NONE, scheduled=False, filters=NO_FILTERS)


def test_a_poll_replays_everything_unless_told_otherwise() -> None:
    assert asked("poll=1").since is Replay.ALL
    assert asked("po=yes&si=10m") == SubscribeOptions(
        poll=True, since=FromTime(1_789_999_400), scheduled=False, filters=NO_FILTERS
    )
    assert asked("poll=y").poll is False


def test_headers_work_too() -> None:
    parameters = Parameters([(b"x-poll", b"1"), (b"x-since", b"latest"), (b"x-scheduled", b"true")])
    assert subscribe_options(parameters, now_ms=NOW_MS) == SubscribeOptions(
        poll=True, since=Replay.LATEST, scheduled=True, filters=NO_FILTERS
    )


def test_since_is_checked_before_the_filters() -> None:
    with pytest.raises(NotifyError) as caught:
        asked("priority=wrong&since=wrong")
    assert caught.value.code == 40008
    with pytest.raises(NotifyError) as caught:
        asked("priority=high,wrong")
    assert caught.value.code == 40007


@pytest.mark.parametrize(
    ("query", "notification", "passes"),
    [
        ("", message(), True),
        ("id=q3XbT0fKm2Lz", message(), True),
        ("id=q3XbT0fKm2LZ", message(), False),
        ("message=Disk+full", message(message="Disk full"), True),
        ("m=Disk", message(message="Disk full"), False),
        ("title=a", message(title="a"), True),
        ("t=a", message(), False),
        ("priority=high,5", message(priority=4), True),
        ("p=high,5", message(priority=5), True),
        ("prio=high,5", message(priority=3), False),
        ("priority=3", message(), True),
        ("priority=4", message(), False),
        ("tags=a,b", message(tags=("c", "b", "a")), True),
        ("ta=a,b", message(tags=("a",)), False),
        ("title=a&priority=1", message(title="a", priority=2), False),
        ("title=a&priority=1", message(title="a", priority=1), True),
        ("title=a", message("message_clear"), False),
        ("title=a", message("message_delete"), False),
        ("id=q3XbT0fKm2Lz", message("message_delete"), True),
        ("title=a&tags=b&priority=5&id=c", message("poll_request"), True),
    ],
)
def test_filters_combine_with_and(query: str, notification: Notification, passes: bool) -> None:
    assert parse_filters(Parameters(query=query.encode())).matches(notification) is passes


def test_without_filters_there_is_one_shared_value() -> None:
    assert parse_filters(Parameters(query=b"tags=,&priority=,")) is NO_FILTERS
    assert not NO_FILTERS
    assert Filters(title="a")


@given(st.binary(max_size=100))
def test_no_query_raises_anything_but_an_error_of_the_interface(query: bytes) -> None:
    for name in (b"since=", b"priority=", b"tags="):
        with contextlib.suppress(NotifyError):
            subscribe_options(Parameters(query=name + query), now_ms=NOW_MS)
