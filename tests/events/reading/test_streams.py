"""``GET /v1/events/{patterns}/json``, ``/sse`` and ``/ws``."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.events.reading.conftest import Component, StartServer, with_events
from tests.ntfy.server import PATIENCE, Server, Stream, eventually, peers
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gbe.http.config import HttpConfig
from gbe.ids import new_ulid


def lines(stream: Stream) -> Iterator[dict[str, Any]]:
    """The records of a ``/json`` stream, without its signs of life."""
    while True:
        line = stream.line()
        if line:
            yield json.loads(line)


def take(stream: Stream, count: int) -> list[str]:
    """The instances that the next events tell of."""
    records = lines(stream)
    return [next(records)["event"]["instance"] for _ in range(count)]


def sse(stream: Stream) -> tuple[str, dict[str, Any]]:
    """The next server-sent event: its id and its data."""
    name = ""
    while True:
        line = stream.line()
        if line.startswith("id: "):
            name = line[4:]
        elif line.startswith("data: "):
            return name, json.loads(line[6:])


def path(component: Component) -> str:
    return f"v1/events/{component.pattern}"


def test_lines_of_json(server: Server, component: Component) -> None:
    """What is stored after the head has arrived comes, each event on a line, with what it takes to go on."""
    with server.subscribe(path(component)) as stream:
        assert stream.response.headers["content-type"] == "application/x-ndjson; charset=utf-8"
        sent = component.say("a")
        record = next(lines(stream))
    assert (record["id"], record["subject"]) == (sent["id"], sent["subject"])
    assert (record["event"]["id"], record["event"]["instance"]) == (sent["event_id"], "a")
    assert abs(record["time"] / 1000 - time.time()) < 3600


def test_server_sent_events_resume_behind_the_last_one(server: Server, component: Component) -> None:
    """``Last-Event-ID`` counts more than ``since``, which a browser repeats as it was."""
    component.say("a")
    with server.subscribe(path(component), "sse", since="all") as stream:
        assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        first, record = sse(stream)
        assert (record["id"], record["event"]["instance"]) == (first, "a")
        component.say("b")
        last, _ = sse(stream)
    component.say("c")
    with server.subscribe(path(component), "sse", headers={"Last-Event-ID": last}, since="all") as stream:
        component.say("d")
        assert [sse(stream)[1]["event"]["instance"] for _ in range(2)] == ["c", "d"]


def test_websocket(server: Server, component: Component) -> None:
    """One event is one frame."""
    component.say("a")
    with server.websocket(path(component), "?since=all") as socket:
        assert json.loads(socket.recv(timeout=PATIENCE))["event"]["instance"] == "a"
        component.say("b")
        assert json.loads(socket.recv(timeout=PATIENCE))["event"]["instance"] == "b"


def test_every_form_of_since(server: Server, component: Component) -> None:
    """Everything, behind an id, from a time or a duration on, or only what is new."""
    first = component.say("a")
    component.say("b")
    early = (datetime.now(UTC).timestamp() - 3600) * 1000
    for since in (
        "all",
        "1h",
        str(round(early)),
        str(round(early / 1000)),
        f"{datetime.fromtimestamp(early / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}",
    ):
        with server.subscribe(path(component), since=since) as stream:
            assert take(stream, 2) == ["a", "b"], since
    with server.subscribe(path(component), since=first["id"]) as stream:
        assert take(stream, 1) == ["b"]
    for parameters in ({"since": "latest"}, {}):
        with server.subscribe(path(component), **parameters) as stream:
            component.say("new")
            assert take(stream, 1) == ["new"]


def test_an_id_that_is_gone_stands_for_its_time(server: Server, component: Component) -> None:
    """Nothing that is still stored behind it is missed."""
    component.say("a")
    with server.subscribe(path(component), since=new_ulid()) as stream:
        component.say("b")
        assert take(stream, 2) == ["a", "b"]


def test_several_patterns_in_one_stream(server: Server, component: Component) -> None:
    """Also of different streams of the engine."""
    patterns = f"events.lifecycle.{component.name}.started,{server.namespace}.events.audit.{component.name}"
    with server.subscribe(f"v1/events/{patterns}") as stream:
        component.say("a")
        component.say("not asked for", "stopped")
        audit = {"actor": "ann", "action": "x"}
        server.request("POST", f"/v1/events/events.audit.{component.name}", json=audit)
        records = lines(stream)
        subjects = {next(records)["subject"].split(".", 1)[1] for _ in range(2)}
    assert subjects == {f"events.lifecycle.{component.name}.started", f"events.audit.{component.name}"}


def test_a_long_replay_goes_over_into_live_without_gap_or_repetition(server: Server, component: Component) -> None:
    """Over many subjects, in the order of storing, while more are published: so any id in it is a place to resume."""
    subjects = [f"events.lifecycle.{component.name}-{number}.started" for number in range(7)]

    def say(numbers: range) -> None:
        for subject in subjects:
            batch = [{"instance": f"{number}", "id": f"{subject}/{number}"} for number in numbers]
            assert server.request("POST", f"/v1/events/{subject}", json=batch).status_code == 201

    for step in range(4):
        say(range(50 * step, 50 * (step + 1)))
    pattern = ",".join(subject.replace("started", "*") for subject in subjects)
    with server.subscribe(f"v1/events/{pattern}", since="all") as stream:
        say(range(200, 210))
        records = lines(stream)
        found = [next(records) for _ in range(7 * 210)]
    assert len({record["id"] for record in found}) == 7 * 210
    times = [record["time"] for record in found[: 7 * 200]]
    assert max(times[: 7 * 50]) <= min(times[-7 * 50 :])
    middle = found[7 * 100]
    with server.subscribe(f"v1/events/{pattern}", since=middle["id"]) as stream:
        records = lines(stream)
        rest = [next(records)["id"] for _ in range(7 * 210 - 7 * 100 - 1)]
    assert set(rest) == {record["id"] for record in found[7 * 100 + 1 :]}


def test_filters(server: Server, component: Component) -> None:
    """Any value of one field, and all fields; also inside others, and what is no text."""
    component.say("a", details={"region": "eu", "cores": 4, "spot": True})
    component.say("b", details={"region": "us", "cores": 4})
    component.say("c", details={"region": "us", "cores": 8})
    component.say("end")
    for filters, expected in (
        (["instance=b", "instance=c"], ["b", "c"]),
        (["details.cores=4", "instance=end"], []),
        (["details.cores=4"], ["a", "b"]),
        (["details.region=us", "details.cores=8"], ["c"]),
        (["details.spot=true"], ["a"]),
        (["details=x"], []),
    ):
        component.say("last", details={"region": "us", "cores": 8})
        with server.subscribe(path(component), since="all", filter=filters) as stream:
            component.say("live")
            if expected:
                assert take(stream, len(expected)) == expected
    with server.subscribe(path(component), since="all", filter="details.cores=99") as stream:
        component.say("not this", details={"cores": 9})
        component.say("this", details={"cores": 99})
        assert take(stream, 1) == ["this"]


def test_cloudevents_come_back_as_they_went(server: Server, component: Component) -> None:
    """And an event that never was one becomes one."""
    event = {
        "specversion": "1.0", "id": "A-1", "source": "/billing", "type": "com.example.up", "myextension": "x y",
        "datacontenttype": "application/json", "data": {"instance": "a"},
    }  # fmt: skip
    subject = f"events.lifecycle.{component.name}.started"
    headers = {"content-type": "application/cloudevents+json"}
    assert server.post(f"/v1/events/{subject}", json.dumps(event), headers=headers).status_code == 201
    sent = component.say("b")
    accept = {"accept": "application/cloudevents+json"}
    for form, options in (("json", {"format": "cloudevents"}), ("json", {}), ("sse", {"format": "cloudevents"})):
        with server.subscribe(path(component), form, headers=accept, since="all", **options) as stream:
            records = lines(stream) if form == "json" else iter(lambda stream=stream: sse(stream)[1], None)
            assert next(records) == event
            other = next(records)
            assert (other["type"], other["id"], other["specversion"]) == (subject, sent["event_id"], "1.0")
            assert other["data"]["instance"] == "b"


def test_what_other_programs_stored_is_shown_as_it_is(server: Server, component: Component) -> None:
    """Line breaks do not tear a record, and no payload breaks the stream."""
    subject = f"{server.namespace}.events.lifecycle.{component.name}.started"
    for payload in (b'{\n "instance": "a",\n "note": "x\\ny"}', b"\xff\x00", b"[1]", b'{"a": "\xff"}'):
        server.loop.call(server.transport.publish(subject, payload))
    with server.subscribe(path(component), "sse", since="all") as stream:
        found = [sse(stream)[1] for _ in range(4)]
    assert found[0]["event"] == {"instance": "a", "note": "x\ny"}
    assert [record.get("data_base64") for record in found[1:]] == ["/wA=", "WzFd", "eyJhIjogIv8ifQ=="]
    with server.subscribe(path(component), since="all", format="cloudevents") as stream:
        records = lines(stream)
        events = [next(records) for _ in range(4)]
    assert [event["id"] for event in events] == [record["id"] for record in found]
    assert (events[0]["data"]["instance"], events[1]["data_base64"]) == ("a", "/wA=")


@pytest.mark.parametrize("back_end", ["memory"])
@pytest.mark.parametrize(
    ("rest", "status", "field"),
    [
        ("events.audit.*/json?since=yesterday", 400, "since"),
        ("events.audit.*/json?filter=x", 400, "filter"),
        ("events.audit.*/json?format=xml", 400, "format"),
        ("events.audit.*/json?sicne=all", 400, "sicne"),
        ("events.audit.*/json?" + "&".join(["filter=a=b"] * 21), 400, "filter"),
        ("events..x/sse", 400, None),
        (",".join(["events.audit.*"] * 21) + "/sse", 400, None),
        ("notify.topic.*/json", 404, None),
        ("tasks.>/json", 404, None),
        (">/json", 404, None),
        ("events.nobody-keeps-this.*/json", 404, None),
        ("events.audit.*/raw", 404, None),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(server: Server, rest: str, status: int, field: str | None) -> None:
    """With the field, and before anything is streamed; over WebSocket by its status."""
    answer = server.get(f"/v1/events/{rest}")
    assert answer.status_code == status, answer.text
    if field is not None:
        assert answer.json()["error"]["field"] == field
    if "/json" in rest:
        patterns, _, query = rest.partition("/json")
        with pytest.raises(InvalidStatus) as refused:
            server.websocket(f"v1/events/{patterns}", query)
        assert refused.value.response.status_code == status


@pytest.mark.parametrize("back_end", ["memory"])
class TestWho:
    def test_a_token_is_asked_for(self, start: StartServer) -> None:
        """Streams and upgrades, as by every other route."""
        server = with_events(start(http=HttpConfig(api_token="0123456789abcdef")))
        assert server.get("/v1/events/events.audit.*/json").status_code == 401
        with pytest.raises(InvalidStatus) as refused:
            server.websocket("v1/events/events.audit.*")
        assert refused.value.response.status_code == 401
        headers = {"Authorization": "Bearer 0123456789abcdef"}
        with server.subscribe("v1/events/events.audit.*", headers=headers) as stream:
            assert stream.response.status_code == 200
        with server.websocket("v1/events/events.audit.*", additional_headers=headers):
            pass

    def test_no_web_page_reads_without_a_token(self, server: Server) -> None:
        """A browser names the page's origin."""
        headers = {"Origin": "https://example.com"}
        assert server.get("/v1/events/events.audit.*/sse", headers=headers).status_code == 403

    def test_head_is_answered_without_a_stream(self, server: Server) -> None:
        """And the connection is of use afterwards."""
        answer = server.request("HEAD", "/v1/events/events.audit.*/json")
        assert (answer.status_code, answer.content) == (200, b"")

    def test_there_is_a_bound_on_streams(self, start: StartServer) -> None:
        """A place that becomes free is given to the next."""
        server = with_events(start(http=HttpConfig(event_streams=1)))
        with server.subscribe("v1/events/events.audit.*"):
            assert server.get("/v1/events/events.audit.*/json").status_code == 429

        def is_granted() -> bool:
            with server.subscribe("v1/events/events.audit.*") as stream:
                return stream.response.status_code == 200

        eventually(is_granted, "the place is free")


