"""Pages and what browsers ask for beside them: sections 4.11 (discovery), 6.1 and 6.2. No engine has a part in it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from tests.ntfy.conftest import OpenTransport
from tests.ntfy.server import Loop, Server, refused

from gbe.errors import ConfigError
from gbe.notify.config import NotifyConfig

PAGE = "text/html"
AtRoot = Callable[[str], Server]
DISCOVERY = b'{"unifiedpush":{"version":1}}\n'


@pytest.fixture(scope="module")
def at_root(loop: Loop, http_client: httpx.Client, memory_transport: OpenTransport) -> Iterator[AtRoot]:
    """The server with this ``web_root``; each is started once."""
    with ExitStack() as stack:
        started: dict[str, Server] = {}

        def get(web_root: str) -> Server:
            if web_root not in started:
                server = Server(loop, http_client, memory_transport, notify=NotifyConfig(web_root=web_root))
                started[web_root] = stack.enter_context(server)
            return started[web_root]

        yield get


WEB_ROOTS = [
    # web-root, GET /, HEAD /, GET /TOPIC and GET /HOST.TLD/TOPIC, app_root of the settings
    ("/", 200, 200, 200, "/"),
    ("app", 200, 200, 200, "/"),
    ("home", 404, 200, 200, "/app"),
    ("/ntfy", 404, 200, 200, "/ntfy"),
    ("ntfy", 404, 200, 200, "/ntfy"),
    ("disable", 404, 404, 404, "/"),
]


@pytest.mark.parametrize(("web_root", "root", "head", "topic", "app_root"), WEB_ROOTS)
def test_where_the_pages_are(at_root: AtRoot, web_root: str, root: int, head: int, topic: int, app_root: str) -> None:
    """The table of section 6.2."""
    server = at_root(web_root)
    answer = server.request("HEAD", "/")
    assert (answer.status_code, answer.content) == (head, b"")
    for path, status in (("/", root), ("/topic", topic), ("/app", topic), ("/ntfy.sh/topic", topic)):
        page = server.get(path)
        assert page.status_code == status, path
        if status == 404:
            refused(page, 40401)
        else:
            assert page.headers["content-type"].startswith(PAGE)
    assert server.get("/config.js").status_code == topic
    assert server.get("/v1/config").json()["app_root"] == app_root
    discovery = server.get("/topic?up=1")
    assert (discovery.status_code, discovery.content == DISCOVERY) == (topic, topic == 200)
    assert server.post("/topic", "x").status_code == 200


@pytest.mark.parametrize("options", [{"params": {"up": "yes"}}, {"headers": {"X-UnifiedPush": "1"}}])
def test_discovery_reads_its_option_as_every_other(memory_server: Server, options: dict[str, dict[str, str]]) -> None:
    assert memory_server.get("/topic", **options).content == DISCOVERY
    assert memory_server.get("/topic?up=no").headers["content-type"].startswith(PAGE)


def test_the_page_of_a_topic_elsewhere_shows_that_server(memory_server: Server) -> None:
    assert "https://ntfy.example.net:8443/ops" in memory_server.get("/ntfy.example.net:8443/ops").text
    for path in ("/nodots/ops", "/ntfy.sh/bad topic", "/ntfy.sh/a/b", "/.sh/a", "/<b>.x/a", "/ntfy.sh/"):
        refused(memory_server.get(path), 40401)
    refused(memory_server.post("/ntfy.sh/ops", "x"), 40401)


@pytest.mark.parametrize("web_root", ["https://x.net/", "/a/b", "", "a b", "//x"])
def test_what_is_no_web_root(web_root: str) -> None:
    with pytest.raises(ConfigError, match="web_root"):
        NotifyConfig(web_root=web_root)


SETTINGS = [
    "base_url", "app_root", "enable_login", "require_login", "enable_signup", "enable_payments", "enable_calls",
    "enable_emails", "enable_reset_password", "enable_reservations", "enable_web_push", "billing_contact",
    "web_push_public_key", "disallowed_topics", "config_hash",
]  # fmt: skip


def test_the_settings_of_the_web_app(memory_server: Server) -> None:
    """All that section 6.1 lists, as JSON and as a script."""
    settings = memory_server.get("/v1/config").json()
    assert sorted(settings) == sorted(SETTINGS)
    assert settings["base_url"] == ""
    script = memory_server.get("/config.js")
    assert script.headers["content-type"].partition(";")[0] == "text/javascript"
    comment, assignment = script.text.splitlines()
    assert comment.startswith("//")
    assert json.loads(assignment.removeprefix("var config = ").removesuffix(";")) == settings


def test_without_web_push_there_is_no_manifest(memory_server: Server) -> None:
    refused(memory_server.get("/manifest.webmanifest"), 40401)


METRICS = [
    "ntfy_messages_published_success", "ntfy_messages_published_failure", "ntfy_messages_cached_total",
    "ntfy_message_publish_duration_ms", "ntfy_firebase_published_success", "ntfy_firebase_published_failure",
    "ntfy_emails_sent_success", "ntfy_emails_sent_failure", "ntfy_emails_received_success",
    "ntfy_emails_received_failure", "ntfy_calls_made_success", "ntfy_calls_made_failure",
    "ntfy_unifiedpush_published_success", "ntfy_matrix_published_success", "ntfy_matrix_published_failure",
    "ntfy_attachments_total_size", "ntfy_visitors_total", "ntfy_users_total", "ntfy_subscribers_total",
    "ntfy_topics_total", "ntfy_http_requests_total",
]  # fmt: skip


def test_metrics_have_the_names_of_the_table(memory_server: Server, topic: str) -> None:
    """Those of what is not done here (calls, Firebase) stand at 0, for dashboards that ask for them."""
    memory_server.publish(topic, "x")
    refused(memory_server.post(f"/{topic}?priority=9", "x"), 40007)
    text = memory_server.get("/metrics").text
    sampled = {line.partition("{")[0].partition(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert [name for name in METRICS if name not in sampled] == []
    assert 'ntfy_http_requests_total{http_code="200",http_method="POST",ntfy_code="20000"}' in text
    assert 'ntfy_http_requests_total{http_code="400",http_method="POST",ntfy_code="40007"}' in text
