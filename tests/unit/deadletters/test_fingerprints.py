"""Fingerprints: what is left out of a text, and what is not."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.schemas.fingerprint import fingerprint, normalised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("order 17 is unknown", "order # is unknown"),
        ("timeout after 1.5 s, 3 times", "timeout after # s, # times"),
        ("no user 3f0e6b2c-95d4-4e07-9a34-1c1d8f1f7a11", "no user #"),
        ("no task 01KSM0H6QZJ3VB5W7X9Y2N4T8R here", "no task # here"),
        ("at 0x7f3a99", "at #"),
        ("commit deadbeef01 failed", "commit # failed"),
        ("10.0.0.7:6379 refused", "# refused"),
        ("2026-07-01 12:30:00", "#-#-# #"),
        ("defaced facade", "defaced facade"),
        ("a\n  b\tc", "a b c"),
        ("", ""),
    ],
)
def test_what_differs_from_message_to_message_is_left_out(text: str, expected: str) -> None:
    assert normalised(text) == expected


@given(st.text(max_size=300), st.integers(0, 10**12), st.integers(0, 10**12))
def test_numbers_never_tell_failures_apart(text: str, one: int, other: int) -> None:
    """Whatever stands around them."""

    def mark(number: int) -> str:
        return fingerprint(group="g", subject="a.b", error_type=None, reason=f"{text} {number} end")

    assert mark(one) == mark(other)


@given(st.text(), st.text())
def test_normalising_twice_changes_nothing(left: str, right: str) -> None:
    once = normalised(left + right)
    assert normalised(once) == once


@given(
    st.lists(st.text(string.ascii_letters, min_size=1, max_size=10), min_size=4, max_size=4),
    st.integers(0, 3),
)
def test_each_part_counts(parts: list[str], changed: int) -> None:
    """Group, subject, type and reason."""

    def mark(words: list[str]) -> str:
        return fingerprint(group=words[0], subject=words[1], error_type=words[2], reason=words[3])

    others = [word + "x" if place == changed else word for place, word in enumerate(parts)]
    assert mark(parts) != mark(others)
    assert len(mark(parts)) == 16


def test_a_hostile_reason_takes_no_time() -> None:
    """Texts are cut, and no pattern goes back and forth."""
    for text in ("0" * 10**6, "a1" * 10**6, "-" * 10**6, "0x" * 10**6, "\ud800" * 100):
        fingerprint(group="g", subject="s", error_type=None, reason=text)
