"""How the HTTP server listens, and what it lets a client take of it."""

from dataclasses import dataclass, field

from gbe.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """The HTTP server. Durations in seconds, sizes in bytes.

    Raises:
        ConfigError: a value out of range; the text names key and value and says what is accepted.
    """

    max_header_bytes: int = 64 * 1024
    """Request line and headers together; more is answered with 431 before the rest is read."""

    header_timeout: float = 15.0
    """How long a client may take for request line and headers."""

    body_timeout: float = 30.0
    """How long a client may take for a body; one that is larger, until the next 64 KiB of it are there."""

    keep_alive_timeout: float = 75.0
    """How long an idle connection is kept for the next request."""

    dead_peer_timeout: float = 60.0
    """How long sent bytes may stay unacknowledged before the connection counts as dead."""

    pong_timeout: float = 15.0
    """How long the client of a WebSocket may take to answer a ping before it is disconnected."""

    shutdown_timeout: float = 10.0
    """How long requests under way may take to finish when the server stops."""

    publish_timeout: float = 5.0
    """How long a publish waits for the engine before it is answered with 503."""

    event_streams: int = 200
    """Streams of events (``/v1/events/…``) that each process keeps open at once; one more is answered with 429."""

    slow_reader_timeout: float = 30.0
    """How long the client of a stream of events may leave what was sent unread before it is disconnected."""

    backlog: int = 2048
    """Connections that may wait to be accepted."""

    metrics: bool = True
    """Whether ``/metrics`` is served."""

    api_token: str | None = field(default=None, repr=False)
    """What clients of the JSON APIs send as bearer token; without it they must be on this machine."""

    def __post_init__(self) -> None:
        if not 1024 <= self.max_header_bytes <= 1024 * 1024:
            raise ConfigError(f"http.max_header_bytes is {self.max_header_bytes}; accepted: 1024 to 1048576 bytes")
        for key in (
            "header_timeout",
            "body_timeout",
            "keep_alive_timeout",
            "dead_peer_timeout",
            "pong_timeout",
            "shutdown_timeout",
            "publish_timeout",
            "slow_reader_timeout",
        ):
            if not getattr(self, key) > 0:
                raise ConfigError(f"http.{key} is {getattr(self, key)}; accepted: seconds above 0")
        if self.api_token is not None and len(self.api_token) < 16:
            raise ConfigError("http.api_token is too short; accepted: at least 16 characters")
        if self.event_streams < 1:
            raise ConfigError(f"http.event_streams is {self.event_streams}; accepted: at least 1")
        if self.backlog < 1:
            raise ConfigError(f"http.backlog is {self.backlog}; accepted: at least 1")
