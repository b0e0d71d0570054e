"""Section 13, "Quirks a from-scratch server gets wrong": one test for each of the 26, in its order and by its words.

On memory, NATS and Redis. ``server`` has neither users nor files, ``closed`` has both.
"""

import json
import time
from typing import Any

import pytest
from tests.naming import unique
from tests.ntfy.access.accounts import PASSWORD, TOKEN, basic, in_query, new_address
from tests.ntfy.conftest import BASE_URL, OpenStore, StartServer
from tests.ntfy.server import Server, eventually, message_in, refused
from tests.ntfy.test_websocket import receive
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from gbe.http.config import HttpConfig
from gbe.notify.access.config import AccessConfig
from gbe.notify.config import NotifyConfig

pytestmark = pytest.mark.parametrize("back_end", ["memory", "nats", "redis"])

HOUR = 3600.0
LIMIT = 4096


@pytest.fixture
def public() -> str:
    """A topic of ``closed`` that everybody may use, and no other test does."""
    return unique("open-")


def code_of(response: Any) -> int:
    """ntfy's code of an answer; 0 for success."""
    return 0 if response.status_code == 200 else int(response.json()["code"])


def test_01_exactly_4096_bytes_is_too_long(server: Server, closed: Server, topic: str, public: str) -> None:
    for where, name in ((server, topic), (closed, public)):
        text = where.publish(name, b"x" * (LIMIT - 1))
        assert (text["message"], text.get("attachment")) == ("x" * (LIMIT - 1), None)
    refused(server.post(f"/{topic}", b"x" * LIMIT), 40014)
    assert closed.publish(public, b"x" * LIMIT)["attachment"]["size"] == LIMIT


def test_02_without_attachments_a_long_message_is_refused_and_by_unified_push_it_is_cut(
    server: Server, topic: str
) -> None:
    refused(server.post(f"/{topic}", b"x" * (LIMIT + 1)), 40014)
    assert server.poll(topic) == []
    assert server.publish(topic, b"x" * (LIMIT + 1), params={"up": "1"})["message"] == "x" * LIMIT


def test_03_anonymous_without_permission_gets_403_and_wrong_credentials_401_everywhere(
    closed: Server, ops: str, public: str
) -> None:
    for method, path in (("POST", f"/{ops}"), ("GET", f"/{ops}/json?poll=1"), ("GET", f"/{ops}/auth")):
        refused(closed.request(method, path), 40301)
    visitor = new_address()
    for path in ("/v1/health", f"/{public}/auth", "/", "/v1/stats", "/no/such/path"):
        refused(closed.get(path, headers={"Authorization": basic("anna", "wrong"), **visitor}), 40101)
    for _ in range(30):
        closed.get("/v1/health", headers={"Authorization": "Bearer tk_" + "0" * 29, **visitor})
    refused(closed.get("/v1/health", headers={"Authorization": basic("anna"), **visitor}), 42909)
    assert closed.get("/v1/health", headers={"Authorization": basic("anna"), **new_address()}).status_code == 200


def test_04_bearer_in_lower_case_is_a_malformed_basic_header_and_a_broken_query_a_500(closed: Server) -> None:
    assert closed.get("/v1/health", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    refused(closed.get("/v1/health", headers={"Authorization": f"bearer {TOKEN}", **new_address()}), 40101)
    assert closed.get(f"/v1/health?auth={in_query(basic('anna', PASSWORD))}").status_code == 200
    refused(closed.get("/v1/health?auth=%25%25"), 50001)


def test_05_template_no_switches_inline_templates_on_and_yes_with_a_capital_names_a_file(
    server: Server, topic: str
) -> None:
    headers = {"Template": "no", "Message": "{{.host}} is down"}
    assert server.publish(topic, '{"host":"nas1"}', headers=headers)["message"] == "nas1 is down"
    refused(server.post(f"/{topic}", '{"host":"nas1"}', headers={**headers, "Template": "Yes"}), 40047)


def test_06_every_unknown_word_is_false(server: Server, topic: str) -> None:
    message = server.publish(topic, "x", headers={"Cache": "on", "Markdown": "si"})
    assert "expires" not in message
    assert "content_type" not in message
    with server.subscribe(topic, poll="y") as stream:
        stream.opened()


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"cache": "no"}, 0),
        ({"firebase": "no"}, 0),
        ({"markdown": True}, 0),
        ({"priority": 4}, 0),
        ({"MESSAGE": "upper", "Priority": 4}, 0),
        ({"cache": False}, 40024),
        ({"firebase": True}, 40024),
        ({"markdown": "yes"}, 40024),
        ({"priority": "high"}, 40024),
        ({"priority": "4"}, 40024),
        (None, 40024),
    ],
)
def test_07_types_of_json_members(server: Server, topic: str, members: dict[str, object] | None, code: int) -> None:
    """``None`` stands for what is no JSON: 40017 is not used for it."""
    body = "{" if members is None else json.dumps({"topic": topic, **members})
    assert code_of(server.post("/", body)) == code


