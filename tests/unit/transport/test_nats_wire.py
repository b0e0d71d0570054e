"""The binding of envelopes to NATS messages: nothing gets into a header, and no message is lost for want of one."""

import string
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from nats.protocol import parser

from gbe.envelope import Envelope
from gbe.ids import encode_ulid, is_ulid, ulid_time_ms
from gbe.subjects import check_subject
from gbe.transport.base import MAX_IDEMPOTENCY_KEY_BYTES, Position, check_idempotency_key
from gbe.transport.nats import wire
from gbe.transport.nats.groups import durable_name
from gbe.transport.nats.history import rfc3339
from gbe.transport.nats.streams import schedule_pattern
from gbe.transport.nats.wire import AckSubject

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

milliseconds = st.integers(0, 2**48 - 1)
ids = st.builds(encode_ulid, milliseconds, st.integers(0, 2**80 - 1))
tokens = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=8)
subjects = st.lists(tokens, min_size=1, max_size=5)
envelopes = st.builds(
    Envelope,
    id=ids,
    subject=subjects.map(".".join).map(check_subject),
    timestamp=st.integers(0, 2**53),
    payload=st.binary(max_size=200),
    traceparent=st.one_of(st.none(), st.just(TRACE)),
)
keys = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=MAX_IDEMPOTENCY_KEY_BYTES).map(
    check_idempotency_key
)


def parsed(frame: bytes) -> tuple[str, str, dict[str, str], bytes]:
    """Subject, reply, headers and payload of one HPUB, read as the protocol says and by nothing of ours."""
    command, rest = frame.split(b"\r\n", 1)
    word, *arguments = command.decode().split(" ")
    assert word == "HPUB"
    subject, reply, header_size, total_size = arguments if len(arguments) == 4 else (arguments[0], "", *arguments[1:])
    block, payload, end = rest[: int(header_size)], rest[int(header_size) : int(total_size)], rest[int(total_size) :]
    assert end == b"\r\n"
    assert block.startswith(b"NATS/1.0\r\n")
    assert block.endswith(b"\r\n\r\n")
    lines = block[len(b"NATS/1.0\r\n") : -len(b"\r\n\r\n")].decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines)
    return subject, reply, headers, payload


@given(envelopes, keys)
def test_an_envelope_is_read_back_as_it_was_written(envelope: Envelope, key: str) -> None:
    """Whatever the payload and the key hold; the headers are ours and no others."""
    frame = wire.frame(envelope.subject, "_INBOX.x.1", wire.header_lines(envelope, key), envelope.payload)
    subject, reply, headers, payload = parsed(frame)
    assert (subject, reply, payload) == (envelope.subject, "_INBOX.x.1", envelope.payload)
    assert set(headers) == {"Nats-Msg-Id", "Gbe-Id", "Gbe-Timestamp"} | (
        {"traceparent"} if envelope.traceparent else set()
    )
    assert headers["Nats-Msg-Id"] == f"{envelope.subject}|k:{key}"
    assert wire.envelope_of(subject, payload, headers, 7, 7) == envelope


@given(envelopes)
def test_deduplication_keeps_subjects_apart(envelope: Envelope) -> None:
    """The engine counts ids per stream, so they carry the subject; a subject cannot hold the separator."""
    one = wire.header_lines(envelope, "k")
    other = wire.header_lines(Envelope(envelope.id, envelope.subject + "x", 0, b""), "k")
    assert one.split("\r\n")[0] != other.split("\r\n")[0]
    assert "|" not in envelope.subject


@given(st.binary(max_size=100))
def test_a_plain_frame_is_one_message(payload: bytes) -> None:
    """PUB, with and without a reply."""
    assert wire.plain_frame("a.b", "", payload) == b"PUB a.b %d\r\n%b\r\n" % (len(payload), payload)
    assert wire.plain_frame("a.b", "c", payload) == b"PUB a.b c %d\r\n%b\r\n" % (len(payload), payload)
    assert parser.CRLF_SIZE == 2


# -- messages of other programs


@given(st.dictionaries(st.sampled_from(["Gbe-Id", "Gbe-Timestamp", "traceparent", "X"]), st.text(max_size=30)))
def test_foreign_headers_never_break_a_reader(headers: dict[str, str]) -> None:
    """Whatever they claim, there is an envelope, with an id that is one and trace context that is some."""
    stored = 1_790_000_000_000
    envelope = wire.envelope_of("gbe.a", b"x", headers, 12, stored)
    assert is_ulid(envelope.id)
    assert envelope.timestamp >= 0
    assert envelope.traceparent in {None, TRACE}
    assert (envelope.subject, envelope.payload) == ("gbe.a", b"x")


