"""Action buttons in both formats."""

import contextlib
import json
import string
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import NotifyError
from gbe.notify.actions import parse_actions


def parsed(text: str) -> list[dict[str, object]]:
    """The actions without their random ids."""
    actions = json.loads(msgspec.json.encode(parse_actions(text)))
    for action in actions:
        assert len(action["id"]) == 10
        assert action.pop("id").isalnum()
    return actions


def refused(text: str) -> str:
    with pytest.raises(NotifyError) as caught:
        parse_actions(text)
    assert caught.value.code == 40018
    prefix = "invalid request: actions invalid; "
    assert caught.value.message.startswith(prefix)
    return caught.value.message.removeprefix(prefix)


def view(label: str, url: str, *, clear: bool = False) -> dict[str, object]:
    return {"action": "view", "label": label, "clear": clear, "url": url}


def test_the_example_of_the_specification_is_the_same_in_both_formats() -> None:
    short = (
        "view, Open, https://example.net/a; "
        "http, Restart, https://example.net/r, method=put, headers.X-Key=k1, clear=yes"
    )
    long = """[{"action":"view","label":"Open","url":"https://example.net/a"},
        {"action":"HTTP","label":"Restart","url":"https://example.net/r","method":"put",
        "headers":{"X-Key":"k1"},"clear":true}]"""
    expected = [
        view("Open", "https://example.net/a"),
        {
            "action": "http",
            "label": "Restart",
            "clear": True,
            "url": "https://example.net/r",
            "method": "PUT",
            "headers": {"X-Key": "k1"},
        },
    ]
    assert parsed(short) == parsed(long) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("view,a,https://x", [view("a", "https://x")]),
        ("VIEW , a , https://x ;", [view("a", "https://x")]),
        ("view, a, https://x,", [view("a", "https://x")]),
        ("view, a, https://x.net/?a=b", [view("a", "https://x.net/?a=b")]),
        ("view, 'a=b', https://x", [view("a=b", "https://x")]),
        ('view, "a, b; c", https://x', [view("a, b; c", "https://x")]),
        (r'view, "say \"hi\"", https://x', [view('say "hi"', "https://x")]),
        (r"view, 'it\'s', https://x", [view("it's", "https://x")]),
        (r"view, 'C:\new', https://x", [view(r"C:\new", "https://x")]),
        ("view, it's, https://x", [view("it's", "https://x")]),
        ("action=view, label = Ä 💾 , url='https://x'", [view("Ä 💾", "https://x")]),
        ("url=https://x, action=view, label=a", [view("a", "https://x")]),
        ("view, a, https://x, clear=NO; view, b, y, clear=1", [view("a", "https://x"), view("b", "y", clear=True)]),
        ("copy, Code, 1234", [{"action": "copy", "label": "Code", "clear": False, "value": "1234"}]),
        (
            "broadcast, Pic, intent=io.x.Y, extras.cmd=pic, extras.n=",
            [
                {
                    "action": "broadcast",
                    "label": "Pic",
                    "clear": False,
                    "intent": "io.x.Y",
                    "extras": {"cmd": "pic", "n": ""},
                }
            ],
        ),
    ],
)
def test_the_short_format(text: str, expected: list[dict[str, object]]) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (";".join(["view,a,https://x"] * 4), "only 3 actions allowed"),
        (
            "open, a, url=https://x",
            "parameter 'action' cannot be 'open', valid values are 'view', 'broadcast', 'http' and 'copy'",
        ),
        (";", "parameter 'action' cannot be '', valid values are 'view', 'broadcast', 'http' and 'copy'"),
        ("view, label=, https://x", "parameter 'label' is required"),
        ("view", "parameter 'label' is required"),
        ("view, a", "parameter 'url' is required for action 'view'"),
        ("http, a", "parameter 'url' is required for action 'http'"),
        ("copy, a", "parameter 'value' is required for action 'copy'"),
        ("http, a, https://x, method=get, body=b", "parameter 'body' cannot be set if method is GET"),
        ("http, a, https://x, method=HEAD, body=b", "parameter 'body' cannot be set if method is HEAD"),
        (
            "view, a, https://x, clear=maybe",
            "parameter 'clear' cannot be 'maybe', only boolean values are allowed (true/yes/1/false/no/0)",
        ),
        ("view, a, https://x, more", "term 'more' unknown"),
        ("broadcast, a, b", "term 'b' unknown"),
        ("view, a, https://x, colour=red", "key 'colour' unknown"),
        ("view, a, https://x, headers.=red", "key 'headers.' unknown"),
        ("view, 'a' b, https://x", "unexpected character 'b' at position 10"),
        ("view, 'a", "unexpected end of input, quote started at position 6"),
        ("view, \ufffd, https://x", "invalid utf-8 string"),
    ],
)
def test_errors_of_the_short_format(text: str, detail: str) -> None:
    assert refused(text) == detail


def test_null_members_are_absent_and_keys_ignore_case() -> None:
    text = (
        '[{"Action":"http","LABEL":"a","url":"https://x","method":null,"body":null,"headers":{"a":null},"clear":null}]'
    )
    assert parsed(text) == [{"action": "http", "label": "a", "clear": False, "url": "https://x"}]


def test_an_empty_array_is_no_actions() -> None:
    assert parse_actions("[]") == ()


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[1]",
        '[{"action":1}]',
        '[{"action":"view","clear":"yes"}]',
        '[{"action":"http","headers":{"a":1}}]',
        '[{"action":"http","headers":[]}]',
        "[] []",
        "[NaN]",
        "[" * 100_000,
    ],
)
def test_errors_of_the_json_format(text: str) -> None:
    assert refused(text).startswith("JSON error: ")


def test_an_array_is_checked_like_the_short_format() -> None:
    assert refused("[null]").startswith("parameter 'action' cannot be ''")
    assert refused('[{"action":"view","url":"https://x"}]') == "parameter 'label' is required"
    assert refused(json.dumps([{"action": "view", "label": "a", "url": "u"}] * 4)) == "only 3 actions allowed"


@given(st.text(st.sampled_from(list("view,;='\"\\ [{}]:ab.clear1\x00é")), max_size=60) | st.text(max_size=60))
def test_no_text_raises_anything_but_an_error_of_the_interface(text: str) -> None:
    with contextlib.suppress(NotifyError):
        parse_actions(text)


_labels = st.text(st.sampled_from(string.ascii_letters + string.digits + " ,;='[]é💾"), min_size=1, max_size=20).filter(
    lambda text: text.strip()
)


@given(_labels)
def test_every_label_without_the_quote_survives_in_quotes(label: str) -> None:
    assert parsed(f'view, "{label}", https://x') == [view(label, "https://x")]


@pytest.mark.parametrize("part", ["a", "a ", "\\", "'", "\\'", "view,", ";", "a=", " ", "'a',"])
def test_hostile_input_takes_linear_time(part: str) -> None:
    """Half a megabyte; quadratic work would take hours."""
    started = time.perf_counter()
    for prefix in ("", "view, '", "view, a"):
        with contextlib.suppress(NotifyError):
            parse_actions(prefix + part * (500_000 // len(part)))
    assert time.perf_counter() - started < 20
