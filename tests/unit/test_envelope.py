"""The envelope and its trace context."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gbe.envelope import Envelope, check_traceparent, is_traceparent
from gbe.errors import InvalidEnvelopeError

VALID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def hexadecimal(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=length, max_size=length)


@given(hexadecimal(2), hexadecimal(32), hexadecimal(16), hexadecimal(2))
def test_a_traceparent_is_four_fields_that_mean_something(version: str, trace: str, parent: str, flags: str) -> None:
    """Version ff and ids of zeros alone are invalid (W3C Trace Context 3.2.2)."""
    text = f"{version}-{trace}-{parent}-{flags}"
    means_something = version != "ff" and set(trace) != {"0"} and set(parent) != {"0"}
    assert is_traceparent(text) == means_something


@pytest.mark.parametrize(
    "text",
    [
        "",
        VALID.upper(),
        VALID + "\n",
        VALID + "\r\nNats-Rollup: all",
        " " + VALID,
        VALID[:-1],
        VALID + "-00",
        VALID.replace("-", "_"),
        "ff" + VALID[2:],
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        VALID.replace("a", "٣"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """By an error that quotes no more than it must."""
    assert not is_traceparent(text)
    with pytest.raises(InvalidEnvelopeError):
        check_traceparent(text + "x" * 10_000)


def test_a_valid_traceparent_is_returned() -> None:
    """So that checking and passing on are one expression."""
    assert check_traceparent(VALID) == VALID


def test_an_envelope_is_a_value() -> None:
    """Equal by content, unchangeable, usable as a key."""
    envelope = Envelope("01ARZ3NDEKTSV4RRFFQ69G5FAV", "gbe.a", 1, b"x", VALID)
    assert envelope == replace(envelope)
    assert {envelope: 1}[replace(envelope)] == 1
    with pytest.raises(AttributeError):
        envelope.payload = b"y"  # type: ignore[misc]
