"""The effective configuration: every part's own, composed of what file, environment and flags say."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from gbe.archive.config import ArchiveConfig
from gbe.config.keys import BY_NAME, KEYS, ROLES
from gbe.config.secrets import without_secrets
from gbe.config.sources import DEFAULT_FILE, InFile, read_environment, read_file
from gbe.config.streams import configured_streams
from gbe.errors import ConfigError
from gbe.http.config import HttpConfig
from gbe.jobs.config import OrchestratorConfig
from gbe.lifecycle.configured import Configured
from gbe.logs import LogConfig
from gbe.notify.access.config import AccessConfig
from gbe.notify.config import NotifyConfig
from gbe.objects.config import ObjectsConfig
from gbe.redis.config import RedisConfig, is_redis_url
from gbe.schedules.config import SchedulerConfig
from gbe.state.base import StateConfig
from gbe.subjects import is_token
from gbe.sweeper.config import SweeperConfig
from gbe.tasks.config import WorkerConfig
from gbe.transport.base import StreamConfig
from gbe.transport.embedded import EmbeddedConfig
from gbe.transport.nats.config import NatsConfig

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
    in_file = read_file(file)
    warnings = list(in_file.warnings)
    values: dict[str, object] = {key.name: key.default for key in KEYS}
    values |= in_file.values
    values |= read_environment(os.environ if environment is None else environment, warnings)
    for name, given in (flags or {}).items():
        if given is not None:
            values[name] = BY_NAME[name].parse(given, f"--{name.replace('_', '-')}")
    return _compose(values, in_file, (file or DEFAULT_FILE).absolute(), tuple(warnings))


def read_tasks(file: Path) -> Mapping[str, Mapping[str, object]]:
    """The task types of a configuration file; the whole file is checked.

    Raises:
        ConfigError: it is not there, or something in it cannot be used.
    """
    return read_file(file).tasks


def _compose(values: Mapping[str, object], in_file: InFile, file: Path, warnings: tuple[str, ...]) -> Settings:
    def section(prefix: str) -> dict[str, Any]:
        start = f"{prefix}."
        return {name[len(start) :]: value for name, value in values.items() if name.startswith(start)}

    namespace, transport = _namespace(values), str(values["transport"])
    _check_engine("transport", transport)
    host, port = _listen(str(values["listen"]))
    try:
        embedded = EmbeddedConfig(**section("embedded"))
    except ConfigError as exc:
        raise ConfigError(f"embedded.{exc}") from exc
    notify_values = section("notify")
    access = AccessConfig(**{each.name: notify_values.pop(each.name) for each in dataclasses.fields(AccessConfig)})
    notify = NotifyConfig(**notify_values)
    nats, redis = section("nats"), section("redis")
    state = section("state")
    state_engine, state_replicas = str(state.pop("engine") or transport), int(state.pop("replicas"))
    _check_engine("state.engine", state_engine)
    if not 1 <= state_replicas <= 5:
        raise ConfigError(f"state.replicas is {state_replicas}; expected 1 to 5")
    _check_connections(nats, redis, (transport, state_engine))
    data_dir = Path(str(values["data_dir"]))
    objects = section("objects")
    return Settings(
        namespace=namespace,
        data_dir=data_dir,
        transport=transport,
        host=host,
        port=port,
        roles=_roles(values["roles"]),
        workers=_workers(values, transport),
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
        streams=configured_streams(namespace, notify, in_file.streams),
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


def _namespace(values: Mapping[str, object]) -> str:
    namespace = str(values["namespace"])
    if not is_token(namespace):
        raise ConfigError(f"namespace is {namespace!r}; expected letters, digits, _ and -")
    return namespace


def _workers(values: Mapping[str, object], transport: str) -> int:
    workers = int(str(values["workers"]))
    if not 1 <= workers <= 256:
        raise ConfigError(f"workers is {workers}; expected 1 to 256")
    if workers > 1 and transport == "memory":
        raise ConfigError("workers is more than 1, but transport is memory, which lives in one process")
    return workers


def _check_connections(nats: Mapping[str, Any], redis: Mapping[str, Any], engines: tuple[str, ...]) -> None:
    """Raise ``ConfigError`` for settings that no connection can have, whichever engine is in use."""
    NatsConfig(urls=("nats://127.0.0.1",), **nats)
    # the authority and the certificate go with a URL of rediss:// only, so without one they are not looked at
    for url in [engine for engine in engines if is_redis_url(engine)] or ["rediss://127.0.0.1"]:
        RedisConfig(url=url, **redis)


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
