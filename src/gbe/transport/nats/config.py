"""How to reach a NATS server or cluster, and how hard to try."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gbe.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsConfig:
    """A NATS connection. Durations in seconds, sizes in bytes.

    Attributes:
        urls: ``nats://host:port`` or ``tls://host:port``, every server of the cluster or some of them. Credentials in
            the first that has some (``user:password@`` or ``token@``, percent-encoded) count for all servers.
        user, password: credentials of the account, when it has them.
        token: an authorization token, instead of user and password.
        credentials_file: a ``.creds`` file (JWT and NKEY seed).
        tls_ca, tls_cert, tls_key: PEM files; with any of them, or a ``tls://`` URL, the connection is encrypted and
            the server's certificate verified.
        name: shown in the server's connection list.
        connect_timeout: until the first connection must stand.
        publish_timeout: how long one publish may take, reconnects included.
        request_timeout: the same for every other operation.
        retry_after: how long an unanswered publish waits before it is sent again with the same message id.
        reconnect_wait: pause between two attempts to reconnect.
        ping_interval: two unanswered pings in a row mean that the connection is dead.
        group_commit: store concurrent publishes in atomic batches. It pays where each store costs a sync of the disk
            (one sync a batch); elsewhere single messages are faster.
        max_payload_size: the largest payload the transport takes.
        max_queued_bytes: publishes waiting for the engine beyond this many payload bytes wait for their turn.
    """

    urls: tuple[str, ...] = field(repr=False)  # may hold credentials
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    credentials_file: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    name: str = "gbe"
    connect_timeout: float = 10.0
    publish_timeout: float = 10.0
    request_timeout: float = 5.0
    retry_after: float = 2.0
    reconnect_wait: float = 0.1
    ping_interval: float = 10.0
    group_commit: bool = False
    max_payload_size: int = 1024 * 1024
    max_queued_bytes: int = 64 * 1024 * 1024
    locate: Callable[[], Sequence[str]] | None = field(default=None, repr=False, compare=False)
    """Asked for the servers' URLs after each disconnect; ``None``: they stay the same."""

    def __post_init__(self) -> None:
        if not self.urls:
            raise ConfigError("nats: urls is empty; expected at least one nats://host:port")
        for url in self.urls:
            if not url.startswith(("nats://", "tls://")):
                raise ConfigError(f"nats: {url.rpartition('@')[2]!r} is not a nats:// or tls:// URL")
        if self.tls_key is not None and self.tls_cert is None:
            raise ConfigError("nats: tls_key is set without tls_cert")
        for path in (self.credentials_file, self.tls_ca, self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise ConfigError(f"nats: there is no file {path}")

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS settings, or ``None`` for a plain connection."""
        if not (self.tls_ca or self.tls_cert or any(url.startswith("tls://") for url in self.urls)):
            return None
        context = ssl.create_default_context(cafile=self.tls_ca)
        if self.tls_cert is not None:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        return context
