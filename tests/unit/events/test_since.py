"""From where events are read: every form, and what is none."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.events.since import parse_since
from gbe.transport.base import EARLIEST, LATEST, AfterId, FromTime, Start

NOW = 1_769_860_800_000
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", EARLIEST),
        ("latest", LATEST),
        (ULID, AfterId(ULID)),
        ("0" * 26, AfterId("0" * 26)),
        ("0", FromTime(0)),
        ("1769860800", FromTime(NOW)),
        ("1769860800123", FromTime(NOW + 123)),
        ("2026-01-31T12:00:00Z", FromTime(NOW)),
        ("2026-01-31T12:00:00.5", FromTime(NOW + 500)),
        ("2026-01-31T14:00:00+02:00", FromTime(NOW)),
        ("2026-01-31", FromTime(NOW - 12 * 3_600_000)),
        ("10m", FromTime(NOW - 600_000)),
        ("1h30m", FromTime(NOW - 5_400_000)),
        ("99999w", FromTime(0)),
        ("999999999999999", FromTime((1 << 48) - 1)),
    ],
)
def test_every_form(text: str, expected: Start) -> None:
    assert parse_since(text, now_ms=NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "10 parsecs", "inf", "nan", "1e400", "9" * 400, "2026-13-01", "\x00"]
)
def test_what_is_none_says_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match="a message id"):
        parse_since(text, now_ms=NOW)


@given(st.text(max_size=40))
def test_any_text_is_a_start_or_a_value_error(text: str) -> None:
    """Nothing else is raised, and no time is outside of what an engine takes."""
    try:
        start = parse_since(text, now_ms=NOW)
    except ValueError:
        return
    assert not isinstance(start, FromTime) or 0 <= start.ms < 1 << 48


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - the strategy's bounds
def test_iso_times_mean_what_they_say(moment: datetime) -> None:
    assert parse_since(moment.isoformat(), now_ms=NOW) == FromTime(round(moment.timestamp() * 1000))
