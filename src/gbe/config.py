"""The configuration: ``gbe.yaml``, then ``GBE_…`` variables, then flags; later wins (system.md section 9).

Each part of gbe owns its class; this file names every key, reads values from text, and composes the parts. An unknown
key is an error that suggests the nearest name.
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from gbe.archive.config import ArchiveConfig
from gbe.archive.postgres.config import is_postgres_url
from gbe.durations import parse_duration
from gbe.errors import ConfigError, InvalidJobError, InvalidScheduleError, InvalidSubjectError
from gbe.graph.definition import parse_definition
from gbe.http.config import HttpConfig
from gbe.jobs.config import OrchestratorConfig
from gbe.lifecycle.configured import Configured
from gbe.lifecycle.types import TaskType, check_type_name
from gbe.logs import LogConfig
from gbe.notify.access.config import AccessConfig
from gbe.notify.config import NotifyConfig
from gbe.ntfy_options import in_environment, option_named, translate
from gbe.objects.config import ObjectsConfig
from gbe.redis.config import RedisConfig, is_redis_url
from gbe.schedules.config import SchedulerConfig
from gbe.schedules.definition import Definition, check_keys
from gbe.sizes import parse_size
from gbe.state.base import StateConfig
from gbe.subjects import DEFAULT_NAMESPACE, is_token
from gbe.sweeper.config import SweeperConfig
from gbe.tasks.config import WorkerConfig
from gbe.transport.base import StreamConfig
from gbe.transport.embedded import EmbeddedConfig
from gbe.transport.nats.config import NatsConfig
from gbe.yamlfile import parse_yaml

DEFAULT_FILE: Final = Path("gbe.yaml")
ENVIRONMENT_PREFIX: Final = "GBE_"
ROLES: Final = ("http", "sweeper", "scheduler", "orchestrator", "deadletters", "archiver", "webpush")
HIDDEN: Final = "********"
# what Kubernetes puts into every pod beside a Service of the name gbe
_SERVICE_LINK: Final = re.compile(r"GBE_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)")

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
_BY_NAME: Final = {key.name: key for key in KEYS}
_BY_VARIABLE: Final = {key.variable: key for key in KEYS}
_TABLES: Final = ("streams", "tasks", "jobs", "schedules", "events")
"""Keys of the file alone, with entries that users name."""

_STREAM_KEYS: Final[dict[str, str]] = {
    "name": "text",
    "subjects": "list",
    "max_age": "duration",
    "max_bytes": "size",
    "max_msgs": "integer",
    "storage": "text",
    "replicas": "integer",
    "dedup_window": "duration",
}

# -- the whole

_DAY: Final = 86_400.0


def default_streams(namespace: str, notify: NotifyConfig) -> tuple[StreamConfig, ...]:
    """One stream per retention class (system.md section 7). Subjects get the namespace in front."""
    topics_age = max(notify.cache_duration, 60.0)
    table: tuple[tuple[str, tuple[str, ...], float, float], ...] = (
        # a client repeats a publish within seconds or not at all: short, because the engine keeps the ids in memory
        ("notify-topic", ("notify.topic.*",), topics_age, 30.0),
        ("notify", ("notify.broadcast.*", "notify.customer.>"), 7 * _DAY, 120.0),
        ("events", ("events.system.*", "events.auth.*", "events.lifecycle.>"), 7 * _DAY, 120.0),
        ("events-api", ("events.api.*",), 3 * _DAY, 120.0),
        ("events-audit", ("events.audit.*",), 7 * _DAY, 120.0),
        ("tasks", ("tasks.>", "jobs.>"), 1 * _DAY, 120.0),
        ("deadletter", ("_deadletter.*",), 7 * _DAY, 120.0),
    )
    return tuple(
        StreamConfig(
            name=f"{namespace}-{name}",
            subjects=tuple(f"{namespace}.{subject}" for subject in subjects),
            max_age=max_age,
            dedup_window=dedup_window,
        )
        for name, subjects, max_age, dedup_window in table
    )


TransportKind = Literal["embedded", "memory", "nats", "redis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The effective configuration of one process."""

    namespace: str
    data_dir: Path
    transport: str
    host: str
    port: int
    roles: tuple[str, ...]
    workers: int
    log: LogConfig
    embedded: EmbeddedConfig
    nats: Mapping[str, Any]
    redis: Mapping[str, Any]
    http: HttpConfig
    notify: NotifyConfig
    access: AccessConfig
    state: StateConfig
    state_engine: str
    state_replicas: int
    objects: ObjectsConfig
    streams: tuple[StreamConfig, ...]
    tasks: Configured
    events: Mapping[str, str | None]
    worker: WorkerConfig
    sweeper: SweeperConfig
    schedules: Mapping[str, Mapping[str, Any]]
    scheduler: SchedulerConfig
    jobs: Mapping[str, Mapping[str, Any]]
    """Definitions as JSON values, by job type; each is checked."""
    orchestrator: OrchestratorConfig
    archive: ArchiveConfig
    values: Mapping[str, object]
    """Every key with its effective value."""
    warnings: tuple[str, ...]
    """Of options of ntfy that have no effect here, each with its source."""
    file: Path
    """What was read, or would have been if it were there; its `tasks:` may be read again (`read_tasks`)."""

    @property
    def transport_kind(self) -> TransportKind:
        """Which back end ``transport`` names."""
        return _kind_of(self.transport)

    @property
    def state_kind(self) -> TransportKind:
        """Which back end ``state.engine`` names."""
        return _kind_of(self.state_engine)

    def nats_config(self, **endpoint: Any) -> NatsConfig:
        """The connection settings, for the servers of ``transport`` or for the endpoint that is given."""
        return NatsConfig(**{**self.nats, **(endpoint or {"urls": tuple(self.transport.split(","))})})

    def redis_config(self, url: str | None = None) -> RedisConfig:
        """The connection settings for the server or cluster of ``transport``, or for the URL that is given."""
        return RedisConfig(url=url or self.transport, **self.redis)


