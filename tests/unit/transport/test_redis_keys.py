"""The names of what the transport keeps in Redis: nobody shares one, and what is touched together lies together."""

import re
import string
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gbe.redis.topology import slot_of
from gbe.transport.redis import keys

PAGE = Path(__file__).parents[3] / "docs" / "redis.md"

tokens = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=8)
subjects = st.lists(tokens, min_size=1, max_size=5).map(".".join)
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


def all_of(subject: str, kind: str, key: str, group: str) -> list[bytes]:
    """Every key and channel of a subject."""
    names = keys.SubjectKeys(subject)
    return [
        names.stream,
        names.delayed,
        names.later,
        names.wake,
        names.dedup(kind, key),
        names.waiting(group),
    ]


@given(subjects, subjects, printable, printable, st.sampled_from("ik"), tokens)
def test_no_two_subjects_share_a_key(one: str, other: str, key1: str, key2: str, kind: str, group: str) -> None:
    first, second = all_of(one, kind, key1, group), all_of(other, kind, key2, group)
    assert len(set(first)) == len(first)
    if one != other:
        assert not set(first) & set(second)


@given(subjects, printable, st.sampled_from("ik"), tokens, st.none() | subjects)
def test_what_belongs_to_a_subject_lies_in_its_slot(
    subject: str, key: str, kind: str, group: str, pattern: str | None
) -> None:
    """Also where an idempotency key has braces, or a group follows a pattern."""
    name = group if pattern is None else keys.group_name(group, f"{pattern}.>", literal=False)
    slots = {slot_of(one) for one in all_of(subject, kind, key, name)}
    assert slots == {keys.keys_of(subject).slot}


@given(subjects)
def test_a_subject_is_read_back_from_its_stream(subject: str) -> None:
    names = keys.SubjectKeys(subject)
    assert keys.subject_of(names.stream) == subject
    assert 0 <= names.bucket < keys.BUCKETS
    assert 0 <= names.mark < 1_000_000


@given(tokens, st.integers(0, keys.BUCKETS - 1), subjects, printable)
def test_an_index_is_no_key_of_a_subject(stream: str, bucket: int, subject: str, key: str) -> None:
    """No subject can be named so that it meets one."""
    indexes = {
        keys.STREAMS,
        keys.subjects_index(stream, bucket),
        keys.unstored_channel(stream, bucket),
        keys.delays_index(bucket),
        keys.delays_versions(bucket),
        keys.groups_index(stream),
        keys.inflight_index(stream),
        keys.inflight_marks(stream),
        keys.ledger(stream),
        keys.ledger_bytes(stream),
    }
    assert len(indexes) == 10
    assert not indexes & set(all_of(subject, "k", key, stream))


@given(tokens, st.integers(0, keys.BUCKETS - 1))
def test_what_a_script_touches_together_lies_together(name: str, bucket: int) -> None:
    for one, other in (
        (keys.delays_index(bucket), keys.delays_versions(bucket)),
        (keys.inflight_index(name), keys.inflight_marks(name)),
        (keys.ledger(name), keys.ledger_bytes(name)),
    ):
        assert slot_of(one) == slot_of(other)


def test_a_group_of_a_pattern_names_the_pattern() -> None:
    """One group may follow a subject and a pattern that covers it: these are two subscriptions."""
    assert keys.group_name("g", "a.b", literal=True) == "g"
    assert keys.group_name("g", "a.*", literal=False) == "g@a.*"


def test_the_page_names_every_key() -> None:
    """docs/redis.md lists just what this module makes."""
    table = PAGE.read_text(encoding="utf-8").partition("<!-- keys:")[2].partition("\n\n")[0]
    listed = set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE))
    names = keys.SubjectKeys("S")
    made = [
        names.stream,
        names.delayed,
        names.later,
        names.dedup("i", "ID"),
        names.dedup("k", "KEY"),
        names.waiting("GROUP"),
        names.wake,
        keys.STREAMS,
        keys.subjects_index("N", 0),
        keys.unstored_channel("N", 0),
        keys.delays_index(0),
        keys.delays_versions(0),
        keys.groups_index("N"),
        keys.inflight_index("GROUP"),
        keys.inflight_marks("GROUP"),
        keys.ledger("N"),
        keys.ledger_bytes("N"),
    ]
    assert listed == {key.decode().replace("/0}", "/B}") for key in made}
