"""ULIDs: sortable, unique, readable back."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.ids import ULID_LENGTH, UlidFactory, decode_ulid, encode_ulid, is_ulid, new_ulid, ulid_time_ms

milliseconds = st.integers(0, 2**48 - 1)
randomness = st.integers(0, 2**80 - 1)


@given(milliseconds, randomness)
def test_an_id_is_read_back_as_it_was_made(ms: int, random: int) -> None:
    """Both parts, for every moment and all randomness."""
    ulid = encode_ulid(ms, random)
    assert len(ulid) == ULID_LENGTH
    assert decode_ulid(ulid) == (ms, random)
    assert ulid_time_ms(ulid) == ms
    assert is_ulid(ulid)


@given(milliseconds, randomness, milliseconds, randomness)
def test_ids_sort_as_their_parts(ms: int, random: int, other_ms: int, other_random: int) -> None:
    """First by time, then by randomness."""
    assert (encode_ulid(ms, random) < encode_ulid(other_ms, other_random)) == ((ms, random) < (other_ms, other_random))


def test_a_known_id_has_known_parts() -> None:
    """The example of the specification (github.com/ulid/spec)."""
    assert ulid_time_ms("01ARZ3NDEKTSV4RRFFQ69G5FAV") == 1469922850259
    assert encode_ulid(0, 0) == "0" * 26
    assert encode_ulid(2**48 - 1, 2**80 - 1) == "7" + "Z" * 25


@given(st.lists(milliseconds, min_size=1, max_size=50))
def test_one_factory_makes_rising_ids_whatever_its_clock_does(moments: list[int]) -> None:
    """Also within a millisecond, and when the clock steps back."""
    factory = UlidFactory()
    ids = [factory(moment) for moment in moments]
    assert ids == sorted(set(ids))
    assert [ulid_time_ms(ulid) for ulid in ids] == [max(moments[: n + 1]) for n in range(len(moments))]


def test_many_ids_of_one_millisecond_rise() -> None:
    """A hundred thousand of them."""
    factory = UlidFactory()
    ids = [factory(1_790_000_000_000) for _ in range(100_000)]
    assert ids == sorted(set(ids))


def test_a_new_id_is_of_now() -> None:
    """Unix milliseconds of the wall clock."""
    before = time.time_ns() // 1_000_000
    assert before <= ulid_time_ms(new_ulid()) <= time.time_ns() // 1_000_000


def test_two_factories_do_not_meet() -> None:
    """Processes that make ids in the same millisecond make different ones."""
    assert len({UlidFactory()(1) for _ in range(1000)}) == 1000


@given(st.text(max_size=30))
def test_what_is_no_id_is_not_taken_for_one(text: str) -> None:
    """``is_ulid`` and ``decode_ulid`` agree on every text, and an id has one spelling."""
    if is_ulid(text):
        assert encode_ulid(*decode_ulid(text)) == text
    else:
        with pytest.raises(ValueError, match="ULID"):
            decode_ulid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 25,
        "0" * 27,
        "8" + "0" * 25,
        "Z" * 26,
        "01arz3ndektsv4rrffq69g5fav",
        "01ARZ3NDEKTSV4RRFFQ69G5FAI",
        "01ARZ3NDEKTSV4RRFFQ69G5FA\n",
        "01ARZ3NDEKTSV4RRFFQ69G5FAÀ",
        "٠" * 26,  # noqa: RUF001
    ],
)
def test_look_alikes_are_no_ids(text: str) -> None:
    """Wrong length, too late a time, lower case, letters that Crockford left out, digits of other scripts."""
    assert not is_ulid(text)


@pytest.mark.parametrize("ms", [-1, 2**48])
def test_a_moment_beyond_48_bits_has_no_id(ms: int) -> None:
    """Rather than one of another moment."""
    with pytest.raises(ValueError, match="48 bits"):
        encode_ulid(ms, 0)
