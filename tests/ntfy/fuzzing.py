"""Requests that nobody would send, as strategies: for the tests (``test_fuzz.py``) and for ``python -m chaos.fuzz``.

Most values are made of the pieces that a grammar is made of, so that they get past the first check; the others are any
bytes. What is made is sent as it is, over a socket.
"""

import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.ntfy.server import Answer, Raw

from gbe.notify import options
from gbe.templates.functions import FUNCTIONS

BASE_URL: Final = "https://push.example.net"
GATEWAY: Final = "/_matrix/push/v1/notify"

Connect = Callable[[], Raw]
Pairs = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        target: path and query, percent-encoded.
        headers: names and values; line breaks in them are taken out.
        broken_credentials: whether the answer may be 500/50001, as a broken ``?auth=`` has to be (section 10.1).
    """

    method: str
    target: str
    headers: tuple[tuple[str, bytes], ...] = ()
    body: bytes = b""
    broken_credentials: bool = False

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        lines = [f"{self.method} {self.target} HTTP/1.1".encode("latin-1"), b"Host: x"]
        lines += [name.encode() + b": " + _one_line(value) for name, value in self.headers]
        lines += [b"Connection: close", b"Content-Length: %d" % len(self.body)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


def _one_line(value: bytes) -> bytes:
    return value.replace(b"\r", b"").replace(b"\n", b"")


def send(connect: Connect, request: Request) -> tuple[Answer, float]:
    """The answer and the seconds that it took.

    Raises:
        AssertionError: no answer, one that is a fault of the server, or one that is not what it says it is.
    """
    started = time.monotonic()
    with connect() as raw:
        raw.send(request.encoded())
        answer = raw.answer(bodiless=request.method == "HEAD")
    took = time.monotonic() - started
    _check(request, answer)
    return answer, took


def _check(request: Request, answer: Answer) -> None:
    assert 200 <= answer.status < 500 or _may_fail(request, answer), (request, answer)
    if request.method == "HEAD" or not answer.headers.get("content-type", "").startswith("application/json"):
        return
    document = json.loads(answer.body.decode())
    if answer.status >= 400:
        assert document["http"] == answer.status == document["code"] // 100, (request, answer)
    elif "event" in document:
        assert {"id", "time", "event", "topic"} <= set(document), (request, answer)
        assert None not in document.values(), (request, answer)


def _may_fail(request: Request, answer: Answer) -> bool:
    return request.broken_credentials and answer.status == 500 and answer.json()["code"] == 50001


# -- values

_ANYTHING = st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))


def _words(*words: str) -> SearchStrategy[str]:
    return st.sampled_from(words)


def _joined(pieces: SearchStrategy[str], most: int = 12, by: str = "") -> SearchStrategy[bytes]:
    return st.lists(pieces, max_size=most).map(lambda found: by.join(found).encode("utf-8", "replace"))


_NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.integers(-100, 100).map(str),
    st.floats().map(str),
    _words("0", "1", "007", "9" * 400, "1e9", "0x10", "١٢", "+5", "-0", "1_000"),
)
_SOON = st.integers(-400_000, 400_000).map(lambda offset: str(int(time.time()) + offset))
_UNITS = _words("s", "m", "h", "d", "ns", "us", "µs", "ms", "min", "mins", "hours", "days", "w", "y", "S", "Hours", "")
_DURATIONS = st.lists(st.tuples(_NUMBERS, _words("", " ", "  ", "\t"), _UNITS).map("".join), min_size=1, max_size=4)
_DAY_WORDS = _words(
    "in", "at", "on", "next", "today", "tomorrow", "monday", "sun", "friday", "noon", "midnight", "am", "pm", "10am",
    "25:61", "10:30pm", "0am", "12am", "13pm", ",", ":", "an", "a", "hour", "2", "yesterday", "now",
)  # fmt: skip
BOOLEANS = _words("1", "0", "yes", "no", "true", "FALSE", "on", "off", "si", "y", "Yes", " 1 ", "").map(str.encode)
DELAYS = st.one_of(
    _SOON.map(str.encode),
    _NUMBERS.map(str.encode),
    _DURATIONS.map(lambda terms: "".join(terms).encode()),
    _joined(_DAY_WORDS, 6, " "),
)
SINCE = st.one_of(
    DELAYS,
    _words("all", "none", "latest", "ALL", "zzzzzzzzzzzz", "000000000000", "AbCdEfGhIjKl", "abcdefghijk").map(
        str.encode
    ),
    st.text("0123456789ABCXYZabcxyz", min_size=11, max_size=13).map(str.encode),
)
PRIORITIES = _joined(
    _words("1", "2", "5", "0", "6", "min", "max", "Urgent", "u=3", ", i", ",", " ", "3.0", "-", "{{.p}}"), 4
)
ENCODED_WORDS = st.tuples(
    _words("utf-8", "UTF-8", "iso-8859-1", "us-ascii", "koi8-r", "utf-7", "rot13", "zip", "hex", "", "x" * 80),
    _words("b", "q", "B", "Q", "x", ""),
    st.one_of(
        st.binary(max_size=30).map(lambda raw: base64.b64encode(raw).decode()),
        st.text("=0123456789ABCDEFaz_ ?", max_size=30),
    ),
).map(lambda parts: "=?{}?{}?{}?=".format(*parts).encode())
URLS = _joined(
    _words("http://", "https://", "ftp://", "data:", "x.net", "/", "//", "?", "#", "%", "%00", "%ff", "é", "a.png",
           "user:pw@", "[::1]", ":0", " ", "\\", "..", "javascript:", "\ud7ff"), 8
)  # fmt: skip
TAGS = _joined(_words("a", ",", ",,", " ", "warning", "é", "💾", "x" * 300, "\t", "=", ";"), 10)
NAMES = st.one_of(
    _words("t", "fuzz", "docs", "v1", "a,b", "up", "upAbCdEf123456", "..", "x" * 64, "x" * 65, "-", "_", "é", "").map(
        str
    ),
    st.text(max_size=8),
)

_ACTION_PIECES = _words(
    "view", "http", "broadcast", "copy", "jump", ",", ";", "=", "'", '"', "\\", " ", "label", "url", "clear", "method",
    "body", "value", "intent", "headers.", "extras.", "headers", "https://x.net/?a=b", "yes", "GET", "é", "\x0b",
    "action=", "clear=maybe", "headers.X-Key=1", "[", "{", "\u2028",
)  # fmt: skip
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=10,
)
_ACTION_OBJECTS = st.dictionaries(
    _words("action", "label", "url", "clear", "method", "headers", "body", "intent", "extras", "value", "id", "ACTION"),
    st.one_of(_words("view", "http", "copy", "broadcast", "https://x.net", "GET", ""), st.booleans(), st.none(), _JSON),
    max_size=6,
)
_ACTION_LISTS = st.lists(st.one_of(_ACTION_OBJECTS, _JSON), max_size=4)
ACTIONS = st.one_of(
    _joined(_ACTION_PIECES, 24),
    _ACTION_LISTS.map(lambda actions: json.dumps(actions).encode()),
    st.tuples(_ACTION_LISTS.map(json.dumps), st.integers(0, 40)).map(lambda cut: cut[0][: -cut[1] or None].encode()),
)

_TEMPLATE_PIECES = st.one_of(
    _words(
        "{{", "}}", "{{-", "-}}", "{{/*", "*/}}", ".", ".a", ".a.b", "$", "$x", ":=", "=", "|", "(", ")", ",", " ",
        '"x"', "`y`", "'z'", "if", "else", "end", "range", "with", "break", "continue", "define", "template", "block",
        "call", "nil", "true", "0", "-1", "1e300", "9223372036854775807", "9223372036854775808", "0x1p-2", "'\\u00e9'",
        "é", "until 9000", "repeat 9999", '"%999d"', "printf", "x" * 500,
    ),
    st.sampled_from(sorted(FUNCTIONS)),
)  # fmt: skip
_ARGUMENTS = _words(
    ".", ".a", ".list", ".deep.x", '"a"', '""', "0", "-1", "7", "1e300", "9223372036854775807", "now", "true", '"%d"',
    "(list 1 2)", '(dict "a" .)', "(until 5)", '"2006-01-02"', '"[a-z]+$"', "nil", "$",
)  # fmt: skip
_CALLS = st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.lists(_ARGUMENTS, max_size=4)).map(
    lambda call: "{{" + " ".join((call[0], *call[1])) + "}}"
)
_BLOCKS = st.tuples(_words("if", "with", "range", "range $i, $x :=", "range until"), _ARGUMENTS, _CALLS).map(
    lambda parts: "{{{{{} {}}}}}{}{{{{else}}}}x{{{{end}}}}".format(*parts)
)
_NESTED = st.integers(0, 300).map(lambda depth: "{{if 1}}" * depth + "x" + "{{end}}" * depth)
TEMPLATES = st.one_of(
    _joined(_TEMPLATE_PIECES, 16, " "), _joined(st.one_of(_CALLS, _BLOCKS, _NESTED), 6), _joined(_TEMPLATE_PIECES, 10)
)
TEMPLATE_NAMES = st.one_of(
    BOOLEANS, _words("github", "grafana", "alertmanager", "../x", "a/b", "x" * 70, "none", "é").map(str.encode)
)

_KINDS: dict[options.Option, SearchStrategy[bytes]] = {
    options.DELAY: DELAYS,
    options.SINCE: SINCE,
    options.PRIORITY: PRIORITIES,
    options.ACTIONS: ACTIONS,
    options.ATTACH: URLS,
    options.ICON: URLS,
    options.CLICK: URLS,
    options.FILENAME: URLS,
    options.TAGS: TAGS,
    options.TITLE: st.one_of(ENCODED_WORDS, TEMPLATES, st.integers(0, 1100).map(lambda size: b"x" * size)),
    options.MESSAGE: st.one_of(ENCODED_WORDS, TEMPLATES),
    options.TEMPLATE: TEMPLATE_NAMES,
    options.EMAIL: _joined(_words("a@b.c", "yes", "@", ",", ";", " ", "é", "<", ">", "a"), 4),
    options.SEQUENCE: NAMES.map(lambda name: name.encode("utf-8", "replace")),
}
_OPTIONS = st.sampled_from(options.ALL).flatmap(
    lambda option: st.tuples(
        st.sampled_from(option.names), st.one_of(_KINDS.get(option, BOOLEANS), BOOLEANS, ENCODED_WORDS, _ANYTHING)
    )
)
_OTHER_HEADERS = st.tuples(
    _words("traceparent", "x-forwarded-for", "forwarded", "range", "if-none-match", "cookie", "accept-encoding", "te",
           "origin", "content-type", "content-encoding", "x-delete-messages", "x-token", "user-agent", "accept"),
    st.one_of(_ANYTHING, _words("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "bytes=0-1", "*", "gzip").map(str.encode)),
)  # fmt: skip


def _quoted(name: str) -> str:
    return quote(name.encode("utf-8", "replace"), safe=",")


def _query(pairs: Pairs) -> str:
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)


_HEADERS = st.lists(st.one_of(_OPTIONS, _OTHER_HEADERS), max_size=6)
_QUERIES = st.lists(_OPTIONS, max_size=5).map(_query)
_JSON_BODIES = st.one_of(
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"a": _JSON, "list": st.lists(_JSON, max_size=3)}).map(
        lambda value: json.dumps(value).encode()
    ),
)
_BODIES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
    st.integers(4090, 4100).map(lambda size: b"x" * size),
    _JSON_BODIES,
)

# -- requests

_PUBLISH_PATHS = st.one_of(
    _words("/fuzz", "/fuzz/seq", "/fuzz/publish", "/fuzz/send", "/fuzz/trigger"),
    st.tuples(NAMES.map(_quoted), NAMES.map(_quoted)).map("/{0[0]}/{0[1]}".format),
)
PUBLISH = st.builds(
    lambda method, path, query, headers, body: Request(method, f"{path}?{query}", tuple(headers), body),
    _words("POST", "PUT", "GET", "PATCH"),
    _PUBLISH_PATHS.filter(lambda path: not path.endswith(("/json", "/sse", "/raw", "/ws"))),
    _QUERIES,
    _HEADERS,
    _BODIES,
)

_MEMBERS: dict[str, SearchStrategy[Any]] = {
    "priority": st.integers(-1, 7),
    "tags": st.lists(st.one_of(st.text(max_size=10), st.none()), max_size=5),
    "actions": _ACTION_LISTS,
    "markdown": st.booleans(),
    **{
        name: kind.map(lambda raw: raw.decode("utf-8", "replace"))
        for name, kind in {
            "message": st.one_of(TEMPLATES, _ANYTHING), "title": ENCODED_WORDS, "delay": DELAYS, "attach": URLS,
            "icon": URLS, "click": URLS, "filename": URLS, "email": _KINDS[options.EMAIL], "call": BOOLEANS,
            "cache": BOOLEANS, "firebase": BOOLEANS, "sequence_id": _KINDS[options.SEQUENCE], "timezone": _ANYTHING,
        }.items()
    },
}  # fmt: skip
_DOCUMENTS = st.fixed_dictionaries(
    {"topic": st.one_of(st.just("fuzz"), st.just("fuzz"), NAMES, _JSON)},
    optional={name: st.one_of(kind, _JSON) for name, kind in {**_MEMBERS, "apple": _JSON, "TITLE": _JSON}.items()},
)


def _mutilated(document: object, cut: int, position: int, byte: int) -> bytes:
    body = bytearray(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    if cut:
        del body[-cut:]
    elif body:
        body[position % len(body)] = byte
    return bytes(body)


PUBLISH_AS_JSON = st.builds(
    lambda query, headers, body: Request("POST", f"/?{query}", tuple(headers), body),
    st.one_of(st.just(""), _QUERIES),
    st.one_of(st.just([]), _HEADERS),
    st.one_of(
        _DOCUMENTS.map(lambda document: json.dumps(document).encode()),
        st.builds(_mutilated, _DOCUMENTS, st.integers(0, 9), st.integers(0, 400), st.integers(0, 255)),
        st.integers(1, 4100).map(lambda depth: b'{"topic":"fuzz","actions":' + b"[" * depth),
    ),
)
PUBLISH_BY_TEMPLATE = st.builds(
    lambda name, title, message, priority, body: Request(
        "POST", f"/fuzz?{_query([('m', message), ('t', title[:250]), ('p', priority)])}", (("Template", name),), body
    ),
    st.one_of(st.just(b"1"), TEMPLATE_NAMES),
    TEMPLATES,
    TEMPLATES,
    PRIORITIES,
    st.one_of(st.just(b'{"a":{"b":[1,"x",null]},"list":[1,2],"p":"high","deep":{"x":{}}}'), _JSON_BODIES, _BODIES),
)

_TOPIC_LISTS = st.one_of(
    st.just("fuzz"),
    st.lists(NAMES, max_size=6).map(",".join),
    st.integers(1, 200).map(lambda count: ",".join(f"t{number}" for number in range(count))),
).map(_quoted)
_UPGRADE = (
    ("Connection", b"Upgrade"), ("Upgrade", b"websocket"), ("Sec-WebSocket-Version", b"13"),
    ("Sec-WebSocket-Key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
)  # fmt: skip
POLLS = st.builds(
    lambda listed, form, query, headers, upgrade: Request(
        "GET", f"/{listed}/{form}?{query}", (("X-Poll", b"1"), *headers, *(_UPGRADE if upgrade else ()))
    ),
    _TOPIC_LISTS,
    _words("json", "sse", "raw", "ws", "auth"),
    _QUERIES,
    _HEADERS,
    st.booleans(),
)
SEQUENCES = st.builds(
    lambda method, topic, sequence, word, query, headers: Request(
        method, f"/{topic}/{sequence}{word}?{query}", (("X-Poll", b"1"), *headers)
    ),
    _words("GET", "PUT", "DELETE", "POST", "HEAD", "OPTIONS"),
    NAMES.map(_quoted),
    st.one_of(st.just("s"), NAMES.map(_quoted)),
    _words("", "/clear", "/read", "/delete", "/CLEAR", "/clear/", "/x"),
    _QUERIES,
    _HEADERS,
)
_PUSH_KEYS = st.one_of(
    st.tuples(
        _words(BASE_URL, "https://x.net", f"{BASE_URL}.x", "", "http://"),
        st.one_of(_words("/fuzz?up=1", "/", "/docs", "//", "/a/b"), st.text(max_size=10)),
    ).map("".join),
    _JSON,
)
_DEVICES = st.lists(st.one_of(st.fixed_dictionaries({"pushkey": _PUSH_KEYS}), _JSON), max_size=3)
_PUSHES = st.fixed_dictionaries({"notification": st.one_of(st.fixed_dictionaries({"devices": _DEVICES}), _JSON)})
MATRIX = st.builds(
    lambda method, query, body: Request(method, f"{GATEWAY}?{query}", (), body),
    _words("POST", "POST", "POST", "GET", "PUT"),
    _QUERIES,
    st.one_of(
        _PUSHES.map(lambda push: json.dumps(push).encode()),
        st.builds(_mutilated, _PUSHES, st.integers(0, 9), st.integers(0, 200), st.integers(0, 255)),
        _BODIES,
    ),
)
_PATH_PIECES = _words(
    "/", "//", "..", ".", "%2f", "%00", "%0d%0a", "%ff", "v1", "account", "users", "file", "AbCdEfGhIjKl", ".txt", "t",
    "auth", "config.js", "manifest.webmanifest", "static", "docs", "app", "metrics", "health", "stats", "ntfy.sh", ";",
    "@", "_matrix", "webpush", "tiers", "version", "%", "%zz", "é", "?", "#",
)  # fmt: skip
PATHS = st.builds(
    lambda method, pieces, headers, body: Request(
        method, "/" + _ascii("".join(pieces)), (("X-Poll", b"1"), *headers), body
    ),
    _words("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"),
    st.lists(_PATH_PIECES, max_size=7),
    _HEADERS,
    _BODIES,
)


def _ascii(path: str) -> str:
    return path.replace("é", "%C3%A9")


_HEADER_VALUES = st.one_of(
    _ANYTHING,
    st.tuples(_words("Basic ", "Bearer ", "basic ", "Digest ", "Basic", ""), _ANYTHING).map(
        lambda parts: parts[0].encode() + base64.b64encode(parts[1])
    ),
    _words("Bearer tk_" + "x" * 29, "Basic OnRrX3g=", "Basic Og==", "Basic " + "A" * 3000).map(str.encode),
)


def _is_broken(query: bytes) -> bool:
    return len(query) % 4 == 1 or re.fullmatch(rb"[-_A-Za-z0-9]*", query) is None


CREDENTIALS = st.builds(
    lambda method, path, header, query, address: Request(
        method,
        f"{path}?{_query([] if query is None else [('auth', query)])}",
        (("X-Poll", b"1"), ("Authorization", header), ("X-Forwarded-For", address)),
        broken_credentials=query is not None and _is_broken(query),
    ),
    _words("GET", "POST", "DELETE", "OPTIONS"),
    _words("/fuzz", "/fuzz/json", "/v1/account", "/v1/health", "/fuzz/auth", "/", "/v1/users", "/fuzz/s"),
    _HEADER_VALUES,
    st.one_of(st.none(), _ANYTHING, _HEADER_VALUES.map(lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"="))),
    st.one_of(
        _ANYTHING, st.integers(0, 2**32 - 1).map(lambda n: b"10.%d.%d.%d" % (n >> 16 & 255, n >> 8 & 255, n & 255))
    ),
)

FAMILIES: Final[dict[str, SearchStrategy[Request]]] = {
    "publish": PUBLISH,
    "publish as JSON": PUBLISH_AS_JSON,
    "publish by template": PUBLISH_BY_TEMPLATE,
    "poll": POLLS,
    "sequences": SEQUENCES,
    "Matrix": MATRIX,
    "paths": PATHS,
    "credentials": CREDENTIALS,
}
