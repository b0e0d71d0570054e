"""The rules of CloudEvents 1.0: names, types, percent-encoding, extensions, content types."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import InvalidEventError
from gbe.events.cloudevents import decode_header, encode_header, from_binary, from_structured, to_structured

REQUIRED = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}
characters = st.characters(exclude_categories=("Cs", "Cc", "Cn"))
strings = st.text(characters, min_size=1, max_size=30)
names = st.from_regex(r"\A[a-z0-9]{1,20}\Z").filter(
    lambda name: name not in {*REQUIRED, "data", "time", "subject", "dataschema", "datacontenttype"}
)
integers = st.integers(-(2**31), 2**31 - 1)
json = st.recursive(
    st.none() | st.booleans() | integers | st.text(characters), lambda x: st.lists(x) | st.dictionaries(strings, x)
).filter(lambda value: not (isinstance(value, dict) and "cloudevent" in value))


@st.composite
def cloudevents(draw: st.DrawFn) -> dict[str, Any]:
    event: dict[str, Any] = {**REQUIRED, "id": draw(strings), "type": draw(strings)}
    event |= draw(st.dictionaries(names, strings | st.booleans() | integers, max_size=4))
    if draw(st.booleans()):
        event["subject"] = draw(strings)
    if draw(st.booleans()):
        event |= {"datacontenttype": "application/json", "dataschema": "https://example.com/schema"}
    match draw(st.integers(0, 2)):
        case 0:
            event["data"] = draw(json.filter(lambda value: value is not None))
        case 1:
            event["data_base64"] = base64.b64encode(draw(st.binary())).decode()
    return event


def back(document: bytes) -> Any:
    payload = {"v": 1, "ts": 1, "id": "x"} | msgspec.json.decode(document)
    return msgspec.json.decode(msgspec.json.encode(to_structured("x", msgspec.json.encode(payload))))


@given(cloudevents())
def test_a_structured_event_comes_back_as_it_was(event: dict[str, Any]) -> None:
    """Attributes with their types, extensions, data of any kind."""
    assert back(from_structured("x", msgspec.json.encode(event))) == event


@given(st.dictionaries(names, strings, max_size=4), json.filter(lambda value: value is not None))
def test_a_binary_event_comes_back_as_it_was(extensions: dict[str, str], data: Any) -> None:
    """Headers carry what percent-encoding makes of it."""
    attributes = REQUIRED | extensions
    headers = [(f"ce-{name}", encode_header(value)) for name, value in attributes.items()]
    document = from_binary("x", [*headers, ("content-type", "application/json")], msgspec.json.encode(data))
    assert back(document) == {**attributes, "datacontenttype": "application/json", "data": data}


@given(strings)
def test_a_header_is_printable_ascii_and_says_the_same(value: str) -> None:
    """Any text survives."""
    header = encode_header(value)
    assert all("!" <= character <= "~" and character != '"' for character in header)
    assert decode_header("x", "a", header) == value


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ('"a \\"b\\""', 'a "b"'),
        ("%41%zz%", "A%zz%"),
        ("%2541", "%41"),
    ],
)
def test_headers_of_the_specification(header: str, value: str) -> None:
    """Quotes first, then one round of decoding."""
    assert decode_header("x", "a", header) == value


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": ""}, "id"),
        ({"source": None}, "source"),
        ({"type": 7}, "type"),
        ({"specversion": "0.3"}, "specversion"),
        ({"Upper": "x"}, "Upper"),
        ({"a_b": "x"}, "a_b"),
        ({"ext": {"a": 1}}, "ext"),
        ({"ext": 1.5}, "ext"),
        ({"ext": 2**31}, "ext"),
        ({"ext": "a\u0007"}, "ext"),
        ({"ext": "a\ufffe"}, "ext"),
        ({"source": "a b"}, "source"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-13-01T00:00:00Z"}, "time"),
        ({"dataschema": "relative"}, "dataschema"),
        ({"datacontenttype": "json"}, "datacontenttype"),
        ({"subject": ""}, "subject"),
        ({"data_base64": "%%%"}, "data_base64"),
        ({"data": 1, "data_base64": "QQ=="}, "data_base64"),
        ({"data": {"cloudevent": 1}}, "data.cloudevent"),
    ],
)
def test_what_the_rules_forbid_is_named(change: dict[str, object], field: str) -> None:
    """Each error has the attribute."""
    with pytest.raises(InvalidEventError) as caught:
        from_structured("x", msgspec.json.encode(REQUIRED | change))
    assert caught.value.field == field


@given(st.binary(max_size=100))
def test_no_bytes_break_the_reader(document: bytes) -> None:
    """Whatever comes in, it is no event without its attributes."""
    with pytest.raises(InvalidEventError):
        from_structured("x", document)
