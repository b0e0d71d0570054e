"""What is one JSON document of the contract, in payloads and in the fields of records."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.vectors.files import contract, levels

from gbe.errors import BrokenRecordError, InvalidEnvelopeError, InvalidEventError
from gbe.schemas import stored, tasks
from gbe.schemas.documents import MAX_DEPTH, check_document, depth_of, fault_of, fits_inside
from gbe.schemas.events.registry import EventRegistry


def nested(levels: int, inside: str = "") -> str:
    """Lists and objects in one another."""
    return (
        '[{"[\\"{[":' * (levels // 2) + "[" * (levels % 2) + (inside or "1") + "]" * (levels % 2) + "}]" * (levels // 2)
    )


values = st.recursive(
    st.text('[]{}\\"a') | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[{"\\'), inner, max_size=4),
    max_leaves=40,
)


@given(values, st.integers(MAX_DEPTH - 30, MAX_DEPTH + 3))
def test_depth_is_that_of_the_value_whatever_texts_hold(value: Any, outside: int) -> None:
    """Counted where it matters: around the bound, with brackets in texts and names."""
    document = nested(outside, json.dumps(value)).encode()
    wanted = outside + levels(value)
    assert depth_of(document) == wanted
    assert (fault_of(document) is None) is (wanted <= MAX_DEPTH)
    assert fits_inside(document) is (wanted < MAX_DEPTH)


def test_a_wide_document_is_not_deep() -> None:
    """However many brackets it has."""
    document = json.dumps([{"a": [[]] * MAX_DEPTH}, "[" * MAX_DEPTH]).encode()
    assert depth_of(document) == 4
    check_document(document)


@given(st.binary(max_size=200))
@example(b'"' + b"[" * 10_000)
@example(b"]" * 10_000)
@example(b"\\" * 10_001 + b"{" * 600)
def test_whatever_the_bytes_are(document: bytes) -> None:
    """There is an answer, the same as that of another parser."""
    fault = fault_of(document)
    try:
        json.loads(document.decode(), parse_constant=int)
    except ValueError:
        assert fault is not None
    else:
        json.dumps(json.loads(document)).encode()


EVENT = '{"v":1,"ts":1,"id":"a","actor":"ann","action":"update","target":"x","after":%s}'
SIGNAL = '{"v":1,"ts":1,"id":"a","task_id":"01M8A2XBX214ZQTHTJFHP02E9D","attempt":0,"created_at":1,"params":%s}'


@pytest.mark.parametrize("broken", [nested(MAX_DEPTH).encode(), b'"\xff"', b'"\\ud800 "', b"[1,]"])
def test_payloads_are_refused_as_a_whole(broken: bytes) -> None:
    """Before a publisher sends them, and when a consumer reads them: no field is named, for there is no document."""
    kind = EventRegistry().schema_of("events.audit.change")
    event, signal = (text.encode().replace(b"%s", broken) for text in (EVENT, SIGNAL))
    for refuse in (kind.check, kind.decode):
        with pytest.raises(InvalidEventError) as refusal:
            refuse("events.audit.change", event)
        assert refusal.value.field == ""
    with pytest.raises(InvalidEnvelopeError, match="not a task signal: "):
        tasks.decode_signal(signal)
    with pytest.raises(BrokenRecordError, match="not a task's record: params: type: "):
        stored.check_json("a task's record", "params", broken * 2)


def test_the_bound_is_that_of_the_contract() -> None:
    """Rust and Go compare theirs with the same file."""
    assert contract().schemas["payload"]["x-max-depth"] == MAX_DEPTH


def test_the_deepest_payload_passes() -> None:
    """A level less is none too many."""
    event = (EVENT % nested(MAX_DEPTH - 1)).encode()
    kind = EventRegistry().schema_of("events.audit.change")
    kind.check("events.audit.change", event)
    assert levels(kind.decode("events.audit.change", event).after) == MAX_DEPTH - 1


@pytest.mark.parametrize("value", [b"0", b"007", b"9223372036854775807"])
def test_digits_are_a_number(value: bytes) -> None:
    """As other languages read them."""
    assert stored.decimal(value) == int(value)


@given(st.text("0123456789 _-+.٣²", max_size=25))
def test_other_texts_are_no_number(text: str) -> None:
    """ASCII digits alone, and 63 bits."""
    is_number = bool(text) and all(letter in "0123456789" for letter in text) and int(text) < 1 << 63
    try:
        assert stored.decimal(text.encode()) == int(text)
    except ValueError:
        assert not is_number
    else:
        assert is_number
