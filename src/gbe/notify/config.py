"""Settings of the notify domain; names and defaults follow section 9 where ntfy has the option."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from gbe.errors import ConfigError
from gbe.notify.email.config import parse_address
from gbe.notify.topics import is_topic_name
from gbe.notify.webpush.endpoints import VENDORS

_MAX_MESSAGE_SIZE: Final = 5 * 1024 * 1024
_MIN_KEEPALIVE: Final = 5.0
_MAIL_ADDRESS: Final = re.compile(r"[^\s,;<>@\"]+@[^\s,;<>@\"]+", re.ASCII)
_DOMAIN: Final = re.compile(r"[A-Za-z0-9](?:[-.A-Za-z0-9]{0,251}[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?(?::[0-9]{1,5})?")
_PREFIX: Final = re.compile(r"[-._A-Za-z0-9]{0,64}")
_WEB_PATH: Final = re.compile(r"/?[-_A-Za-z0-9]{1,64}")
_WEB_ROOTS: Final = {"/": "/", "app": "/", "home": "/app", "disable": ""}

_REPLENISHED: Final = (
    "visitor_request_limit_replenish", "visitor_email_limit_replenish", "visitor_topic_creation_limit_replenish",
    "attachment_expiry_duration",
)  # fmt: skip
_COUNTS: Final = (
    "visitor_request_limit_burst", "visitor_subscription_limit", "global_topic_limit", "subscriber_queue_bytes",
    "subscriber_queue_messages", "attachment_file_size_limit", "attachment_total_size_limit",
    "visitor_attachment_total_size_limit", "visitor_attachment_daily_bandwidth_limit", "visitor_email_limit_burst",
    "visitor_topic_creation_limit_burst",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyConfig:
    """How notifications are taken, kept and handed out. Durations in seconds; checked in ``__post_init__``.

    Raises:
        ConfigError: a value out of range; the text names key and value and says what is accepted.
    """

    message_size_limit: int = 4096
    """Bytes at which a body is too long for the text of a message: exactly so many are too long already."""

    cache_duration: float = 72 * 3600.0
    """Seconds for which messages are kept for replay; 0 keeps nothing."""

    keepalive_interval: float = 45.0
    """Seconds between signs of life on a stream; at least 5."""

    base_url: str = ""
    """Public URL of the server, scheme and host without a path; empty if unknown."""

    template_dir: Path | None = None
    """Folder of message templates, each a file ``NAME.yml``; ``None``: only those that come with gbe."""

    smtp_sender_addr: str = ""
    """``HOST:PORT`` of the server that sends mails; empty: none are sent."""

    smtp_sender_user: str = ""
    """User name there; empty: no log-in."""

    smtp_sender_pass: str = ""
    """Its password."""

    smtp_sender_from: str = ""
    """Address that mails come from."""

    smtp_sender_verify: bool = False
    """Whether mails go to verified addresses of logged-in users only."""

    smtp_server_listen: str = ""
    """``ADDRESS:PORT`` on which mails are taken in; empty: none are."""

    smtp_server_domain: str = ""
    """Domain of the addresses of topics."""

    smtp_server_addr_prefix: str = ""
    """What stands before the topic in an address."""

    web_push_public_key: str = ""
    """What browsers subscribe with; empty: no web push."""

    web_push_private_key: str = ""
    """The other half of it."""

    web_push_email_address: str = ""
    """Whom a push service may write to."""

    web_push_hosts: tuple[str, ...] = VENDORS
    """Hosts of push services; a subscription elsewhere is refused."""

    web_push_expiry_duration: float = 60 * 86_400.0
    """Seconds after which a subscription that is not renewed is dropped."""

    web_push_expiry_warning_duration: float = 55 * 86_400.0
    """Seconds after which its browser is told so."""

    web_push_check_interval: float = 60.0
    """Seconds between two looks for browsers to be told so."""

    visitor_email_limit_burst: int = 16
    """E-mails that a visitor may have sent at once."""

    visitor_email_limit_replenish: float = 3600.0
    """Seconds until one more e-mail is granted."""

    disallowed_topics: tuple[str, ...] = ()
    """Topic names that are refused in addition to the reserved ones."""

    message_delay_limit: float = 3 * 86_400.0
    """Seconds by which a message may be delayed at most; 0 switches delayed messages off."""

    message_delay_minimum: float = 10.0
    """Seconds by which a delayed message must be delayed at least."""

    attachments: bool | None = None
    """Whether files are taken, into the object store; ``None``: if ``base_url``, which leads to them, is known."""

    attachment_file_size_limit: int = 15 * 1024 * 1024
    """Bytes of one file."""

    attachment_total_size_limit: int = 5 * 1024 * 1024 * 1024
    """Bytes of all files of the deployment that have not expired."""

    attachment_expiry_duration: float = 3 * 3600.0
    """Seconds for which a file is kept, at most as long as its message."""

    visitor_attachment_total_size_limit: int = 100 * 1024 * 1024
    """Bytes of a visitor's files that have not expired."""

    visitor_attachment_daily_bandwidth_limit: int = 500 * 1024 * 1024
    """Bytes per day (UTC) that a visitor may upload, and that others may download of that visitor's files."""

    visitor_topic_creation_limit_burst: int = 100
    """Topics that nobody used before which a visitor may use at once."""

    visitor_topic_creation_limit_replenish: float = 60.0
    """Seconds until one more such topic is granted."""

    visitor_subscriber_rate_limiting: bool = False
    """Whether publishing to UnifiedPush topics is charged to who subscribes to them, and refused while nobody does."""

    visitor_limits: Literal["node", "shared"] = "node"
    """``node``: each process counts for itself; ``shared``: all of a deployment count together in the state store."""

    upstream_base_url: str = ""
    """Another ntfy server that wakes iPhones, usually https://ntfy.sh; empty for none."""

    upstream_access_token: str | None = field(default=None, repr=False)
    """The token to show there."""

    manager_interval: float = 60.0
    """Seconds between two rounds that remove what has expired; at least 5."""

    visitor_request_limit_burst: int = 60
    """Requests that a visitor may make at once: the size of the bucket."""

    visitor_request_limit_replenish: float = 5.0
    """Seconds until one more request is granted."""

    visitor_message_daily_limit: int = 0
    """Messages per visitor and day (UTC); 0 allows as many as the request limit does: 86400 s / replenish."""

    visitor_subscription_limit: int = 30
    """Streams that a visitor may have open at the same time."""

    visitor_request_limit_exempt_hosts: tuple[str, ...] = ()
    """Host names, addresses and prefixes that the request and message limits do not concern."""

    visitor_prefix_bits_ipv4: int = 32
    """Leading bits of an IPv4 address that make a visitor, 1 to 32."""

    visitor_prefix_bits_ipv6: int = 64
    """Leading bits of an IPv6 address that make a visitor, 1 to 128."""

    behind_proxy: bool = False
    """Whether the client's address is in a header that a proxy in front of the server sets."""

    proxy_forwarded_header: str = "X-Forwarded-For"
    """That header."""

    proxy_trusted_hosts: tuple[str, ...] = ()
    """Addresses and prefixes of proxies, which are skipped when the client is looked up in the header."""

    global_topic_limit: int = 15000
    """Topics that may be in use at the same time."""

    replay_limit: int = 0
    """Bytes of one topic, as stored, that a replay brings at most, the newest; 0 brings all: nobody has a gap."""

    web_root: str = "/"
    """Where the web pages begin: ``/`` or ``app``; ``home`` (``/app``) or another path; ``disable`` for none."""

    refuse_calls: bool = False
    """Whether a message that asks for a phone call is refused; otherwise it is published, without the call."""

    subscriber_queue_bytes: int = 1024 * 1024
    """Bytes that may wait for one slow subscriber before its stream is closed."""

    subscriber_queue_messages: int = 4096
    """Messages that may wait for one slow subscriber before its stream is closed."""

    @property
    def app_root(self) -> str:
        """The path at which the web pages begin; empty: there are none."""
        return _WEB_ROOTS.get(self.web_root, f"/{self.web_root.removeprefix('/')}")

    def __post_init__(self) -> None:
        for name in _COUNTS:
            self._check_range(name, 1, None)
        self._check_range("message_size_limit", 1, _MAX_MESSAGE_SIZE, "bytes")
        self._check_range("cache_duration", 0, None, "seconds")
        self._check_range("keepalive_interval", _MIN_KEEPALIVE, None, "seconds")
        self._check_range("message_delay_limit", 0, None, "seconds")
        self._check_range("visitor_message_daily_limit", 0, None)
        self._check_range("visitor_prefix_bits_ipv4", 1, 32, "bits")
        self._check_range("visitor_prefix_bits_ipv6", 1, 128, "bits")
        self._check_range("message_delay_minimum", 0, None, "seconds")
        self._check_range("replay_limit", 0, None, "bytes")
        if self.web_root not in _WEB_ROOTS and not _WEB_PATH.fullmatch(self.web_root):
            raise _refused("web_root", self.web_root, "/, app, home, disable, or a path of one part such as /ntfy")
        self._check_range("manager_interval", _MIN_KEEPALIVE, None, "seconds")
        if 0 < self.cache_duration < self.manager_interval:
            accepted = f"0, or at least notify.manager_interval ({self.manager_interval:g} seconds)"
            raise _refused("cache_duration", self.cache_duration, accepted)
        for name in _REPLENISHED:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise _refused(name, value, "seconds above 0")
        if self.visitor_limits not in ("node", "shared"):
            raise _refused("visitor_limits", self.visitor_limits, "node or shared")
        self._check_base_url("base_url")
        self._check_base_url("upstream_base_url")
        if self.upstream_base_url and (not self.base_url or self.upstream_base_url == self.base_url):
            raise _refused("upstream_base_url", self.upstream_base_url, "another server than base_url, which is needed")
        if self.attachments and not self.base_url:
            raise ConfigError("notify.attachments needs notify.base_url: files are downloaded from there; set it too")
        self._check_email()
        self._check_web_push()
        for topic in self.disallowed_topics:
            if not is_topic_name(topic):
                raise _refused("disallowed_topics", topic, "topic names: 1 to 64 of A-Z a-z 0-9 _ -")
        if not self.proxy_forwarded_header.strip():
            raise _refused("proxy_forwarded_header", self.proxy_forwarded_header, "the name of a header")

    @property
    def daily_message_limit(self) -> int:
        """Messages per visitor and day, derived from the request limit if not set."""
        return self.visitor_message_daily_limit or int(86_400 / self.visitor_request_limit_replenish)

    @property
    def takes_files(self) -> bool:
        """Whether bodies may become files."""
        return self.attachments is not False and bool(self.base_url)

    def _check_range(self, name: str, low: float, high: float | None, unit: str = "") -> None:
        value = getattr(self, name)
        if not math.isfinite(value) or value < low or (high is not None and value > high):
            accepted = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
            raise _refused(name, value, f"{accepted} {unit}".rstrip())

    def _check_base_url(self, name: str) -> None:
        url = getattr(self, name)
        if not url:
            return
        accepted = "an http:// or https:// URL without a path, such as https://push.example.net"
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError as exc:
            raise _refused(name, url, accepted) from exc
        if not usable or parts.path or parts.query or parts.fragment:
            raise _refused(name, url, accepted)

    def _check_web_push(self) -> None:
        self._check_range("web_push_expiry_duration", 1, None, "seconds")
        self._check_range("web_push_expiry_warning_duration", 0, self.web_push_expiry_duration, "seconds")
        self._check_range("web_push_check_interval", 0.01, None, "seconds")
        if bool(self.web_push_public_key) != bool(self.web_push_private_key):
            raise ConfigError("notify.web_push_public_key and web_push_private_key go together")
        if self.web_push_public_key:
            if not _MAIL_ADDRESS.fullmatch(self.web_push_email_address):
                accepted = "the address that a push service may write to"
                raise _refused("web_push_email_address", self.web_push_email_address, accepted)
            if not self.base_url:
                raise ConfigError("notify.web_push_public_key needs notify.base_url: browsers know topics by it")
            for host in self.web_push_hosts:
                if host != host.lower() or not _HOST.fullmatch(host):
                    raise _refused("web_push_hosts", host, "host names in lower case")

    def _check_email(self) -> None:
        if self.smtp_sender_addr:
            parse_address("smtp_sender_addr", self.smtp_sender_addr)
            if not _MAIL_ADDRESS.fullmatch(self.smtp_sender_from):
                raise _refused("smtp_sender_from", self.smtp_sender_from, "the address that mails come from")
            if not self.base_url:
                raise ConfigError("notify.smtp_sender_addr needs notify.base_url: mails say where they come from")
        if self.smtp_server_listen:
            parse_address("smtp_server_listen", self.smtp_server_listen, host_needed=False)
            if not _DOMAIN.fullmatch(self.smtp_server_domain):
                raise _refused("smtp_server_domain", self.smtp_server_domain, "the domain of topics' addresses")
        if not _PREFIX.fullmatch(self.smtp_server_addr_prefix):
            raise _refused("smtp_server_addr_prefix", self.smtp_server_addr_prefix, "letters, digits, . _ -")


def _refused(name: str, value: object, accepted: str) -> ConfigError:
    return ConfigError(f"notify.{name} is {value!r}; accepted: {accepted}")
