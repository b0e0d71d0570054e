"""Rules for every request: routes, CORS, errors, health (sections 1, 3.2, 3.3, 6, 7 and 8.1)."""

import httpx
import pytest
from tests.ntfy.conftest import StartServer
from tests.ntfy.server import Server, refused

RESERVED = [
    "docs", "static", "file", "app", "metrics", "account", "settings", "signup", "login", "v1", "config",
]  # fmt: skip


def test_health(server: Server) -> None:
    response = server.get("/v1/health")
    assert response.status_code == 200
    assert response.content == b'{"healthy":true}\n'
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"


def test_head_of_the_root_is_a_sign_of_life(server: Server) -> None:
    response = server.request("HEAD", "/")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("path", ["/t/json", "/t/sse", "/t", "/v1/health", "/t/publish", "/t/auth"])
def test_head_exists_nowhere_else(server: Server, path: str) -> None:
    response = server.request("HEAD", path)
    assert (response.status_code, response.content) == (404, b"")


def test_metrics(server: Server, topic: str) -> None:
    server.publish(topic, "x")
    text = server.get("/metrics").text
    for name in ("ntfy_messages_published_success", "ntfy_subscribers_total", "gbe_http_requests_total"):
        assert f"\n{name}" in text


@pytest.mark.parametrize("path", ["/", "/topic"])
def test_pages_are_html_and_run_no_script(server: Server, path: str) -> None:
    response = server.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_page_does_not_believe_what_it_is_told(server: Server) -> None:
    response = server.get("/topic", headers={"Host": 'x"><script>alert(1)</script>'})
    assert "<script>" not in response.text


class TestCors:
    """Section 3.2."""

    @pytest.mark.parametrize("path", ["/", "/topic", "/a,b/json", "/v1/account", "/no/such/path/at/all", "//x"])
    def test_preflight(self, server: Server, path: str) -> None:
        response = server.request("OPTIONS", path, headers={"Origin": "https://x.net"})
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["access-control-allow-origin"] == "*"
        assert response.headers["access-control-allow-headers"] == "*"
        assert response.headers["access-control-allow-methods"] == "GET, PUT, POST, PATCH, DELETE"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/nothing/at/all"),
            ("POST", "/t"),
            ("GET", "/t/json?poll=1"),
            ("GET", "/t/sse?poll=1"),
            ("GET", "/t/raw?poll=1"),
            ("GET", "/t/auth"),
            ("GET", "/t?up=1"),
            ("GET", "/v1/health"),
            ("GET", "/t/ws"),
            ("DELETE", "/t/s"),
            ("GET", "/a//b"),
        ],
    )
    def test_every_reply_is_open(self, server: Server, method: str, path: str) -> None:
        assert server.request(method, path).headers["access-control-allow-origin"] == "*"


class TestErrors:
    """Section 7."""

    def test_the_example(self, server: Server, topic: str) -> None:
        response = server.post(f"/{topic}", headers={"Priority": "9"})
        assert response.content == (
            b'{"code":40007,"http":400,"error":"invalid priority parameter",'
            b'"link":"https://ntfy.sh/docs/publish/#message-priority"}\n'
        )
        assert "retry-after" not in response.headers
        refused(response, 40007)

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/a/b/c/d"),
            ("GET", "/bad topic"),
            ("POST", "/" + "x" * 65),
            ("GET", "/" + "x" * 65 + "/json"),
            ("GET", "/a,,b/json"),
            ("GET", "/,/json"),
            ("GET", "/a,b"),
            ("GET", "/a,b/publish"),
            ("PATCH", "/t"),
            ("DELETE", "/t"),
            ("DELETE", "/"),
            ("GET", "/t/JSON"),
            ("GET", "/t/json/"),
            ("GET", "/ä/json"),
            ("GET", "/v1/nothing"),
            ("BREW", "/t"),
        ],
    )
    def test_not_found(self, server: Server, method: str, path: str) -> None:
        if method == "BREW":
            answer = server.exchange(b"BREW /t HTTP/1.1\r\nHost: x\r\n\r\n")  # not a method to our parser
            assert answer.status in (400, 404)
            return
        error = refused(server.request(method, path), 40401)
        assert error == {"code": 40401, "http": 404, "error": "page not found"}

    @pytest.mark.parametrize("name", RESERVED)
    def test_reserved_topics(self, server: Server, name: str) -> None:
        for response in (
            server.post(f"/{name}", "x"),
            server.get(f"/{name}/publish"),
            server.get(f"/{name}/json?poll=1"),
            server.get(f"/ok,{name}/auth"),
            server.request("DELETE", f"/{name}/s"),
            server.post("/", f'{{"topic":"{name}"}}'),
        ):
            error = refused(response, 40010)
            assert error == {"code": 40010, "http": 400, "error": "invalid request: topic name is not allowed"}

    def test_more_reserved_topics(self, start: StartServer) -> None:
        from gbe.notify.config import NotifyConfig

        server = start(notify=NotifyConfig(disallowed_topics=("secret",)))
        refused(server.post("/secret", "x"), 40010)
        server.publish("secret2", "x")

    @pytest.mark.parametrize("name", ["A-z_09", "x" * 64, "-", "_"])
    def test_topic_names(self, server: Server, name: str) -> None:
        assert server.publish(name, "x", headers={"Cache": "no"})["topic"] == name

    def test_names_tell_upper_from_lower_case(self, server: Server, topic: str) -> None:
        server.publish(topic + "a", "x")
        assert server.poll(topic + "A") == []


class TestDoubledSlashes:
    """Section 1: a 301 to the cleaned path."""

    @pytest.mark.parametrize(
        ("path", "target"),
        [
            ("/a//b", "/a/b"),
            ("//a", "/a"),
            ("//evil.example//x", "/evil.example/x"),
            ("/a///json?poll=1&x=//", "/a/json?poll=1&x=//"),
            ("/a//b%3Fc", "/a/b%3Fc"),
            ("/a//b%0D%0ASet-Cookie:%20x=y", "/a/b%0D%0ASet-Cookie:%20x=y"),
            ("/a//%C3%A4", "/a/%C3%A4"),
            ("/a//%FF%00%25", None),
            ("/%2F%2Fevil.example/", "/evil.example/"),
        ],
    )
    def test_redirect(self, server: Server, path: str, target: str | None) -> None:
        for method in ("GET", "POST"):
            answer = server.exchange(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert answer.status == 301
            assert "set-cookie" not in answer.headers
            if target is not None:
                assert answer.headers["location"] == target

    def test_it_leads_there(self, server: Server, topic: str) -> None:
        server.publish(topic, "x")
        response = httpx.get(f"{server.url}//{topic}//json?poll=1", follow_redirects=True, trust_env=False)
        assert response.json()["message"] == "x"


class TestMayRead:
    """Section 5.6."""

    @pytest.mark.parametrize("path", ["/t/auth", "/a,b,c/auth"])
    def test_yes(self, server: Server, path: str) -> None:
        response = server.get(path)
        assert response.status_code == 200
        assert response.content == b'{"success":true}\n'
        assert response.headers["content-type"] == "application/json"

    def test_credentials_are_ignored_without_access_control(self, server: Server) -> None:
        assert server.get("/t/auth", auth=("ann", "wrong")).status_code == 200
        assert server.get("/t/auth?auth=nonsense").status_code == 200
