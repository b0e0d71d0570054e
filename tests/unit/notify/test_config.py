"""Settings of the notify domain."""

import pytest

from gbe.errors import ConfigError
from gbe.notify.config import NotifyConfig


def test_the_daily_limit_is_derived_from_the_request_limit() -> None:
    assert NotifyConfig().daily_message_limit == 17_280
    assert NotifyConfig(visitor_message_daily_limit=5).daily_message_limit == 5


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("message_size_limit", 0),
        ("message_size_limit", 5 * 1024 * 1024 + 1),
        ("cache_duration", -1.0),
        ("cache_duration", 59.0),
        ("cache_duration", float("nan")),
        ("keepalive_interval", 4.9),
        ("keepalive_interval", float("inf")),
        ("base_url", "push.example.net"),
        ("base_url", "ftp://push.example.net"),
        ("base_url", "https://push.example.net/"),
        ("base_url", "https://push.example.net?x=1"),
        ("base_url", "https://[::1"),
        ("base_url", "https://"),
        ("disallowed_topics", ("ok", "not ok")),
        ("message_delay_limit", -1.0),
        ("visitor_request_limit_burst", 0),
        ("visitor_request_limit_replenish", 0.0),
        ("visitor_message_daily_limit", -1),
        ("visitor_subscription_limit", 0),
        ("visitor_prefix_bits_ipv4", 33),
        ("visitor_prefix_bits_ipv6", 0),
        ("proxy_forwarded_header", " "),
        ("global_topic_limit", 0),
        ("subscriber_queue_bytes", 0),
        ("subscriber_queue_messages", 0),
        ("message_delay_minimum", -1.0),
        ("attachment_file_size_limit", 0),
        ("attachment_total_size_limit", 0),
        ("attachment_expiry_duration", 0.0),
        ("visitor_attachment_total_size_limit", 0),
        ("visitor_attachment_daily_bandwidth_limit", 0),
        ("visitor_email_limit_burst", 0),
        ("visitor_topic_creation_limit_replenish", float("inf")),
        ("visitor_limits", "everywhere"),
        ("manager_interval", 4.0),
        ("upstream_base_url", "https://ntfy.sh/"),
        ("upstream_base_url", "https://ntfy.sh"),
    ],
)
def test_a_bad_value_is_named_with_what_is_accepted(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"notify\.{key} is .*; accepted: "):
        NotifyConfig(**{key: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["", "http://localhost:8080", "https://push.example.net"])
def test_a_base_url_has_no_path(url: str) -> None:
    assert NotifyConfig(base_url=url).base_url == url


def test_the_cache_may_be_switched_off() -> None:
    assert NotifyConfig(cache_duration=0).cache_duration == 0
