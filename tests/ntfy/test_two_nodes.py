"""Several servers on one engine are one service: nothing depends on which of them a client talks to."""

import json
from contextlib import ExitStack
from threading import Thread

import pytest
from tests.naming import unique
from tests.ntfy.conftest import StartServer
from tests.ntfy.server import Server
from tests.ntfy.test_websocket import receive


@pytest.fixture
def nodes(start: StartServer) -> tuple[Server, Server]:
    """Two servers of one deployment."""
    namespace = unique("n")
    return start(namespace=namespace), start(namespace=namespace)


def test_publish_here_and_receive_there(nodes: tuple[Server, Server], topic: str) -> None:
    one, two = nodes
    with two.subscribe(topic) as lines, two.subscribe(topic, "raw") as raw, two.websocket(topic) as connection:
        lines.opened()
        assert raw.line() == ""
        receive(connection)
        sent = [
            one.publish(topic, "1"),
            two.publish(f"{topic}/s", "2"),
            one.publish(topic, "3", headers={"Cache": "no"}),
        ]
        sent.append(one.request("DELETE", f"/{topic}/s").json())
        assert [lines.message() for _ in sent] == sent
        assert [raw.line() for _ in sent] == ["1", "2", "3", ""]
        assert [receive(connection)["id"] for _ in sent] == [message["id"] for message in sent]
    stored = [sent[0], sent[1], sent[3]]
    assert one.poll(topic) == two.poll(topic) == stored
    for message in stored:
        assert one.poll(topic, since=message["id"]) == two.poll(topic, since=message["id"])


def test_reconnecting_to_another_node_misses_nothing(nodes: tuple[Server, Server], topic: str) -> None:
    one, two = nodes
    with one.subscribe(topic) as stream:
        stream.opened()
        last = one.publish(topic, "before")
        assert stream.message() == last
    missed = [two.publish(topic, str(number)) for number in range(3)]
    with two.subscribe(topic, since=last["id"]) as stream:
        stream.opened()
        live = one.publish(topic, "live")
        assert [stream.message() for _ in range(4)] == [*missed, live]


def test_what_is_shown_is_stored(nodes: tuple[Server, Server], topic: str) -> None:
    """Stored first, then shown: whoever sees a message live finds it in a poll at once, everywhere."""
    one, two = nodes
    with two.subscribe(topic) as stream:
        stream.opened()

        def publish_all() -> None:
            with one.connect() as raw:
                for number in range(100):
                    raw.publish(topic, str(number))

        publisher = Thread(target=publish_all)
        publisher.start()
        try:
            for number in range(100):
                seen = stream.message()
                assert seen["message"] == str(number)
                if number % 5 == 0:
                    for node in nodes:
                        assert seen in node.poll(topic, since=str(seen["time"])), node.port
        finally:
            publisher.join()


def test_ids_are_unique_and_everything_arrives_once(nodes: tuple[Server, Server], topic: str) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(node.subscribe(topic)).opened() for node in nodes]
        threads = [Thread(target=_publish, args=(node, topic, number)) for number, node in enumerate(nodes)]
        for thread in threads:
            thread.start()
        received = [[json.loads(stream.line()) for _ in range(200)] for stream in streams]
        for thread in threads:
            thread.join()
    assert received[0] == received[1]
    assert len({message["id"] for message in received[0]}) == 200
    for number in range(2):
        own = [m["message"] for m in received[0] if m["title"] == str(number)]
        assert own == [str(n) for n in range(100)]


def _publish(node: Server, topic: str, number: int) -> None:
    with node.connect() as raw:
        for n in range(100):
            assert raw.publish(topic, str(n), f"?title={number}").status == 200