def _kind_of(engine: str) -> TransportKind:
    if engine in ("embedded", "memory"):
        return "embedded" if engine == "embedded" else "memory"
    return "redis" if is_redis_url(engine) else "nats"


def load(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """Read and check the configuration.

    Args:
        file: ``None`` reads ``gbe.yaml`` in the working directory if there is one.
        environment: ``None`` is the process's own.
        flags: values by key name; they beat everything, ``None`` means not given.

    Raises:
        ConfigError: what cannot be used, with the name of the key and of its source.
    """
    values: dict[str, object] = {key.name: key.default for key in KEYS}
    in_file = _read_file(file)
    values |= in_file.values
    variables = os.environ if environment is None else environment
    warnings = list(in_file.warnings)
    for option, text in in_environment(variables):
        translated = translate(option, text, _BY_NAME)
        if translated.key is not None:
            values[translated.key] = _BY_NAME[translated.key].parse(translated.value, option.variable)
        if translated.warning:
            warnings.append(f"{option.variable}: {translated.warning}")
    for key, text in _from_environment(variables):
        values[key.name] = key.parse(text, key.variable)
    for name, given in (flags or {}).items():
        if given is not None:
            values[name] = _BY_NAME[name].parse(given, f"--{name.replace('_', '-')}")
    return _compose(values, in_file, (file or DEFAULT_FILE).absolute(), tuple(warnings))


def read_tasks(file: Path) -> Mapping[str, Mapping[str, object]]:
    """The task types of a configuration file; the whole file is checked.

    Raises:
        ConfigError: it is not there, or something in it cannot be used.
    """
    return _read_file(file).tasks


@dataclass(frozen=True, slots=True)
class _InFile:
    values: Mapping[str, object]
    streams: list[Mapping[str, Any]] | None
    tasks: Mapping[str, Mapping[str, object]]
    schedules: Mapping[str, Mapping[str, Any]]
    events: Mapping[str, str | None]
    jobs: Mapping[str, Mapping[str, Any]]
    warnings: list[str]


def _read_file(file: Path | None) -> _InFile:
    values: dict[str, object] = {}
    streams: list[Mapping[str, Any]] | None = None
    tasks: Mapping[str, Mapping[str, object]] = {}
    schedules: Mapping[str, Mapping[str, Any]] = {}
    events: Mapping[str, str | None] = {}
    jobs: Mapping[str, Mapping[str, Any]] = {}
    warnings: list[str] = []
    for name, (value, source) in _from_file(file, warnings).items():
        if value is None:  # a key without a value is not given
            continue
        if name == "streams":
            streams = _stream_tables(value, source)
        elif name == "tasks":
            tasks = _task_tables(value, source)
        elif name == "schedules":
            schedules = _schedule_tables(value, source)
        elif name == "jobs":
            jobs = _job_tables(value, source)
        elif name == "events":
            events = _event_table(value, source)
        else:
            values[name] = _BY_NAME[name].parse(value, source)
    return _InFile(values, streams, tasks, schedules, events, jobs, warnings)


def _from_file(file: Path | None, warnings: list[str]) -> dict[str, tuple[object, str]]:
    path = file or DEFAULT_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if file is None:
            return {}
        raise ConfigError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}") from exc
    document = parse_yaml(text, path)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected keys and values at the top")
    own, ntfys = _apart(document)
    flat = {**_translated(ntfys, str(path), warnings), **_flatten(own, "", str(path))}
    return {name: (value, str(path)) for name, value in flat.items()}