def test_08_json_to_a_topic_is_text_and_a_filename_alone_makes_the_message_a_file(
    server: Server, closed: Server, topic: str, public: str
) -> None:
    text = json.dumps({"topic": "other", "message": "m"})
    for headers in ({}, {"Content-Type": "application/json"}):
        assert server.publish(topic, text, headers=headers)["message"] == text
    made = message_in(closed.post("/", json.dumps({"topic": public, "message": "m", "filename": "f.txt"})))
    assert (made["message"], made["attachment"]["name"]) == ("You received a file: f.txt", "f.txt")
    assert closed.get(made["attachment"]["url"].removeprefix(BASE_URL)).content == b"m"


def test_09_the_message_header_loses_against_a_body_and_is_the_caption_of_a_file(closed: Server, public: str) -> None:
    headers = {"Message": "from the header"}
    assert closed.publish(public, "from the body", headers=headers)["message"] == "from the body"
    assert closed.publish(public, "", headers=headers)["message"] == "from the header"
    for body, more in ((b"\xff\x00", {}), (b"text", {"Filename": "f"})):
        message = closed.publish(public, body, headers={**headers, **more})
        assert (message["message"], message["attachment"]["size"]) == ("from the header", len(body))


def test_10_a_backslash_and_an_n_are_a_newline_in_the_parameter_and_in_templates_only(
    server: Server, topic: str
) -> None:
    assert server.publish(topic, headers={"Message": r"a\nb"})["message"] == "a\nb"
    assert server.publish(topic, params={"m": r"a\nb"})["message"] == "a\nb"
    template = {"Template": "1", "Message": r"{{.x}}\nb"}
    assert server.publish(topic, '{"x":"a"}', headers=template)["message"] == "a\nb"
    assert server.publish(topic, r"a\nb")["message"] == r"a\nb"
    assert message_in(server.post("/", json.dumps({"topic": topic, "message": r"a\nb"})))["message"] == r"a\nb"


def test_11_white_space_around_a_body_vanishes_except_by_unified_push(server: Server, topic: str) -> None:
    assert server.publish(topic, " \t\n text \r\n ")["message"] == "text"
    assert server.publish(topic, " \t\n text \r\n ", params={"up": "1"})["message"] == " \t\n text \r\n "
    assert server.publish(topic, " \n\t ")["message"] == "triggered"


def test_12_an_explicit_priority_3_is_sent_and_an_unset_one_counts_as_3_in_filters(server: Server, topic: str) -> None:
    explicit = server.publish(topic, "x", headers={"Priority": "3"})
    unset = server.publish(topic, "x")
    noise = server.publish(topic, "x", headers={"Priority": "u=3, i"})
    server.publish(topic, "x", headers={"Priority": "4"})
    assert (explicit["priority"], unset.get("priority"), noise.get("priority")) == (3, None, None)
    assert server.poll(topic, priority="3") == [explicit, unset, noise]


def test_13_a_delay_may_be_in_days_and_since_may_not(server: Server, topic: str) -> None:
    message = server.publish(topic, "x", headers={"Delay": "1d"})
    assert 86_390 < message["time"] - time.time() < 86_410
    refused(server.get(f"/{topic}/json?poll=1&since=1d"), 40008)


def test_14_twelve_digits_are_an_id_and_an_unknown_id_replays_everything(server: Server, topic: str) -> None:
    sent = [server.publish(topic, text) for text in "ab"]
    for since in ("123456789012", "AbCdEfGhIjKl", "0", "all"):
        assert server.poll(topic, since=since) == sent
    assert server.poll(topic, since=sent[0]["id"]) == sent[1:]
    assert server.poll(topic, since="1") == []


