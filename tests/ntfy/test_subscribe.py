"""Subscribing: section 5, WebSockets excepted."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Thread
from typing import Any

import pytest
from tests.ntfy.conftest import StartServer
from tests.ntfy.server import KEEPALIVE, Server, Stream, eventually, refused

from gbe.notify.config import NotifyConfig

CONTENT_TYPES = {
    "json": "application/x-ndjson; charset=utf-8",
    "sse": "text/event-stream; charset=utf-8",
    "raw": "text/plain; charset=utf-8",
}


class TestOpening:
    """Sections 5.3 and 5.4."""

    @pytest.mark.parametrize("form", list(CONTENT_TYPES))
    def test_headers(self, server: Server, topic: str, form: str) -> None:
        with server.subscribe(topic, form) as stream:
            assert stream.response.status_code == 200
            assert stream.response.headers["content-type"] == CONTENT_TYPES[form]
            assert stream.response.headers["access-control-allow-origin"] == "*"
            assert stream.response.headers["cache-control"] == "no-cache"

    def test_the_open_event_repeats_the_list_as_written(self, server: Server, topic: str) -> None:
        listed = f"{topic},b,{topic}"
        with server.subscribe(listed) as stream:
            event = stream.event()
        assert list(event) == ["id", "time", "event", "topic"]
        assert (event["event"], event["topic"]) == ("open", listed)
        assert re.fullmatch("[A-Za-z0-9]{12}", event["id"])

    def test_live_messages_of_every_topic(self, server: Server, topic: str) -> None:
        with server.subscribe(f"{topic}a,{topic}b") as stream:
            stream.opened()
            sent = [server.publish(topic + name, name) for name in ("a", "b", "a")]
            server.publish(topic + "c", "not followed")
            sent.append(server.publish(topic + "b", "end"))
            assert [stream.message() for _ in sent] == sent

    def test_a_topic_listed_twice_is_followed_once(self, server: Server, topic: str) -> None:
        first = server.publish(topic, "1")
        with server.subscribe(f"{topic},{topic}", since="all") as stream:
            stream.opened()
            second = server.publish(topic, "2")
            third = server.publish(topic, "3")
            assert [stream.message() for _ in range(3)] == [first, second, third]


class TestFormats:
    """Section 5.4."""

    def test_sse(self, server: Server, topic: str) -> None:
        with server.subscribe(topic, "sse") as stream:
            assert stream.line() == "event: open"
            assert json.loads(stream.line().removeprefix("data: "))["event"] == "open"
            assert stream.line() == ""
            sent = server.publish(topic, "one\ntwo")
            assert stream.line() == "data: " + json.dumps(sent, separators=(",", ":"))
            assert stream.line() == ""
            cleared = server.request("PUT", f"/{topic}/s/clear").json()
            assert stream.line() == "data: " + json.dumps(cleared, separators=(",", ":"))

    def test_raw(self, server: Server, topic: str) -> None:
        with server.subscribe(topic, "raw") as stream:
            assert stream.line() == ""
            server.publish(topic, "one\ntwo\r\nthree ü", headers={"Title": "not shown"})
            assert stream.line() == "one two three ü"
            server.request("DELETE", f"/{topic}/s")
            assert stream.line() == ""
            server.publish(topic, "", headers={"Poll-ID": "x"})
            assert stream.line() == ""

    @pytest.mark.parametrize("form", list(CONTENT_TYPES))
    def test_polls(self, server: Server, topic: str, form: str) -> None:
        message = server.publish(topic, "x")
        line = json.dumps(message, separators=(",", ":"))
        response = server.get(f"/{topic}/{form}?poll=1")
        assert response.headers["content-type"] == CONTENT_TYPES[form]
        assert response.text == {"json": f"{line}\n", "sse": f"data: {line}\n\n", "raw": "x\n"}[form]

    @pytest.mark.parametrize("form", list(CONTENT_TYPES))
    def test_an_empty_poll_is_empty(self, server: Server, topic: str, form: str) -> None:
        response = server.get(f"/{topic}/{form}?poll=1")
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-type"] == CONTENT_TYPES[form]

    def test_signs_of_life(self, server: Server, topic: str) -> None:
        """At a fixed rate on every form of stream; traffic does not postpone them."""
        started = time.monotonic()
        with (
            server.subscribe(topic) as lines,
            server.subscribe(topic, "sse") as sse,
            server.subscribe(topic, "raw") as raw,
        ):
            lines.opened()
            assert raw.line() == ""
            server.publish(topic, "traffic")
            assert lines.event()["event"] == "message"
            assert raw.line() == "traffic"
            keepalive = lines.event()
            assert time.monotonic() - started > KEEPALIVE / 2
            assert list(keepalive) == ["id", "time", "event", "topic"]
            assert (keepalive["event"], keepalive["topic"]) == ("keepalive", topic)
            while sse.line() != "event: keepalive":
                pass
            assert json.loads(sse.line().removeprefix("data: "))["event"] == "keepalive"
            assert raw.line() == ""
        assert server.poll(topic)[0]["message"] == "traffic"


@pytest.fixture
def five(server: Server, topic: str) -> list[dict[str, Any]]:
    """Five stored messages."""
    return [server.publish(topic, f"message {number}") for number in range(5)]


class TestSince:
    """Section 5.2, as a poll and as a stream."""

    @pytest.mark.parametrize(
        ("since", "expected"),
        [
            ("all", 5),
            ("0", 5),
            ("1", 0),
            ("none", 0),
            ("latest", 1),
            ("10m", 5),
            ("1h30m", 5),
            ("24h", 5),
            ("0s", None),
            ("ID0", 4),
            ("ID2", 2),
            ("ID4", 0),
            ("zzzzzzzzzzzz", 5),
            ("000000000000", 5),
            ("123456789012", 5),
            ("TIME", 5),
            ("FUTURE", 0),
            ("-5", 5),
        ],
    )
    def test_every_form(
        self, server: Server, topic: str, five: list[dict[str, Any]], since: str, expected: int | None
    ) -> None:
        if since.startswith("ID"):
            since = five[int(since[2:])]["id"]
        value = {"TIME": str(five[0]["time"]), "FUTURE": str(five[0]["time"] + 1000)}.get(since, since)
        found = server.poll(topic, since=value)
        if expected is None:
            assert found == five[len(five) - len(found) :]
            return
        assert found == five[5 - expected :]
        with server.subscribe(topic, since=value) as stream:
            stream.opened()
            end = server.publish(topic, "end")
            assert [stream.message() for _ in range(expected + 1)] == [*found, end]

    def test_an_unknown_id_that_looks_like_ours_means_everything(
        self, server: Server, topic: str, five: list[dict[str, Any]]
    ) -> None:
        stranger = server.publish(topic + "-other", "x")
        assert server.poll(topic, since=stranger["id"]) == five

    def test_a_time_is_inclusive(self, server: Server, topic: str) -> None:
        first = server.publish(topic, "1")
        eventually(lambda: int(time.time()) > first["time"], "the next second")
        second = server.publish(topic, "2")
        assert server.poll(topic, since=str(first["time"])) == [first, second]
        assert server.poll(topic, since=str(second["time"])) == [second]
        assert server.poll(topic, since=str(second["time"] + 1)) == []

    @pytest.mark.parametrize("since", ["1d", "yesterday", "10", "12345678901", "1.5", "--1", "9" * 25, "\x00"])
    def test_what_is_not_understood(self, server: Server, topic: str, since: str) -> None:
        if since in ("10", "12345678901"):
            assert server.get(f"/{topic}/json", params={"poll": "1", "since": since}).status_code == 200
            return
        response = server.get(f"/{topic}/json", params={"since": since, "poll": "1"})
        if since == "\x00":  # NULs vanish, and an empty value is not given
            assert response.status_code == 200
            return
        error = refused(response, 40008)
        assert error["error"] == "invalid since parameter"

    @pytest.mark.parametrize(
        "options",
        [
            {"headers": {"X-Since": "ID"}},
            {"headers": {"Since": "ID"}},
            {"headers": {"si": "ID"}},
            {"params": {"x-since": "ID"}},
            {"params": {"si": "ID"}},
        ],
    )
    @pytest.mark.parametrize("poll", ["x-poll", "poll", "po"])
    def test_names(
        self, server: Server, topic: str, five: list[dict[str, Any]], options: dict[str, Any], poll: str
    ) -> None:
        filled = {kind: dict.fromkeys(names, five[3]["id"]) for kind, names in options.items()}
        for as_header in (True, False):
            parts: dict[str, dict[str, str]] = {"headers": {}, "params": {}} | {k: dict(v) for k, v in filled.items()}
            parts["headers" if as_header else "params"][poll] = "yes"
            assert json.loads(server.get(f"/{topic}/json", **parts).text) == five[4]

    def test_a_poll_needs_a_true_word(self, server: Server, topic: str) -> None:
        with server.subscribe(topic, poll="y") as stream:
            stream.opened()

    def test_latest_of_each_topic(self, server: Server, topic: str) -> None:
        a = [server.publish(topic + "a", str(n)) for n in range(3)]
        b = [server.publish(topic + "b", str(n)) for n in range(3)]
        assert server.poll(f"{topic}a,{topic}b,{topic}c", since="latest") == [a[-1], b[-1]]
        with server.subscribe(f"{topic}a,{topic}c", since="latest") as stream:
            stream.opened()
            assert stream.message() == a[-1]
            new = [server.publish(topic + name, "new") for name in ("c", "a", "c")]
            assert [stream.message() for _ in new] == new

    def test_one_id_serves_several_topics_in_the_order_of_time(self, server: Server, topic: str) -> None:
        sent = [server.publish(topic + "ab"[n % 2], str(n)) for n in range(10)]
        listed = f"{topic}a,{topic}b"
        assert [m["message"] for m in server.poll(listed)] == [str(n) for n in range(10)]
        assert server.poll(listed, since=sent[3]["id"]) == sent[4:]
        assert server.poll(f"{topic}b,{topic}a", since=sent[4]["id"]) == sent[5:]

    def test_many_pages(self, server: Server, topic: str) -> None:
        """More than one page of several topics, merged by time."""
        with ExitStack() as stack:
            publishers = [Thread(target=self._publish_many, args=(server, topic + name)) for name in "abc"]
            for thread in publishers:
                thread.start()
                stack.callback(thread.join)
        found = server.poll(",".join(topic + name for name in "abc"))
        assert len(found) == 1200
        assert [m["time"] for m in found] == sorted(m["time"] for m in found)
        for name in "abc":
            assert [int(m["message"]) for m in found if m["topic"] == topic + name] == list(range(400))

    @staticmethod
    def _publish_many(server: Server, topic: str) -> None:
        with server.connect() as raw:
            for number in range(400):
                assert raw.publish(topic, str(number)).status == 200


FILTERS = [
    ({"id": "ID0"}, [0]),
    ({"x-id": "ID1"}, [1]),
    ({"message": "one"}, [1]),
    ({"m": "on"}, []),
    ({"title": "T"}, [0, 1]),
    ({"t": "t"}, []),
    ({"priority": "5"}, [0]),
    ({"priority": "default"}, [1, 2, 3]),
    ({"p": "3,max"}, [0, 1, 2, 3]),
    ({"tags": "a"}, [0, 1]),
    ({"tag": "a,b"}, [0]),
    ({"ta": "b , a"}, [0]),
    ({"tags": "c"}, []),
    ({"title": "T", "priority": "3"}, [1]),
]


class TestFilters:
    """Section 5.1."""

    @pytest.mark.parametrize(("filters", "expected"), FILTERS, ids=[str(filters) for filters, _ in FILTERS])
    def test_replayed_and_live(self, server: Server, topic: str, filters: dict[str, str], expected: list[int]) -> None:
        stored = self._publish_four(server, topic)
        values = {k: stored[int(v[2:])]["id"] if v.startswith("ID") else v for k, v in filters.items()}
        assert server.poll(topic, **values) == [stored[n] for n in expected]
        assert server.get(f"/{topic}/json?poll=1", headers=values).text.count("\n") == len(expected)
        if "ID" in str(filters):
            return
        with server.subscribe(topic, **values) as stream:
            stream.opened()
            live = self._publish_four(server, topic)
            server.publish(topic, "", headers={"Poll-ID": "end"})  # passes every filter
            for n in expected:
                assert stream.message() == live[n]
            assert stream.message()["event"] == "poll_request"

    @staticmethod
    def _publish_four(server: Server, topic: str) -> list[dict[str, Any]]:
        return [
            server.publish(topic, "zero", headers={"Title": "T", "Priority": "5", "Tags": "a,b"}),
            server.publish(topic, "one", headers={"Title": "T", "Priority": "3", "Tags": "a"}),
            server.publish(topic, "two"),
            server.request("DELETE", f"/{topic}/s").json(),
        ]

    def test_a_bad_priority(self, server: Server, topic: str) -> None:
        refused(server.get(f"/{topic}/json?poll=1&priority=high,x"), 40007)
        refused(server.get(f"/{topic}/json?priority=0"), 40007)


def test_the_order_of_the_checks(server: Server) -> None:
    """Topic name, then since, then filters (section 5.3)."""
    refused(server.get("/docs/json?since=x&priority=9"), 40010)
    refused(server.get("/t/json?since=x&priority=9"), 40008)
    refused(server.get("/t/json?since=all&priority=9"), 40007)


def test_with_several_topics_one_refusal_refuses_all(server: Server, topic: str) -> None:
    refused(server.get(f"/{topic},docs/json?poll=1"), 40010)


class TestSeam:
    """The past, then the present: nothing missing, nothing twice, in order (section 5.3)."""

    MESSAGES = 1500
    SUBSCRIBERS = 12

    @pytest.mark.parametrize("topics", [1, 3])
    def test_subscribing_while_messages_come(self, server: Server, topic: str, topics: int) -> None:
        names = [f"{topic}-{n}" for n in range(topics)]
        failures: list[str] = []
        publishers = [
            Thread(target=self._publish, args=(server, name, self.MESSAGES // topics, failures)) for name in names
        ]
        for thread in publishers:
            thread.start()
        readers = []
        for number in range(self.SUBSCRIBERS):
            # spread over the whole time of publishing
            wanted = number * self.MESSAGES // topics // (self.SUBSCRIBERS + 1)
            eventually(lambda w=wanted: self._published(server, names[0]) >= w, "the publisher gets on")  # type: ignore[misc]
            form = ("json", "sse")[number % 2]
            reader = Thread(target=self._read, args=(server, names, form, self.MESSAGES // topics, failures))
            reader.start()
            readers.append(reader)
        for thread in (*publishers, *readers):
            thread.join()
        assert not failures, "\n".join(failures)

    def _published(self, server: Server, name: str) -> int:
        newest = server.poll(name, since="latest")
        return int(newest[0]["message"]) + 1 if newest else 0

    def _publish(self, server: Server, name: str, count: int, failures: list[str]) -> None:
        with server.connect() as raw:
            answers = [raw.publish(name, str(number)) for number in range(count)]
        failures.extend(str(answer) for answer in answers if answer.status != 200)

    def _read(self, server: Server, names: list[str], form: str, count: int, failures: list[str]) -> None:
        found: dict[str, list[int]] = {name: [] for name in names}
        with server.subscribe(",".join(names), form, since="all") as stream:
            for message in self._messages(stream):
                if message["event"] == "message":
                    found[message["topic"]].append(int(message["message"]))
                if all(len(numbers) >= count for numbers in found.values()):
                    break
        for name, numbers in found.items():
            if numbers != list(range(count)):
                wrong = next(n for n, (a, b) in enumerate(zip(numbers, range(count), strict=False)) if a != b)
                failures.append(f"{form} {name}: {len(numbers)} messages, from {wrong} on {numbers[wrong : wrong + 5]}")

    @staticmethod
    def _messages(stream: Stream) -> Iterator[dict[str, Any]]:
        for line in stream.lines:
            text = line.removeprefix("data: ")
            if text.startswith("{"):
                yield json.loads(text)


class TestRetention:
    """What has expired is not shown, whenever the engine removes it."""

    def test_cache_duration_zero_keeps_nothing(self, start: StartServer, topic: str) -> None:
        server = start(notify=NotifyConfig(cache_duration=0))
        with server.subscribe(topic) as stream:
            stream.opened()
            message = server.publish(topic, "x")
            assert stream.message() == message
        assert "expires" not in message
        assert server.poll(topic) == []

    def test_what_has_expired_is_left_out(self, start: StartServer, topic: str) -> None:
        config = NotifyConfig()
        object.__setattr__(config, "cache_duration", 2.0)  # shorter than operators may have it: a test should not wait
        server = start(notify=config)
        message = server.publish(topic, "x")
        assert server.poll(topic) == [message]
        eventually(lambda: server.poll(topic) == [], "it expires")
        assert time.time() >= message["expires"]
