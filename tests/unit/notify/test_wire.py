"""What clients see."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.http.wire import (
    WireMessage,
    error_body,
    json_line,
    raw_line,
    sse_event,
    stream_json_line,
    stream_raw_line,
    stream_sse_event,
    stream_ws_text,
    ws_text,
)
from gbe.notify.errors import Refusal
from gbe.schemas.notify import Action, Attachment, Notification

ORDER = [
    "id",
    "sequence_id",
    "time",
    "expires",
    "event",
    "topic",
    "title",
    "message",
    "priority",
    "tags",
    "click",
    "icon",
    "actions",
    "attachment",
    "poll_id",
    "content_type",
    "encoding",
]


def notification(event: str = "message", **fields: object) -> Notification:
    return Notification(v=1, ts=1_790_000_000_123, id="q3XbT0fKm2Lz", time=1_790_000_000, event=event, **fields)  # type: ignore[arg-type]


FULL = notification(
    expires=1_790_043_200,
    sequence_id="dl-7",
    title="Disk 💾 <&>",
    message="a\nb",
    priority=3,
    tags=("a", "a"),
    click="c",
    icon="https://i",
    actions=(Action(id="A", action="view", label="L", clear=False, url="u"),),
    attachment=Attachment(name="n", url="u", type="t", size=1, expires=2),
    poll_id="p",
    content_type="text/markdown",
    encoding="base64",
)


def test_keys_stand_in_the_order_of_the_specification() -> None:
    assert list(json.loads(json_line(FULL, "ops"))) == ORDER == list(WireMessage.__struct_fields__)
    assert list(json.loads(json_line(FULL, "ops"))["attachment"]) == ["name", "type", "size", "expires", "url"]


def test_a_short_message_byte_for_byte() -> None:
    """Compact, not escaped, nothing that is not set, and neither `v` nor `ts`."""
    assert (
        json_line(notification(expires=1_790_043_200, message="Größe <1 & 2>"), "ops")
        == (
            '{"id":"q3XbT0fKm2Lz","time":1790000000,"expires":1790043200,"event":"message","topic":"ops",'
            '"message":"Größe <1 & 2>"}\n'
        ).encode()
    )


def test_a_sequence_that_is_the_id_itself_shows_on_websocket_only() -> None:
    first = notification(sequence_id="q3XbT0fKm2Lz", message="x")
    assert "sequence_id" not in json.loads(json_line(first, "ops"))
    assert "sequence_id" not in json.loads(json_line(notification(), "ops"))
    assert json.loads(ws_text(first, "ops"))["sequence_id"] == "q3XbT0fKm2Lz"
    assert json.loads(ws_text(notification(), "ops"))["sequence_id"] == "q3XbT0fKm2Lz"
    assert json.loads(ws_text(FULL, "ops"))["sequence_id"] == "dl-7"


@pytest.mark.parametrize(
    ("event", "sse_name", "raw"),
    [
        ("message", None, b"one  two three\n"),
        ("message_clear", None, b"\n"),
        ("message_delete", None, b"\n"),
        ("poll_request", "poll_request", b"\n"),
    ],
)
def test_events_in_the_other_formats(event: str, sse_name: str | None, raw: bytes) -> None:
    one = notification(event, message="one\n\ntwo\r\nthree")
    name = f"event: {sse_name}\n" if sse_name else ""
    line = json_line(one, "ops")
    assert sse_event(one, "ops") == name.encode() + b"data: " + line + b"\n"
    assert raw_line(one) == raw
    assert ws_text(notification(message="x"), "ops").endswith("}\n")


@pytest.mark.parametrize("event", ["open", "keepalive"])
def test_signs_of_life(event: str) -> None:
    json_bytes = stream_json_line(event, "a,b", id="Vt8sZ1cR0aYe", time=1_790_000_010)  # type: ignore[arg-type]
    line = f'{{"id":"Vt8sZ1cR0aYe","time":1790000010,"event":"{event}","topic":"a,b"}}\n'
    assert json_bytes == line.encode()
    sse = stream_sse_event(event, "a,b", id="Vt8sZ1cR0aYe", time=1_790_000_010)  # type: ignore[arg-type]
    assert sse == f"event: {event}\ndata: {line}\n".encode()
    assert stream_raw_line() == b"\n"
    frame = json.loads(stream_ws_text("open", "a,b", id="Vt8sZ1cR0aYe", time=1_790_000_010))
    assert frame["sequence_id"] == frame["id"]


def test_an_error_byte_for_byte() -> None:
    assert error_body(Refusal.PRIORITY_INVALID.error()) == (
        b'{"code":40007,"http":400,"error":"invalid priority parameter",'
        b'"link":"https://ntfy.sh/docs/publish/#message-priority"}\n'
    )
    assert error_body(Refusal.NOT_FOUND.error()) == b'{"code":40401,"http":404,"error":"page not found"}\n'


@given(st.text(st.characters(codec="utf-8")))
def test_every_format_keeps_one_event_on_one_line(text: str) -> None:
    one = notification(title=text or None, message=text or None)
    assert json_line(one, "ops").count(b"\n") == 1
    assert raw_line(one).count(b"\n") == 1
    assert b"\r" not in raw_line(one)
    assert sse_event(one, "ops").count(b"\n") == 2
    assert json.loads(json_line(one, "ops")).get("message", "") == text
