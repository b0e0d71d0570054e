"""Priorities, topics, durations, delays and `since`."""

import contextlib
import string
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import NotifyError
from gbe.notify.delay import parse_delay
from gbe.notify.delay_words import parse_words
from gbe.notify.durations import parse_duration_ms
from gbe.notify.priority import parse_priority
from gbe.notify.since import AfterMessage, FromTime, Replay, Since, parse_since
from gbe.notify.topics import RESERVED, check_sequence, check_topic, is_topic_name, parse_topics

NOW_MS = 1_790_000_000_500
NOW = 1_790_000_000


def code_of(caught: pytest.ExceptionInfo[NotifyError]) -> int:
    return caught.value.code


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((str(number), number) for number in range(1, 6)),
        ("min", 1),
        ("low", 2),
        ("default", 3),
        ("high", 4),
        ("max", 5),
        ("urgent", 5),
        ("URGENT", 5),
        ("High", 4),
    ],
)
def test_a_priority_is_a_number_or_a_name(written: str, meant: int) -> None:
    assert parse_priority(written) == meant


@pytest.mark.parametrize("written", ["", "0", "6", "3.0", "-1", "+3", "03", "٣", "highest", "u=3"])
def test_anything_else_is_no_priority(written: str) -> None:
    with pytest.raises(NotifyError) as caught:
        parse_priority(written)
    assert code_of(caught) == 40007


@pytest.mark.parametrize("name", ["a", "A-z_0", "x" * 64])
def test_topic_names(name: str) -> None:
    assert is_topic_name(name)
    assert check_topic(name) == check_sequence(name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a.b", "a/b", "a\n", "ä", "a,b", "*"])
def test_what_is_no_topic_name(name: str) -> None:
    assert not is_topic_name(name)
    with pytest.raises(NotifyError) as caught:
        check_topic(name)
    assert code_of(caught) == 40009
    with pytest.raises(NotifyError) as caught:
        check_sequence(name)
    assert code_of(caught) == 40049


@pytest.mark.parametrize("name", sorted(RESERVED | {"operators-own"}))
def test_reserved_names_are_refused_alone_and_in_a_list(name: str) -> None:
    for check in (check_topic, parse_topics):
        with pytest.raises(NotifyError) as caught:
            check(name, ("operators-own",))
        assert code_of(caught) == 40010
    with pytest.raises(NotifyError) as caught:
        parse_topics(f"ops,{name}", ("operators-own",))
    assert code_of(caught) == 40010


def test_reserved_names_are_case_sensitive() -> None:
    assert check_topic("Docs") == "Docs"


def test_a_list_names_each_topic_once_in_order() -> None:
    assert parse_topics("b,a,b") == ("b", "a")


@pytest.mark.parametrize("listed", ["", ",", "a,", ",a", "a,,b", "a, b"])
def test_a_malformed_list_is_a_page_that_does_not_exist(listed: str) -> None:
    with pytest.raises(NotifyError) as caught:
        parse_topics(listed)
    assert code_of(caught) == 40401


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("0", 0),
        ("10m", 600_000),
        ("1h30m", 5_400_000),
        ("90s", 90_000),
        ("1.5h", 5_400_000),
        (".5s", 500),
        ("1.s", 1_000),
        ("-10m", -600_000),
        ("+1s", 1_000),
        ("250ms", 250),
        ("1us", 0),
        ("2562047h", 2_562_047 * 3_600_000),
    ],
)
def test_durations_of_go(written: str, milliseconds: int) -> None:
    assert parse_duration_ms(written) == milliseconds


@pytest.mark.parametrize("written", ["", "-", "1", "1d", "h", "1 h", ".s", "1h-1m", "2562048h", "1H", "9" * 70 + "s"])
def test_what_go_does_not_take_for_a_duration(written: str) -> None:
    assert parse_duration_ms(written) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("none", Replay.NONE),
        ("all", Replay.ALL),
        ("latest", Replay.LATEST),
        ("0", Replay.ALL),
        ("1", Replay.NONE),
        ("q3XbT0fKm2Lz", AfterMessage("q3XbT0fKm2Lz")),
        ("179000000000", AfterMessage("179000000000")),
        ("1790000000", FromTime(NOW)),
        ("2", FromTime(2)),
        ("-5", FromTime(-5)),
        ("10m", FromTime(NOW - 600)),
        ("1h30m", FromTime(NOW - 5_400)),
        ("1s", FromTime(NOW - 1)),
        ("600ms", FromTime(NOW - 1)),
    ],
)
@pytest.mark.parametrize("poll", [True, False])
def test_every_form_of_since(written: str, meant: Since, poll: bool) -> None:
    assert parse_since(written, poll=poll, now_ms=NOW_MS) == meant


def test_absent_since_replays_everything_to_a_poll_and_nothing_to_a_stream() -> None:
    assert parse_since("", poll=True, now_ms=NOW_MS) is Replay.ALL
    assert parse_since("", poll=False, now_ms=NOW_MS) is Replay.NONE


