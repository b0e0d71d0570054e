"""Templates over HTTP (section 4.9): what applies when, the errors, and the templates that come with gbe."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.ntfy.conftest import OpenTransport
from tests.ntfy.server import KEEPALIVE, Loop, Server

from gbe.notify.config import NotifyConfig

BODY = '{"host":"nas1","use":93,"list":["a","b"],"level":"high","deep":{"x":null}}'

GITHUB: dict[str, dict[str, Any]] = {
    "star": {"action": "created", "starred_at": "2026-01-01T00:00:00Z"},
    "watch": {"action": "started"},
    "issue": {
        "action": "opened",
        "issue": {"number": 7, "title": "It leaks", "body": "A lot.", "html_url": "https://h/7"},
    },
    "comment": {
        "action": "created",
        "issue": {"number": 7, "title": "It leaks", "html_url": "https://h/7"},
        "comment": {"body": "Really?", "html_url": "https://h/7#c"},
    },
    "pull request": {
        "action": "closed",
        "pull_request": {
            "number": 8,
            "title": "Mend it",
            "merged": True,
            "body": None,
            "html_url": "https://h/8",
            "head": {"ref": "mend"},
            "base": {"ref": "main"},
        },
    },
}
ALERT = {
    "status": "firing",
    "labels": {"alertname": "DiskFull", "instance": "nas1:9100", "severity": "page"},
    "annotations": {"summary": "93 % used"},
    "startsAt": "2026-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
}
ALERTS = {"status": "firing", "receiver": "ops", "commonLabels": {"alertname": "DiskFull"}, "alerts": [ALERT] * 12}


@pytest.fixture(scope="module")
def server(
    loop: Loop, http_client: Any, tmp_path_factory: pytest.TempPathFactory, memory_transport: OpenTransport
) -> Iterator[Server]:
    """One server with a folder of templates; nothing here depends on where messages lie."""
    folder = tmp_path_factory.mktemp("templates")
    (folder / "disk.yml").write_text("title: Disk {{.host}}\nmessage: '{{.use}} % full'\npriority: '{{.level}}'\n")
    (folder / "half.yml").write_text("message: from the file {{.host}}\n")
    (folder / "broken.yml").write_text("title: [\n")
    (folder / "list.yml").write_text("- a\n")
    (folder / "odd.yml").write_text("tittle: x\n")
    (folder / "github.yml").write_text("message: my own {{.sender.login}}\n")
    (folder / "huge.yml").write_text("message: " + "x" * 200_000)
    (folder / "long.yml").write_text("message: '" + "{{.a}}" * 6000 + "'")
    (folder.parent / "secret.yml").write_text("message: secret\n")
    notify = NotifyConfig(keepalive_interval=KEEPALIVE, template_dir=folder)
    with Server(loop, http_client, memory_transport, notify=notify) as server:
        yield server


def code(server: Server, body: str = BODY, **headers: str) -> int:
    response = server.post("/t", body, headers=headers)
    return 0 if response.status_code == 200 else int(response.json()["code"])


@pytest.mark.parametrize("word", ["1", "yes", "true", "0", "no", "false"])
def test_title_message_and_priority_may_be_templates(server: Server, topic: str, word: str) -> None:
    """Six words mean templates in the request, ``no`` among them (section 13)."""
    headers = {"Template": word, "Title": "Disk {{.host}}", "Message": "{{.use}}% full", "Priority": "{{.level}}"}
    message = server.publish(topic, BODY, headers=headers)
    assert (message["title"], message["message"], message["priority"]) == ("Disk nas1", "93% full", 4)
    assert server.poll(topic)[0]["message"] == "93% full"


def test_a_template_may_come_by_the_query_string(server: Server, topic: str) -> None:
    """As the specification shows it."""
    message = server.publish(f"{topic}?tpl=1&t=Disk+{{{{.host}}}}&m={{{{.use}}}}%25+full", BODY)
    assert (message["title"], message["message"]) == ("Disk nas1", "93% full")


def test_results_are_trimmed_and_a_backslash_n_is_a_newline(server: Server, topic: str) -> None:
    """After rendering, so that a template may hold one in a string of its own."""
    headers = {"Template": "1", "Message": r'{{" "}}{{.host}}\n{{join "\n" .list}}\n{{.none}}{{" "}}'}
    assert server.publish(topic, BODY, headers=headers)["message"] == "nas1\na\nb\n<no value>"


def test_without_a_message_it_is_triggered(server: Server, topic: str) -> None:
    """The body is data, not text."""
    assert server.publish(topic, BODY, headers={"Template": "1"})["message"] == "triggered"


def test_files_of_the_operator(server: Server, topic: str) -> None:
    """What a file lacks, the request fills; a file goes before a built-in template of its name."""
    disk = server.publish(topic, BODY, headers={"Template": "disk", "Title": "ignored"})
    assert (disk["title"], disk["message"], disk["priority"]) == ("Disk nas1", "93 % full", 4)
    half = server.publish(topic, BODY, headers={"Template": "half", "Title": "T {{.use}}", "Priority": "5"})
    assert (half["title"], half["message"], half["priority"]) == ("T 93", "from the file nas1", 5)
    own = server.publish(topic, '{"sender":{"login":"ann"}}', headers={"Template": "github"})
    assert own["message"] == "my own ann"


def test_every_fault_has_its_code(server: Server) -> None:
    """The table of section 4.9."""
    assert code(server, "no json", Template="1", Message="x") == 40042
    assert code(server, '{"a":1} 2', Template="1", Message="x") == 40042
    assert code(server, "", Template="1", Message="x") == 40042
    assert code(server, Template="1", Message="{{.a") == 40043
    assert code(server, Template="1", Message="{{nope}}") == 40043
    for word in ('template "x"', 'define "x"}}{{end', 'block "x" .}}{{end', "call .a"):
        assert code(server, Template="1", Message=f"{{{{{word}}}}}") == 40044
    assert code(server, Template="1", Message='{{fail "no"}}') == 40045
    assert code(server, Template="1", Message="{{.use.x}}") == 40045
    assert code(server, Template="1", Message="{{range 100000000000}}{{end}}") == 40045
    assert code(server, Template="1", Message='{{repeat 1000000000 "x"}}') == 40045
    assert code(server, Template="1", Message='{{repeat 4097 "x"}}') == 40041
    assert code(server, Template="1", Message='{{repeat 4096 "x"}}') == 0
    assert code(server, Template="1", Title='{{repeat 4097 "x"}}') == 40041
    assert code(server, Template="1", Priority="{{.use}}") == 40007
    assert code(server, json.dumps("x" * 131_070), Template="1", Message="x") == 41303
    assert code(server, json.dumps("x" * 131_069), Template="1", Message="x") == 0
    for name in ("Yes", "none", "../secret", "..%2Fsecret", "a/b", "disk.yml", "x" * 65):
        assert code(server, Template=name) == 40047
    assert code(server, Template="long") == 40056
    for name in ("broken", "list", "odd", "huge"):
        assert code(server, Template=name) == 40048


def test_a_template_that_takes_long_is_ended(server: Server) -> None:
    """Within a tenth of a second of work; others are answered meanwhile."""
    started = time.monotonic()
    inner = "{{range 9000}}{{$x := regexFind `[a-z]+$` $s}}{{end}}"
    assert code(server, Template="1", Message=f'{{{{$s := repeat 99000 "a1"}}}}{inner}') in (40045, 40055)
    inner = "{{$x := list $i | toJson | len | add 1 | mul 2 | sub 3 | print}}"
    endless = f"{{{{range $i := until 9000}}}}{inner}{{{{end}}}}"
    assert code(server, Template="1", Message=endless) == 40055
    assert time.monotonic() - started < 30


def test_rows_before_templates_win(server: Server, topic: str) -> None:
    """UnifiedPush keeps its body, an attachment its text: neither is JSON for a template (section 4.5)."""
    assert server.publish(topic, "{{", headers={"Template": "1", "UnifiedPush": "1"})["message"] == "{{"
    attached = server.publish(topic, "text", headers={"Template": "1", "Attach": "https://h.net/x.png"})
    assert attached["message"] == "text"


@pytest.mark.parametrize("event", GITHUB)
def test_github(memory_server: Server, topic: str, event: str) -> None:
    """Stars, watches, comments, pull requests and issues name the repository and who did it."""
    payload = {
        "repository": {"full_name": "acme/tool", "html_url": "https://h", "stargazers_count": 1204},
        "sender": {"login": "ann"},
        **GITHUB[event],
    }
    message = memory_server.publish(topic, json.dumps(payload), headers={"Template": "github"})
    assert "acme/tool" in message["title"]
    assert "ann" in message["message"]
    assert "https://h" in message["message"]
    assert "<no value>" not in message["title"] + message["message"]


def test_github_says_what_it_does_not_know(memory_server: Server) -> None:
    """Other events and other webhooks fail."""
    for payload in ({}, [], {"zen": "x", "repository": {"full_name": "a/b"}, "sender": {"login": "c"}}):
        assert code(memory_server, json.dumps(payload), Template="github") == 40045


def test_alertmanager(memory_server: Server, topic: str) -> None:
    """Firing and resolved; anything else fails."""
    firing = memory_server.publish(topic, json.dumps(ALERTS), headers={"Template": "alertmanager"})
    assert firing["title"] == "🚨 Alert: DiskFull"
    for part in ("Status: firing", "Receiver: ops", "DiskFull (page) on nas1:9100", "93 % used", "2 more"):
        assert part in firing["message"]
    resolved = memory_server.publish(
        topic, json.dumps({**ALERTS, "status": "resolved", "commonLabels": {}}), headers={"Template": "alertmanager"}
    )
    assert resolved["title"] == "✅ Resolved: DiskFull"
    assert code(memory_server, "{}", Template="alertmanager") == 40045


def test_grafana(memory_server: Server, topic: str) -> None:
    """Its own title and message; long ones are cut."""
    payload = {"status": "firing", "title": "[FIRING:1] DiskFull", "message": "m" * 5000, "alerts": [ALERT]}
    firing = memory_server.publish(topic, json.dumps(payload), headers={"Template": "grafana"})
    assert (firing["title"], len(firing["message"])) == ("🚨 [FIRING:1] DiskFull", 2000)
    for status, sign in (("resolved", "✅"), ("pending", "⚠️")):
        text = json.dumps({**payload, "status": status, "message": ""})
        message = memory_server.publish(topic, text, headers={"Template": "grafana"})
        assert message["title"].startswith(sign)
        assert "DiskFull" in message["message"]
