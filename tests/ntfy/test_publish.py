"""Publishing: sections 2, 3.1, 3.3, 4.1 to 4.5 and 4.7 to 4.11 of the specification."""

import base64
import json
import re
import time
from typing import Any

import pytest
from tests.ntfy.server import Server, message_in, refused

LIMIT = 4096
ALL_FIELDS = {
    "Title": "Disk", "Priority": "4", "Tags": "warning,nas1", "Click": "https://example.net/c",
    "Icon": "https://example.net/i.png", "Actions": "view, Open, https://example.net/a",
    "Attach": "https://example.net/d/f.txt", "Markdown": "yes", "Sequence-ID": "s1",
}  # fmt: skip


class TestReply:
    """The answer to a publish request is the message object (sections 2 and 3.3)."""

    def test_it_is_one_object_and_a_newline(self, server: Server, topic: str) -> None:
        before = int(time.time())
        response = server.post(f"/{topic}", "Backup done")
        message = message_in(response)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.headers["access-control-allow-origin"] == "*"
        assert response.text.endswith("}\n")
        assert list(message) == ["id", "time", "expires", "event", "topic", "message"]
        assert re.fullmatch("[A-Za-z0-9]{12}", message["id"])
        assert before <= message["time"] <= time.time()
        assert message["expires"] == message["time"] + server.notify_config.cache_duration
        assert (message["event"], message["topic"], message["message"]) == ("message", topic, "Backup done")

    def test_keys_stand_in_the_order_of_the_table(self, server: Server, topic: str) -> None:
        message = server.publish(topic, "x", headers=ALL_FIELDS)
        assert list(message) == [
            "id", "sequence_id", "time", "expires", "event", "topic", "title", "message", "priority", "tags", "click",
            "icon", "actions", "attachment", "content_type",
        ]  # fmt: skip
        assert message["attachment"] == {"name": "f.txt", "url": "https://example.net/d/f.txt"}
        (action,) = message["actions"]
        assert list(action) == ["id", "action", "label", "clear", "url"]
        assert re.fullmatch("[A-Za-z0-9]{10}", action.pop("id"))
        assert action == {"action": "view", "label": "Open", "clear": False, "url": "https://example.net/a"}
        assert message["content_type"] == "text/markdown"

    def test_the_wire_is_compact_utf8(self, server: Server, topic: str) -> None:
        text = server.post(f"/{topic}", "äpfel <&> 💾").text
        assert "äpfel <&> 💾" in text
        assert '":' in text
        assert '": ' not in text
        assert '", "' not in text

    def test_what_is_polled_is_what_was_answered(self, server: Server, topic: str) -> None:
        message = server.publish(topic, "x", headers=ALL_FIELDS)
        assert server.poll(topic) == [message]
        assert (
            server.get(f"/{topic}/json?poll=1").text
            == json.dumps(message, ensure_ascii=False, separators=(",", ":")) + "\n"
        )