def test_15_a_poll_has_no_open_event_and_the_open_event_repeats_the_list(server: Server, topic: str) -> None:
    empty = server.get(f"/{topic}/json?poll=1")
    assert (empty.status_code, empty.content) == (200, b"")
    sent = server.publish(topic, "x")
    assert server.poll(topic) == [sent]
    listed = f"{topic},b,{topic},a"
    with server.subscribe(listed) as stream:
        assert stream.event()["topic"] == listed


def test_16_raw_has_an_empty_line_for_every_other_event(server: Server, topic: str) -> None:
    with server.subscribe(topic, "raw") as stream:
        assert stream.line() == "", "open"
        server.publish(topic, "one\ntwo")
        assert stream.line() == "one two"
        server.request("PUT", f"/{topic}/s/clear")
        server.request("DELETE", f"/{topic}/s")
        server.publish(topic, headers={"Poll-ID": "x"})
        assert [stream.line() for _ in range(3)] == ["", "", ""]
        server.publish(topic, "end")
        assert stream.line() == "end"


def test_17_messages_by_sse_have_neither_event_nor_id(server: Server, topic: str) -> None:
    sent = [server.publish(topic, text) for text in "ab"]
    lines = server.get(f"/{topic}/sse?poll=1", headers={"Last-Event-ID": sent[0]["id"]}).text.splitlines()
    assert [json.loads(line.removeprefix("data: ")) for line in lines if line] == sent
    assert all(line.startswith("data: ") for line in lines if line)


def test_18_websockets(server: Server, topic: str) -> None:
    """No body in a refusal, no close frame after a poll, no frame above 64 bytes.

    That pings take the place of keepalives is tested where there is time for it, in ``test_websocket.py``.
    """
    with server.websocket(topic) as connection:
        receive(connection)
        connection.send("x" * 65)
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=30)
    with pytest.raises(InvalidStatus) as refusal:
        server.websocket(topic, "?since=1d")
    assert (refusal.value.response.status_code, refusal.value.response.body) == (400, b"")
    with server.websocket(topic, "?poll=1") as connection, pytest.raises(ConnectionClosedError) as closed:
        connection.recv(timeout=30)
    assert closed.value.rcvd is None


def test_19_a_deleted_sequence_stays_beside_its_delete_event_and_only_what_is_scheduled_disappears(
    server: Server, topic: str
) -> None:
    delivered = server.publish(f"{topic}/s", "delivered")
    waiting = server.publish(f"{topic}/w", "waits", headers={"Delay": "1h"})
    assert waiting in server.poll(topic, scheduled="1")
    ends = [message_in(server.request("DELETE", f"/{topic}/{sequence}")) for sequence in "sw"]
    assert server.poll(topic, scheduled="1") == [delivered, *ends]


def test_20_clear_and_delete_work_by_get(server: Server, topic: str) -> None:
    words = {"clear": "message_clear", "read": "message_clear", "delete": "message_delete"}
    ends = [message_in(server.get(f"/{topic}/s/{word}")) for word in words]
    assert [end["event"] for end in ends] == list(words.values())
    assert server.poll(topic) == ends


def test_21_users_share_the_bucket_of_their_address(
    start: StartServer, open_store: OpenStore, closed: Server, topic: str
) -> None:
    """And the daily limit is 17280 although its option says 0."""
    limited = start(
        limits=True,
        open_store=open_store,
        access=AccessConfig(
            auth_users=tuple(user.replace(":admin", ":user") for user in _users(closed)),
            auth_default_access="read-write",
        ),
        notify=NotifyConfig(visitor_request_limit_burst=2, visitor_request_limit_replenish=HOUR),
    )
    for name in ("anna", "bert"):
        assert limited.post(f"/{topic}", "x", headers={"Authorization": basic(name)}).status_code == 200
    for headers in ({"Authorization": basic("anna")}, {"Authorization": basic("bert")}, {}):
        refused(limited.post(f"/{topic}", "x", headers=headers), 42901)
    assert closed.notify_config.visitor_message_daily_limit == 0
    account = closed.get("/v1/account", headers={"Authorization": basic("anna")}).json()
    assert (account["limits"]["basis"], account["limits"]["messages"]) == ("ip", 17280)


