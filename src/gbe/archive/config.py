"""What is archived, where, and how hard to try."""

import dataclasses
from dataclasses import dataclass, field
from typing import Final

from gbe.archive.files import FORMATS
from gbe.archive.postgres.config import PostgresConfig, is_postgres_url
from gbe.errors import ConfigError, InvalidSubjectError
from gbe.objects.config import ObjectsConfig
from gbe.subjects import check_pattern, is_token

_MOST_BATCH: Final = 100_000
_LEAST_RETENTION: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveConfig:
    """An archive. Durations in seconds, sizes in bytes.

    Attributes:
        subjects: patterns without the namespace.
        group: the consumer group; archives of different groups are independent of each other.
        url: a folder, ``s3://BUCKET/PREFIX``, ``postgresql://USER:PASSWORD@HOST/DATABASE`` or ``memory``; ``None`` is
            the folder ``archive`` in the data directory.
        endpoint, region, access_key_id, secret_access_key: as for the object store, whose values count without them.
        format: of the files.
        batch_size: so many messages are written without waiting for more.
        batch_size_max: messages of one file, at most. What waits while a file is written goes into the next one
            together: fewer and larger files while the archive is behind. Not less than ``batch_size``.
        batch_bytes: payload of one file, at most, unless one message alone is larger.
        batch_timeout: a message is in the archive so long after it was published, if the sink is well.
        ack_timeout: of the consumer group: a dead archiver's messages come back after it.
        retry_backoff, retry_backoff_max: pauses while the sink fails; doubled from the one to the other.
        lag_limit: an alert is raised when the oldest message waits for longer.
        report_every: time between two reports of what was done.
        term: of the archivers' lease.
        shutdown_timeout: for what is written last when the archiver stops.
        retention: how long ``gbe archive prune`` leaves a day alone.
    """

    subjects: tuple[str, ...] = ("events.audit.*",)
    group: str = "archiver"
    url: str | None = field(default=None, repr=False)  # a database's has its password
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    format: str = "jsonl.gz"
    batch_size: int = 1000
    batch_size_max: int = 10_000
    batch_bytes: int = 8 * 1024 * 1024
    batch_timeout: float = 60.0
    ack_timeout: float = 60.0
    retry_backoff: float = 1.0
    retry_backoff_max: float = 60.0
    lag_limit: float = 600.0
    report_every: float = 60.0
    term: float = 8.0
    shutdown_timeout: float = 10.0
    retention: float = 365 * 86_400.0

    def __post_init__(self) -> None:
        if not self.subjects:
            raise ConfigError("archive.subjects is empty; name at least one pattern, or leave the role archiver out")
        for pattern in self.subjects:
            try:
                check_pattern(pattern)
            except InvalidSubjectError as exc:
                raise ConfigError(f"archive.subjects: {exc}") from None
        if not is_token(self.group) or len(self.group) > 40:
            raise ConfigError(f"archive.group is {self.group[:60]!r}; expected at most 40 letters, digits, _ and -")
        if self.url is not None and is_postgres_url(self.url):
            PostgresConfig(url=self.url)
        if self.format not in FORMATS:
            raise ConfigError(f"archive.format is {self.format!r}; expected one of {', '.join(FORMATS)}")
        for name in ("batch_size", "batch_size_max"):
            if not 1 <= getattr(self, name) <= _MOST_BATCH:
                raise ConfigError(f"archive.{name} is {getattr(self, name)}; expected 1 to {_MOST_BATCH}")
        if self.batch_bytes < 1024:
            raise ConfigError(f"archive.batch_bytes is {self.batch_bytes}; expected at least 1 KiB")
        for name in _DURATIONS:
            if getattr(self, name) <= 0:
                raise ConfigError(f"archive.{name} is {getattr(self, name):g}; expected seconds above 0")
        if self.retention < _LEAST_RETENTION:
            raise ConfigError(f"archive.retention is {self.retention:g} s; expected at least a day")

    def batch_of(self, waiting: int) -> int:
        """How many messages one file takes at most while so many wait."""
        return max(self.batch_size, min(waiting, self.batch_size_max))

    def objects(self, base: ObjectsConfig, folder: str) -> ObjectsConfig:
        """Where the archive's objects lie: ``base`` with what the archive has of its own.

        Raises:
            ConfigError: the archive is a database.
        """
        if self.url is not None and is_postgres_url(self.url):
            raise ConfigError(
                "archive.url is a PostgreSQL database, which has no files: look at its table gbe_archive with SQL"
            )
        own = ("endpoint", "region", "access_key_id", "secret_access_key")
        changes = {name: getattr(self, name) for name in own if getattr(self, name) is not None}
        return dataclasses.replace(base, url=self.url or folder, **changes)


_DURATIONS: Final = (
    "batch_timeout",
    "ack_timeout",
    "retry_backoff",
    "retry_backoff_max",
    "lag_limit",
    "report_every",
    "term",
    "shutdown_timeout",
)
