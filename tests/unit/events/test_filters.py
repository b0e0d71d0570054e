"""Filters by the values of fields."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.events.filters import MOST, Filters

EVENT = msgspec.json.encode(
    {"actor": "ann", "n": 4, "x": None, "ok": True, "f": 1.5, "deep": {"er": {"est": "y"}}, "list": ["ann"]}
)


@pytest.mark.parametrize(
    ("texts", "passes"),
    [
        ([], True),
        (["actor=ann"], True),
        (["actor=bob"], False),
        (["actor=bob", "actor=ann"], True),
        (["actor=ann", "n=5"], False),
        (["n=4", "x=null", "ok=true", "f=1.5"], True),
        (["deep.er.est=y"], True),
        (["deep.er=y"], False),
        (["actor.x=ann"], False),
        (["list=ann"], False),
        (["gone="], False),
        (["a=b=c"], False),
    ],
)
def test_what_passes(texts: list[str], passes: bool) -> None:
    assert Filters.parse(texts).matches(EVENT) is passes


@pytest.mark.parametrize(
    "texts", [["actor"], ["=x"], ["a..b=x"], ["." + "=x"], ["a=" + "x" * 1000], ["a=b"] * (MOST + 1)]
)
def test_what_is_no_filter(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Filters.parse(texts)


@given(st.binary(max_size=60))
def test_no_payload_breaks_a_filter(payload: bytes) -> None:
    """What is no JSON object passes no filter."""
    assert Filters.parse(["a=b"]).matches(payload) in (True, False)
    assert Filters.parse([]).matches(payload)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), st.text(max_size=5) | st.integers(-9, 9), min_size=1))
def test_an_event_passes_the_filters_of_its_own_fields(event: dict[str, Any]) -> None:
    filters = Filters.parse([f"{name}={value}" for name, value in list(event.items())[:MOST]])
    assert filters.matches(msgspec.json.encode(event))