class TestWaysIn:
    """Section 4.1."""

    @pytest.mark.parametrize(
        ("method", "suffix", "options", "expected"),
        [
            ("POST", "", {"content": "a"}, {"message": "a"}),
            ("PUT", "", {"content": "a"}, {"message": "a"}),
            ("POST", "", {"headers": {"Message": "h"}}, {"message": "h"}),
            ("POST", "", {"params": {"message": "q"}}, {"message": "q"}),
            ("POST", "", {"content": "body", "headers": {"Message": "h"}}, {"message": "body"}),
            ("POST", "/seq-1", {"content": "a"}, {"message": "a", "sequence_id": "seq-1"}),
            ("PUT", "/seq-1", {"content": "a"}, {"message": "a", "sequence_id": "seq-1"}),
            ("PUT", "/path", {"content": "a", "headers": {"X-Sequence-ID": "other"}}, {"sequence_id": "path"}),
            ("GET", "/publish", {"params": {"message": "a b"}}, {"message": "a b"}),
            ("GET", "/send", {"params": {"m": "a", "t": "T", "p": "5"}}, {"message": "a", "title": "T", "priority": 5}),
            ("GET", "/trigger", {}, {"message": "triggered"}),
            ("GET", "/publish", {"content": "a body", "params": {"message": "q"}}, {"message": "a body"}),
            ("POST", "", {"content": '{"topic":"x"}', "headers": {"Content-Type": "application/json"}},
             {"message": '{"topic":"x"}'}),
        ],
    )  # fmt: skip
    def test_each_one(
        self, server: Server, topic: str, method: str, suffix: str, options: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        response = server.request(method, f"/{topic}{suffix}", **options)
        assert response.status_code == 200, response.text
        message = message_in(response)
        assert expected.items() <= message.items()
        assert message["topic"] == topic
        assert server.poll(topic) == [message]

    @pytest.mark.parametrize("path", ["/a,b/publish", "/a,b", "/t/publish/x", "/t/s/publish", "/t/bad%20seq"])
    def test_what_is_no_way_in(self, server: Server, path: str) -> None:
        refused(server.get(path) if "publish" in path else server.post(path, "x"), 40401)


ALIASES = [
    ("title", ["X-Title", "Title", "t"], "A title", ("title", "A title")),
    ("message", ["X-Message", "Message", "m"], r"one\ntwo", ("message", "one\ntwo")),
    ("priority", ["X-Priority", "Priority", "prio", "p"], "high", ("priority", 4)),
    ("tags", ["X-Tags", "Tags", "Tag", "ta"], "a,, b ,a,", ("tags", ["a", "b", "a"])),
    ("click", ["X-Click", "Click"], "mailto:a@example.net", ("click", "mailto:a@example.net")),
    ("icon", ["X-Icon", "Icon"], "https://x.net/i", ("icon", "https://x.net/i")),
    ("attach", ["X-Attach", "Attach", "a"], "http://x.net/p/q.jpg?z", ("attachment", {"name": "q.jpg", "url": "http://x.net/p/q.jpg?z"})),
    ("markdown", ["X-Markdown", "Markdown", "md"], "TRUE", ("content_type", "text/markdown")),
    ("sequence", ["X-Sequence-ID", "Sequence-ID", "sid"], "s-1", ("sequence_id", "s-1")),
    ("poll request", ["X-Poll-ID", "Poll-ID"], "abc", ("poll_id", "abc")),
    ("cache", ["X-Cache", "Cache"], "no", ("expires", None)),
    ("firebase", ["X-Firebase", "Firebase"], "no", ("event", "message")),
    ("unifiedpush", ["X-UnifiedPush", "UnifiedPush", "up"], "1", ("message", "triggered")),
]  # fmt: skip
ALIAS_ROWS = [(name, value, field) for _, names, value, field in ALIASES for name in names]


class TestOptions:
    """Sections 3.1 and 4.2."""

    @pytest.mark.parametrize(("name", "value", "field"), ALIAS_ROWS, ids=[row[0] for row in ALIAS_ROWS])
    def test_every_name_in_header_and_query(
        self, server: Server, topic: str, name: str, value: str, field: tuple[str, object]
    ) -> None:
        key, expected = field
        for options in (
            {"headers": {name: value}},
            {"headers": {name.upper(): value}},
            {"params": {name.lower(): value}},
        ):
            assert server.publish(topic, **options).get(key) == expected

    def test_query_names_are_lower_case(self, server: Server, topic: str) -> None:
        assert "title" not in server.publish(topic, params={"Title": "x", "X-Title": "y", "T": "z"})

    def test_a_header_beats_the_query_and_the_first_name_wins(self, server: Server, topic: str) -> None:
        both = {"headers": {"t": "header"}, "params": {"x-title": "query"}}
        assert server.publish(topic, **both)["title"] == "header"
        assert server.publish(topic, headers={"t": "3", "Title": "2", "X-Title": "1"})["title"] == "1"
        assert server.publish(topic, params={"t": "3", "title": "2", "x-title": "1"})["title"] == "1"

    def test_an_empty_value_is_not_given(self, server: Server, topic: str) -> None:
        options = {"headers": {"X-Title": "", "Title": "=?utf-8?q?_?="}, "params": {"x-title": " ", "title": " q "}}
        assert server.publish(topic, **options)["title"] == "q"

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            (b"=?UTF-8?B?w6RwZmVs?=", "äpfel"),
            (b"=?utf-8?q?=C3=A4pfel?=", "äpfel"),
            (b"=?iso-8859-1?Q?=E4pfel?=", "äpfel"),
            (b"=?us-ascii?q?a_b?=", "a b"),
            (b"before =?utf-8?q?=C3=A4?= after", "before ä after"),
            (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
            (b"=?utf-8?b?%%%?=", "=?utf-8?b?%%%?="),
            (b"=?koi8-r?q?a?=", "=?koi8-r?q?a?="),
            ("äpfel 💾".encode(), "äpfel 💾"),
            (b"bad \xff byte", "bad \ufffd byte"),
        ],
    )
    def test_rfc_2047(self, server: Server, topic: str, sent: bytes, expected: str) -> None:
        assert server.publish(topic, headers={b"Title": sent})["title"] == expected

    def test_query_values_are_not_decoded_again(self, server: Server, topic: str) -> None:
        assert server.publish(topic, params={"title": "=?UTF-8?B?w6RwZmVs?="})["title"] == "=?UTF-8?B?w6RwZmVs?="

    @pytest.mark.parametrize("word", ["1", "yes", "YES", "true", "True"])
    def test_true(self, server: Server, topic: str, word: str) -> None:
        assert server.publish(topic, headers={"Markdown": word})["content_type"] == "text/markdown"
        assert "expires" in server.publish(topic, headers={"Cache": word})

    @pytest.mark.parametrize("word", ["0", "no", "false", "on", "si", "y"])
    def test_every_other_word_is_false(self, server: Server, topic: str, word: str) -> None:
        assert "content_type" not in server.publish(topic, headers={"Markdown": word})
        assert "expires" not in server.publish(topic, headers={"Cache": word})

    @pytest.mark.parametrize(
        "options",
        [
            {"headers": {"Content-Type": "text/markdown"}},
            {"headers": {"Content-Type": "text/markdown; charset=utf-8"}},
            {"params": {"content_type": "text/markdown"}},
        ],
    )
    def test_markdown_by_content_type(self, server: Server, topic: str, options: dict[str, Any]) -> None:
        assert server.publish(topic, "*x*", **options)["content_type"] == "text/markdown"

    def test_what_is_unknown_is_ignored(self, server: Server, topic: str) -> None:
        message = server.publish(topic, "x", headers={"X-Whatever": "1"}, params={"whatever": "1"})
        assert list(message) == ["id", "time", "expires", "event", "topic", "message"]

    @pytest.mark.parametrize(
        ("headers", "name"),
        [
            ({"Attach": "https://x.net/"}, "attachment"),
            ({"Attach": "https://x.net/a/b.png", "Filename": "c.png"}, "c.png"),
            ({"Attach": "https://x.net/a%20b.png"}, "a b.png"),
        ],
    )
    def test_external_attachments(self, server: Server, topic: str, headers: dict[str, str], name: str) -> None:
        message = server.publish(topic, headers=headers)
        assert message["attachment"]["name"] == name
        assert message["message"] == f"You received a file: {name}"
        assert server.publish(topic, " caption ", headers=headers)["message"] == "caption"


