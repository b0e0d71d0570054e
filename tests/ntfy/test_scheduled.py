"""Delayed messages from beginning to end (sections 4.4, 4.12 and 5.1)."""

import time
from collections import Counter

import pytest
from tests.naming import unique
from tests.ntfy.conftest import StartServer
from tests.ntfy.server import Server, eventually, message_in

from gbe.notify.config import NotifyConfig

SOON = NotifyConfig(message_delay_minimum=0.0)
"""Takes delays of a second, so that tests need not wait for ten."""


@pytest.fixture
def nodes(start: StartServer) -> tuple[Server, Server]:
    """Two nodes on one engine."""
    namespace = unique("n")
    return start(notify=SOON, namespace=namespace), start(notify=SOON, namespace=namespace)


def test_a_delayed_message_from_its_publish_to_its_delivery(nodes: tuple[Server, Server], topic: str) -> None:
    """Stored at once, hidden until due, delivered once to each subscriber of either node, never early."""
    one, two = nodes
    with one.subscribe(topic) as first, two.subscribe(f"{topic},other", since="all") as second:
        first.opened()
        second.opened()
        now = int(time.time())
        later = one.publish(topic, "later", headers={"Delay": "5s", "Title": "T", "Tags": "a"})
        sooner = one.publish(topic, "sooner", headers={"At": str(now + 4)})
        far = two.publish(topic, "far", headers={"In": "1h"})
        plain = two.publish(topic, "now")
        assert now + 5 <= later["time"] <= time.time() + 5
        assert later["expires"] == later["time"] + SOON.cache_duration
        assert far["time"] >= now + 3600

        assert [m["message"] for m in two.poll(topic)][:1] == ["now"]
        listed = one.poll(topic, scheduled="1")
        assert {m["id"] for m in listed} == {later["id"], sooner["id"], far["id"], plain["id"]}
        assert far in listed
        assert [m["time"] for m in listed] == sorted(m["time"] for m in listed)
        assert [m["message"] for m in one.poll(topic, sched="yes", title="T")] == ["later"]
        # whatever since says about the past, all that waits comes along
        assert far in two.poll(topic, scheduled="true", since=plain["id"])
        assert far in two.poll(topic, scheduled="true", since=str(now))
        assert two.poll(topic, scheduled="1", since="none") == []

        for stream in (first, second):
            messages = [stream.message() for _ in range(3)]
            assert time.time() >= later["time"]
            assert messages == [plain, sooner, later]
    assert two.poll(topic) == [plain, sooner, later]
    assert Counter(m["id"] for m in one.poll(topic, scheduled="1")).most_common(1)[0][1] == 1
    assert one.poll(topic, since=sooner["id"]) == [later]


def test_a_stream_can_begin_with_what_is_not_due(nodes: tuple[Server, Server], topic: str) -> None:
    one, two = nodes
    past, waiting = one.publish(topic, "past"), one.publish(topic, "waits", headers={"Delay": "1h"})
    with two.subscribe(topic, since="all", scheduled="1") as stream:
        assert stream.opened().message() == past
        assert stream.message() == waiting
        live = one.publish(topic, "live")
        assert stream.message() == live


def test_what_cancels_a_scheduled_message(nodes: tuple[Server, Server], topic: str) -> None:
    """A later publish or a delete of its sequence, through any node; the id of a message names its sequence too."""
    one, two = nodes

    def waiting(on: str = topic) -> list[str]:
        return [
            m["message"]
            for m in one.poll(on, scheduled="1")
            if m["event"] == "message" and m["time"] > time.time() + 60
        ]

    def schedule(text: str, path: str = topic, **headers: str) -> str:
        message_id: str = message_in(one.post(f"/{path}", text, headers={"Delay": "1h", **headers}))["id"]
        return message_id

    schedule("by delete", f"{topic}/s1")
    schedule("untouched", f"{topic}/s2")
    schedule("elsewhere", f"{topic}-other/s1")
    by_id = schedule("by id")
    assert sorted(waiting()) == ["by delete", "by id", "untouched"]

    deleted = message_in(two.request("DELETE", f"/{topic}/s1"))
    assert (deleted["event"], deleted["sequence_id"]) == ("message_delete", "s1")
    assert sorted(waiting()) == ["by id", "untouched"]
    assert two.request("PUT", f"/{topic}/s2/clear").status_code == 200
    assert sorted(waiting()) == ["by id", "untouched"], "what is read is not deleted"
    two.publish(f"{topic}/{by_id}", "an update in its place")
    assert waiting() == ["untouched"]

    schedule("second version", f"{topic}/s2")
    assert waiting() == ["second version"]
    schedule("third version", **{"X-Sequence-ID": "s2"})
    assert waiting() == ["third version"]
    assert waiting(f"{topic}-other") == ["elsewhere"]
    assert two.request("GET", f"/{topic}/s2/delete").status_code == 200
    assert waiting() == []


def test_a_cancelled_message_is_never_delivered(nodes: tuple[Server, Server], topic: str) -> None:
    """And those beside it are, each once."""
    one, two = nodes
    kept = []
    for number in range(6):
        message = one.publish(f"{topic}/s{number}", str(number), headers={"Delay": "2s"})
        if number % 2:
            two.request("DELETE", f"/{topic}/s{number}")
        else:
            kept.append(message["id"])
    eventually(lambda: len(_messages(two, topic)) >= len(kept), "those that are left are delivered")
    last = one.publish(topic, "afterwards", headers={"Delay": "1s"})
    eventually(lambda: last["id"] in _messages(two, topic), "and one more after them")
    assert _messages(two, topic) == [*kept, last["id"]]


def _messages(server: Server, topic: str) -> list[str]:
    return [m["id"] for m in server.poll(topic) if m["event"] == "message"]
