"""URLs and settings: what they mean, and that an error names the key and never a secret."""

import string
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import ConfigError
from gbe.redis.config import DEFAULT_PORT, Address, RedisConfig, is_redis_url, parse_url

SECRET = "hunter2"

schemes = st.sampled_from(["redis", "rediss", "redis+cluster", "rediss+cluster"])
hosts = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z][a-z0-9]{0,5})?", fullmatch=True) | st.sampled_from(
    ["127.0.0.1", "[::1]"]
)
ports = st.integers(1, 65_535)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
secrets = st.builds(lambda before, after: before + SECRET + after, texts, texts)


@given(
    schemes,
    st.none() | texts,
    st.none() | texts,
    st.lists(st.tuples(hosts, st.none() | ports), min_size=1),
    st.sampled_from(["", "/", "/0"]),
)
def test_a_url_says_what_it_is_made_of(
    scheme: str, user: str | None, password: str | None, places: list[tuple[str, int | None]], path: str
) -> None:
    """Whatever is in user and password, percent-encoded."""
    is_cluster = scheme.endswith("cluster")
    places = places if is_cluster else places[:1]
    credentials = "" if user is None and password is None else f"{quote(user or '', safe='')}"
    if password is not None:
        credentials += f":{quote(password, safe='')}"
    listed = ",".join(host if port is None else f"{host}:{port}" for host, port in places)
    url = f"{scheme}://{credentials}{'@' if credentials else ''}{listed}{path}"

    endpoint = parse_url(url)

    assert is_redis_url(url)
    assert endpoint.addresses == tuple(Address(host.strip("[]"), port or DEFAULT_PORT) for host, port in places)
    assert (endpoint.user, endpoint.password) == (user, password)
    assert (endpoint.is_cluster, endpoint.is_tls) == (is_cluster, scheme.startswith("rediss"))


@given(schemes, texts, secrets, st.booleans(), st.text(string.printable, max_size=20).filter(lambda t: "@" not in t))
def test_no_error_and_no_repr_repeats_a_password(
    scheme: str, user: str, password: str, is_quoted: bool, place: str
) -> None:
    """Neither one that is percent-encoded nor one that is not, whatever stands behind it."""
    url = (
        f"{scheme}://{quote(user, safe='') if is_quoted else user}:{quote(password) if is_quoted else password}@{place}"
    )
    try:
        config = RedisConfig(url=url)
    except ConfigError as exc:
        shown = str(exc)
    else:
        shown = f"{config!r} {config.endpoint!r}"
    assert SECRET not in shown


@given(st.text(max_size=40))
def test_any_other_text_is_refused_as_such(text: str) -> None:
    """With an error of the configuration, and no other."""
    if not is_redis_url(text):
        with pytest.raises(ConfigError, match=r"^redis: "):
            parse_url(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://a/x", "number of a database"),
        ("redis+cluster://a,b/1", "uses database 0"),
        ("redis://a/2", "take a `namespace` each"),
        ("redis://a,b", r"expected redis\+cluster://"),
        ("redis://", "no HOST:PORT"),
        ("redis://a:port", "no HOST:PORT"),
        ("redis://a:99999", "no HOST:PORT"),
        ("redis+cluster://a,,b", "no HOST:PORT"),
        ("http://a", "no scheme of Redis"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse_url(url)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        *[
            ({name: value}, name)
            for name in (
                "connect_timeout",
                "publish_timeout",
                "request_timeout",
                "stall_timeout",
                "reconnect_wait",
                "poll_interval",
                "max_payload_size",
                "max_queued_bytes",
            )
            for value in (0, -1)
        ],
        ({"wait_replicas": -1}, "wait_replicas"),
        ({"wait_replicas": 6}, "wait_replicas"),
        ({"credential_provider": "no colon"}, "credential_provider"),
        ({"credential_provider": "a:b", "user": "x"}, "credential_provider"),
        ({"credential_provider": "a:b", "password": "x"}, "credential_provider"),
        ({"url": "redis://x@a", "credential_provider": "a:b"}, "credential_provider"),
        ({"url": "rediss://a", "tls_key": Path(__file__)}, "tls_key"),
        ({"tls_ca": Path(__file__)}, "tls_ca"),
        ({"url": "rediss://a", "tls_ca": Path("/nowhere.pem")}, "/nowhere.pem"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^redis: .*{key}"):
        RedisConfig(**{"url": "redis://a", **settings})


def test_secrets_are_not_shown() -> None:
    """Not by repr either."""
    shown = repr(RedisConfig(url=f"redis://gbe:{SECRET}@a")) + repr(RedisConfig(url="redis://a", password=SECRET))
    assert SECRET not in shown
