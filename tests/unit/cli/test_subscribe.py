"""``gbe subscribe``: outages, positions, hostile messages, against a server that does as it is told."""

import json
import time
from itertools import islice
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.foreign_server import Answer, ForeignServer

from gbe.cli.client import AnswerLostError, ClientError, RefusedError, open_client, parse_target
from gbe.cli.subscribe import Event, Position, Query, Received, Subscription, lines, rendered, to_command, variables

OPENED = 1_790_000_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gbe.cli.subscribe.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("gbe.cli.subscribe.LONGEST_PAUSE", 0.02)


def stream(*events: dict[str, Any], cut: bool = True, **more: Any) -> Answer:
    body = b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in events)
    return Answer(body, cut=cut, **more)


def opening(moment: int = OPENED) -> dict[str, Any]:
    return {"id": f"open{moment}", "time": moment, "event": "open", "topic": "ops"}


def message(number: int, **fields: Any) -> dict[str, Any]:
    event = {"id": f"m{number}", "time": OPENED + number, "expires": OPENED + 9999, "event": "message", "topic": "ops"}
    return event | {"message": f"text {number}"} | fields


def no_filters(**fields: Any) -> Query:
    return Query(**{"filters": {}, **fields})


def take(server: ForeignServer, count: int, query: Query | None = None, *, retry: float = 20.0) -> list[str]:
    with open_client({}, read_timeout=10.0) as client:
        subscription = Subscription(client, parse_target("ops", server.url), query or no_filters(), retry=retry)
        events = subscription.events()
        try:
            return [received.event.id for received in islice(events, count)]
        finally:
            events.close()


# -- outages


def test_after_an_outage_it_goes_on_behind_the_last_message_and_shows_nothing_twice() -> None:
    with ForeignServer(
        stream(opening(), message(1), message(2)), Answer(status=502), stream(opening(), message(2), message(3))
    ) as server:
        assert take(server, 3) == ["m1", "m2", "m3"]
    assert [asked.query for asked in server.asked] == [{}, {"since": "m2"}, {"since": "m2"}]


def test_a_stream_that_is_ended_properly_is_taken_up_again() -> None:
    with ForeignServer(stream(opening(), message(1), cut=False), stream(opening(), message(2))) as server:
        assert take(server, 2) == ["m1", "m2"]


def test_an_outage_is_told_once_and_so_is_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    with ForeignServer(
        stream(opening(), message(1)), Answer(status=503), Answer(status=503), stream(opening(), message(2))
    ) as server:
        take(server, 2)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"gbe: {server.url} gave no complete answer")
    assert first.endswith("; connecting again")
    assert second == "gbe: connected again"


def test_a_stream_that_brought_nothing_goes_on_from_its_opening() -> None:
    """By the server's clock; of what was sent while nobody listened, nothing is lost."""
    with ForeignServer(stream(opening()), stream(opening(OPENED + 50)), stream(opening(), message(1))) as server:
        assert take(server, 1) == ["m1"]
    assert [asked.query for asked in server.asked] == [{}, {"since": str(OPENED)}, {"since": str(OPENED)}]


def test_a_message_that_is_not_stored_is_no_position() -> None:
    """The server would not know its id, and replay everything there is."""
    unstored = message(2)
    del unstored["expires"]
    with ForeignServer(stream(opening(), message(1), unstored), stream(opening(), message(3))) as server:
        assert take(server, 3) == ["m1", "m2", "m3"]
    assert server.asked[1].query == {"since": "m1"}


def test_a_refusal_is_final_even_later() -> None:
    forbidden = Answer(b'{"code":40301,"http":403,"error":"forbidden"}', 403)
    with (
        ForeignServer(stream(opening(), message(1)), forbidden) as server,
        pytest.raises(RefusedError, match=r"forbidden \(error 40301\)"),
    ):
        take(server, 2)
    assert len(server.asked) == 2


def test_the_first_connection_is_tried_for_a_while() -> None:
    busy = Answer(b'{"code":42901,"http":429,"error":"too many requests"}', 429)
    with ForeignServer(busy, stream(opening(), message(1))) as server:
        assert take(server, 1) == ["m1"]
    with ForeignServer(busy) as server, pytest.raises(RefusedError, match="too many requests"):
        take(server, 1, retry=0.0)


@pytest.mark.parametrize("body", [b"", b"<html>\n", b"[]\n", b'{"event":1,"id":2}\n', b"x" * 17_000_000])
def test_a_server_of_another_kind_is_told_so(body: bytes) -> None:
    with ForeignServer(Answer(body)) as server, pytest.raises(ClientError, match="does not answer as an ntfy server"):
        take(server, 1)