class TestPriority:
    """Section 4.3."""

    @pytest.mark.parametrize(
        ("value", "expected"),
        [("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5), ("min", 1), ("low", 2), ("default", 3), ("high", 4),
         ("max", 5), ("urgent", 5), ("MAX", 5), ("Urgent", 5)],
    )  # fmt: skip
    def test_numbers_and_names(self, server: Server, topic: str, value: str, expected: int) -> None:
        assert server.publish(topic, headers={"Priority": value})["priority"] == expected

    @pytest.mark.parametrize("value", ["0", "6", "3.0", "-1", "highest", "u=6x", "1,2"])
    def test_everything_else_is_refused(self, server: Server, topic: str, value: str) -> None:
        refused(server.post(f"/{topic}", headers={"Priority": value}), 40007)

    @pytest.mark.parametrize("value", ["u=3, i", "u=1", "u=5, d", "u=0,i"])
    def test_what_browsers_send_is_no_priority(self, server: Server, topic: str, value: str) -> None:
        assert "priority" not in server.publish(topic, headers={"Priority": value})
        assert server.publish(topic, headers={"Priority": value, "p": "5"})["priority"] == 5
        refused(server.post(f"/{topic}", params={"priority": value}), 40007)


class TestBody:
    """Section 4.5, and what is switched off in this release."""

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b" \n text \n", "text"),
            (b"", "triggered"),
            (b"  \n ", "triggered"),
            (b"a\0b", "ab"),
            (rb"stays \n so", r"stays \n so"),
            ("ü".encode() * 2047, "ü" * 2047),
            (b"x" * (LIMIT - 1), "x" * (LIMIT - 1)),
            (b'<script>"\\', '<script>"\\'),
        ],
    )
    def test_text(self, server: Server, topic: str, body: bytes, expected: str) -> None:
        message = server.publish(topic, body)
        assert message["message"] == expected
        assert "encoding" not in message
        assert server.poll(topic) == [message]

    @pytest.mark.parametrize("body", [b"x" * LIMIT, b"x" * 100_000, b"\xff\xfe", "ü".encode()[:1]])
    def test_what_would_be_a_file_is_refused_with_the_reason(self, server: Server, topic: str, body: bytes) -> None:
        error = refused(server.post(f"/{topic}", body), 40014)
        assert error["error"].startswith("invalid request: attachments not allowed; ")
        assert error["link"] == "https://ntfy.sh/docs/config/#attachments"
        assert server.poll(topic) == []

    @pytest.mark.parametrize(
        ("headers", "code"),
        [
            ({"Filename": "a.txt"}, 40014),
            ({"Delay": "73h"}, 40006),
            ({"In": "4 days"}, 40006),
            ({"Delay": "5s"}, 40005),
            ({"Delay": "whenever"}, 40004),
            ({"Delay": "30m", "Cache": "no"}, 40002),
            ({"Email": "a@example.net"}, 40001),
            ({"Email": "yes"}, 40001),
            ({"E-Mail": "two@example.net, more@example.net"}, 40050),
        ],
    )
    def test_what_this_release_has_switched_off(
        self, server: Server, topic: str, headers: dict[str, str], code: int
    ) -> None:
        error = refused(server.post(f"/{topic}", "{}", headers=headers), code)
        if code in (40001, 40014):
            assert "; " in error["error"]
        assert server.poll(topic) == []

    @pytest.mark.parametrize(
        ("headers", "code"),
        [
            ({"Attach": "ftp://x.net/f"}, 40013),
            ({"Icon": "data:image/png"}, 40021),
            ({"Sequence-ID": "no blanks"}, 40049),
            ({"Title": "x" * 1025}, 40057),
            ({"Tags": "x" * 513}, 40058),
            ({"Attach": "https://x.net/f"}, 0),
        ],
    )
    def test_other_refusals(self, server: Server, topic: str, headers: dict[str, str], code: int) -> None:
        response = server.post(f"/{topic}", b"\xff" if code == 0 else b"x", headers=headers)
        refused(response, code or 40011)

    def test_limits_of_title_and_tags(self, server: Server, topic: str) -> None:
        message = server.publish(topic, headers={"Title": "x" * 1024, "Tags": "y" * 512})
        assert (len(message["title"]), len(message["tags"][0])) == (1024, 512)


