"""Where objects lie, and how hard to try."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from gbe.errors import ConfigError, InvalidObjectNameError
from gbe.objects.names import check_name

ObjectsKind = Literal["local", "memory", "s3"]

_MOST_THRESHOLD: Final = 128 * 1024  # of two such values beside a record's other fields


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsConfig:
    """An object store. Durations in seconds, sizes in bytes.

    Attributes:
        url: a folder's path (or ``file:///…``), ``memory``, or ``s3://bucket`` with a prefix behind it or without.
        endpoint: ``https://host:port`` of an S3-compatible server that is not Amazon's.
        region: of the bucket.
        access_key_id, secret_access_key, session_token: credentials; without them those of the environment, the
            container or the machine are used, as the AWS tools do.
        ca_file: PEM file of the authority that signed the endpoint's certificate.
        timeout: until one request must have been answered, retries included.
        max_object_size: the largest object that is written, or read into memory.
        threshold: parameters and results above so many bytes go into the object store.
    """

    url: str = "memory"
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout: float = 30.0
    max_object_size: int = 64 * 1024 * 1024
    threshold: int = 64 * 1024

    def __post_init__(self) -> None:
        if self.kind == "s3":
            parts = urlsplit(self.url)
            if not parts.hostname or parts.username or parts.query or parts.fragment:
                raise ConfigError(f"objects.url is {_shown(self.url)!r}; expected s3://BUCKET or s3://BUCKET/PREFIX")
            try:
                check_name(f"p{parts.path.rstrip('/')}")
            except InvalidObjectNameError as exc:
                raise ConfigError(f"objects.url: the prefix is no name of objects: {exc.reason}") from None
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"objects.endpoint is {_shown(self.endpoint)!r}; expected http://HOST or https://HOST")
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ConfigError("objects: access_key_id and secret_access_key belong together; one of them is missing")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ConfigError(f"objects.ca_file: there is no file {self.ca_file}")
        if self.timeout <= 0:
            raise ConfigError(f"objects.timeout is {self.timeout}; expected seconds above 0")
        if self.max_object_size < 1024:
            raise ConfigError(f"objects.max_object_size is {self.max_object_size}; expected at least 1 KiB")
        if not 0 <= self.threshold <= _MOST_THRESHOLD:
            raise ConfigError(f"objects.threshold is {self.threshold}; expected 0 to {_MOST_THRESHOLD // 1024} KiB")

    @property
    def kind(self) -> ObjectsKind:
        """Which back end ``url`` names."""
        if self.url == "memory":
            return "memory"
        scheme, separator, _ = self.url.partition("://")
        if not separator or scheme == "file":
            return "local"
        if scheme == "s3":
            return "s3"
        raise ConfigError(f"objects.url is {_shown(self.url)!r}; expected a folder, memory, or s3://BUCKET/PREFIX")

    @property
    def folder(self) -> Path:
        """The folder of a local store."""
        return Path(self.url.removeprefix("file://")).expanduser()


def _shown(url: str) -> str:
    """A URL without the part that may hold a password."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