def _apart(document: Mapping[Any, Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Keys of gbe, and options of ntfy: a file may have both."""
    ntfys = {name: value for name, value in document.items() if option_named(str(name)) is not None}
    return {name: value for name, value in document.items() if name not in ntfys}, ntfys


def _translated(ntfys: Mapping[Any, Any], source: str, warnings: list[str]) -> dict[str, object]:
    """Options of ntfy as keys of gbe, which count less than gbe's own."""
    flat: dict[str, object] = {}
    for name, value in ntfys.items():
        option = option_named(str(name))
        if option is None or value is None:
            continue
        translated = translate(option, value, _BY_NAME)
        if translated.key is not None:
            flat[translated.key] = translated.value
        if translated.warning:
            warnings.append(f"{source}: {translated.warning}")
    return flat


def _flatten(document: Mapping[Any, Any], prefix: str, source: str) -> dict[str, object]:
    flat: dict[str, object] = {}
    sections = {name.partition(".")[0] for name in _BY_NAME if "." in name}
    for raw, value in document.items():
        name = f"{prefix}{raw}".replace("-", "_")
        if not prefix and name in sections and (value is None or isinstance(value, Mapping)):
            flat |= _flatten(value or {}, f"{name}.", source)
        elif name in _BY_NAME or name in _TABLES:
            flat[name] = value
        else:
            raise ConfigError(f"{source}: unknown key {name}{_suggestion(name, [*_BY_NAME, *_TABLES])}")
    return flat


def _from_environment(environment: Mapping[str, str]) -> list[tuple[Key, str]]:
    found: list[tuple[Key, str]] = []
    for variable, text in environment.items():
        # an empty variable is one that somebody could not unset
        if not variable.startswith(ENVIRONMENT_PREFIX) or not text or _SERVICE_LINK.fullmatch(variable):
            continue
        key = _BY_VARIABLE.get(variable)
        if key is None:
            raise ConfigError(f"unknown variable {variable}{_suggestion(variable, list(_BY_VARIABLE))}")
        found.append((key, text))
    return found


def _suggestion(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else "; `gbe config show` lists every key"


def _stream_tables(value: object, source: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise ConfigError(f"{source}: streams: expected a list of entries with name and subjects")
    tables: list[Mapping[str, Any]] = []
    for entry in value:
        parsed: dict[str, Any] = {}
        for raw, setting in entry.items():
            name = str(raw).replace("-", "_")
            if name not in _STREAM_KEYS:
                raise ConfigError(f"{source}: streams: unknown key {name}{_suggestion(name, list(_STREAM_KEYS))}")
            if setting is not None:
                parsed[name] = Key(f"streams.{name}", _STREAM_KEYS[name], None, "").parse(setting, source)
        if "name" not in parsed:
            raise ConfigError(f"{source}: streams: an entry has no name")
        tables.append(parsed)
    return tables


def _task_tables(value: object, source: str) -> dict[str, Mapping[str, object]]:
    """The task types of the file, by name; each is checked here, and kept as it is written."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: tasks: expected task types, each with its settings")
    tables: dict[str, Mapping[str, object]] = {}
    for raw, settings in value.items():
        name = check_type_name(str(raw))
        if settings is not None and not isinstance(settings, Mapping):
            raise ConfigError(f"{source}: tasks.{name}: expected settings, such as max_retries: 3")
        tables[name] = dict(settings or {})
        TaskType().changed(tables[name], source=f"{source}: tasks.{name}")
    return tables


def _schedule_tables(value: object, source: str) -> dict[str, Mapping[str, Any]]:
    """The schedules of the file, by name; each is checked here, and kept as JSON would hold it."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: schedules: expected schedules by name, each with its settings")
    tables: dict[str, Mapping[str, Any]] = {}
    for raw, settings in value.items():
        name = str(raw)
        if not isinstance(settings, Mapping):
            raise ConfigError(
                f"{source}: schedules.{name[:80]}: expected settings, such as task: TYPE and cron: '@daily'"
            )
        try:
            Definition.parse(name, settings)
            tables[name] = msgspec.json.decode(msgspec.json.encode(check_keys(name, settings)))
        except InvalidScheduleError as exc:
            where = f"schedules.{name[:80]}.{exc.field}" if exc.field else f"schedules.{name[:80]}"
            raise ConfigError(f"{source}: {where}: {exc.reason}") from None
    return tables


def _job_tables(value: object, source: str) -> dict[str, Mapping[str, Any]]:
    """The job types of the file, by name; each is checked here, and kept as JSON would hold it."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: jobs: expected job types by name, each with its tasks")
    tables: dict[str, Mapping[str, Any]] = {}
    for name, document in value.items():
        try:
            tables[str(name)] = msgspec.json.decode(parse_definition(name, document).to_json())
        except InvalidJobError as exc:
            raise ConfigError(f"{source}: {exc}") from None
    return tables


def _event_table(value: object, source: str) -> dict[str, str | None]:
    """The events of the file: pattern to ``MODULE:TYPE``, or to nothing for events of any shape."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: events: expected patterns, each with MODULE:TYPE, or with nothing")
    for pattern, target in value.items():
        if not isinstance(pattern, str) or not (target is None or isinstance(target, str)):
            raise ConfigError(f"{source}: events.{pattern}: expected MODULE:TYPE, or nothing for events of any shape")
    return dict(value)


def _compose(values: Mapping[str, object], in_file: _InFile, file: Path, warnings: tuple[str, ...]) -> Settings:
    def section(prefix: str) -> dict[str, Any]:
        start = f"{prefix}."
        return {name[len(start) :]: value for name, value in values.items() if name.startswith(start)}

    namespace = str(values["namespace"])
    if not is_token(namespace):
        raise ConfigError(f"namespace is {namespace!r}; expected letters, digits, _ and -")
    host, port = _listen(str(values["listen"]))
    workers = int(str(values["workers"]))
    transport = str(values["transport"])
    _check_engine("transport", transport)
    if not 1 <= workers <= 256:
        raise ConfigError(f"workers is {workers}; expected 1 to 256")
    if workers > 1 and transport == "memory":
        raise ConfigError("workers is more than 1, but transport is memory, which lives in one process")
    try:
        embedded = EmbeddedConfig(**section("embedded"))
    except ConfigError as exc:
        raise ConfigError(f"embedded.{exc}") from exc
    notify_values = section("notify")
    access = AccessConfig(**{each.name: notify_values.pop(each.name) for each in dataclasses.fields(AccessConfig)})
    notify = NotifyConfig(**notify_values)
    nats = section("nats")
    NatsConfig(urls=("nats://127.0.0.1",), **nats)  # checks what does not depend on the servers
    redis = section("redis")
    # the authority and the certificate go with a URL of rediss:// only, so without one they are not looked at
    RedisConfig(url=transport if is_redis_url(transport) else "rediss://127.0.0.1", **redis)
    data_dir = Path(str(values["data_dir"]))
    state = section("state")
    state_engine, state_replicas = str(state.pop("engine") or transport), int(state.pop("replicas"))
    _check_engine("state.engine", state_engine)
    if is_redis_url(state_engine):
        RedisConfig(url=state_engine, **redis)
    if not 1 <= state_replicas <= 5:
        raise ConfigError(f"state.replicas is {state_replicas}; expected 1 to 5")
    objects = section("objects")
    return Settings(
        namespace=namespace,
        data_dir=data_dir,
        transport=transport,
        host=host,
        port=port,
        roles=_roles(values["roles"]),
        workers=workers,
        log=LogConfig(**section("log")),
        embedded=embedded,
        nats=nats,
        redis=redis,
        http=HttpConfig(**section("http")),
        notify=notify,
        access=access,
        state=StateConfig(**state),
        state_engine=state_engine,
        state_replicas=state_replicas,
        objects=ObjectsConfig(**{**objects, "url": objects["url"] or str(data_dir / "objects")}),
        streams=_streams(namespace, notify, in_file.streams),
        tasks=Configured(in_file.tasks),
        events=in_file.events,
        worker=WorkerConfig(**section("worker")),
        sweeper=SweeperConfig(**section("sweeper")),
        schedules=in_file.schedules,
        scheduler=SchedulerConfig(**section("scheduler")),
        jobs=in_file.jobs,
        orchestrator=OrchestratorConfig(**section("orchestrator")),
        archive=ArchiveConfig(**section("archive")),
        values=values,
        warnings=warnings,
        file=file,
    )


def _streams(namespace: str, notify: NotifyConfig, tables: list[Mapping[str, Any]] | None) -> tuple[StreamConfig, ...]:
    """The default streams; entries of the file change those of the same name and add others."""
    streams = {stream.name: stream for stream in default_streams(namespace, notify)}
    for table in tables or []:
        name = f"{namespace}-{table['name']}"
        changes = {key: value for key, value in table.items() if key != "name"}
        if "subjects" in changes:
            changes["subjects"] = tuple(f"{namespace}.{subject}" for subject in changes["subjects"])
        try:
            known = streams.get(name)
            streams[name] = (
                dataclasses.replace(known, **changes) if known is not None else StreamConfig(name=name, **changes)
            )
        except TypeError:
            raise ConfigError(f"stream {table['name']}: subjects is missing; name at least one pattern") from None
        except InvalidSubjectError as exc:
            raise ConfigError(f"stream {table['name']}: {exc}") from exc
    return tuple(streams.values())


def _roles(value: object) -> tuple[str, ...]:
    roles = value if isinstance(value, tuple) else ()
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        raise ConfigError(f"roles is {','.join(map(str, roles))!r}; expected one or more of {', '.join(ROLES)}")
    return roles


def _listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"listen is {text!r}; expected ADDRESS:PORT, such as 127.0.0.1:8080 or [::]:8080")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)  # noqa: S104 - asked for: an empty address


