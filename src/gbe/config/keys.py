"""Every key of the configuration: what it takes, its default, what it means, and how its value is read from text."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gbe.archive.config import ArchiveConfig
from gbe.durations import parse_duration
from gbe.errors import ConfigError
from gbe.http.config import HttpConfig
from gbe.jobs.config import OrchestratorConfig
from gbe.logs import LogConfig
from gbe.notify.access.config import AccessConfig
from gbe.notify.config import NotifyConfig
from gbe.objects.config import ObjectsConfig
from gbe.redis.config import RedisConfig
from gbe.schedules.config import SchedulerConfig
from gbe.sizes import parse_size
from gbe.state.base import StateConfig
from gbe.subjects import DEFAULT_NAMESPACE
from gbe.sweeper.config import SweeperConfig
from gbe.tasks.config import WorkerConfig
from gbe.transport.embedded import EmbeddedConfig
from gbe.transport.nats.config import NatsConfig

ENVIRONMENT_PREFIX: Final = "GBE_"
ROLES: Final = ("http", "sweeper", "scheduler", "orchestrator", "deadletters", "archiver", "webpush")
HIDDEN: Final = "********"

# -- values from text


def _integer(value: object) -> int:
    if isinstance(value, bool):
        raise ValueError("a whole number")
    try:
        return int(str(value).strip())
    except ValueError:
        raise ValueError("a whole number") from None


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError("true or false")


def _text(value: object) -> str:
    if isinstance(value, Mapping | list):
        raise ValueError("text")
    return str(value)


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part for part in (p.strip() for p in value.split(",")) if part)
    if isinstance(value, list) and all(isinstance(part, str | int) for part in value):
        return tuple(str(part) for part in value)
    raise ValueError("a list, or text separated by commas")


def _path(value: object) -> Path:
    return Path(_text(value)).expanduser()


Parse = Callable[[object], Any]

# -- keys


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration.

    Attributes:
        name: dotted, as in the file: ``notify.keepalive_interval``.
        kind: what it takes, in a word: ``duration``, ``size``, ``integer``, ``boolean``, ``text``, ``list``, ``path``.
        default: the value without any configuration.
        meaning: one sentence for the reference.
        secret: whether its value is never shown.
    """

    name: str
    kind: str
    default: object
    meaning: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.upper().replace(".", "_")

    def parse(self, value: object, source: str) -> object:
        """Read a value; raises ``ConfigError`` that names key, value and what would be accepted."""
        try:
            return _PARSERS[self.kind](value)
        except ValueError as exc:
            shown = HIDDEN if self.secret else repr(value)
            raise ConfigError(f"{source}: {self.name} is {shown}; expected {exc}") from None


_PARSERS: Final[dict[str, Parse]] = {
    "duration": parse_duration,
    "size": parse_size,
    "integer": _integer,
    "boolean": _boolean,
    "text": _text,
    "list": _texts,
    "path": _path,
}


_SECRETS: Final = frozenset(
    {
        "api_token",
        "auth_tokens",
        "auth_users",
        "password",
        "secret_access_key",
        "session_token",
        "smtp_sender_pass",
        "token",
        "upstream_access_token",
        "web_push_private_key",
    }
)


def _section(prefix: str, owner: type[Any], table: Mapping[str, tuple[str, str]]) -> list[Key]:
    defaults = {field.name: field.default for field in dataclasses.fields(owner)}
    return [
        Key(f"{prefix}.{name}", kind, defaults[name], meaning, secret=name in _SECRETS)
        for name, (kind, meaning) in table.items()
    ]