def test_one_odd_line_does_not_end_a_subscription(capsys: pytest.CaptureFixture[str]) -> None:
    odd = Answer(json.dumps(opening()).encode() + b'\n{"id":"\\ud800\xff"\n' + json.dumps(message(1)).encode() + b"\n")
    with ForeignServer(odd) as server:
        assert take(server, 1) == ["m1"]
    assert "skipped" in capsys.readouterr().err


def test_a_poll_ends_with_what_is_stored() -> None:
    with ForeignServer(stream(message(1), message(2), cut=False)) as server:
        assert take(server, 9, no_filters(poll=True)) == ["m1", "m2"]
    with ForeignServer(Answer()) as server:
        assert take(server, 9, no_filters(poll=True)) == []


def test_a_poll_that_breaks_off_is_taken_up_again_but_not_for_ever() -> None:
    with ForeignServer(stream(message(1)), stream(message(2), cut=False)) as server:
        assert take(server, 9, no_filters(poll=True)) == ["m1", "m2"]
    with ForeignServer(stream(message(1))) as server, pytest.raises(AnswerLostError):
        take(server, 9, no_filters(poll=True), retry=0.05)


def test_options_and_filters_are_query_parameters_as_typed() -> None:
    filters = {"id": "x", "message": "ä & b", "title": None, "priority": "4,5", "tags": ""}
    with ForeignServer(stream(message(1), cut=False)) as server:
        take(server, 9, Query(since="10m", poll=True, scheduled=True, filters=filters))
    assert server.asked[0].path == "/ops/json"
    assert server.asked[0].query == {
        "poll": "1", "scheduled": "1", "since": "10m", "id": "x", "message": "ä & b", "priority": "4,5",
    }  # fmt: skip


# -- redirects


def ask_with_token(url: str) -> None:
    with open_client({"Authorization": "Bearer tk_1"}, read_timeout=10.0) as client:
        list(Subscription(client, parse_target("ops", url), no_filters(poll=True), retry=0.0).events())


def test_a_redirect_is_followed_and_takes_no_credentials_to_another_host() -> None:
    with ForeignServer(stream(message(1), cut=False)) as other:
        away = Answer(status=307, headers={"location": f"http://localhost:{other.port}/ops/json"})
        with ForeignServer(away) as server:
            ask_with_token(server.url)
    assert "authorization" in server.asked[0].headers
    assert "authorization" not in other.asked[0].headers


def test_a_redirect_within_the_server_keeps_them() -> None:
    moved = Answer(status=308, headers={"location": "/push/ops/json"})
    with ForeignServer(moved, stream(message(1), cut=False)) as server:
        ask_with_token(server.url)
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer tk_1"] * 2


@pytest.mark.parametrize("location", ["/ops/json", "ftp://x.net/", "http://[", ""])
def test_a_redirect_that_leads_nowhere_is_an_error(location: str) -> None:
    with ForeignServer(Answer(status=302, headers={"location": location})) as server, pytest.raises(ClientError):
        ask_with_token(server.url)
    assert len(server.asked) < 10


# -- position


def event(**fields: Any) -> Event:
    return msgspec.convert(message(1) | fields, Event)


@pytest.mark.parametrize(
    ("since", "later"),
    [
        (None, str(OPENED)),
        ("none", str(OPENED)),
        ("1", str(OPENED)),
        ("latest", str(OPENED)),
        ("10m", str(OPENED - 601)),
        ("all", "all"),
        ("0", "0"),
        ("1780000000", "1780000000"),
        ("q3XbA1B2C3D4", "q3XbA1B2C3D4"),
    ],
)
def test_without_a_message_it_asks_later_for_the_same(since: str | None, later: str) -> None:
    position = Position(since)
    assert position.since == since
    position.open(OPENED)
    position.open(OPENED + 100)
    assert position.since == later


def test_a_message_that_is_not_due_yet_is_no_position() -> None:
    position = Position("all", scheduled=True)
    assert position.advance(event(id="due", time=int(time.time()) - 5))
    assert position.advance(event(id="later", time=int(time.time()) + 3600))
    assert position.since == "due"


def test_it_remembers_a_bounded_number_of_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gbe.cli.subscribe._REMEMBERED", 3)
    position = Position(None)
    assert all(position.advance(event(id=str(n))) for n in range(5))
    assert not any(position.advance(event(id=str(n))) for n in (2, 3, 4))
    assert position.advance(event(id="0"))


