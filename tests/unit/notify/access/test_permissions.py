"""Which entry decides (section 10.3)."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import NotifyError
from gbe.notify.access.permissions import Grants, Permission, parse_permission

RW, RO, WO, DENY = Permission.READ_WRITE, Permission.READ_ONLY, Permission.WRITE_ONLY, Permission.DENY_ALL


@pytest.mark.parametrize(
    ("entries", "topic", "expected"),
    [
        ({"ops-*": RW}, "ops-db", RW),
        ({"ops-*": RO, "ops-db": WO}, "ops-db", WO),
        ({"*": RO, "ops-db": DENY}, "ops-db", DENY),
        ({"*": RO}, "", RO),
        ({"a*": RO, "ab": WO}, "ab", WO),  # equally long: writing first
        ({"*b": RO, "a*": DENY}, "ab", RO),  # equally long: reading next
        ({"a_b": RO, "a*b*": RW}, "a_b", RW),  # equally long: an underscore counts two
        ({"a_b": DENY, "*a*": RW}, "a_b", DENY),
        ({"ops": RW}, "OPS", None),
        ({"ops": RW}, "ops2", None),
        ({"a*a": RW}, "a", None),
        ({"a*a": RW}, "aa", RW),
        ({}, "ops", None),
    ],
)
def test_the_longest_pattern_decides(entries: dict[str, Permission], topic: str, expected: Permission | None) -> None:
    assert Grants(entries).find(topic) is expected


LETTERS = st.text("ab_-", max_size=8)
PATTERNS = st.text("ab_-*", min_size=1, max_size=8)


@given(st.dictionaries(PATTERNS, st.sampled_from(Permission), max_size=8), LETTERS)
def test_the_decision_is_that_of_a_sorted_table(entries: dict[str, Permission], topic: str) -> None:
    """As the database query of the specification has it, with somebody else's matching."""
    rows = [row for row in entries.items() if fnmatch.fnmatchcase(topic, row[0])]
    rows.sort(key=lambda row: (len(row[0].replace("_", r"\_")), row[1].writes, row[1].reads), reverse=True)
    grants = Grants(entries)
    for _ in range(2):  # the second answer is remembered
        assert grants.find(topic) is (rows[0][1] if rows else None)


def test_no_pattern_takes_long_to_compare() -> None:
    """A regular expression would try some 10^18 ways here."""
    assert Grants({"a*" * 31 + "b": RW}).find("a" * 64) is None


@pytest.mark.parametrize("name", ["read-write", "rw", "RW", " Read-Write "])
def test_permissions_have_several_names(name: str) -> None:
    assert parse_permission(name) is RW


@pytest.mark.parametrize("name", ["", "rwx", "all"])
def test_other_words_are_no_permission(name: str) -> None:
    with pytest.raises(NotifyError) as error:
        parse_permission(name)
    assert error.value.code == 40025
