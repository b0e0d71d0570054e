"""Records, filters and moments, without an engine."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.clock import ManualClock
from gbe.deadletters.moments import parse_moment
from gbe.deadletters.query import MAX_GROUPS, Grouping, LetterFilter, parse_status
from gbe.deadletters.record import LetterRecord, Status
from gbe.errors import DeadLetterError, InvalidLetterQueryError
from gbe.ids import new_ulid
from gbe.schemas import deadletter
from gbe.schemas.deadletter import DeadLetter, OriginalMessage

NOW = 1_790_000_000_000
moments = st.integers(0, 10**13 - 1)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


def record(**changes: object) -> LetterRecord:
    values = {
        "id": f"{new_ulid()}.g",
        "domain": "events",
        "subject": "gbe.events.api.error",
        "group": "g",
        "message_id": new_ulid(),
        "reason": "no row",
        "fingerprint": "0" * 16,
        "published_at": NOW,
        "deliveries": 5,
        "first_failed_at": NOW,
        "last_failed_at": NOW,
        "letters": new_ulid(),
    }
    return LetterRecord(**{**values, **changes})  # type: ignore[arg-type]


@given(
    st.builds(
        record,
        reason=words,
        status=st.sampled_from(Status),
        redrives=st.integers(0, 9),
        error_type=st.none() | words,
        redriving_at=st.none() | moments,
        payload_left_out=st.none() | st.integers(0, 10**9),
    )
)
def test_a_record_is_read_as_it_was_written(one: LetterRecord) -> None:
    assert LetterRecord.from_fields({**one.to_fields(), "later": b"x"}) == one


@pytest.mark.parametrize("name", [field.name for field in fields(LetterRecord) if field.name != "error_type"])
def test_what_is_no_record_is_told(name: str) -> None:
    """A field with nonsense, or without."""
    good = record(redriving_at=1, began_at=1).to_fields()
    if name in ("deliveries", "published_at", "status", "redrives"):
        with pytest.raises(DeadLetterError):
            LetterRecord.from_fields({**good, name: b"\xff"})
    if name in ("id", "letters", "reason"):
        del good[name]
        with pytest.raises(DeadLetterError):
            LetterRecord.from_fields(good)


@given(moments, moments, st.booleans())
def test_a_letter_survives_its_wire_format(ts: int, first: int, is_task: bool) -> None:
    original = OriginalMessage(id=new_ulid(), subject="a.b", timestamp=ts, payload=bytes(range(256)))
    letter = DeadLetter(
        v=1,
        ts=ts,
        id=f"{original.id}.g",
        reason="r",
        group="g",
        deliveries=1,
        original=original,
        first_failed_at=first,
        task_id="x" if is_task else None,
    )
    assert deadletter.decode(deadletter.encode(letter)) == letter
    assert len(letter.storage_key()) == 32


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (1_790_000_000_000, 1_790_000_000_000),
        ("1790000000000", 1_790_000_000_000),
        ("2h", NOW - 7_200_000),
        ("90", NOW - 90_000),
        ("2026-07-01T12:00:00Z", 1_782_907_200_000),
        ("2026-07-01T14:00:00+02:00", 1_782_907_200_000),
    ],
)
def test_moments(value: object, expected: int | None) -> None:
    assert parse_moment("since", value, ManualClock(NOW)) == expected


@pytest.mark.parametrize("value", ["", "soon", "2026-07-01T12:00:00", "1e400", "-"])
def test_what_is_no_moment_is_refused(value: str) -> None:
    with pytest.raises(InvalidLetterQueryError, match="since"):
        parse_moment("since", value, ManualClock(NOW))


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": ""},
        {"domain": "a.b"},
        {"group": "*"},
        {"fingerprint": "x" * 129},
        {"subject": "a..b"},
        {"subject": ">.a"},
        {"reason": ""},
        {"reason": "x" * 201},
        {"since": -1},
        {"until": 10**13},
    ],
    ids=str,
)
def test_a_filter_that_cannot_be_names_its_field(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidLetterQueryError) as caught:
        LetterFilter(**wrong)  # type: ignore[arg-type]
    assert caught.value.field in wrong


def test_a_status_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidLetterQueryError, match="open"):
        parse_status("closed")


def test_groups_have_bounds() -> None:
    """Failures that are all different share a last group: memory does not grow with them."""
    grouping = Grouping()
    for number in range(MAX_GROUPS + 500):
        grouping.add(record(fingerprint=f"{number:016x}"))
    groups = grouping.largest_first()
    assert len(groups) == MAX_GROUPS + 1
    assert (groups[0].fingerprint, groups[0].count) == ("", 500)


def test_a_group_shows_its_latest_failure() -> None:
    grouping = Grouping()
    for moment in (5, 9, 7):
        grouping.add(record(reason=f"at {moment}", first_failed_at=moment, last_failed_at=moment))
    (group,) = grouping.largest_first()
    assert (group.count, group.reason, group.first_failed_at, group.last_failed_at) == (3, "at 9", 5, 9)
