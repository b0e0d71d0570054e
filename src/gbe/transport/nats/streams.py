"""Streams: one per retention class, made to our configuration, found by subject."""

import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gbe.errors import StreamConfigError, StreamNotFoundError
from gbe.subjects import matches
from gbe.transport.base import StreamConfig
from gbe.transport.nats import wire
from gbe.transport.nats.connection import NatsConnection
from gbe.transport.nats.errors import STREAM_NAME_IN_USE, STREAM_NOT_FOUND, ApiError, translated

logger = logging.getLogger(__name__)

_SECOND: Final = 1_000_000_000
_CACHED_SUBJECTS: Final = 16_384


class _State(msgspec.Struct):
    messages: int = 0
    bytes: int = 0
    subjects: dict[str, int] | None = None


class _StreamInfo(msgspec.Struct):
    config: dict[str, Any]
    state: _State = msgspec.field(default_factory=_State)
    total: int = 0
    created: str = ""


class _StreamNames(msgspec.Struct):
    streams: list[str] | None = None
    total: int = 0


class StreamState(NamedTuple):
    """A stream as the engine has it."""

    config: StreamConfig
    messages: int
    bytes: int


def engine_config(config: StreamConfig) -> dict[str, Any]:
    """Our configuration in the JetStream API's words. Exact: the API refuses unknown fields since 2.12."""
    return {
        "name": config.name,
        "subjects": [*config.subjects, *(schedule_pattern(pattern) for pattern in config.subjects)],
        "retention": "limits",
        "storage": config.storage,
        "num_replicas": config.replicas,
        "max_age": round((config.max_age or 0) * _SECOND),
        "max_bytes": config.max_bytes or -1,
        "max_msgs": config.max_msgs or -1,
        "max_consumers": -1,
        "discard": "old",
        # the engine wants the window at most as long as max_age
        "duplicate_window": round(min(config.dedup_window, config.max_age or config.dedup_window) * _SECOND),
        "allow_direct": True,
        "allow_atomic": True,
        "allow_msg_ttl": True,
        "allow_msg_schedules": True,
        "republish": {"src": ">", "dest": f"{wire.STORED}.>"},
    }


def _our_config(config: Mapping[str, Any]) -> StreamConfig | None:
    """The configuration of a stream of ours in our words; ``None`` for a stream that is somebody else's."""
    if (config.get("republish") or {}).get("dest") != f"{wire.STORED}.>":
        return None
    most_bytes, most = int(config.get("max_bytes", -1)), int(config.get("max_msgs", -1))
    return StreamConfig(
        name=config["name"],
        subjects=tuple(s for s in config.get("subjects") or () if not s.startswith(f"{wire.SCHEDULED}.")),
        max_age=(config.get("max_age") or 0) / _SECOND or None,
        max_bytes=most_bytes if most_bytes > 0 else None,
        max_msgs=most if most > 0 else None,
        storage="memory" if config.get("storage") == "memory" else "file",
        replicas=config.get("num_replicas", 1),
        dedup_window=(config.get("duplicate_window") or 0) / _SECOND or 120.0,
    )


def schedule_pattern(pattern: str) -> str:
    """The subjects under which messages of ``pattern`` wait for their time: ``gbe-sched.{subject}.{id}``."""
    return f"{wire.SCHEDULED}.{pattern}" if pattern.endswith(">") else f"{wire.SCHEDULED}.{pattern}.*"


