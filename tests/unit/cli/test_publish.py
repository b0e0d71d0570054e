"""``gbe publish``: headers, retries and what it says, against a server that does as it is told."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.cli.foreign_server import Answer, ForeignServer

from gbe.cli.client import ClientError, RefusedError, UnreachableError, parse_target
from gbe.cli.publish import Draft, header_value, publish
from gbe.notify import options
from gbe.notify.options import Option
from gbe.notify.parameters import Parameters
from gbe.notify.text import one_line, trim

OK = Answer(b'{"id":"q3XbA1B2C3D4","time":1790000000,"event":"message","topic":"ops","message":"x"}\n')
BUSY = Answer(b'{"code":42901,"http":429,"error":"limit reached: too many requests"}', 429)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gbe.cli.publish.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("gbe.cli.publish.LONGEST_PAUSE", 0.02)


def send(server: ForeignServer, draft: Draft | None = None, *, retry: float = 20.0, **how: Any) -> None:
    target = parse_target("ops", server.url)
    publish(
        target, {}, draft or Draft(message="x"), retry=retry, json=how.get("json", False), quiet=how.get("quiet", False)
    )


@given(st.text(), st.sampled_from([options.TITLE, options.TAGS, options.CLICK, options.ACTIONS, options.FILENAME]))
@example("ä" * 100, options.TITLE)
@example("=?UTF-8?B?YQ==?= and =?utf-8?q?b?=", options.TITLE)
@example("\U0001f4be" * 30, options.TITLE)
def test_what_is_put_into_a_header_comes_out_of_it(text: str, option: Option) -> None:
    """As the server reads it: trimmed, and on one line."""
    sent = header_value(text)
    assert sent.isascii()
    assert sent.isprintable()
    received = Parameters([(option.names[0].encode(), sent.encode("ascii"))])
    assert received.get(option) == trim(one_line(text))


@given(st.text(min_size=1))
def test_encoded_words_are_as_short_as_rfc_2047_wants(text: str) -> None:
    sent = header_value(text)
    if sent.startswith("=?UTF-8?B?"):
        assert all(len(word) <= 75 for word in sent.split(" "))


def test_plain_text_stays_readable_on_the_wire() -> None:
    assert header_value("Disk full: 90 %") == "Disk full: 90 %"


def test_half_a_character_does_not_stop_a_message() -> None:
    assert Parameters([(b"title", header_value("a\udcffb").encode())]).get(options.TITLE) == "a\ufffdb"


def test_every_option_has_its_header_and_absent_ones_have_none() -> None:
    draft = Draft(
        title="t", priority="high", tags=("a,b", "c"), click="u", icon="i", actions="[]", markdown=True, delay="1h",
        email="e@x.net", attach="https://x.net/f", filename="f", sequence_id="s", cache=False,
    )  # fmt: skip
    assert draft.headers() == {
        "X-Title": "t", "X-Priority": "high", "X-Tags": "a,b,c", "X-Click": "u", "X-Icon": "i", "X-Actions": "[]",
        "X-Markdown": "yes", "X-Delay": "1h", "X-Email": "e@x.net", "X-Attach": "https://x.net/f", "X-Filename": "f",
        "X-Sequence-ID": "s", "X-Cache": "no",
    }  # fmt: skip
    assert Draft(message="m").headers() == {}
    assert Draft(cache=True).headers() == {"X-Cache": "yes"}


def test_a_file_is_the_body_and_the_message_its_caption(tmp_path: Path) -> None:
    (tmp_path / "bericht.pdf").write_bytes(b"\x00\xff" * 1000)
    with ForeignServer(BUSY, OK) as server:
        send(server, Draft(message="Größe\nzwei", file=tmp_path / "bericht.pdf"))
    first, second = server.asked
    assert first.body == second.body == b"\x00\xff" * 1000
    assert second.headers["content-length"] == "2000"
    parameters = Parameters([(k.lower().encode(), v.encode()) for k, v in second.headers.items()])
    assert parameters.get(options.FILENAME) == "bericht.pdf"
    assert parameters.get(options.MESSAGE) == "Größe\\nzwei"


def test_a_pipe_can_be_uploaded_and_sent_again(tmp_path: Path) -> None:
    readable, writable = os.pipe()
    os.write(writable, b"from a pipe")
    os.close(writable)
    with ForeignServer(BUSY, OK) as server:
        send(server, Draft(file=Path(f"/dev/fd/{readable}"), filename="f"))
    os.close(readable)
    assert [asked.body for asked in server.asked] == [b"from a pipe"] * 2


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with ForeignServer(OK) as server, pytest.raises(ClientError, match="nothing: no such file"):
        send(server, Draft(file=tmp_path / "nothing"))
    assert server.asked == []


@pytest.mark.parametrize("message", [None, "-"])
def test_the_message_is_read_from_a_pipe(message: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("zwei\nZeilen ü".encode())))
    with ForeignServer(OK) as server:
        send(server, Draft(message=message))
    assert server.asked[0].body.decode() == "zwei\nZeilen ü"


def test_it_says_what_it_did(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    later = Answer(b'{"id":"q3XbA1B2C3D4","time":4102444800,"topic":"ops\x7f"}')
    with ForeignServer(OK, OK, OK, later) as server:
        send(server)
        assert capsysbinary.readouterr().out == b"published q3XbA1B2C3D4 to ops\n"
        send(server, json=True)
        assert json.loads(capsysbinary.readouterr().out) == json.loads(OK.body)
        send(server, quiet=True)
        assert capsysbinary.readouterr().out == b""
        send(server)
        assert capsysbinary.readouterr().out.decode().startswith("scheduled q3XbA1B2C3D4 to ops\ufffd for ")


def test_a_busy_server_is_asked_again() -> None:
    with ForeignServer(BUSY, Answer(b"", 503), OK) as server:
        send(server)
    assert len(server.asked) == 3


def test_patience_has_an_end() -> None:
    with ForeignServer(BUSY) as server, pytest.raises(RefusedError, match=r"too many requests \(error 42901\)"):
        send(server, retry=1.0)
    assert len(server.asked) > 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(b'{"code":40007,"http":400,"error":"invalid priority parameter"}', 400), r"invalid.*\(error 40007\)"),
        (Answer(b'{"code":42908,"http":429,"error":"daily message quota reached"}', 429), r"\(error 42908\)"),
        (Answer(b"<html>", 404), r"Not Found \(HTTP 404\)"),
        (Answer(b'{"error":7}', 500), r"\(HTTP 500\)"),
        (Answer(b"<html>welcome</html>"), "does not answer as an ntfy server"),
        (Answer(b"[1]"), "does not answer as an ntfy server"),
        (Answer(b" " * 1_100_000), "does not answer as an ntfy server"),
        (Answer(b'{"id":', cut=True), "may have been published or not"),
        (Answer(b"", 307, {"location": "https://evil.example/"}), r"redirects to https://evil"),
    ],
)  # fmt: skip
def test_what_waiting_cannot_cure_is_asked_once(answer: Answer, why: str) -> None:
    """Least of all what may have been published: it would come twice."""
    with ForeignServer(answer) as server, pytest.raises(ClientError, match=why) as failure:
        send(server)
    assert len(server.asked) == 1
    assert "\x1b" not in str(failure.value)


def test_a_server_that_is_not_there_is_tried_for_a_while() -> None:
    with ForeignServer(OK) as server:
        gone = server
    with pytest.raises(UnreachableError, match=r"cannot reach .*: connection refused") as failure:
        send(gone, retry=0.05)
    assert failure.value.temporary


def test_credentials_go_with_the_request() -> None:
    with ForeignServer(OK) as server:
        publish(
            parse_target("ops", server.url),
            {"Authorization": "Bearer tk_1"},
            Draft(message=""),
            retry=0.0,
            json=False,
            quiet=True,
        )
    assert server.asked[0].headers["authorization"] == "Bearer tk_1"
    assert server.asked[0].headers["user-agent"].startswith("gbe/")
