"""Commands as they go over the wire, scripts, and the codes of errors."""

import hashlib

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.redis.errors import FULL, PASSING, REFUSED, code_of, described
from gbe.redis.protocol import ReplyError, pack, pack_all
from gbe.redis.scripts import Script, script

words = st.binary(max_size=50) | st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1)


@given(st.lists(words, min_size=1, max_size=20))
def test_a_command_arrives_as_it_was_given(command: list[bytes | str | int]) -> None:
    """What a server reads of it are the words, as bytes."""
    reader = hiredis.Reader()
    reader.feed(pack_all(command))
    expected = [word if isinstance(word, bytes) else str(word).encode() for word in command]
    assert reader.gets() == expected
    assert pack(*command) == pack_all(command)


def test_a_script_says_in_its_first_line_what_it_may_do() -> None:
    """A server that is told to is strict about keys of other slots, and lets one that only reads run on a full disk."""
    assert script("return 1").source == "#!lua\nreturn 1\n"
    assert script("return 1", writes=False).source == "#!lua flags=no-writes\nreturn 1\n"
    with pytest.raises(ValueError, match="#!lua"):
        Script("return 1")


def test_a_script_has_the_name_that_the_server_gives_it() -> None:
    one = script("return 1")
    assert one.sha == hashlib.sha1(one.source.encode(), usedforsecurity=False).hexdigest()
    assert one == script("\n  return 1  \n".strip())


@pytest.mark.parametrize(
    ("text", "code"), [("MOVED 1 a:1", "MOVED"), ("ERR unknown", "ERR"), ("CLUSTERDOWN", "CLUSTERDOWN"), ("", "")]
)
def test_the_first_word_of_an_error_is_its_code(text: str, code: str) -> None:
    assert code_of(ReplyError(text)) == code


def test_an_error_without_a_text_has_its_name() -> None:
    assert described(TimeoutError()) == "TimeoutError"
    assert described(OSError("no")) == "no"


def test_no_code_is_of_two_kinds() -> None:
    assert len(PASSING | FULL | REFUSED) == len(PASSING) + len(FULL) + len(REFUSED)