ORDER = [
    ({"Sequence-ID": "a b"}, 40049),
    ({"Title": "x" * 1025}, 40057),
    ({"Attach": "x"}, 40013),
    ({"Icon": "x"}, 40021),
    ({"Email": "a b"}, 40050),
    ({"Priority": "9"}, 40007),
    ({"Tags": "x" * 513}, 40058),
    ({"Delay": "?"}, 40004),
    ({"Actions": "x"}, 40018),
    ({"Filename": "f"}, 40014),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_order_of_the_checks(server: Server, topic: str, first: int) -> None:
    """With everything wrong from one check on, that one is what the client sees (section 4.2)."""
    headers: dict[str, str] = {}
    for wrong, _ in ORDER[first:]:
        headers |= wrong
    refused(server.post(f"/{topic}", b"\xff", headers=headers), ORDER[first][1])
    refused(server.post("/docs", b"\xff", headers=headers), 40010)


class TestActions:
    """Section 4.7, from the outside; the unit tests have the grammar."""

    def test_the_example(self, server: Server, topic: str) -> None:
        text = (
            "view, Open, https://example.net/a; "
            "http, Restart, https://example.net/r, method=put, headers.X-Key=k1, clear=yes"
        )
        one, two = server.publish(topic, headers={"Actions": text})["actions"]
        assert {k: v for k, v in one.items() if k != "id"} == {
            "action": "view", "label": "Open", "clear": False, "url": "https://example.net/a",
        }  # fmt: skip
        assert {k: v for k, v in two.items() if k != "id"} == {
            "action": "http", "label": "Restart", "clear": True, "url": "https://example.net/r", "method": "PUT",
            "headers": {"X-Key": "k1"},
        }  # fmt: skip

    def test_both_formats_mean_the_same(self, server: Server, topic: str) -> None:
        short = "copy, Code, 123; broadcast, Tell, intent=x.Y, extras.a=b"
        array = json.dumps(
            [
                {"action": "copy", "label": "Code", "value": "123"},
                {"action": "broadcast", "label": "Tell", "intent": "x.Y", "extras": {"a": "b"}, "url": None},
            ]
        )
        found = [server.publish(topic, headers={"Actions": text})["actions"] for text in (short, array)]
        for actions in found:
            for action in actions:
                del action["id"]
        assert found[0] == found[1]

    @pytest.mark.parametrize(
        ("text", "detail"),
        [
            ("view,a,b;view,a,b;view,a,b;view,a,b", "only 3 actions allowed"),
            ("jump, x", "parameter 'action' cannot be 'jump', valid values are 'view', 'broadcast', 'http' and 'copy'"),
            ("view", "parameter 'label' is required"),
            ("view, x", "parameter 'url' is required for action 'view'"),
            ("copy, x", "parameter 'value' is required for action 'copy'"),
            ("http, x, https://x.net, method=GET, body=b", "parameter 'body' cannot be set if method is GET"),
            (
                "view, x, y, clear=maybe",
                "parameter 'clear' cannot be 'maybe', only boolean values are allowed (true/yes/1/false/no/0)",
            ),
            ("view, x, y, z", "term 'z' unknown"),
            ("view, x, y, foo=z", "key 'foo' unknown"),
            ("view, 'x' y, z", "unexpected character 'y' at position 10"),
            ("view, 'x", "unexpected end of input, quote started at position 6"),
        ],
    )
    def test_errors(self, server: Server, topic: str, text: str, detail: str) -> None:
        error = refused(server.post(f"/{topic}", headers={"Actions": text}), 40018)
        assert error["error"] == f"invalid request: actions invalid; {detail}"
        assert error["link"] == "https://ntfy.sh/docs/publish/#action-buttons"


class TestJson:
    """Section 4.8."""

    def publish(self, server: Server, document: object, **options: Any) -> Any:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return server.post("/", body, **options)

    def test_the_example(self, server: Server, topic: str) -> None:
        for method in ("POST", "PUT"):
            document = {
                "topic": topic, "title": "Build", "message": "green", "priority": 4, "tags": ["tada", "a,b"],
                "actions": [{"action": "view", "label": "Log", "url": "https://ci.example.net/7"}],
                "click": None, "markdown": True, "UNKNOWN": 1, "sequence_id": "s", "icon": "https://x.net/i",
            }  # fmt: skip
            response = server.request(method, "/", content=json.dumps(document))
            message = message_in(response)
            assert response.status_code == 200
            assert (message["title"], message["message"], message["priority"]) == ("Build", "green", 4)
            assert (message["tags"], message["content_type"]) == (["tada", "a", "b"], "text/markdown")
            assert (message["actions"][0]["label"], message["sequence_id"]) == ("Log", "s")
            assert "click" not in message
        assert len(server.poll(topic)) == 2

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, {"message": "triggered"}),
            ({"message": r"a\nb"}, {"message": r"a\nb"}),
            ({"title": "=?UTF-8?B?w6RwZmVs?="}, {"title": "äpfel"}),
            ({"priority": 0}, {"message": "triggered"}),
            ({"attach": "https://x.net/f.txt"}, {"message": "triggered"}),
            ({"message": "a\0b"}, {"message": "ab"}),
            ({"MESSAGE": "upper", "Title": "T"}, {"message": "upper", "title": "T"}),
            ({"message": "💾 \ud800"}, {"message": "💾 \ufffd"}),
        ],
    )
    def test_members(self, server: Server, topic: str, changes: dict[str, Any], expected: dict[str, Any]) -> None:
        message = message_in(self.publish(server, {"topic": topic, **changes}))
        assert expected.items() <= message.items()

    def test_cache_is_a_string(self, server: Server, topic: str) -> None:
        assert "expires" not in message_in(self.publish(server, {"topic": topic, "cache": "no", "firebase": "no"}))
        refused(self.publish(server, {"topic": topic, "cache": False}), 40024)

    def test_headers_and_query_still_apply(self, server: Server, topic: str) -> None:
        options = {"headers": {"Title": "header", "Tags": "h"}, "params": {"click": "https://c"}}
        message = message_in(self.publish(server, {"topic": topic, "title": "json"}, **options))
        assert (message["title"], message["tags"], message["click"]) == ("json", ["h"], "https://c")

    def test_what_follows_the_object_is_ignored(self, server: Server, topic: str) -> None:
        body = json.dumps({"topic": topic, "message": "m"}).encode() + b" trailing {"
        assert message_in(self.publish(server, body))["message"] == "m"

    @pytest.mark.parametrize(
        ("document", "code"),
        [
            ({}, 40009),
            ({"topic": ""}, 40009),
            ({"topic": "a b"}, 40009),
            ({"topic": "a,b"}, 40009),
            ({"topic": "x" * 65}, 40009),
            ({"topic": "docs"}, 40010),
            ({"topic": 1}, 40024),
            ({"topic": "t", "priority": "high"}, 40024),
            ({"topic": "t", "priority": 6}, 40007),
            ({"topic": "t", "priority": 3.5}, 40024),
            ({"topic": "t", "tags": "a"}, 40024),
            ({"topic": "t", "markdown": "yes"}, 40024),
            ({"topic": "t", "actions": "view"}, 40024),
            ({"topic": "t", "message": "x" * 4096}, 40014),
            ({"topic": "t", "filename": "f"}, 40014),
            ({"topic": "t", "delay": "4 days"}, 40006),
            ([], 40024),
            (b"", 40024),
            (b"not json", 40024),
            (b'{"topic":"t","message":"\xff"', 40024),
            (b"[" * 5000, 40024),
            (b"x" * 8192, 41303),
            (b"x" * 100_000, 41303),
        ],
    )
    def test_refusals(self, server: Server, document: object, code: int) -> None:
        refused(self.publish(server, document), code)


