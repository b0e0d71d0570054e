"""Section 8.3 as a table: each bucket, its option, its default and its refusal, on a running server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from tests.naming import unique
from tests.ntfy.access.accounts import new_address
from tests.ntfy.conftest import OpenObjects, OpenStore, StartServer
from tests.ntfy.server import Server, refused

from gbe.notify.access.config import AccessConfig
from gbe.notify.access.failures import auth_failures, sign_ups
from gbe.notify.config import NotifyConfig
from gbe.notify.ledger import LocalLedger
from gbe.ntfy_options import option_named

HOUR = 3600.0
MIB = 1024 * 1024

DEFAULTS = [
    ("visitor-request-limit-burst", 60),
    ("visitor-request-limit-replenish", 5.0),
    ("visitor-message-daily-limit", 0),
    ("visitor-subscription-limit", 30),
    ("visitor-attachment-total-size-limit", 100 * MIB),
    ("visitor-attachment-daily-bandwidth-limit", 500 * MIB),
    ("visitor-email-limit-burst", 16),
    ("visitor-email-limit-replenish", HOUR),
    ("visitor-topic-creation-limit-burst", 100),
    ("visitor-topic-creation-limit-replenish", 60.0),
    ("global-topic-limit", 15_000),
    ("visitor-prefix-bits-ipv4", 32),
    ("visitor-prefix-bits-ipv6", 64),
    ("visitor-subscriber-rate-limiting", False),
    ("behind-proxy", False),
    ("proxy-forwarded-header", "X-Forwarded-For"),
    ("proxy-trusted-hosts", ()),
]


@pytest.mark.parametrize(("option", "default"), DEFAULTS)
def test_options_have_the_defaults_of_ntfy(option: str, default: object) -> None:
    """And each sets the key of its name."""
    assert getattr(NotifyConfig(), option.replace("-", "_")) == default
    known = option_named(option)
    assert known is not None
    assert known.key({f"notify.{option.replace('-', '_')}"}) is not None


def test_what_has_no_option_has_the_sizes_of_ntfy() -> None:
    for make, size in ((auth_failures, 30), (sign_ups, 3)):
        bucket = make(LocalLedger())
        assert [bucket.take("v") for _ in range(size + 1)] == [True] * size + [False]


@dataclass(frozen=True)
class Row:
    """A bucket: how it is made small, what takes one, and what comes when nothing is left."""

    limits: dict[str, Any]
    take: Callable[[Server, dict[str, str]], Any]
    code: int
    size: int = 2


def _post(path: str, content: bytes = b"x", **headers: str) -> Callable[[Server, dict[str, str]], Any]:
    return lambda server, visitor: server.post(path, content, headers={**headers, **visitor})


def _sign_up(server: Server, visitor: dict[str, str]) -> Any:
    return server.request("POST", "/v1/account", json={"username": unique("user"), "password": "x"}, headers=visitor)


def _new_topic(server: Server, visitor: dict[str, str]) -> Any:
    return server.post(f"/{unique('new')}", "x", headers=visitor)


def _upload(server: Server, visitor: dict[str, str]) -> Any:
    return server.request("PUT", "/t", content=b"x" * 1000, headers={"Filename": "f", **visitor})


TABLE = {
    "requests": Row(
        {"visitor_request_limit_burst": 2, "visitor_request_limit_replenish": HOUR}, _post("/t"), 42901
    ),
    "messages": Row({"visitor_message_daily_limit": 2}, _post("/t"), 42908),
    "new topics": Row(
        {"visitor_topic_creation_limit_burst": 2, "visitor_topic_creation_limit_replenish": HOUR}, _new_topic, 42911
    ),
    "e-mails": Row(
        {
            "visitor_email_limit_burst": 2,
            "smtp_sender_addr": "127.0.0.1:1",
            "smtp_sender_from": "a@b.net",
        },
        _post("/t", Email="a@b.net"),
        42902,
    ),
    "stored files": Row({"visitor_attachment_total_size_limit": 2500}, _upload, 41301),
    "bandwidth": Row({"visitor_attachment_daily_bandwidth_limit": 2500}, _upload, 41301),
    "sign-ups": Row({}, _sign_up, 42906, size=3),
}  # fmt: skip


@contextmanager
def _serving(
    start: StartServer, open_store: OpenStore, open_objects: OpenObjects, limits: dict[str, Any]
) -> Iterator[Server]:
    notify = NotifyConfig(behind_proxy=True, base_url="https://push.example.net", **limits)
    access = AccessConfig(auth=True, enable_login=True, enable_signup=True)
    yield start(notify=notify, limits=True, access=access, open_store=open_store, open_objects=open_objects)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("back_end", ["memory"])
def test_a_bucket_is_of_one_visitor_and_says_when_it_is_empty(
    start: StartServer, open_store: OpenStore, open_objects: OpenObjects, name: str
) -> None:
    row = TABLE[name]
    with _serving(start, open_store, open_objects, row.limits) as server:
        visitor, other = new_address(), new_address()
        for _ in range(row.size):
            answer = row.take(server, visitor)
            assert answer.status_code == 200, answer.text
        refused(row.take(server, visitor), row.code)
        assert row.take(server, other).status_code == 200, "another visitor has a bucket of its own"


COSTS = [
    ("GET", "/file/abcdefghijkl", ""), ("HEAD", "/file/abcdefghijkl", ""), ("OPTIONS", "/v1/account", ""),
    ("POST", "/_matrix/push/v1/notify", "{}"), ("GET", "/t/sse?poll=1", ""), ("GET", "/t/raw?poll=1", ""),
    ("PUT", "/t/s/clear", ""), ("GET", "/t/send", ""),
]  # fmt: skip
FREE = [
    ("HEAD", "/", ""), ("GET", "/v1/config", ""), ("GET", "/config.js", ""), ("GET", "/v1/stats", ""),
    ("GET", "/v1/account", ""), ("POST", "/v1/account/login", "{}"), ("GET", "/v1/users", ""),
    ("GET", "/v1/version", ""), ("GET", "/t?up=1", ""), ("GET", "/metrics", ""), ("POST", "/", "[1"),
]  # fmt: skip


@pytest.mark.parametrize("back_end", ["memory"])
def test_what_costs_a_request_and_what_does_not(
    start: StartServer, open_store: OpenStore, open_objects: OpenObjects
) -> None:
    """Whatever the answer is."""
    limits = {"visitor_request_limit_burst": 1, "visitor_request_limit_replenish": HOUR}
    with _serving(start, open_store, open_objects, limits) as server:
        for rows, status in ((COSTS, 429), (FREE, 200)):
            for method, path, content in rows:
                visitor = new_address()
                assert server.request(method, path, content=content, headers=visitor).status_code < 500
                after = server.get("/t/auth", headers=visitor).status_code
                assert after == status, f"{method} {path} leaves {after}"


HOSTILE = [
    b"", b",", b",,,,", b" , ", b"\xff\xfe", b"unknown", b"_hidden", b"-1", b"999.1.1.1", b"1.2.3", b"127.0.0.1:x:y",
    b"[::1", b"::1]", b"[]", b"[::1]x", b"for=", b'for="', b"for=;for=", b"0x7f.1", b"1.2.3.4%eth0", b"<script>",
    b"a" * 8000, b"1.1.1.1," * 1000 + b"nonsense", b"1.1.1.1;" * 1000, b"\xd9\xa1.1.1.1", b"::ffff:1.2.3.400",
]  # fmt: skip


@pytest.mark.parametrize("back_end", ["memory"])
def test_a_header_that_cannot_be_used_leaves_the_address_of_the_socket(
    start: StartServer, open_store: OpenStore, open_objects: OpenObjects
) -> None:
    """All of them are one visitor, who cannot get a fresh bucket by writing nonsense (section 8.4)."""
    limits = {"visitor_request_limit_burst": 3, "visitor_request_limit_replenish": HOUR}
    with _serving(start, open_store, open_objects, limits) as server, ExitStack() as stack:
        raw = stack.enter_context(server.connect())
        seen = []
        for value in HOSTILE:
            raw.send(b"GET /t/auth HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + value + b"\r\n\r\n")
            seen.append(raw.answer().status)
        assert seen == [200] * 3 + [429] * (len(HOSTILE) - 3)
        # what a client puts in front of what the proxy adds counts for nothing; several headers are one list
        for forged in (b"9.9.9.1", b"9.9.9.2", b"10.0.0.1", b"nonsense"):
            raw.send(
                b"GET /t/auth HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + forged
                + b"\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n"
            )  # fmt: skip
            seen.append(raw.answer().status)
        assert seen[-4:] == [200, 200, 200, 429]