KEYS: Final[tuple[Key, ...]] = (
    Key("namespace", "text", DEFAULT_NAMESPACE, "First token of every subject; lets environments share one engine."),
    Key("data_dir", "path", Path("gbe-data"), "Where the embedded engine keeps its data, and other processes find it."),
    Key(
        "transport",
        "text",
        "embedded",
        "`embedded`, `memory`, or a URL: `nats://…`, `tls://…`, `redis://…`, `redis+cluster://…` (`rediss` is TLS).",
    ),
    Key("listen", "text", "127.0.0.1:8080", "Address and port of the HTTP server."),
    Key(
        "roles",
        "list",
        ROLES,
        "What `gbe serve` does: `http` answers requests, `sweeper` finds lost tasks, `scheduler` starts what is due, "
        "`orchestrator` advances jobs, `deadletters` lists failures, `archiver` fills the archive, "
        "`webpush` tells browsers.",
    ),
    Key("workers", "integer", 1, "Processes that serve HTTP; more than one needs an engine outside the process."),
    *_section(
        "log",
        LogConfig,
        {
            "level": ("text", "`debug`, `info`, `warning` or `error`."),
            "format": ("text", "`text` for people, `json` for machines."),
        },
    ),
    *_section(
        "embedded",
        EmbeddedConfig,
        {
            "binary": ("path", "The nats-server to run; by default the one that was installed with gbe."),
            "durability": (
                "text",
                "`fsync`: a confirmed message survives power loss. `interval`: faster, power loss takes up to 100 ms.",
            ),
            "max_file": ("size", "Disk the engine may use; by default 80 % of what is free."),
            "max_memory": ("size", "Memory for streams with `storage: memory`."),
            "memory_limit": ("size", "Soft limit of the engine's heap (GOMEMLIMIT)."),
            "max_payload": ("size", "Largest message the engine takes, headers included."),
            "start_timeout": ("duration", "How long the engine may take to start without a sign of life."),
            "stop_timeout": ("duration", "How long it may take to stop before it is killed."),
            "restart_backoff": ("duration", "Pause before the first restart; doubled at each further one."),
            "restart_backoff_max": ("duration", "Longest pause before a restart."),
            "port_patience": ("duration", "How long a restart waits for its port if somebody took it."),
            "stable_after": ("duration", "After so long a life the pause before a restart starts over."),
            "health_interval": ("duration", "Time between two looks at the engine's health."),
            "health_timeout": ("duration", "How long the engine may take to answer one."),
            "health_failures": ("integer", "Failures in a row after which it is replaced."),
        },
    ),
    *_section(
        "nats",
        NatsConfig,
        {
            "user": ("text", "User name, unless it is in the URL."),
            "password": ("text", "Password, unless it is in the URL."),
            "token": ("text", "Authorization token, instead of user and password."),
            "credentials_file": ("path", "A `.creds` file (JWT and NKEY seed)."),
            "tls_ca": ("path", "PEM file of the authority that signed the servers' certificates."),
            "tls_cert": ("path", "PEM file of the client certificate."),
            "tls_key": ("path", "PEM file of its key."),
            "connect_timeout": ("duration", "Until the first connection must stand."),
            "publish_timeout": ("duration", "How long one publish may take, reconnects included."),
            "request_timeout": ("duration", "The same for every other operation."),
            "retry_after": ("duration", "How long an unanswered publish waits before it is sent again."),
            "reconnect_wait": ("duration", "Pause between two attempts to reconnect."),
            "ping_interval": ("duration", "Two unanswered pings in a row mean that the connection is dead."),
            "group_commit": (
                "boolean",
                "Store concurrent publishes in atomic batches; set by `embedded.durability` for the embedded engine.",
            ),
            "max_payload_size": ("size", "Largest payload of one message."),
            "max_queued_bytes": ("size", "Payloads that may wait for the engine before publishers have to wait."),
        },
    ),
    *_section(
        "redis",
        RedisConfig,
        {
            "user": ("text", "Name of the ACL user, unless it is in the URL."),
            "password": ("text", "Password, unless it is in the URL."),
            "credential_provider": (
                "text",
                "`module:attribute` of a redis-py `CredentialProvider`, asked at each connection: for IAM tokens.",
            ),
            "tls_ca": ("path", "PEM file of the authority that signed the servers' certificates."),
            "tls_cert": ("path", "PEM file of the client certificate."),
            "tls_key": ("path", "PEM file of its key."),
            "connect_timeout": ("duration", "Until the first connection must stand."),
            "publish_timeout": ("duration", "How long one publish may take, reconnects and failovers included."),
            "request_timeout": ("duration", "The same for every other operation."),
            "stall_timeout": ("duration", "A connection without an answer for so long is given up for a new one."),
            "reconnect_wait": ("duration", "Pause before the second attempt to reconnect; doubled up to a second."),
            "poll_interval": ("duration", "How long a lost wake-up may hold a message up."),
            "wait_replicas": (
                "integer",
                "Replicas that must have a message before it is confirmed (`WAIT`); 0 leaves it to the server.",
            ),
            "max_payload_size": ("size", "Largest payload of one message."),
            "max_queued_bytes": ("size", "Payloads that may wait for the engine before publishers have to wait."),
        },
    ),
    Key(
        "state.engine",
        "text",
        None,
        "Where the state store lies: a value as for `transport`; by default the engine of the transport.",
    ),
    Key("state.replicas", "integer", 1, "Copies of the state store in a NATS cluster, 1 to 5."),
    *_section(
        "state",
        StateConfig,
        {
            "bucket": ("text", "Name of the state store in its engine; lets several share one."),
            "max_record_size": ("size", "Largest record, names and values together; more belongs into an object."),
        },
    ),
    Key(
        "objects.url",
        "text",
        None,
        "A folder, `memory`, or `s3://BUCKET/PREFIX`; by default the folder `objects` in the data directory.",
    ),
    *_section(
        "objects",
        ObjectsConfig,
        {
            "endpoint": ("text", "`https://HOST:PORT` of an S3-compatible server that is not Amazon's."),
            "region": ("text", "Region of the bucket."),
            "access_key_id": ("text", "Credentials; by default those of the environment, container or machine."),
            "secret_access_key": ("text", "Its secret."),
            "session_token": ("text", "A token that belongs to temporary credentials."),
            "ca_file": ("path", "PEM file of the authority that signed the endpoint's certificate."),
            "timeout": ("duration", "How long one request may take, retries included."),
            "max_object_size": ("size", "Largest object that is written, or read into memory."),
            "threshold": ("size", "Parameters and results above this size go into the object store."),
        },
    ),
    *_section(
        "worker",
        WorkerConfig,
        {
            "concurrency": ("integer", "Tasks that one worker process runs at a time."),
            "lease": ("duration", "How long a worker holds a task without a renewal; then others may have it."),
            "renew_every": ("duration", "Time between two renewals, at most half of the lease."),
            "grace": ("duration", "How long running tasks may go on when a worker stops, before they are handed back."),
            "signal_timeout": ("duration", "How long a worker may hold a signal without claiming its task."),
            "progress_every": ("duration", "Progress that is said in quicker succession is sent as one."),
            "allow_internal_http": ("boolean", "Whether `http` task types may call private networks and this machine."),
        },
    ),
    *_section(
        "sweeper",
        SweeperConfig,
        {
            "interval": ("duration", "Time between two looks at deadlines."),
            "term": ("duration", "Of the sweepers' own lease: a dead one is replaced within one and a quarter of it."),
            "page": ("integer", "Records per look."),
            "most": ("integer", "Records per sweep."),
            "report_every": ("duration", "Time between two reports of sweeps that found nothing."),
            "prune_every": ("duration", "Time between two looks for objects whose record is gone."),
            "prune_age": ("duration", "Younger objects stay: their record may be about to be written."),
            "retain_every": ("duration", "Time between two looks at what streams keep, where the engine does not."),
            "alert_every": ("duration", "Until a stream that must keep what is too old is complained about again."),
        },
    ),
    *_section(
        "scheduler",
        SchedulerConfig,
        {
            "interval": ("duration", "Time between two looks at what is due."),
            "term": (
                "duration",
                "Of the schedulers' own lease: a dead one is replaced within one and a quarter of it.",
            ),
            "grace": ("duration", "A start that is late by no more than this is no missed one."),
            "page": ("integer", "Schedules per look."),
        },
    ),
    *_section(
        "orchestrator",
        OrchestratorConfig,
        {
            "concurrency": ("integer", "Jobs that one process advances at a time."),
            "interval": ("duration", "Time between two looks at jobs whose signal may be lost."),
            "patience": ("duration", "How long a job may go without a signal before its tasks are looked at."),
        },
    ),
    *_section(
        "archive",
        ArchiveConfig,
        {
            "subjects": ("list", "Patterns of what is archived, without the namespace."),
            "group": ("text", "The consumer group; archives of different groups are independent."),
            "url": (
                "text",
                "A folder, `s3://BUCKET/PREFIX` or `postgresql://…`; by default `archive` in the data directory.",
            ),
            "endpoint": ("text", "As `objects.endpoint`, which counts if this is not given."),
            "region": ("text", "As `objects.region`."),
            "access_key_id": ("text", "As `objects.access_key_id`."),
            "secret_access_key": ("text", "As `objects.secret_access_key`."),
            "format": (
                "text",
                "Of the files: `jsonl.gz`, `jsonl.zst` (extra `gbe[zstd]`) or `parquet` (extra `gbe[parquet]`).",
            ),
            "batch_size": ("integer", "So many messages are written without waiting for more."),
            "batch_size_max": ("integer", "Messages in one file, at most: what waits goes into one file together."),
            "batch_bytes": ("size", "Payload in one file, at most."),
            "batch_timeout": ("duration", "How long a message may wait for its batch to be full."),
            "ack_timeout": ("duration", "A dead archiver's messages are delivered again after it."),
            "retry_backoff": ("duration", "First pause when a batch cannot be written; doubled at each further one."),
            "retry_backoff_max": ("duration", "Longest pause."),
            "lag_limit": ("duration", "An alert is raised when a message waits for longer."),
            "report_every": ("duration", "Time between two reports."),
            "term": ("duration", "Of the archivers' lease: a dead one is replaced within one and a quarter of it."),
            "shutdown_timeout": ("duration", "For what is written last when an archiver stops."),
            "retention": ("duration", "How long `gbe archive prune` leaves a day alone."),
        },
    ),
    *_section(
        "http",
        HttpConfig,
        {
            "max_header_bytes": ("size", "Request line and headers together; more is answered with 431."),
            "header_timeout": ("duration", "How long a client may take for request line and headers."),
            "body_timeout": ("duration", "How long a client may take for a body, or for the next 64 KiB of it."),
            "keep_alive_timeout": ("duration", "How long an idle connection is kept."),
            "dead_peer_timeout": ("duration", "How long sent bytes may stay unacknowledged."),
            "pong_timeout": ("duration", "How long a WebSocket client may take to answer a ping."),
            "shutdown_timeout": ("duration", "How long requests under way may take when the server stops."),
            "publish_timeout": ("duration", "How long a publish waits for the engine before it is answered with 503."),
            "event_streams": ("integer", "Streams of events that each process keeps open at once."),
            "slow_reader_timeout": (
                "duration",
                "How long the client of a stream of events may leave it unread before it is disconnected.",
            ),
            "backlog": ("integer", "Connections that may wait to be accepted."),
            "metrics": ("boolean", "Whether `/metrics` is served."),
            "api_token": (
                "text",
                "Token for the JSON APIs (`/v1/tasks` and others); without it only clients of this machine may use it.",
            ),
        },
    ),
    *_section(
        "notify",
        NotifyConfig,
        {
            "base_url": ("text", "Public URL of the server, scheme and host without a path."),
            "cache_duration": ("duration", "How long messages are kept for replay; 0 keeps nothing."),
            "message_size_limit": ("size", "Bytes at which a body is too long for the text of a message."),
            "message_delay_limit": ("duration", "Longest delay of a message; 0 switches delayed messages off."),
            "message_delay_minimum": ("duration", "Shortest delay of a delayed message."),
            "attachments": (
                "boolean",
                "Whether files are taken, into the object store; needs `notify.base_url`; with it, the default.",
            ),
            "attachment_file_size_limit": ("size", "Largest file."),
            "attachment_total_size_limit": ("size", "All files of the deployment that have not expired."),
            "attachment_expiry_duration": ("duration", "How long a file is kept, at most as long as its message."),
            "visitor_attachment_total_size_limit": ("size", "Files of one visitor that have not expired."),
            "visitor_attachment_daily_bandwidth_limit": (
                "size",
                "What a visitor may upload, and others download of it, per day.",
            ),
            "visitor_email_limit_burst": ("integer", "E-mails that a visitor may have sent at once."),
            "visitor_email_limit_replenish": ("duration", "Time until one more e-mail is granted."),
            "visitor_topic_creation_limit_burst": ("integer", "New topics that a visitor may use at once."),
            "visitor_topic_creation_limit_replenish": ("duration", "Time until one more new topic is granted."),
            "visitor_subscriber_rate_limiting": (
                "boolean",
                "Whether UnifiedPush messages are charged to the subscriber of their topic, and refused without one.",
            ),
            "visitor_limits": (
                "text",
                "`node`: each process counts visitors for itself; `shared`: all of a deployment count together.",
            ),
            "upstream_base_url": ("text", "An ntfy server that wakes iPhones, usually `https://ntfy.sh`."),
            "upstream_access_token": ("text", "Token to show there."),
            "manager_interval": ("duration", "Time between two rounds that remove what has expired."),
            "keepalive_interval": ("duration", "Time between signs of life on a stream."),
            "template_dir": ("path", "Folder of message templates, each a file `NAME.yml`."),
            "smtp_sender_addr": ("text", "`HOST:PORT` of the server that sends mails; empty sends none."),
            "smtp_sender_user": ("text", "User name there; empty logs nobody in."),
            "smtp_sender_pass": ("text", "Its password."),
            "smtp_sender_from": ("text", "Address that mails come from."),
            "smtp_sender_verify": ("boolean", "Whether mails go to verified addresses of users only."),
            "smtp_server_listen": ("text", "`ADDRESS:PORT` on which mails are taken in; empty takes none."),
            "smtp_server_domain": ("text", "Domain of topics' addresses."),
            "smtp_server_addr_prefix": ("text", "What stands before the topic in an address."),
            "web_push_public_key": ("text", "What browsers subscribe with; `gbe notify webpush keys` makes a pair."),
            "web_push_private_key": ("text", "The other half of the pair."),
            "web_push_email_address": ("text", "Whom a push service may write to."),
            "web_push_hosts": ("list", "Hosts of push services; subscriptions elsewhere are refused."),
            "web_push_expiry_duration": ("duration", "Until a subscription that is not renewed is dropped."),
            "web_push_expiry_warning_duration": ("duration", "Until its browser is told that this will happen."),
            "web_push_check_interval": ("duration", "Time between two looks for browsers to be told."),
            "disallowed_topics": ("list", "Topic names that are refused beside the reserved ones."),
            "global_topic_limit": ("integer", "Topics that subscribers of one process may follow at a time."),
            "replay_limit": ("size", "What a replay brings of each topic, the newest of it; 0 brings everything."),
            "web_root": ("text", "Where web pages begin: `/`, `home` (`/app`), another path, or `disable` for none."),
            "refuse_calls": (
                "boolean",
                "Whether a message that asks for a phone call is refused; otherwise it goes out without the call.",
            ),
            "subscriber_queue_bytes": ("size", "What may wait for a slow reader before its stream is closed."),
            "subscriber_queue_messages": ("integer", "The same in messages."),
            "visitor_request_limit_burst": ("integer", "Requests that a visitor may make at once."),
            "visitor_request_limit_replenish": ("duration", "Time until one more request is granted."),
            "visitor_request_limit_exempt_hosts": ("list", "Hosts and networks that the request limits skip."),
            "visitor_message_daily_limit": ("integer", "Messages per visitor and day; 0 derives it from the requests."),
            "visitor_subscription_limit": ("integer", "Streams that a visitor may have open."),
            "visitor_prefix_bits_ipv4": ("integer", "Leading bits of an IPv4 address that make a visitor."),
            "visitor_prefix_bits_ipv6": ("integer", "Leading bits of an IPv6 address that make a visitor."),
            "behind_proxy": ("boolean", "Whether a proxy in front sets the client's address in a header."),
            "proxy_forwarded_header": ("text", "That header."),
            "proxy_trusted_hosts": ("list", "Addresses and networks of proxies, skipped in that header."),
        },
    ),
    *_section(
        "notify",
        AccessConfig,
        {
            "auth": ("boolean", "Whether there are users and access control; the lists below switch it on too."),
            "auth_default_access": (
                "text",
                "What everybody may without an entry: `read-write`, `read-only`, `write-only` or `deny-all`.",
            ),
            "auth_users": ("list", "Users of the configuration: `NAME:BCRYPT-HASH:ROLE`."),
            "auth_access": ("list", "What they may: `NAME:TOPIC-PATTERN:PERMISSION`; `everyone` for all callers."),
            "auth_tokens": ("list", "Their access tokens: `NAME:TOKEN` or `NAME:TOKEN:LABEL`."),
            "enable_login": ("boolean", "Whether the web app offers to log in."),
            "require_login": ("boolean", "Whether it asks for a login first."),
            "enable_signup": ("boolean", "Whether anybody may make an account."),
            "enable_reservations": ("boolean", "Whether users may reserve topics."),
            "reservation_limit": ("integer", "Topics that a user may reserve."),
        },
    ),
)
BY_NAME: Final = {key.name: key for key in KEYS}
BY_VARIABLE: Final = {key.variable: key for key in KEYS}


def suggestion(name: str, known: list[str]) -> str:
    """What to say behind a name that is not known."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else "; `gbe config show` lists every key"