class TestUnifiedPush:
    """Sections 4.5 row 2, and 4.11."""

    def test_discovery(self, server: Server, topic: str) -> None:
        response = server.get(f"/{topic}?up=1")
        assert response.status_code == 200
        assert response.content == b'{"unifiedpush":{"version":1}}\n'
        assert response.headers["content-type"] == "application/json"
        assert response.headers["access-control-allow-origin"] == "*"

    @pytest.mark.parametrize("body", [bytes(range(256)), b"\xff" * LIMIT, b"\0", b"\xfe" * 9000])
    def test_binary_bodies(self, server: Server, topic: str, body: bytes) -> None:
        message = server.publish(topic, body, params={"up": "1"})
        assert message["encoding"] == "base64"
        assert base64.b64decode(message["message"]) == body[:LIMIT]
        assert server.poll(topic) == [message]

    @pytest.mark.parametrize("body", [" untouched \n", "ä" * 10, "x" * LIMIT])
    def test_text_is_kept_as_it_is(self, server: Server, topic: str, body: str) -> None:
        message = server.publish(topic, body, headers={"X-UnifiedPush": "1"})
        assert message["message"] == body
        assert "encoding" not in message

    def test_what_is_too_long_is_cut(self, server: Server, topic: str) -> None:
        assert server.publish(topic, b"x" * 5000, params={"up": "1"})["message"] == "x" * LIMIT

    def test_web_push_encryption_implies_it(self, server: Server, topic: str) -> None:
        message = server.publish(topic, b"\x80\x81", headers={"Content-Encoding": "aes128gcm"})
        assert (message["message"], message["encoding"]) == ("gIE=", "base64")