def _users(closed: Server) -> tuple[str, ...]:
    assert closed.access is not None
    return closed.access.config.auth_users


def test_22_the_time_of_a_delayed_message_lies_in_the_future(start: StartServer, topic: str) -> None:
    """ntfy's ``since=ID`` can skip it then. Here it is replayed after what was delivered before it: nothing is lost."""
    server = start(notify=NotifyConfig(message_delay_minimum=1))
    delayed = server.publish(topic, "accepted first", headers={"Delay": "2s"})
    plain = server.publish(topic, "delivered first")
    assert delayed["time"] > plain["time"]
    assert delayed["expires"] - delayed["time"] == plain["expires"] - plain["time"]
    eventually(lambda: server.poll(topic, since=plain["id"]) == [delayed], "it is delivered, after the other one")
    assert server.poll(topic) == [plain, delayed]


def test_23_success_is_200_and_refusals_have_no_headers_of_their_own(
    closed: Server, start: StartServer, topic: str, public: str
) -> None:
    created = closed.request("PUT", f"/{public}", content="x")
    wrong = closed.get("/v1/health", headers={"Authorization": basic("anna", "wrong"), **new_address()})
    limited = start(
        limits=True, notify=NotifyConfig(visitor_request_limit_burst=1, visitor_request_limit_replenish=HOUR)
    )
    limited.publish(topic, "x")
    busy = limited.post(f"/{topic}", "x")
    assert (created.status_code, wrong.status_code, busy.status_code) == (200, 401, 429)
    assert "www-authenticate" not in wrong.headers
    assert "retry-after" not in busy.headers
    file = closed.publish(public, b"\xff")["attachment"]["url"].removeprefix(BASE_URL)
    assert [closed.request("HEAD", path).status_code for path in ("/", file)] == [200, 200]
    for path in (f"/{public}", f"/{public}/json", "/v1/health", "/v1/config"):
        assert closed.request("HEAD", path).status_code == 404


def test_24_the_extension_of_a_file_is_not_compared_and_the_file_goes_before_its_message(
    closed: Server, public: str
) -> None:
    message = closed.publish(public, b"%PDF-1.7 and more", headers={"Filename": "holiday.jpg"})
    path = message["attachment"]["url"].removeprefix(BASE_URL)
    assert path.endswith(".pdf"), "as its content says, whatever it is called"
    for other in (path, path.removesuffix(".pdf"), path.removesuffix("pdf") + "zip"):
        assert closed.get(other).content == b"%PDF-1.7 and more"
    assert abs(message["attachment"]["expires"] - message["time"] - 3 * HOUR) < 5
    assert message["expires"] - message["time"] == closed.notify_config.cache_duration > 3 * HOUR


def test_25_without_web_pages_there_is_no_discovery_and_without_metrics_a_page(
    start: StartServer, server: Server
) -> None:
    off = start(notify=NotifyConfig(web_root="disable"), http=HttpConfig(metrics=False))
    for path in ("/", "/topic", "/topic?up=1", "/config.js", "/metrics", "/ntfy.sh/topic"):
        refused(off.get(path), 40401)
    head = off.request("HEAD", "/")
    assert (head.status_code, head.content) == (404, b"")
    assert off.get("/v1/health").status_code == 200
    pageful = start(http=HttpConfig(metrics=False))
    assert pageful.get("/metrics").headers["content-type"].startswith("text/html")
    assert server.get("/metrics").headers["content-type"].startswith("text/plain")


def test_26_malformed_json_costs_nothing_and_a_failed_publish_its_token(start: StartServer, topic: str) -> None:
    server = start(
        limits=True, notify=NotifyConfig(visitor_request_limit_burst=2, visitor_request_limit_replenish=HOUR)
    )
    for _ in range(5):
        refused(server.post("/", "{"), 40024)
    refused(server.post(f"/{topic}", "x", headers={"Priority": "9"}), 40007)
    assert server.post(f"/{topic}", "x").status_code == 200
    refused(server.post(f"/{topic}", "x"), 42901)
    refused(server.post("/", "{"), 40024)
