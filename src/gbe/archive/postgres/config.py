"""Where the database of the archive is."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from gbe.errors import ConfigError

_SCHEMES: Final = ("postgresql", "postgres")


def is_postgres_url(url: str) -> bool:
    """Whether a URL names a PostgreSQL database."""
    return url.partition("://")[0].lower() in _SCHEMES and "://" in url


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresConfig:
    """A PostgreSQL server, 12 or newer. Durations in seconds.

    Attributes:
        url: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, with libpq's parameters behind a ``?``, such as
            ``sslmode=verify-full``.
        connect_timeout: until a connection must stand.
        statement_timeout: until one batch must have been written.
    """

    url: str = field(repr=False)
    connect_timeout: float = 5.0
    statement_timeout: float = 60.0

    def __post_init__(self) -> None:
        if not is_postgres_url(self.url) or not urlsplit(self.url).hostname:
            raise ConfigError("archive.url: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        if self.connect_timeout < 1 or self.statement_timeout < 1:
            raise ConfigError("archive.url: connect_timeout and statement_timeout are at least 1 second")

    @property
    def shown(self) -> str:
        """The URL without user, password and parameters, for messages and logs."""
        parts = urlsplit(self.url)
        return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
