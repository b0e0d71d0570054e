"""Which handler a method and a path lead to (section 1), as data: first match wins, no match is 404."""

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from gbe.notify.topics import is_topic_name


class Route(Enum):
    """What a request wants."""

    API = auto()  # gbe.http.apis
    ACCOUNT = auto()  # users, accounts, settings of the web app: gbe.http.account_routes
    WEB_PUSH = auto()  # gbe.http.webpush
    SITE = auto()  # pages, health, metrics: gbe.http.site
    FILE = auto()
    MATRIX = auto()
    REDIRECT = auto()
    PREFLIGHT = auto()
    PUBLISH = auto()
    PUBLISH_JSON = auto()
    CLEAR = auto()
    DELETE = auto()
    STREAM = auto()
    WEBSOCKET = auto()
    MAY_READ = auto()
    TOPIC_PAGE = auto()
    NOT_FOUND = auto()


@dataclass(frozen=True, slots=True)
class Match:
    """A route with what the path says.

    Attributes:
        topic: a topic, or for subscriptions the comma list; for redirects the target, for files the id.
        sequence_id: of a publish, a clear or a delete.
        format: ``json``, ``sse`` or ``raw``.
    """

    route: Route
    topic: str = ""
    sequence_id: str | None = None
    format: str = ""


API_PATHS: Final = (
    "/v1/tasks",
    "/v1/task-types",
    "/v1/schedules",
    "/v1/jobs",
    "/v1/job-types",
    "/v1/deadletters",
    "/v1/events/",
    "/v1/streams",
    "/v1/openapi.json",
)
SITE_PATHS: Final = frozenset({"/v1/health", "/v1/stats", "/metrics"})
MATRIX_PATH: Final = "/_matrix/push/v1/notify"
ACCOUNT_PATHS: Final = frozenset(
    {
        "/v1/account", "/v1/users", "/v1/users/access", "/v1/config", "/v1/version", "/v1/tiers", "/config.js",
        "/manifest.webmanifest",
    }
)  # fmt: skip
WEB_PUSH_PATH: Final = "/v1/webpush"
_PUBLISHING: Final = frozenset({"PUT", "POST"})
_PUBLISH_WORDS: Final = frozenset({"publish", "send", "trigger"})
_STREAM_FORMATS: Final = frozenset({"json", "sse", "raw"})
_CLEAR_WORDS: Final = frozenset({"clear", "read"})
_HOST: Final = re.compile(r"[-:A-Za-z0-9]{1,200}(?:\.[-:A-Za-z0-9]{1,200}){1,8}")
_TOPICS: Final = re.compile(r"[-_A-Za-z0-9]{1,64}(?:,[-_A-Za-z0-9]{1,64})*")
_FILE: Final = re.compile(r"/file/([A-Za-z0-9]{12})(?:\.[A-Za-z0-9]{1,16})?")
_NOT_FOUND: Final = Match(Route.NOT_FOUND)
_LONGEST_CACHED: Final = 200


def find_route(method: str, path: str) -> Match:
    """The route of a request; ``path`` is decoded, without the query string."""
    if len(path) > _LONGEST_CACHED:
        return _find(method, path)
    return _find_cached(method, path)


def _find(method: str, path: str) -> Match:
    if path.startswith(API_PATHS):
        return Match(Route.API)
    if method == "OPTIONS":
        return Match(Route.PREFLIGHT)
    if "//" in path:
        return Match(Route.REDIRECT, re.sub("/{2,}", "/", path))
    if path == "/":
        if method in ("GET", "HEAD"):
            return Match(Route.SITE)
        return Match(Route.PUBLISH_JSON) if method in _PUBLISHING else _NOT_FOUND
    if path in ACCOUNT_PATHS or path.startswith("/v1/account/"):
        return Match(Route.ACCOUNT)
    if path == WEB_PUSH_PATH:
        return Match(Route.WEB_PUSH) if method in ("POST", "DELETE") else _NOT_FOUND
    if method == "GET" and path in SITE_PATHS:
        return Match(Route.SITE)
    if path == MATRIX_PATH and method in ("GET", "POST"):
        return Match(Route.MATRIX)
    if method in ("GET", "HEAD") and (file := _FILE.fullmatch(path)) is not None:
        return Match(Route.FILE, file[1])
    first, *rest = path[1:].split("/")
    if method in _PUBLISHING:
        return _publishing(method, first, rest)
    if method == "DELETE":
        return _sequence(Route.DELETE, first, rest)
    if method == "GET":
        return _reading(first, rest)
    return _NOT_FOUND


_find_cached: Final = lru_cache(maxsize=4096)(_find)


def _publishing(method: str, topic: str, rest: list[str]) -> Match:
    if not is_topic_name(topic):
        return _NOT_FOUND
    match rest:
        case []:
            return Match(Route.PUBLISH, topic)
        case [sequence_id] if is_topic_name(sequence_id):
            return Match(Route.PUBLISH, topic, sequence_id)
        case [sequence_id, word] if method == "PUT" and word in _CLEAR_WORDS:
            return _sequence(Route.CLEAR, topic, [sequence_id])
    return _NOT_FOUND


def _sequence(route: Route, topic: str, rest: list[str]) -> Match:
    if len(rest) == 1 and is_topic_name(topic) and is_topic_name(rest[0]):
        return Match(route, topic, rest[0])
    return _NOT_FOUND


def _reading(first: str, rest: list[str]) -> Match:
    match rest:
        case []:
            return Match(Route.TOPIC_PAGE, first) if is_topic_name(first) else _NOT_FOUND
        case [word] if word in _PUBLISH_WORDS and is_topic_name(first):
            return Match(Route.PUBLISH, first)
        case [word] if _TOPICS.fullmatch(first):
            if word in _STREAM_FORMATS:
                return Match(Route.STREAM, first, format=word)
            if word == "ws":
                return Match(Route.WEBSOCKET, first)
            if word == "auth":
                return Match(Route.MAY_READ, first)
        case [topic] if _HOST.fullmatch(first) and is_topic_name(topic):
            return Match(Route.TOPIC_PAGE, topic)  # a topic of another server, in the web app
        case [sequence_id, word] if word in _CLEAR_WORDS:
            return _sequence(Route.CLEAR, first, [sequence_id])
        case [sequence_id, "delete"]:
            return _sequence(Route.DELETE, first, [sequence_id])
    return _NOT_FOUND
