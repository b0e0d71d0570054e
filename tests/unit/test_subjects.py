"""Subjects and patterns: what is one, what covers what."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import InvalidSubjectError
from gbe.subjects import check_pattern, check_subject, is_literal, is_token, matches, overlaps

ALPHABET = ("a", "b")
SUBJECTS = [".".join(tokens) for length in range(1, 5) for tokens in itertools.product(ALPHABET, repeat=length)]

tokens = st.text("ab-_Z9", min_size=1, max_size=4)
subjects = st.lists(tokens, min_size=1, max_size=5).map(".".join)


@st.composite
def patterns(draw: st.DrawFn, token: st.SearchStrategy[str] = tokens) -> str:
    parts = draw(st.lists(st.one_of(token, st.just("*")), min_size=0, max_size=3))
    if not parts or draw(st.booleans()):
        parts.append(draw(st.sampled_from([">", "*", "a"])))
    return ".".join(parts)


def as_regex(pattern: str) -> re.Pattern[str]:
    """The definition, in other words."""
    parts = [{"*": "[^.]+", ">": ".+"}.get(part, re.escape(part)) for part in pattern.split(".")]
    return re.compile(r"\.".join(parts))


@given(patterns(), subjects)
def test_matching_is_what_the_definition_says(pattern: str, subject: str) -> None:
    """``*`` is one token, ``>`` is one or more at the end."""
    assert matches(pattern, subject) == (as_regex(pattern).fullmatch(subject) is not None)


@given(patterns(st.sampled_from(ALPHABET)), patterns(st.sampled_from(ALPHABET)))
def test_patterns_overlap_when_some_subject_is_covered_by_both(first: str, second: str) -> None:
    """Over two letters and four tokens every pair of these patterns that overlaps has a witness."""
    witnesses = [s for s in SUBJECTS if matches(first, s) and matches(second, s)]
    assert overlaps(first, second) == bool(witnesses)
    assert overlaps(second, first) == overlaps(first, second)


@given(subjects)
def test_a_subject_covers_itself_alone(subject: str) -> None:
    """Every subject is a pattern without wildcards."""
    assert check_subject(subject) == check_pattern(subject) == subject
    assert is_literal(subject)
    assert matches(subject, subject)
    assert overlaps(subject, subject)
    assert not matches(subject, subject + ".a")


@given(patterns())
def test_a_pattern_is_valid_and_a_subject_only_without_wildcards(pattern: str) -> None:
    """Wildcards are refused where one subject is meant."""
    assert check_pattern(pattern) == pattern
    if is_literal(pattern):
        assert check_subject(pattern) == pattern
    else:
        with pytest.raises(InvalidSubjectError):
            check_subject(pattern)


@given(st.text(max_size=12))
def test_only_tokens_of_the_alphabet_make_a_subject(text: str) -> None:
    """Anything else is refused by both checks, with the text in the error."""
    is_one = all(part and is_token(part) and part.isascii() for part in text.split("."))
    if is_one:
        assert check_subject(text) == text
    else:
        with pytest.raises(InvalidSubjectError) as refusal:
            check_subject(text)
        assert refusal.value.subject == text


@pytest.mark.parametrize(
    "text", ["a\n", "a.b\n", "a.*\n", ">\n", "a\r\nb", "a\x00", "a ", "ä", "٣", "a.>.b", "a.b>", "**"]
)
def test_nothing_that_could_end_a_line_is_a_pattern(text: str) -> None:
    """A final line break too: a regular expression's ``$`` would let it through."""
    with pytest.raises(InvalidSubjectError):
        check_pattern(text)
    with pytest.raises(InvalidSubjectError):
        check_subject(text)


def test_length_is_limited() -> None:
    """255 bytes are a subject, 256 are not."""
    assert check_subject("a" * 255)
    assert check_pattern("a." * 127 + ">")
    for check in (check_subject, check_pattern):
        with pytest.raises(InvalidSubjectError, match="256 bytes"):
            check("a" * 256)


def test_errors_are_short() -> None:
    """However long the wrong subject is, and they are ValueErrors too."""
    with pytest.raises(ValueError, match="invalid subject") as refusal:
        check_subject("x" * 100_000)
    assert len(str(refusal.value)) < 300
