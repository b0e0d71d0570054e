"""How to reach a Redis server or cluster, and how hard to try."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from gbe.errors import ConfigError

SCHEMES: Final = ("redis", "rediss", "redis+cluster", "rediss+cluster")
DEFAULT_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a URL says: ``redis[s][+cluster]://[user[:password]@]host[:port][,host[:port]…]``."""

    addresses: tuple[Address, ...]
    is_cluster: bool
    is_tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def is_redis_url(text: str) -> bool:
    """Whether a text claims to be a URL of Redis."""
    return text.partition("://")[0] in SCHEMES and "://" in text


def parse_url(url: str) -> Endpoint:
    """Read a Redis URL.

    Raises:
        ConfigError: not such a URL; the text repeats no credentials.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ConfigError(f"redis: the URL has no scheme of Redis; expected {', '.join(SCHEMES)}")
    is_cluster = scheme.endswith("+cluster")
    credentials, _, hosts = rest.rpartition("@")
    hosts, _, path = hosts.partition("/")
    user, _, password = credentials.partition(":")
    if not re.fullmatch(r"\d*", path):
        raise ConfigError("redis: the path of the URL is the number of a database, such as /0")
    if int(path or 0):
        # channels belong to the server, not to a database: two of them would hear each other
        raise ConfigError("redis: gbe uses database 0; several environments on one server take a `namespace` each")
    addresses = tuple(_address(part) for part in hosts.split(","))
    if len(addresses) > 1 and not is_cluster:
        raise ConfigError("redis: several hosts make a cluster; expected redis+cluster:// (or rediss+cluster://)")
    return Endpoint(
        addresses, is_cluster, scheme.startswith("rediss"), unquote(user) or None, unquote(password) or None
    )


def _address(text: str) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if not host:
        raise ConfigError(f"redis: {text[:80]!r} is no HOST:PORT")
    return Address(host, port)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisConfig:
    """A Redis connection. Durations in seconds, sizes in bytes.

    Attributes:
        url: see ``Endpoint``; of a cluster every node or some of them.
        user, password: credentials of an ACL user, unless they are in the URL.
        credential_provider: ``module:attribute`` of a ``redis.credentials.CredentialProvider`` (or of something that
            makes one when called), asked at each connection: for tokens that expire, such as AWS IAM's.
        tls_ca, tls_cert, tls_key: PEM files for ``rediss://``; without an authority the system's own are trusted.
        name: shown in the server's list of clients.
        connect_timeout: until the first connection must stand.
        publish_timeout: how long one publish may take, reconnects and failovers included.
        request_timeout: the same for every other operation.
        stall_timeout: a connection on which nothing was answered for so long is given up for a new one.
        reconnect_wait: pause before the second attempt to reconnect; doubled up to a second.
        poll_interval: how long a lost wake-up may hold a message up.
        wait_replicas: a publish counts as stored when so many replicas have it too (``WAIT``). 0 leaves it to the
            server: replication is asynchronous, and a failover may lose the last moments.
        max_payload_size: the largest payload the transport takes.
        max_queued_bytes: publishes waiting for the engine beyond this many payload bytes wait for their turn.
    """

    url: str = field(repr=False)  # may hold credentials
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    credential_provider: str | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    name: str = "gbe"
    connect_timeout: float = 10.0
    publish_timeout: float = 10.0
    request_timeout: float = 5.0
    stall_timeout: float = 3.0
    reconnect_wait: float = 0.05
    poll_interval: float = 1.0
    wait_replicas: int = 0
    max_payload_size: int = 1024 * 1024
    max_queued_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        endpoint = parse_url(self.url)
        for key in (
            "connect_timeout",
            "publish_timeout",
            "request_timeout",
            "stall_timeout",
            "reconnect_wait",
            "poll_interval",
            "max_payload_size",
            "max_queued_bytes",
        ):
            if getattr(self, key) <= 0:
                raise ConfigError(f"redis: {key} is {getattr(self, key)}; expected more than 0")
        if not 0 <= self.wait_replicas <= 5:
            raise ConfigError(f"redis: wait_replicas is {self.wait_replicas}; expected 0 to 5")
        if self.credential_provider is not None:
            if self.user or self.password or endpoint.user or endpoint.password:
                raise ConfigError("redis: credential_provider replaces user and password; give one or the other")
            if not re.fullmatch(r"[\w.]+:[\w.]+", self.credential_provider):
                raise ConfigError("redis: credential_provider: expected MODULE:ATTRIBUTE")
        if self.tls_key is not None and self.tls_cert is None:
            raise ConfigError("redis: tls_key is set without tls_cert")
        if (self.tls_ca or self.tls_cert) and not endpoint.is_tls:
            raise ConfigError("redis: tls_ca and tls_cert need a URL of rediss:// or rediss+cluster://")
        for path in (self.tls_ca, self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise ConfigError(f"redis: there is no file {path}")

    @property
    def endpoint(self) -> Endpoint:
        """What the URL says."""
        return parse_url(self.url)