def test_a_client_that_does_not_read_is_disconnected_and_others_notice_nothing(
    start: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is bounded by the connection: what it does not read stays in the engine."""
    server = with_events(start(http=HttpConfig(slow_reader_timeout=0.5)))
    component = Component(server)
    with server.connect() as slow, server.subscribe(path(component)) as stream:
        slow.send(f"GET /{path(component)}/json HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert slow.head()[0] == 200
        sent = 0

        def is_given_up() -> bool:
            nonlocal sent
            if sent < 60:
                component.say(str(sent), details={"y": "y" * 900_000})
                sent += 1
                assert take(stream, 1) == [str(sent - 1)]
            return "its client does not read" in caplog.text

        eventually(is_given_up, "the slow client is given up", within=2 * PATIENCE)
        component.say("after")
        assert take(stream, 1) == ["after"]
        assert slow.is_closed()


def test_a_stream_that_ends_is_not_waited_for_while_its_client_does_not_read(memory_start: StartServer) -> None:
    """What is buffered for it would hold its connection."""
    server = with_events(memory_start())
    component = Component(server)
    with server.connect() as slow, server.subscribe(path(component)) as stream:
        slow.send(f"GET /{path(component)}/json HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert slow.head()[0] == 200
        for number in range(20):  # more than the kernel takes for it
            component.say(str(number), details={"y": "y" * 900_000})
        assert take(stream, 20)[-1] == "19"

        async def end() -> None:
            server.application.end_streams()

        server.loop.call(end())
        eventually(lambda: slow.socket.getsockname() not in peers(), "the connection is gone", within=20)


def test_a_server_that_stops_ends_its_streams_properly(start: StartServer) -> None:
    """Over HTTP the last chunk, over WebSocket a code that says so."""
    server = with_events(start())
    with server.subscribe("v1/events/events.audit.*") as stream, server.websocket("v1/events/events.audit.*") as socket:
        server.stop()
        assert [line for line in stream.lines if line] == []
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code in (1001, 1012)  # we or uvicorn, whoever comes first
