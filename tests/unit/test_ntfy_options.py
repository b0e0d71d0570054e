"""ntfy's option names as configuration of gbe (section 9)."""

from pathlib import Path

import pytest
import yaml

from gbe.config import KEYS, load
from gbe.errors import ConfigError
from gbe.ntfy_options import OPTIONS, option_named

HASH = "$2a$10$" + "a" * 53

# every option of section 9, with a value that is not its default
VALUES: dict[str, object] = {
    "base-url": "https://push.example.net",
    "listen-http": ":8090",
    "listen-https": ":443",
    "key-file": "key.pem",
    "cert-file": "cert.pem",
    "listen-unix": "/run/ntfy.sock",
    "listen-unix-mode": "0777",
    "cache-file": "/var/cache/ntfy/cache.db",
    "cache-duration": "24h",
    "cache-batch-size": 10,
    "cache-batch-timeout": "1s",
    "cache-startup-queries": "pragma x;",
    "auth-startup-queries": "pragma x;",
    "database-url": "postgres://x",
    "database-replica-urls": ["postgres://y"],
    "auth-file": "/var/lib/ntfy/user.db",
    "auth-default-access": "deny-all",
    "auth-users": [f"phil:{HASH}:admin", f"ben:{HASH}:user"],
    "auth-access": ["ben:alerts:ro", "*:announcements:read-only"],
    "auth-tokens": [f"phil:tk_{'a' * 29}:laptop"],
    "auth-access-cache": True,
    "behind-proxy": True,
    "proxy-forwarded-header": "X-Real-IP",
    "proxy-trusted-hosts": "10.0.0.0/8, 1.2.3.4",
    "attachment-cache-dir": "/var/cache/ntfy/attachments",
    "attachment-total-size-limit": "4G",
    "attachment-file-size-limit": "10M",
    "attachment-expiry-duration": "2h",
    "template-dir": "/etc/ntfy/templates",
    "message-size-limit": "8K",
    "message-delay-limit": "2d",
    "keepalive-interval": "30s",
    "manager-interval": "2m",
    "global-topic-limit": 100,
    "disallowed-topics": ["admin"],
    "visitor-request-limit-burst": 100,
    "visitor-request-limit-replenish": "10s",
    "visitor-request-limit-exempt-hosts": "localhost,10.0.0.0/8",
    "visitor-message-daily-limit": 5,
    "visitor-subscription-limit": 3,
    "visitor-email-limit-burst": 1,
    "visitor-email-limit-replenish": "2h",
    "visitor-attachment-total-size-limit": "10M",
    "visitor-attachment-daily-bandwidth-limit": "50M",
    "visitor-topic-creation-limit-burst": 10,
    "visitor-topic-creation-limit-replenish": "2m",
    "visitor-prefix-bits-ipv4": 24,
    "visitor-prefix-bits-ipv6": 48,
    "visitor-subscriber-rate-limiting": True,
    "ban-file": "/x",
    "ban-window": "1m",
    "ban-threshold": 5,
    "ban-weights": "42909:20",
    "smtp-sender-addr": "mail.example.net:587",
    "smtp-sender-user": "u",
    "smtp-sender-pass": "p",
    "smtp-sender-from": "ntfy@example.net",
    "smtp-sender-verify": True,
    "smtp-server-listen": ":25",
    "smtp-server-domain": "ntfy.example.net",
    "smtp-server-addr-prefix": "ntfy-",
    "web-root": "disable",
    "enable-login": True,
    "enable-signup": True,
    "enable-reservations": True,
    "require-login": True,
    "upstream-base-url": "https://ntfy.sh",
    "upstream-access-token": "tk_x",
    "firebase-key-file": "/x",
    "web-push-public-key": "x",
    "web-push-private-key": "x",
    "web-push-file": "/x",
    "web-push-email-address": "x@x.net",
    "web-push-expiry-duration": "50d",
    "web-push-expiry-warning-duration": "45d",
    "enable-metrics": False,
    "metrics-listen-http": ":9090",
    "profile-listen-http": ":9091",
    "log-level": "warn",
    "log-format": "json",
    "log-file": "/x",
    "log-level-overrides": ["tag=manager -> trace"],
    "twilio-account": "x",
    "twilio-auth-token": "x",
    "twilio-phone-number": "x",
    "twilio-verify-service": "x",
    "twilio-call-format": "x",
    "stripe-secret-key": "x",
    "stripe-webhook-key": "x",
    "billing-contact": "x",
}
NAMES = {key.name for key in KEYS}
SOME_USERS = {"base-url": "https://a.net", "auth-file": "x", "auth-users": VALUES["auth-users"], "enable-login": True}
USABLE = [name for name in VALUES if "push" not in name and "smtp" not in name and "template" not in name]