@pytest.mark.parametrize("written", ["1d", "ALL", "yesterday", "q3XbT0fKm2L", "1.5", "1_000", "9" * 19, "9" * 5000])
def test_any_other_since_is_refused(written: str) -> None:
    with pytest.raises(NotifyError) as caught:
        parse_since(written, poll=False, now_ms=NOW_MS)
    assert code_of(caught) == 40008


@pytest.mark.parametrize(
    ("written", "ahead"),
    [
        ("1790000100", 99.5),
        ("30m", 1_800),
        ("1h30m", 5_400),
        ("10s", 10),
        ("2 days", 172_800),
        ("1d", 86_400),
        ("3 Hours", 10_800),
        ("10 MIN", 600),
        ("20secs", 20),
    ],
)
def test_delays(written: str, ahead: float) -> None:
    assert parse_delay(written, now_ms=NOW_MS, limit=259_200.0) == NOW_MS + ahead * 1000


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10am", "Thu 2026-11-26 10:00"),
        ("9 am", "Fri 2026-11-27 09:00"),
        ("9:30", "Fri 2026-11-27 09:30"),
        ("at 9:30:", None),
        ("9:31", "Thu 2026-11-26 09:31"),
        ("noon", "Thu 2026-11-26 12:00"),
        ("midnight", "Fri 2026-11-27 00:00"),
        ("12am", "Fri 2026-11-27 00:00"),
        ("12pm", "Thu 2026-11-26 12:00"),
        ("today, 5pm", "Thu 2026-11-26 17:00"),
        ("today 8am", "Thu 2026-11-26 08:00"),
        ("tomorrow", "Fri 2026-11-27 09:30"),
        ("Tomorrow, 3pm", "Fri 2026-11-27 15:00"),
        ("3pm tomorrow", "Fri 2026-11-27 15:00"),
        ("tomorrow at 15:15", "Fri 2026-11-27 15:15"),
        ("Monday, 10:30pm", "Mon 2026-11-30 22:30"),
        ("on mon 10pm", "Mon 2026-11-30 22:00"),
        ("thursday, 10am", "Thu 2026-11-26 10:00"),
        ("thursday, 9am", "Thu 2026-12-03 09:00"),
        ("next friday", "Fri 2026-11-27 09:30"),
        ("25:00", None),
        ("3:60", None),
        ("0pm", None),
        ("tomorrow yesterday", None),
        ("7", None),
    ],
)
def test_delays_in_english(written: str, expected: str | None) -> None:
    """By the clock of this machine; a time of day that is past means tomorrow, a weekday the next one."""
    now = datetime(2026, 11, 26, 9, 30)  # noqa: DTZ001 - as clocks on the wall show it
    moment = parse_words(written, now)
    assert (moment and f"{moment:%a %Y-%m-%d %H:%M}") == expected


@pytest.mark.parametrize(("written", "ahead"), [("in 2 hours", 7200), ("In an hour", 3600), ("in 30 min", 1800)])
def test_delays_with_a_preposition(written: str, ahead: int) -> None:
    assert parse_delay(written, now_ms=NOW_MS, limit=259_200.0) == NOW_MS + ahead * 1000


def test_a_delay_in_english_is_a_moment_of_this_machines_clock() -> None:
    now = datetime.fromtimestamp(NOW_MS / 1000)  # noqa: DTZ006
    due = parse_delay("tomorrow, 3pm", now_ms=NOW_MS, limit=259_200.0)
    expected = (now + timedelta(days=1)).replace(hour=15, minute=0, second=0, microsecond=0)
    assert datetime.fromtimestamp(due / 1000) == expected  # noqa: DTZ006


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("soon", 40004),
        ("tomorrow, 25:00", 40004),
        ("13pm", 40004),
        ("3", 40005),
        ("someday, 3pm", 40004),
        ("in 3 fortnights", 40004),
        ("tomorrow " * 10, 40004),
        ("1w", 40004),
        ("-5", 40004),
        ("9s", 40005),
        ("9999ms", 40005),
        ("-1h", 40005),
        ("1780000000", 40005),
        ("0", 40005),
        ("4 days", 40006),
        ("999999999999999", 40006),
        ("73h", 40006),
    ],
)
def test_delays_that_are_refused(written: str, code: int) -> None:
    with pytest.raises(NotifyError) as caught:
        parse_delay(written, now_ms=NOW_MS, limit=259_200.0)
    assert code_of(caught) == code


def test_without_a_limit_every_delay_is_too_large() -> None:
    with pytest.raises(NotifyError, match="switched off") as caught:
        parse_delay("30m", now_ms=NOW_MS, limit=0.0)
    assert code_of(caught) == 40006


_near_misses = st.text(string.digits + ".-+ :,hmsdnuµayALlateoprwi", max_size=40) | st.text(max_size=40)


@given(_near_misses)
def test_no_text_raises_anything_but_an_error_of_the_interface(text: str) -> None:
    for parse in (
        parse_priority,
        check_topic,
        check_sequence,
        parse_topics,
        lambda text: parse_since(text, poll=False, now_ms=NOW_MS),
        lambda text: parse_delay(text, now_ms=NOW_MS, limit=1e9),
    ):
        with contextlib.suppress(NotifyError):
            parse(text)
