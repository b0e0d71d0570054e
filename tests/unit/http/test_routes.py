"""Which route a method and a path lead to: the table of section 1 of the specification."""

import pytest

from gbe.http.routes import Match, Route, find_route

LONGEST = "x" * 64

ROUTES: list[tuple[str, str, Match]] = [
    ("GET", "/", Match(Route.SITE)),
    ("HEAD", "/", Match(Route.SITE)),
    ("GET", "/v1/health", Match(Route.SITE)),
    ("GET", "/metrics", Match(Route.SITE)),
    ("PUT", "/", Match(Route.PUBLISH_JSON)),
    ("POST", "/", Match(Route.PUBLISH_JSON)),
    ("PUT", "/t", Match(Route.PUBLISH, "t")),
    ("POST", "/t", Match(Route.PUBLISH, "t")),
    ("POST", f"/{LONGEST}", Match(Route.PUBLISH, LONGEST)),
    ("PUT", "/t/s", Match(Route.PUBLISH, "t", "s")),
    ("POST", "/t/json", Match(Route.PUBLISH, "t", "json")),
    ("POST", "/v1/health", Match(Route.PUBLISH, "v1", "health")),  # refused as a reserved name
    ("POST", "/t/clear", Match(Route.PUBLISH, "t", "clear")),
    ("DELETE", "/t/s", Match(Route.DELETE, "t", "s")),
    ("GET", "/t/s/delete", Match(Route.DELETE, "t", "s")),
    ("PUT", "/t/s/clear", Match(Route.CLEAR, "t", "s")),
    ("PUT", "/t/s/read", Match(Route.CLEAR, "t", "s")),
    ("GET", "/t/s/clear", Match(Route.CLEAR, "t", "s")),
    ("GET", "/t/s/read", Match(Route.CLEAR, "t", "s")),
    ("GET", "/t/publish", Match(Route.PUBLISH, "t")),
    ("GET", "/t/send", Match(Route.PUBLISH, "t")),
    ("GET", "/t/trigger", Match(Route.PUBLISH, "t")),
    ("GET", "/t/json", Match(Route.STREAM, "t", format="json")),
    ("GET", "/a,b,a/sse", Match(Route.STREAM, "a,b,a", format="sse")),
    ("GET", "/t/raw", Match(Route.STREAM, "t", format="raw")),
    ("GET", "/a,b/ws", Match(Route.WEBSOCKET, "a,b")),
    ("GET", "/a,b/auth", Match(Route.MAY_READ, "a,b")),
    ("GET", "/t", Match(Route.TOPIC_PAGE, "t")),
    ("OPTIONS", "/", Match(Route.PREFLIGHT)),
    ("OPTIONS", "/any/thing//at all", Match(Route.PREFLIGHT)),
    ("GET", "//t", Match(Route.REDIRECT, "/t")),
    ("POST", "/t//s///x", Match(Route.REDIRECT, "/t/s/x")),
]

NOWHERE: list[tuple[str, str]] = [
    ("HEAD", "/t"),
    ("HEAD", "/t/json"),
    ("HEAD", "/v1/health"),
    ("DELETE", "/"),
    ("PATCH", "/t"),
    ("GET", "/a,b"),
    ("GET", "/a,b/publish"),
    ("GET", "/a,,b/json"),
    ("GET", ",/json"),
    ("GET", "/t/json/"),
    ("GET", "/t/JSON"),
    ("GET", "/t/s"),
    ("GET", "/t/a/b/c"),
    ("GET", "/t/s/publish"),
    ("POST", "/a,b"),
    ("POST", "/t/s/clear"),
    ("POST", "/t/a/b/c"),
    ("POST", f"/{LONGEST}x"),
    ("POST", "/t/"),
    ("POST", "/ä"),
    ("POST", "/t\n"),
    ("POST", "/t x"),
    ("POST", "/t.x"),
    ("PUT", "/t/s/clear/x"),
    ("PUT", "/t/s t/clear"),
    ("DELETE", "/t"),
    ("DELETE", "/a,b/s"),
    ("DELETE", "/t/s/x"),
    ("DELETE", "/t/ä"),
    ("", ""),
    ("GET", ""),
]


@pytest.mark.parametrize(("method", "path", "match"), ROUTES)
def test_routes(method: str, path: str, match: Match) -> None:
    assert find_route(method, path) == match


@pytest.mark.parametrize(("method", "path"), NOWHERE)
def test_everything_else_is_not_found(method: str, path: str) -> None:
    assert find_route(method, path) == Match(Route.NOT_FOUND)


def test_long_paths_are_routed_too() -> None:
    """They are not remembered, so that nobody fills the cache with them."""
    listed = ",".join(["topic"] * 100)
    assert find_route("GET", f"/{listed}/json") == Match(Route.STREAM, listed, format="json")