def test_the_table_has_every_option_once() -> None:
    assert sorted(option.name for option in OPTIONS) == sorted(VALUES)


@pytest.mark.parametrize("name", USABLE)
@pytest.mark.parametrize("source", ["dashes", "underscores", "variable"])
def test_each_option_sets_a_key_or_is_said_to_have_no_effect(tmp_path: Path, name: str, source: str) -> None:
    option = option_named(name)
    assert option is not None
    value = VALUES[name]
    document = {**SOME_USERS, name: value}
    environment = {}
    if source == "underscores":
        document = {key.replace("-", "_"): each for key, each in document.items()}
    if source == "variable":
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        document, environment = SOME_USERS, {option.variable: text}
    file = tmp_path / "server.yml"
    file.write_text(yaml.safe_dump(document))
    settings = load(file, environment=environment)
    key = option.key(NAMES)
    warned = [warning for warning in settings.warnings if f"{name} has no effect" in warning]
    if key is None:
        assert len(warned) == (0 if option.quiet else 1)
    else:
        assert not warned
        default = next(each.default for each in KEYS if each.name == key)
        assert settings.values[key] != default or name in ("message-delay-limit", "attachment-cache-dir")


WITH_MAIL = {"smtp-sender-addr": "mail.example.com:25", "smtp-sender-from": "ntfy@example.com"}
WITH_USERS = {"auth-file": "/var/lib/ntfy/user.db"}
URL = "https://push.example.com"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"attachment-cache-dir": "/var/cache/ntfy/attachments"}, ["notify.attachments", "notify.base_url"]),
        (WITH_MAIL, ["notify.smtp_sender_addr", "notify.base_url"]),
        ({"base-url": "push.example.com"}, ["notify.base_url", "http:// or https://"]),
        ({"base-url": "ftp://push.example.com"}, ["notify.base_url", "http:// or https://"]),
        ({"base-url": f"{URL}/ntfy"}, ["notify.base_url", "without a path"]),
        ({"cache-duration": "30s"}, ["notify.cache_duration", "notify.manager_interval"]),
        ({"cache-duration": "1m", "manager-interval": "2m"}, ["notify.cache_duration", "notify.manager_interval"]),
        ({"upstream-base-url": "https://ntfy.sh"}, ["notify.upstream_base_url", "base_url, which is needed"]),
        ({"base-url": URL, "upstream-base-url": URL}, ["notify.upstream_base_url", "another server"]),
        ({"base-url": URL, "upstream-base-url": "https://ntfy.sh/"}, ["notify.upstream_base_url", "without a path"]),
        ({"enable-login": True}, ["notify.enable_login", "notify.auth"]),
        ({"enable-signup": True, "enable-login": True}, ["notify.enable_login", "notify.auth"]),
        ({"enable-reservations": True}, ["notify.enable_reservations", "notify.auth"]),
        ({**WITH_USERS, "enable-signup": True}, ["notify.enable_signup", "notify.enable_login"]),
        ({**WITH_USERS, "require-login": True}, ["notify.require_login", "notify.enable_login"]),
        ({"keepalive-interval": "4s"}, ["notify.keepalive_interval", "at least 5 seconds"]),
        ({"manager-interval": "4s"}, ["notify.manager_interval", "at least 5 seconds"]),
        ({"message-size-limit": "6M"}, ["notify.message_size_limit", "1 to 5.24288e+06 bytes"]),
        ({"auth-default-access": "open"}, ["notify.auth_default_access", "deny-all"]),
        ({"web-push-public-key": "x"}, ["notify.web_push_public_key", "web_push_private_key"]),
        ({"smtp-server-listen": ":25"}, ["notify.smtp_server_domain"]),
    ],
)
@pytest.mark.parametrize("by_variables", [False, True])
def test_what_ntfy_refuses_at_its_start_is_refused_here_with_what_to_do(
    tmp_path: Path, document: dict[str, object], said: list[str], by_variables: bool
) -> None:
    """Section 9: combinations that cannot work are no surprise of the first request."""
    file = tmp_path / "server.yml"
    file.write_text("" if by_variables else yaml.safe_dump(document))
    options = ((option_named(name), value) for name, value in document.items() if by_variables)
    environment = {option.variable: str(value) for option, value in options if option is not None}
    with pytest.raises(ConfigError) as refusal:
        load(file, environment=environment)
    assert all(words in str(refusal.value) for words in said), refusal.value