class TestPollRequest:
    """Section 4.10."""

    def test_it_reaches_live_subscribers_and_nothing_else(self, server: Server, topic: str) -> None:
        with server.subscribe(topic) as stream, server.subscribe(topic, "sse") as sse:
            stream.opened()
            message = server.publish(topic, b"ignored \xff", headers={"X-Poll-ID": "abc", "Sequence-ID": "s"})
            assert stream.message() == message
            while sse.line() != "event: poll_request":
                pass
            assert json.loads(sse.line().removeprefix("data: ")) == message
        assert list(message) == ["id", "time", "event", "topic", "message", "poll_id"]
        assert (message["event"], message["message"], message["poll_id"]) == ("poll_request", "New message", "abc")
        assert server.poll(topic) == []


class TestCacheNo:
    """``Cache: no``: live subscribers get it, a poll never does."""

    def test_it_is_delivered_and_not_stored(self, server: Server, topic: str) -> None:
        with server.subscribe(topic) as stream:
            stream.opened()
            volatile = server.publish(topic, "volatile", headers={"Cache": "no"})
            durable = server.publish(topic, "durable")
            assert [stream.message(), stream.message()] == [volatile, durable]
        assert "expires" not in volatile
        assert server.poll(topic) == [durable]


class TestSequences:
    """Section 4.12."""

    def test_updates_stay_beside_the_first(self, server: Server, topic: str) -> None:
        first = server.publish(f"{topic}/dl-7", "10 %")
        second = server.publish(f"{topic}/dl-7", "90 %")
        assert first["sequence_id"] == second["sequence_id"] == "dl-7"
        assert first["id"] != second["id"]
        assert server.poll(topic) == [first, second]

    def test_the_id_of_the_first_message_is_a_sequence(self, server: Server, topic: str) -> None:
        first = server.publish(topic, "10 %")
        second = server.publish(f"{topic}/{first['id']}", "90 %")
        assert "sequence_id" not in first
        assert second["sequence_id"] == first["id"]

    @pytest.mark.parametrize(
        ("method", "suffix", "event"),
        [
            ("DELETE", "", "message_delete"),
            ("GET", "/delete", "message_delete"),
            ("PUT", "/clear", "message_clear"),
            ("PUT", "/read", "message_clear"),
            ("GET", "/clear", "message_clear"),
            ("GET", "/read", "message_clear"),
        ],
    )
    def test_clear_and_delete(self, server: Server, topic: str, method: str, suffix: str, event: str) -> None:
        with server.subscribe(topic) as stream:
            stream.opened()
            original = server.publish(f"{topic}/dl-7", "10 %")
            response = server.request(method, f"/{topic}/dl-7{suffix}")
            end = message_in(response)
            assert response.status_code == 200
            assert list(end) == ["id", "sequence_id", "time", "expires", "event", "topic"]
            assert (end["event"], end["sequence_id"]) == (event, "dl-7")
            assert end["id"] != original["id"]
            assert [stream.message(), stream.message()] == [original, end]
        assert server.poll(topic) == [original, end]

    def test_an_unknown_sequence_is_fine(self, server: Server, topic: str) -> None:
        assert server.request("DELETE", f"/{topic}/never").status_code == 200

    @pytest.mark.parametrize(("method", "path"), [("POST", "/t/s/clear"), ("DELETE", "/t"), ("PUT", "/t/a/b/clear")])
    def test_what_is_no_such_route(self, server: Server, method: str, path: str) -> None:
        refused(server.request(method, path), 40401)