def _check_engine(key: str, engine: str) -> None:
    if engine in ("embedded", "memory") or is_redis_url(engine):
        return
    for url in engine.split(","):
        if urlsplit(url).scheme not in ("nats", "tls"):
            raise ConfigError(
                f"{key} is {without_secrets(engine)!r}; expected embedded, memory, nats://HOST:PORT or "
                "tls://HOST:PORT (several separated by commas), redis://HOST:PORT, or redis+cluster://HOST:PORT,… "
                "(rediss:// and rediss+cluster:// for TLS)"
            )


def without_secrets(text: str) -> str:
    """A value fit to be shown: the user part of URLs is hidden."""
    if is_postgres_url(text):
        text = re.sub(r"(?i)([?&](?:ssl)?password=)[^&]*", rf"\1{HIDDEN}", text)
    if is_redis_url(text) or is_postgres_url(text):  # the hosts share one user part, which may hold commas too
        return re.sub(r"(?s)(://).*@", rf"\1{HIDDEN}@", text)
    return ",".join(re.sub(r"(\w+://).*@", rf"\1{HIDDEN}@", part) for part in text.split(","))


def shown(settings: Settings) -> dict[str, object]:
    """Every key with its effective value, as ``gbe config show`` prints it: no secrets."""
    result: dict[str, object] = {}
    for key in KEYS:
        value = settings.values[key.name]
        if key.secret and value not in (None, (), ""):
            value = HIDDEN
        elif isinstance(value, Path):
            value = str(value)
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, str):
            value = without_secrets(value)
        result[key.name] = value
    return result
