"""Options of rank MAY: calls, Firebase, and what later releases may read. They are taken, and the log says so once."""

import json
import logging

import pytest
from tests.ntfy.conftest import StartServer
from tests.ntfy.server import Server, message_in, refused

from gbe.notify import options
from gbe.notify.config import NotifyConfig
from gbe.notify.ignored import PAUSE, IgnoredOptions
from gbe.notify.parameters import Parameters

CALL = "a message asked for a phone call"
LATER = "a message named a time zone"
IGNORED = [
    # option, what the log says
    ({"headers": {"X-Call": "+491234"}}, CALL),
    ({"headers": {"Call": "yes"}}, CALL),
    ({"params": {"call": "+491234"}}, CALL),
    ({"json": {"call": "yes"}}, CALL),
    ({"headers": {"X-Timezone": "Europe/Berlin", "Delay": "1h"}}, LATER),
    ({"params": {"timezone": "nonsense"}}, LATER),
    ({"headers": {"X-Apple-Critical": "1"}}, LATER),
    ({"headers": {"X-Apple-Sound": "x", "X-Apple-Volume": "2"}}, LATER),
    ({"json": {"timezone": 7, "apple": {"critical": True}}}, LATER),
    ({"headers": {"X-Firebase": "no"}}, ""),
    ({"json": {"firebase": "no"}}, ""),
]


@pytest.fixture
def server(start: StartServer) -> Server:
    """A server that has told nothing yet."""
    return start()


@pytest.mark.parametrize("back_end", ["memory"])
@pytest.mark.parametrize(("given", "told"), IGNORED)
def test_the_message_goes_out_and_the_log_says_without_what(
    server: Server, topic: str, caplog: pytest.LogCaptureFixture, given: dict[str, dict[str, object]], told: str
) -> None:
    with caplog.at_level(logging.WARNING, "gbe.notify.ignored"):
        for _ in range(3):
            if "json" in given:
                response = server.post("/", json.dumps({"topic": topic, "message": "x", **given["json"]}))
            else:
                response = server.post(f"/{topic}", "x", **given)
            message = message_in(response)
            assert (response.status_code, message["message"]) == (200, "x")
    lines = [record.getMessage() for record in caplog.records if record.name == "gbe.notify.ignored"]
    assert [line.startswith(told) for line in lines] == ([True] if told else [])


@pytest.mark.parametrize("back_end", ["memory"])
def test_a_server_can_refuse_calls_as_one_without_a_telephone_does(start: StartServer, topic: str) -> None:
    """40032, between the e-mail and the priority (section 4.2)."""
    server = start(notify=NotifyConfig(refuse_calls=True))
    error = refused(server.post(f"/{topic}", "x", headers={"Call": "yes", "Priority": "9"}), 40032)
    assert error["error"].startswith("invalid request: calling is disabled")
    refused(server.post(f"/{topic}", "x", headers={"Call": "yes", "Email": "a b"}), 40050)
    refused(server.post("/", json.dumps({"topic": topic, "call": "+491234"})), 40032)
    assert server.poll(topic) == []


def test_it_is_told_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now, asked = 0.0, []
    ignored = IgnoredOptions(lambda: asked.append(now), lambda: now)
    calls = Parameters([(options.CALL.names[0].encode(), b"yes")])
    for moment, lines in ((0.0, 1), (PAUSE - 1, 1), (PAUSE, 2), (PAUSE + 1, 2)):
        now = moment
        ignored.look(calls, "ops…")
        assert len(caplog.records) == lines
    assert len(asked) == 4
