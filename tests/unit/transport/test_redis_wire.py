"""The binding of envelopes to entries of a stream: what was stored comes back, and a foreign entry is no accident."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.envelope import Envelope
from gbe.ids import encode_ulid
from gbe.transport.base import Position
from gbe.transport.redis import wire

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LARGEST = (1 << 64) - 1

milliseconds = st.integers(0, 2**48 - 1)
ids = st.builds(encode_ulid, milliseconds, st.integers(0, 2**80 - 1))
tokens = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=8)
subjects = st.lists(tokens, min_size=1, max_size=5).map(".".join)
envelopes = st.builds(
    Envelope,
    id=ids,
    subject=subjects,
    timestamp=milliseconds,
    payload=st.binary(max_size=200),
    traceparent=st.sampled_from([None, TRACE]),
)
positions = st.builds(Position, st.integers(0, LARGEST), st.integers(0, LARGEST))


def fields_of(envelope: Envelope) -> list[bytes]:
    """As the script of a publish writes them."""
    fields = [b"id", envelope.id.encode(), b"ts", str(envelope.timestamp).encode()]
    if envelope.traceparent is not None:
        fields += [b"tp", envelope.traceparent.encode()]
    return [*fields, b"data", envelope.payload]


@given(envelopes, positions)
def test_what_is_stored_is_read_back(envelope: Envelope, position: Position) -> None:
    entry = [wire.entry_id(position).encode(), fields_of(envelope)]
    assert wire.stored(envelope.subject, entry) == (wire.StoredMessage(envelope, position))


@given(envelopes, positions)
def test_what_is_not_stored_is_read_back_with_its_place(envelope: Envelope, position: Position) -> None:
    message = wire.placed(wire.entry_id(position).encode(), wire.unstored_message(envelope))
    assert wire.read_unstored(message) == (position, envelope)


@given(st.binary(max_size=60))
def test_anything_else_on_a_channel_is_passed_over(message: bytes) -> None:
    """Channels are open to whoever may publish there."""
    wire.read_unstored(message)
    wire.read_unstored(wire.UNSTORED + message)


@given(st.integers(0, 2**48), st.integers(0, 10**11), st.dictionaries(st.binary(max_size=6), st.binary(max_size=20)))
def test_an_entry_with_fields_of_its_own_is_read(ms: int, sequence: int, fields: dict[bytes, bytes]) -> None:
    """Id and time are those of its place, where it does not say them as it should."""
    entry_id = b"%d-%d" % (ms, sequence)
    flat = [word for pair in fields.items() for word in pair]
    envelope = wire.entry_envelope("a.b", entry_id, flat)
    assert envelope.payload == fields.get(b"data", b"")
    assert envelope.id == wire.place_id(Position(ms, sequence))
    assert wire.place_named(envelope.id) in (Position(ms, sequence), Position(2**48 - 1, sequence))
    assert envelope.timestamp == ms


@given(st.permutations([b"id", b"ts", b"tp", b"data"]), envelopes)
def test_the_order_of_the_fields_does_not_matter(order: list[bytes], envelope: Envelope) -> None:
    named = {b"id": envelope.id, b"ts": str(envelope.timestamp), b"tp": envelope.traceparent or ""}
    flat: list[bytes] = []
    for name in order:
        flat += [name, envelope.payload if name == b"data" else named[name].encode()]
    assert wire.entry_envelope(envelope.subject, b"1-1", flat) == envelope


@pytest.mark.parametrize(
    "fields",
    [
        [b"id", b"x", b"ts", b"2026-11-25", b"data", b""],
        [b"id", b"\xff", b"ts", b"1", b"data", b""],
        [b"ts", b"9" * 5000, b"data", b""],
    ],
    ids=["time in words", "id that is no text", "time beyond all bounds"],
)
def test_an_entry_that_makes_no_sense_is_read(fields: list[bytes]) -> None:
    """As one without these fields: it must not stop those who consume."""
    assert wire.entry_envelope("a.b", b"7-1", fields).timestamp == 7


@given(positions, positions)
def test_positions_compare_as_entries_do(one: Position, other: Position) -> None:
    """Behind one lies all that is greater, and nothing else."""
    for position in (one, other):
        assert wire.position_of(wire.entry_id(position).encode()) == position
    behind = wire.position_of(wire.after(one).encode())
    if one < Position(LARGEST, LARGEST):
        assert behind > one
        assert (other > one) == (other >= behind)


@given(st.integers(1, 2**62), st.integers(0, LARGEST))
def test_before_a_moment_lies_everything_that_is_older(ms: int, minor: int) -> None:
    assert Position(ms - 1, minor) <= wire.before(ms) < Position(ms, 0)


def test_nothing_lies_before_the_beginning() -> None:
    assert wire.before(0) == wire.before(-5) == Position(0, 0)


@pytest.mark.parametrize("position", [Position(-1, -1), Position(1 << 70, 1 << 70)])
def test_a_position_of_another_engine_is_brought_within_bounds(position: Position) -> None:
    """It may lie outside of what Redis counts."""
    major, _, minor = wire.entry_id(position).partition("-")
    assert 0 <= int(major) <= LARGEST
    assert 0 <= int(minor) <= LARGEST