class StreamRegistry:
    """Knows which stream stores a subject; asks the engine once for what it has not seen."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._patterns: dict[str, str] = {}  # pattern → stream, of the streams met so far
        self._by_subject: dict[str, str] = {}  # bounded: topics are many
        self._configs: dict[str, StreamConfig] = {}  # of the streams that were ensured here

    async def ensure(self, config: StreamConfig) -> None:
        """Create the stream or update it to ``config``; see ``Transport.ensure_stream``."""
        wanted = engine_config(config)
        with translated(f"stream {config.name}", configuring=True):
            try:
                await self._connection.api(f"STREAM.CREATE.{config.name}", wanted)
            except ApiError as exc:
                if exc.err_code != STREAM_NAME_IN_USE:
                    raise
                await self._update(config, wanted)
        self._configs[config.name] = config
        self._by_subject.clear()
        self._patterns = {p: name for p, name in self._patterns.items() if name != config.name}
        self._patterns.update(dict.fromkeys(config.subjects, config.name))

    async def restore(self, stream: str) -> None:
        """Make a stream anew that was ensured here and has been deleted since; one that is there stays as it is.

        Raises:
            TransportUnavailableError: the engine did not answer.
        """
        config = self._configs.get(stream)
        if config is None:
            return
        with translated(f"stream {stream}"):
            try:
                await self._connection.api(f"STREAM.INFO.{stream}")
                return
            except ApiError as exc:
                if exc.err_code != STREAM_NOT_FOUND:
                    raise
        logger.warning("stream is gone, making it anew: %s", stream)
        await self.ensure(config)

    async def _update(self, config: StreamConfig, wanted: Mapping[str, Any]) -> None:
        data = await self._connection.api(f"STREAM.INFO.{config.name}")
        current = msgspec.json.decode(data, type=_StreamInfo).config
        if current.get("storage") != wanted["storage"]:
            raise StreamConfigError(
                f"stream {config.name} is stored in {current.get('storage')}, the configuration says {config.storage}: "
                "the engine cannot move a stream; keep the old value or delete the stream"
            )
        changed = {key: value for key, value in wanted.items() if current.get(key) != value}
        if changed:
            await self._connection.api(f"STREAM.UPDATE.{config.name}", {**wanted})
            logger.info("stream updated: %s", config.name, extra={"changed": sorted(changed)})

    async def of_subject(self, subject: str) -> str:
        """The stream that stores a subject (or a pattern within one stream).

        Raises:
            StreamNotFoundError: none does.
            TransportUnavailableError: the engine did not answer.
        """
        stream = self.known(subject)
        if stream is None:
            names = await self.overlapping(subject)
            if not names:
                raise StreamNotFoundError(subject)
            stream = names[0]
            await self._learn(stream)
            self._remember(subject, stream)
        return stream

    def known(self, subject: str) -> str | None:
        """As ``of_subject``, but only what is known here already."""
        stream = self._by_subject.get(subject)
        if stream is None:
            stream = next((name for pattern, name in self._patterns.items() if matches(pattern, subject)), None)
            if stream is not None:
                self._remember(subject, stream)
        return stream

    def _remember(self, subject: str, stream: str) -> None:
        if len(self._by_subject) >= _CACHED_SUBJECTS:
            self._by_subject.clear()
        self._by_subject[subject] = stream

    async def _learn(self, stream: str) -> None:
        """What else this stream stores, so that the next subject need not be asked for."""
        with translated(f"stream {stream}"):
            data = await self._connection.api(f"STREAM.INFO.{stream}")
        subjects: list[str] = msgspec.json.decode(data, type=_StreamInfo).config.get("subjects") or []
        self._patterns.update({p: stream for p in subjects if not p.startswith(f"{wire.SCHEDULED}.")})

    async def all(self) -> list[StreamConfig]:
        """The streams of ours, by name."""
        names: list[str] = []
        while True:
            with translated("streams"):
                data = await self._connection.api("STREAM.NAMES", {"offset": len(names)})
            page = msgspec.json.decode(data, type=_StreamNames)
            names += page.streams or []
            if not page.streams or len(names) >= page.total:
                break
        found: list[StreamConfig] = []
        for name in sorted(names):
            try:
                found.append((await self.state(name)).config)
            except StreamNotFoundError:  # somebody else's, or deleted meanwhile
                continue
        return found

    async def state(self, name: str) -> StreamState:
        """A stream of ours; ``StreamNotFoundError`` if there is none of this name."""
        info = await self._info(name)
        config = _our_config(info.config)
        if config is None:
            raise StreamNotFoundError(name)
        return StreamState(config, info.state.messages, info.state.bytes)

    async def created(self, name: str) -> str:
        """When a stream was made, as the engine writes it: no two of its lives begin in one nanosecond."""
        return (await self._info(name)).created

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        """The subjects of a stream that have messages, page by page as the engine gives them."""
        found: list[str] = []
        while True:
            info = await self._info(stream, {"subjects_filter": pattern, "offset": len(found)})
            page = list(info.state.subjects or ())
            found += page
            if not page or len(found) >= info.total:
                return [subject for subject in found if not subject.startswith(f"{wire.SCHEDULED}.")]

    async def _info(self, name: str, query: Mapping[str, Any] | None = None) -> _StreamInfo:
        with translated(f"stream {name}"):
            try:
                data = await self._connection.api(f"STREAM.INFO.{name}", query)
            except ApiError as exc:
                if exc.err_code == STREAM_NOT_FOUND:
                    raise StreamNotFoundError(name) from exc
                raise
        return msgspec.json.decode(data, type=_StreamInfo)

    async def overlapping(self, pattern: str) -> list[str]:
        """The streams that store any subject of a pattern."""
        with translated(f"streams of {pattern}"):
            try:
                data = await self._connection.api("STREAM.NAMES", {"subject": pattern})
            except ApiError as exc:
                if exc.err_code == STREAM_NOT_FOUND:
                    return []
                raise
        return sorted(msgspec.json.decode(data, type=_StreamNames).streams or [])

    async def required(self, pattern: str) -> list[str]:
        """``overlapping``, but an empty answer is ``StreamNotFoundError``."""
        names = await self.overlapping(pattern)
        if not names:
            raise StreamNotFoundError(pattern)
        return names
