"""Text from strangers."""

import base64
import time
from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.notify.text import clean, decode_words, from_bytes, split_list, trim


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("plain", "plain"),
        ("=?UTF-8?B?w6RwZmVs?=", "äpfel"),
        ("=?utf-8?q?=C3=A4pfel?=", "äpfel"),
        ("=?utf-8?Q?=c3=a4_b?=", "ä b"),
        ("=?ISO-8859-1?Q?=E4pfel?=", "äpfel"),
        ("=?us-ascii?q?apple?=", "apple"),
        ("=?us-ascii?q?=E4?=", "\ufffd"),
        ("=?utf-8?q?=FF?=", "\ufffd"),
        ("Disk =?UTF-8?B?8J+Svg==?= full", "Disk 💾 full"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
        ("=?utf-8?q?what?!?=", "what?!"),
        ("=?utf-8?b??=", ""),
        ("=?=?utf-8?q?a?=", "=?a"),
    ],
)
def test_encoded_words_are_decoded_among_plain_text(written: str, meant: str) -> None:
    assert decode_words(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "=?",
        "=?utf-8?",
        "=?utf-8?q?",
        "=?utf-8?q?never ends",
        "=?utf-8?b?not base64!?=",
        "=?utf-8?b?w6RwZmV?=",
        "=?utf-8?q?=C?=",
        "=?utf-8?q?=GG?=",
        "=?utf-8?x?abc?=",
        "=?utf-8?q?ä?=",
        "=?koi8-r?q?abc?=",
        "what=?really",
    ],
)
def test_what_cannot_be_decoded_stays_as_written(written: str) -> None:
    assert decode_words(written) == written


def test_a_word_cannot_smuggle_control_characters_into_a_line() -> None:
    hidden = base64.b64encode(b"a\r\nSet-Cookie: b\x1b[0m\x00").decode()
    word = f"=?utf-8?b?{hidden}?="
    assert decode_words(word) == "a  Set-Cookie: b [0m"
    assert decode_words(word, multiline=True) == "a\nSet-Cookie: b [0m"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40))
def test_words_of_the_standard_library_are_understood(text: str) -> None:
    assert decode_words(Header(text, "utf-8", maxlinelen=10_000).encode()) == text


@given(st.text(st.sampled_from("=?utf-8bqBQ_ AC3\x00é"), max_size=60))
def test_decoding_never_raises(text: str) -> None:
    assert isinstance(decode_words(text), str)


@pytest.mark.parametrize("part", ["=?", "=?utf-8?q?", "=?utf-8?b?!!?=", "=?utf-8?q?=?= ", "=?utf-8?q?a?= ", "?="])
def test_hostile_headers_take_linear_time(part: str) -> None:
    """A megabyte of half-finished words takes milliseconds; quadratic work would take hours."""
    started = time.perf_counter()
    decode_words(part * (1_000_000 // len(part)))
    assert time.perf_counter() - started < 10


def test_bytes_become_text_without_nul_and_with_replacement_characters() -> None:
    assert from_bytes(b"a\x00b\xffc\xc3\xa4") == "ab\ufffdcä"


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    assert clean("a\ud83d b\x00 \U0001f4be") == "a\ufffd b \U0001f4be"


def test_unicode_blanks_are_trimmed_but_separators_are_not() -> None:
    assert trim("\u00a0\t a\x1f \u2003\n") == "a\x1f"


def test_lists_are_trimmed_and_empty_pieces_dropped() -> None:
    assert split_list("warning, ,nas1,nas1,") == ["warning", "nas1", "nas1"]
