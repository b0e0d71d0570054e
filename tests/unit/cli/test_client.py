"""Which server, as whom, and text that is safe to show."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.cli.client import ClientError, RefusedError, Target, authorization, parse_target, printable, printable_json

HERE = Target("http://127.0.0.1:8080", "ops")
OBEYED = [*map(chr, range(32)), *map(chr, range(127, 160)), *"\u2028\u2029\u202e\u2066\u200f\u061c"]


@pytest.mark.parametrize(
    ("topics", "server", "url"),
    [
        ("ops", None, "http://127.0.0.1:8080/ops"),
        ("ops", "https://ntfy.example.net/", "https://ntfy.example.net/ops"),
        ("a, b,a", "http://[::1]:80", "http://[::1]:80/a,b"),
        ("https://ntfy.example.net/ops", None, "https://ntfy.example.net/ops"),
        ("https://ntfy.example.net/push/ops/", None, "https://ntfy.example.net/push/ops"),
        ("https://ann:pw@ntfy.example.net/a,b", None, "https://ntfy.example.net/a,b"),
    ],
)
def test_topics_and_server_make_a_url(topics: str, server: str | None, url: str) -> None:
    assert parse_target(topics, server).url() == url


@pytest.mark.parametrize(
    ("topics", "server", "why"),
    [
        ("a/b", None, "'a/b' is not a topic"),
        ("", None, "is not a topic"),
        ("a,,b", None, "'' is not a topic"),
        ("..", None, "is not a topic"),
        ("https://ntfy.example.net", None, "expected one such as"),
        ("https://ntfy.example.net/", None, "expected one such as"),
        ("https://ntfy.example.net/ops?up=1", None, "is not a topic"),
        ("https://ntfy.example.net/ops", "http://other", "give one of them"),
        ("ops", "ntfy.example.net", "'ntfy.example.net' is not the URL of a server"),
        ("ops", "ftp://ntfy.example.net", "is not the URL"),
        ("ops", "http://", "is not the URL"),
        ("ops", "http://h:port", "is not the URL"),
        ("ops", "http://h?x", "is not the URL"),
        ("ops", "http://h\x1b[2J", "is not the URL"),
    ],
)
def test_what_is_no_target_is_refused(topics: str, server: str | None, why: str) -> None:
    with pytest.raises(ClientError, match=why.replace("?", r"\?")) as failure:
        parse_target(topics, server)
    assert printable(str(failure.value)) == str(failure.value)


def test_a_password_in_a_wrong_url_is_not_shown() -> None:
    with pytest.raises(ClientError) as failure:
        parse_target("ops", "htp://ann:secret@ntfy.example.net")
    assert "secret" not in str(failure.value)


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def test_credentials_come_from_the_command_the_url_or_the_environment() -> None:
    in_url = parse_target("https://ann:p%40w@ntfy.example.net/ops", None)
    environment = {"NTFY_USER": "bob:pw", "NTFY_TOKEN": "tk_env"}
    assert authorization(None, None, HERE, {}) == {}
    assert authorization("ann:p:w", None, HERE, environment) == basic("ann:p:w")
    assert authorization(None, "tk_1", HERE, environment) == {"Authorization": "Bearer tk_1"}
    assert authorization(None, None, in_url, environment) == basic("ann:p@w")
    assert authorization(None, None, HERE, environment) == {"Authorization": "Bearer tk_env"}
    assert authorization(None, None, HERE, {"NTFY_USER": "bob:pwä"}) == basic("bob:pwä")


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Evil: 1", "tökén"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ClientError, match="cannot be one") as failure:
        authorization(None, token, HERE, {})
    assert token not in str(failure.value)


def test_two_ways_to_log_in_are_one_too_many() -> None:
    with pytest.raises(ClientError, match="exclude one another"):
        authorization("ann:pw", "tk_1", HERE, {})


@given(st.text(st.sampled_from([*OBEYED, *"ab[ \U0001f4be\u200d"])))
def test_nothing_that_a_terminal_obeys_is_shown(text: str) -> None:
    shown = printable(text)
    assert not set(shown) & set(OBEYED)
    assert printable(shown) == shown
    assert set(printable(text, keep="\n")) & set(OBEYED) <= {"\n"}


@given(st.text())
def test_harmless_text_is_shown_as_it_is(text: str) -> None:
    harmless = "".join(c for c in text if c == printable(c))
    assert printable(harmless) == harmless


def test_text_that_is_not_unicode_can_be_shown() -> None:
    assert printable("a\udcff\ud800b") == "a??b"


@given(st.dictionaries(st.text(), st.text(st.sampled_from([*OBEYED, *'\\"ä']))))
def test_json_made_safe_for_terminals_means_the_same(value: dict[str, str]) -> None:
    line = printable_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(line) == value
    assert not set(line) & set(OBEYED)


@pytest.mark.parametrize(
    ("http", "code", "temporary"),
    [
        (429, 42901, True),
        (429, 0, True),
        (503, 0, True),
        (503, 50301, True),
        (503, 50302, False),
        (429, 42908, False),
        (400, 40007, False),
    ],
)
def test_only_a_full_bucket_and_a_busy_server_are_worth_waiting_for(http: int, code: int, temporary: bool) -> None:
    assert RefusedError("http://h", http, code, "limit reached").temporary is temporary


def test_the_words_of_a_hostile_server_are_shown_harmlessly() -> None:
    assert str(RefusedError("http://h", 400, 40007, "bad\x1b]0;x\x07\nthing")) == (
        "http://h refused: bad\ufffd]0;x\ufffd thing (error 40007)"
    )
