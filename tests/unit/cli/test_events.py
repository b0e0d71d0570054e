"""Events as lines for people."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.cli.events import Wanted, as_line, parse_event
from gbe.envelope import Envelope
from gbe.errors import ConfigError, InvalidEventError
from gbe.ids import new_ulid
from gbe.transport.base import EARLIEST, LATEST, StoredMessage

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def line(payload: bytes) -> str:
    envelope = Envelope(new_ulid(), "gbe.events.audit.change", 1_795_649_731_440, payload, None)
    return as_line(StoredMessage(envelope, None), "events.audit.change")


@given(st.dictionaries(st.text(), VALUES, max_size=5).map(msgspec.json.encode) | st.binary(max_size=300))
def test_whatever_is_stored_is_one_line_that_a_terminal_does_not_obey(payload: bytes) -> None:
    """Events come from strangers, and other programs may store what is no event."""
    assert line(payload).isprintable()


def test_fields_are_words_and_json() -> None:
    """Without what every event has, and without what is not there."""
    payload = b'{"v":1,"ts":5,"id":"x","actor":"ann","reason":"to see","before":null,"after":{"n":[1,2]},"count":3}'
    assert line(payload).split("  ")[1:] == [
        "events.audit.change",
        'actor=ann reason="to see" after={"n":[1,2]} count=3',
    ]


def test_long_values_are_cut() -> None:
    assert line(msgspec.json.encode({"message": "x" * 10_000})).endswith("x…")


def test_fields_on_the_command_line_are_json_where_they_read_as_such() -> None:
    """Others are text; words beat the object."""
    document = parse_event("events.audit.change", ["actor=ann", "count=3", 'version="7"'], '{"actor": "bob", "x": 1}')
    assert msgspec.json.decode(document) == {"actor": "ann", "count": 3, "version": "7", "x": 1}
    with pytest.raises(InvalidEventError, match="change: not JSON"):
        parse_event("events.audit.change", [], "{")


def test_what_is_wanted_is_checked_before_anything_is_opened() -> None:
    """With the option's name."""
    assert Wanted.parse("events.>", "all", [], None).start is EARLIEST
    assert Wanted.parse("events.>", "latest", [], None).start is LATEST
    with pytest.raises(ConfigError, match="--since: 'soon'"):
        Wanted.parse("events.>", "soon", [], None)
    with pytest.raises(ConfigError, match="--filter: 'x'"):
        Wanted.parse("events.>", "all", ["x"], None)
