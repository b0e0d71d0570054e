"""The stored payload of a notification."""

import contextlib
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import InvalidEnvelopeError
from gbe.schemas.notify import Action, Attachment, Notification, decode, encode

_words = st.text(st.characters(codec="utf-8"), max_size=20)
_maybe = st.none() | _words
_seconds = st.integers(0, 2**40)

actions = st.builds(
    Action,
    id=_words,
    action=st.sampled_from(["view", "http", "broadcast", "copy"]),
    label=_words,
    clear=st.booleans(),
    url=_maybe,
    headers=st.none() | st.dictionaries(_words, _words, min_size=1, max_size=3),
)
notifications = st.builds(
    Notification,
    v=st.just(1),
    ts=_seconds,
    id=st.text(string.ascii_letters + string.digits, min_size=12, max_size=12),
    time=_seconds,
    event=st.sampled_from(["message", "message_clear", "message_delete", "poll_request"]),
    expires=st.none() | _seconds,
    title=_maybe,
    message=_maybe,
    priority=st.none() | st.integers(1, 5),
    tags=st.lists(_words, max_size=3).map(tuple),
    actions=st.lists(actions, max_size=3).map(tuple),
    attachment=st.none() | st.builds(Attachment, name=_words, url=_words, size=st.none() | _seconds),
)

MINIMAL = Notification(v=1, ts=1_790_000_000_123, id="q3XbT0fKm2Lz", time=1_790_000_000, event="message")


def test_the_smallest_notification_says_version_times_id_and_event() -> None:
    """Consumers in other languages rely on these five; everything else may be absent."""
    assert json.loads(encode(MINIMAL)) == {
        "v": 1,
        "ts": 1_790_000_000_123,
        "id": "q3XbT0fKm2Lz",
        "time": 1_790_000_000,
        "event": "message",
    }


def test_an_action_always_says_whether_it_clears() -> None:
    action = Action(id="a", action="view", label="Open", clear=False, url="https://x.net")
    notification = Notification(v=1, ts=1, id="q3XbT0fKm2Lz", time=1, event="message", actions=(action,))
    assert json.loads(encode(notification))["actions"] == [
        {"id": "a", "action": "view", "label": "Open", "clear": False, "url": "https://x.net"}
    ]


def test_unknown_fields_of_a_newer_producer_are_skipped() -> None:
    assert decode(encode(MINIMAL)[:-1] + b',"colour":{"r":[1]}}') == MINIMAL


@given(notifications)
def test_decoding_returns_what_was_encoded(notification: Notification) -> None:
    assert decode(encode(notification)) == notification


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"v":1,"ts":1,"id":"x","time":1}',
        b'{"v":0,"ts":1,"id":"x","time":1,"event":"message"}',
        b'{"v":1,"ts":"1","id":"x","time":1,"event":"message"}',
        b'{"v":1,"ts":1,"id":"x","time":1,"event":"message","priority":6}',
        b'{"v":1,"ts":1,"id":"\xff","time":1,"event":"message"}',
        b'{"v":1,"z":' + b"[" * 100_000,
    ],
)
def test_a_malformed_payload_is_a_gbe_error(payload: bytes) -> None:
    with pytest.raises(InvalidEnvelopeError, match="not a notification"):
        decode(payload)


@given(st.binary(max_size=200))
def test_no_payload_raises_anything_else(payload: bytes) -> None:
    with contextlib.suppress(InvalidEnvelopeError):
        decode(payload)