# -- lines


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=8), st.data())
def test_lines_end_at_newlines_only_however_they_are_cut(texts: list[str], data: st.DataObject) -> None:
    body = "".join(f"<{text}>\n" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert [line.decode() for line in lines("", pieces)] == [f"<{text}>" for text in texts]


# -- what is shown


def test_a_line_has_time_topic_priority_title_message_and_tags() -> None:
    shown = rendered(event(title="Disk 💾", priority=5, tags=["a", "b"], message="full", click="https://x.net")).plain
    assert shown.endswith("  ops  max      Disk 💾  full  #a #b  https://x.net")
    assert rendered(event(event="message_delete", sequence_id="dl-7", message=None)).plain.endswith("  dl-7 deleted")
    assert rendered(event(event="message_clear", sequence_id="dl-7", message=None)).plain.endswith("  dl-7 read")


def test_priorities_have_colours() -> None:
    styles = [str(rendered(event(priority=priority)).spans[2].style) for priority in (1, 2, 4, 5)]
    assert styles == ["dim", "dim", "yellow", "bold red"]


@given(st.text(), st.text(), st.lists(st.text(), max_size=3), st.integers(), st.integers())
def test_nothing_in_a_message_acts_on_the_terminal(title: str, text: str, tags: list[str], when: int, how: int) -> None:
    hostile = "\x1b[2J\x9b5n\r[bold]\u202e"
    shown = rendered(
        event(
            title=title + hostile, message=text + hostile, tags=[*tags, hostile], topic=hostile, time=when, priority=how
        )
    ).plain
    assert not set(shown.replace("\n", "")) & {*map(chr, range(32)), *map(chr, range(127, 160)), "\u202e", "\u2028"}
    assert "[bold]" in shown


def test_a_message_cannot_pass_for_two() -> None:
    first, second = rendered(event(message="a\n2026-01-01 00:00:00  ops  max  forged")).plain.split("\n")
    assert second.startswith(" " * 20)
    assert not first.startswith(" ")


# -- commands


def received(**fields: Any) -> Received:
    return Received(event(**fields), json.dumps(message(1) | fields))


def test_fields_are_in_the_environment_of_a_command() -> None:
    found = variables(received(title="t\0x", tags=["a", "b"], priority=None))
    assert found["NTFY_TITLE"] == "tx"
    assert found["NTFY_TAGS"] == "a,b"
    assert (found["NTFY_PRIORITY"], found["NTFY_CLICK"], found["NTFY_SEQUENCE_ID"]) == ("3", "", "m1")
    assert json.loads(found["NTFY_RAW"])["id"] == "m1"


def test_a_command_gets_no_field_as_code_and_the_whole_object_as_input(capfd: pytest.CaptureFixture[str]) -> None:
    hostile = "$(touch /tmp/x); `id` '\""
    to_command("sh -c 'printf %s \"$NTFY_MESSAGE\"; cat'")(received(message=hostile))
    out = capfd.readouterr().out
    assert out.startswith(hostile + "{")
    assert json.loads(out.removeprefix(hostile))["message"] == hostile


def test_what_is_too_long_for_the_environment_is_on_standard_input(capfd: pytest.CaptureFixture[str]) -> None:
    to_command("sh -c 'printf %s \"[$NTFY_MESSAGE]\"; wc -c'")(received(message="ä" * 200_000))
    out = capfd.readouterr().out
    assert out.startswith("[]")
    assert int(out.removeprefix("[]")) > 200_000


def test_a_command_that_fails_is_told_and_deletions_run_none(capfd: pytest.CaptureFixture[str]) -> None:
    run = to_command("false")
    run(received(event="message_delete"))
    run(received())
    assert capfd.readouterr().err == "gbe: false ended with status 1 for message m1\n"


@pytest.mark.parametrize("command", ["", "no-such-program-here x", "sh -c 'unclosed"])
def test_a_command_that_cannot_run_is_refused_at_once(command: str) -> None:
    with pytest.raises(ClientError, match="--exec"):
        to_command(command)


def test_redirects_and_certificates_are_not_taken_lightly() -> None:
    with open_client({}, read_timeout=1.0) as client:
        assert not client.follow_redirects
        transport = client._transport_for_url(httpx.URL("https://x.net"))
        assert isinstance(transport, httpx.HTTPTransport)
        assert transport._pool._ssl_context.verify_mode.name == "CERT_REQUIRED"
