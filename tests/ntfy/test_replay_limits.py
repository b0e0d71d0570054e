"""What a replay may cost: section 5.3, from release 2.28 on."""

from typing import Any

import pytest
from tests.ntfy.conftest import StartServer
from tests.ntfy.server import Server, refused
from tests.ntfy.test_websocket import receive

from gbe.notify.config import NotifyConfig

HEADER = "x-messages-truncated"
TEXT = "x" * 1000
MANY = 1200  # more than the engine is asked for at a time


def publish_many(server: Server, topic: str, count: int) -> None:
    with server.connect() as raw:
        for number in range(count):
            assert raw.publish(topic, f"{number} {TEXT}").status == 200


def numbers(messages: list[dict[str, Any]]) -> list[int]:
    return [int(message["message"].partition(" ")[0]) for message in messages]


def test_a_limited_replay_brings_the_newest_that_fit_and_says_so(start: StartServer, topic: str) -> None:
    """Of each topic by itself, in every form; a replay that fits is not marked."""
    server = start(notify=NotifyConfig(replay_limit=100_000))
    publish_many(server, f"{topic}a", MANY)
    publish_many(server, f"{topic}b", 20)

    short = server.get(f"/{topic}b/json?poll=1")
    assert HEADER not in short.headers
    assert numbers(server.poll(f"{topic}b")) == list(range(20))

    cut = server.get(f"/{topic}a/json?poll=1")
    assert cut.headers[HEADER] == "1"
    found = numbers(server.poll(f"{topic}a"))
    assert found == list(range(found[0], MANY))
    assert 60 < len(found) < 100

    both = server.get(f"/{topic}a,{topic}b/raw?poll=1")
    assert both.headers[HEADER] == "1"
    assert len(both.text.splitlines()) == len(found) + 20

    with server.subscribe(f"{topic}a", since="all") as stream:
        assert stream.response.headers[HEADER] == "1"
        stream.opened()
        live = server.publish(f"{topic}a", f"{MANY} live")
        received = [stream.message() for _ in range(len(found) + 1)]
        assert (numbers(received), received[-1]) == ([*found, MANY], live)
    with server.websocket(f"{topic}a", "?since=all") as connection:
        assert connection.response is not None
        assert connection.response.headers[HEADER] == "1"
        assert receive(connection)["event"] == "open"
        assert numbers([receive(connection)])[0] >= found[0]

    last = server.poll(f"{topic}a", since="latest")[0]
    resumed = server.get(f"/{topic}a/json", params={"poll": "1", "since": last["id"]})
    assert (resumed.text, HEADER in resumed.headers) == ("", False)


def test_without_a_limit_everything_is_replayed(server: Server, topic: str) -> None:
    """The default: who comes back late has no gap."""
    publish_many(server, topic, MANY)
    response = server.get(f"/{topic}/json?poll=1&since=all")
    assert HEADER not in response.headers
    assert len(response.text.splitlines()) == MANY


@pytest.mark.parametrize("form", ["json", "sse", "raw", "ws"])
def test_polls_are_charged_to_the_bandwidth_of_the_day(start: StartServer, topic: str, form: str) -> None:
    """The last one may cost more than was left; polls that find nothing and streams cost nothing."""
    server = start(limits=True, notify=NotifyConfig(visitor_attachment_daily_bandwidth_limit=2500))
    for number in range(2):
        server.publish(topic, f"{number} {TEXT}")
    assert server.get(f"/{topic}/json?poll=1&since=none").text == ""
    for _ in range(2):
        assert len(server.get(f"/{topic}/raw?poll=1").text.splitlines()) == 2
    path = f"/{topic}/{form}?poll=1"
    if form == "ws":
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        response = server.get(path, headers={**upgrade, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})
        assert (response.status_code, response.content) == (429, b"")
    else:
        error = refused(server.get(path), 42905)
        assert error["error"] == "limit reached: daily bandwidth reached"
    assert server.get(f"/{topic}-empty/json?poll=1").text == ""
    with server.subscribe(topic, since="all") as stream:
        assert numbers([stream.opened().message(), stream.message()]) == [0, 1]