def test_without_a_word_on_attachments_a_server_needs_no_base_url(tmp_path: Path) -> None:
    file = tmp_path / "server.yml"
    file.write_text("attachment-cache-dir: ''\n")
    assert not load(file, environment={}).notify.takes_files
    file.write_text(f"base-url: {URL}\n")
    assert load(file, environment={}).notify.takes_files
    file.write_text(f"base-url: {URL}\nattachment-cache-dir: ''\n")
    assert not load(file, environment={}).notify.takes_files


def test_a_server_yml_as_it_is_makes_users_entries_and_limits(tmp_path: Path) -> None:
    file = tmp_path / "server.yml"
    file.write_text(
        f"""
base-url: "https://ntfy.example.com"
listen-http: ":2586"
cache-file: "/var/cache/ntfy/cache.db"
cache-duration: 12h
auth-file: "/var/lib/ntfy/user.db"
auth-default-access: "deny-all"
auth-users:
  - "phil:{HASH}:admin"
  - "ben:{HASH}:user"
auth-access:
  - "ben:up*:read-write"
  - "everyone:announcements:read-only"
auth-tokens:
  - "phil:tk_{"a" * 29}:laptop"
behind-proxy: true
log-level: info
"""
    )
    settings = load(file, environment={})
    assert (settings.host, settings.port) == ("0.0.0.0", 2586)
    assert settings.notify.cache_duration == 12 * 3600
    assert settings.notify.behind_proxy
    assert settings.access.is_on
    users = settings.access.provisioned()
    assert sorted(users) == ["*", "ben", "phil"]
    assert users["phil"].is_admin
    assert settings.warnings == ()


def test_later_sources_win_and_gbes_own_names_beat_ntfys(tmp_path: Path) -> None:
    file = tmp_path / "gbe.yaml"
    file.write_text("cache-duration: 1h\nkeepalive-interval: 10s\nnotify: {cache_duration: 2h}\n")
    assert load(file, environment={}).notify.cache_duration == 2 * 3600
    assert load(file, environment={"NTFY_CACHE_DURATION": "3h"}).notify.cache_duration == 3 * 3600
    both = {"NTFY_CACHE_DURATION": "3h", "GBE_NOTIFY_CACHE_DURATION": "4h"}
    assert load(file, environment=both).notify.cache_duration == 4 * 3600
    assert load(file, environment=both).notify.keepalive_interval == 10


def test_variables_of_ntfys_clients_are_none_of_the_servers_business() -> None:
    load(environment={"NTFY_TOKEN": "tk_x", "NTFY_PASSWORD": "x", "NTFY_TOPIC": "x"})


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"auth-users": ["phil"]}, "entry 1: expected NAME:BCRYPT-HASH:ROLE"),
        ({"auth-users": ["phil:secret:admin"]}, "entry 1: invalid request; hash must be"),
        ({"auth-users": [f"phil:{HASH}:king"]}, "role must be admin or user"),
        ({"auth-users": [f"phil:{HASH}:user"] * 2}, "entry 2: phil is there twice"),
        ({"auth-access": ["zoe:x:rw"]}, "there is no user zoe"),
        ({"auth-access": ["*:x:maybe"]}, "permission"),
        ({"auth-access": ["*:x y:rw"]}, "topic"),
        ({"auth-users": [f"phil:{HASH}:admin"], "auth-access": ["phil:x:rw"]}, "administrator"),
        ({"auth-users": [f"phil:{HASH}:user"], "auth-tokens": ["phil:short"]}, "a token is tk_"),
        ({"auth-default-access": "open"}, "auth_default_access"),
        ({"enable-signup": True, "auth-file": "x"}, "enable_login"),
        ({"enable-login": True}, "notify.auth"),
        ({"base-uri": "x"}, "base_uri"),
    ],
)
def test_what_cannot_be_used_is_an_error_without_its_secret(
    tmp_path: Path, document: dict[str, object], reason: str
) -> None:
    file = tmp_path / "server.yml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError) as error:
        load(file, environment={})
    assert reason in str(error.value)
    assert HASH not in str(error.value)
    assert "secret" not in str(error.value)