@given(st.integers(0, 2**48 - 1), st.integers(1, 2**64 - 1))
def test_a_message_without_our_headers_gets_the_id_of_its_place(stored_ms: int, sequence: int) -> None:
    """The same at each reading, and no other message's."""
    one = wire.envelope_of("gbe.a", b"x", None, sequence, stored_ms)
    assert one == wire.envelope_of("gbe.a", b"x", {}, sequence, stored_ms)
    assert (ulid_time_ms(one.id), one.timestamp) == (stored_ms, stored_ms)
    assert one.id != wire.envelope_of("gbe.a", b"x", None, sequence + 1, stored_ms).id


def test_an_id_without_a_timestamp_is_no_envelope_of_ours() -> None:
    """Half an envelope is none: both come from where the message lies. A broken trace context alone is dropped."""
    ours = {"Gbe-Id": encode_ulid(1, 1), "Gbe-Timestamp": "5", "traceparent": "00-nonsense"}
    assert wire.envelope_of("a", b"", ours, 3, 9) == Envelope(encode_ulid(1, 1), "a", 5, b"", None)
    for timestamp in ("-5", "\u0665", "", "9" * 5000):
        assert wire.envelope_of("a", b"", {**ours, "Gbe-Timestamp": timestamp}, 3, 9).id == encode_ulid(9, 3)
    assert wire.envelope_of("a", b"", {**ours, "Gbe-Id": "nope"}, 3, 9).id == encode_ulid(9, 3)


def test_a_stored_foreign_message_is_dated_by_the_engine() -> None:
    """In a direct get the time is a header."""
    headers = {
        "Nats-Stream": "s",
        "Nats-Subject": "gbe.a",
        "Nats-Sequence": "17",
        "Nats-Time-Stamp": "2026-11-23T17:41:02.001999999Z",
    }
    message = wire.stored_message(b"x", headers)
    assert message.position == Position(17)
    assert message.envelope.timestamp == ulid_time_ms(message.envelope.id) == 1_795_455_662_001


# -- time


@given(st.integers(0, 253_402_300_799_000), st.integers(0, 999_999))
def test_the_engines_time_is_read_to_the_millisecond(ms: int, nanoseconds: int) -> None:
    """Exactly: a float of seconds would be off by one now and then."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    text = f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}{nanoseconds:06d}".rstrip("0").rstrip(".") + "Z"
    assert wire.stored_ms({"Nats-Time-Stamp": text}) == ms
    assert wire.stored_ms({"Nats-Time-Stamp": rfc3339(ms)}) == ms


def test_times_beyond_the_calendar_are_its_ends() -> None:
    """Rather than an error, for who asks for everything before the year 20000."""
    assert rfc3339(-1) == rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(10**18) == rfc3339(2**53) == "9999-12-31T23:59:59.000Z"


# -- names of ours at the engine


def test_both_forms_of_an_acknowledgement_subject_are_read() -> None:
    """Plain, and with domain and account hash, with or without the token behind (ADR-15)."""
    plain = "$JS.ACK.stream.consumer.3.17.20.1795455662001999999.4"
    for text in (plain, plain.replace("ACK.", "ACK.hub.A1B2C3.") + ".x7", plain.replace("ACK.", "ACK._.A1B2C3.")):
        about = AckSubject(text)
        assert (about.stream, about.attempt, about.sequence, about.consumer_sequence, about.stored_ms) == (
            "stream",
            3,
            17,
            20,
            1_795_455_662_001,
        )


def test_groups_and_patterns_have_names_of_their_own() -> None:
    """No two subscriptions share a consumer, and the engine takes every name."""
    names = {
        durable_name(group, pattern) for group in ("g", "g-x", "G") for pattern in ("a.b", "a.*", "a.>", ">", "*.b")
    }
    assert len(names) == 15
    assert all(name.replace("-", "").replace("_", "").isalnum() for name in names)


def test_waiting_messages_lie_beside_their_subjects() -> None:
    """One subject for each that waits, within the stream of its subject."""
    assert schedule_pattern("gbe.a.>") == "gbe-sched.gbe.a.>"
    assert schedule_pattern("gbe.a.*") == "gbe-sched.gbe.a.*.*"
    assert schedule_pattern("gbe.a") == "gbe-sched.gbe.a.*"
