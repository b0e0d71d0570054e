"""Retention of each stream: what is configured, what operators have changed since, and what the engine is told of it.

An operator's change is a record of the state store, ``{namespace}.state.streams.{stream}``, and prevails over the
configuration of every process. An engine that applies limits knows nothing of archives and, on Redis, nothing of what
groups have still to do. So where that matters its own limits are lifted, and ``Retention`` removes in its place.
"""

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from gbe.errors import ConfigError, StreamNotFoundError, UnknownStreamError
from gbe.schemas.archive import ArchiveRule, archives_key, archives_of
from gbe.state.base import StateStore
from gbe.subjects import matches, overlaps
from gbe.transport.base import Membership, StreamConfig, StreamFigures, Transport

logger = logging.getLogger(__name__)

LIMITS: Final = ("max_age", "max_bytes", "max_msgs")
"""What operators may change. Seconds, bytes and messages."""
_CHANGES: Final = "limits"


@dataclass(frozen=True, slots=True)
class StreamView:
    """One stream, as retention sees it.

    Attributes:
        config: the limits that count.
        changed: the names of the limits that operators have set.
        archives: whose messages may not go before they are archived.
        is_swept: whether the sweeper applies the limits, and not the engine.
        groups: what consumes from it.
    """

    config: StreamConfig
    changed: tuple[str, ...]
    archives: tuple[ArchiveRule, ...]
    is_swept: bool
    groups: tuple[Membership, ...]

    @property
    def archived(self) -> tuple[str, ...]:
        """Patterns of which nothing may go that is not in the archive."""
        covered = {pattern for rule in self.archives for pattern in rule.patterns}
        return tuple(sorted(p for p in covered if any(overlaps(own, p) for own in self.config.subjects)))

    def groups_archiving(self, subject: str) -> list[str]:
        """The archives of a subject."""
        return [rule.group for rule in self.archives if any(matches(pattern, subject) for pattern in rule.patterns)]

    @property
    def native(self) -> StreamConfig:
        """What the engine is told."""
        if self.archives:
            return dataclasses.replace(self.config, max_age=None, max_bytes=None, max_msgs=None)
        return dataclasses.replace(self.config, max_age=None) if self.is_swept else self.config


class GroupView(msgspec.Struct, frozen=True):
    """A group that consumes from a stream; the figures are those of its whole pattern.

    Attributes:
        oldest_age: seconds since the oldest message that it has to do was stored.
    """

    group: str
    pattern: str
    pending: int
    unacknowledged: int
    oldest_age: float | None


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """A stream for operators: what it holds, what it keeps, and who consumes from it.

    Attributes:
        name: without the namespace; subjects have it.
        oldest: when the oldest message was stored, unix milliseconds.
        max_age, max_bytes, max_msgs: seconds, bytes and messages; ``None`` is no limit.
        changed: the limits that operators have set.
        archived: patterns of which nothing goes that is not in the archive.
        kept_by: ``engine`` or ``sweeper``: who removes what is too much.
    """

    name: str
    subjects: tuple[str, ...]
    messages: int
    bytes: int
    oldest: int | None
    max_age: float | None
    max_bytes: int | None
    max_msgs: int | None
    changed: tuple[str, ...]
    archived: tuple[str, ...]
    kept_by: Literal["engine", "sweeper"]
    groups: list[GroupView]


class Streams:
    """The streams of a deployment.

    Args:
        state: where operators' changes lie; ``None`` where everything lives in one process.
        configured: the streams of the configuration.
        archive: what an archiver of this program archives; ``ensure`` writes it down for the whole deployment. Other
            programs find it there, whatever they know.
    """

    def __init__(
        self,
        transport: Transport,
        state: StateStore | None,
        namespace: str,
        configured: Sequence[StreamConfig],
        archive: ArchiveRule | None = None,
    ) -> None:
        self.transport, self.state, self.namespace, self.archive = transport, state, namespace, archive
        self._configured = {config.name: config for config in configured}

    @property
    def names(self) -> list[str]:
        """Of the streams of the configuration."""
        return list(self._configured)

    async def ensure(self) -> None:
        """Make every stream, or bring it to its limits. Raises as ``ensure_stream``, and ``StateError``."""
        if self.state is not None and self.archive is not None:
            await self.state.set_fields(archives_key(self.namespace), self.archive.to_field())
        for name in self._configured:
            view = await self.view(name)
            await self.transport.ensure_stream(view.native)

    async def view(self, name: str) -> StreamView:
        """A stream with the limits that count now; raises ``UnknownStreamError``."""
        config = self._configured.get(name)
        if config is None:
            raise UnknownStreamError(name, self.short_names())
        changes = await self._changes(name)
        try:
            effective = dataclasses.replace(config, **changes)
        except (ConfigError, TypeError) as exc:  # written by another version
            logger.warning("changed limits left alone: %s", exc, extra={"stream": name})
            effective, changes = config, {}
        try:
            groups = tuple(await self.transport.memberships(name))
        except StreamNotFoundError:  # it is made now
            groups = ()
        archives = await self._archives(config)
        is_swept = bool(archives) or (not self.transport.native_retention and bool(groups))
        return StreamView(effective, tuple(sorted(changes)), archives, is_swept, groups)

    async def _archives(self, config: StreamConfig) -> tuple[ArchiveRule, ...]:
        if self.state is None:
            return ()
        try:
            rules = archives_of(await self.state.get(archives_key(self.namespace)))
        except ValueError as exc:
            raise ConfigError(f"{archives_key(self.namespace)}: {exc}; `gbe archiver` writes it anew") from None
        return tuple(
            rule
            for rule in rules
            if any(overlaps(own, pattern) for own in config.subjects for pattern in rule.patterns)
        )

    async def release(self, group: str) -> None:
        """Archive no more: what an archive has not confirmed may go from now on, by age and size as anything else."""
        if self.state is not None:
            await self.state.update_if(archives_key(self.namespace), {}, {group: None})
        await self.ensure()

    async def report(self, name: str) -> StreamReport:
        """A stream for operators; raises ``UnknownStreamError``, and as the transport does."""
        view = await self.view(name)
        config, figures = view.config, await self.figures(name)
        return StreamReport(
            name=name.removeprefix(f"{self.namespace}-"),
            subjects=config.subjects,
            messages=figures.messages,
            bytes=figures.bytes,
            oldest=figures.oldest,
            max_age=config.max_age,
            max_bytes=config.max_bytes,
            max_msgs=config.max_msgs,
            changed=view.changed,
            archived=view.archived,
            kept_by="sweeper" if view.is_swept else "engine",
            groups=await self.groups(view),
        )

    async def reports(self) -> list[StreamReport]:
        """All of them, in the order of the configuration."""
        return [await self.report(name) for name in self._configured]

    async def figures(self, name: str) -> StreamFigures:
        """What a stream holds; raises ``StreamNotFoundError``."""
        return await self.transport.stream_figures(name)

    async def groups(self, view: StreamView) -> list[GroupView]:
        """How far each group of a stream is behind."""
        found: list[GroupView] = []
        for known in sorted(view.groups, key=lambda known: (known.group, known.pattern)):
            lag = await self.transport.lag(known.pattern, known.group)
            found.append(GroupView(known.group, known.pattern, lag.pending, lag.unacknowledged, lag.oldest_age))
        return found

    # -- names

    def short_names(self) -> list[str]:
        """The names of all streams as the configuration has them: without the namespace."""
        return [name.removeprefix(f"{self.namespace}-") for name in self._configured]

    def find(self, text: str) -> str:
        """The stream that is meant by its name or by one of its patterns, each with the namespace or without.

        Raises:
            UnknownStreamError: none is, or only a part of one.
        """
        for name in (text, f"{self.namespace}-{text}"):
            if name in self._configured:
                return name
        wanted = {text, f"{self.namespace}.{text}"}
        for name, config in self._configured.items():
            if wanted & set(config.subjects):
                return name
        narrower = [
            name
            for name, config in self._configured.items()
            if any(_within(p, w) for p in config.subjects for w in wanted)
        ]
        part = narrower[0].removeprefix(f"{self.namespace}-") if narrower else None
        raise UnknownStreamError(text, self.short_names(), part_of=part)

    # -- changes

    async def change(
        self, name: str, changes: Mapping[str, float | int | None], reset: Iterable[str] = ()
    ) -> StreamView:
        """Set limits for the whole deployment; the engine has them when this returns.

        Args:
            changes: by name of the limit; ``None`` is no limit.
            reset: limits that are taken back to what is configured.

        Raises:
            ConfigError: a limit that cannot be, or there is no state store to keep it in.
            UnknownStreamError, StateError, TransportError: nothing, or not all, has been changed; safe to repeat.
        """
        if self.state is None:
            raise ConfigError("limits cannot be changed while everything lives in memory; change the configuration")
        config = self._configured.get(name)
        if config is None:
            raise UnknownStreamError(name, self.short_names())
        after = {**await self._changes(name), **changes}
        for limit in reset:
            after.pop(limit, None)
        dataclasses.replace(config, **after)
        if after:
            await self.state.put(self._key(name), {_CHANGES: msgspec.json.encode(after)})
        else:
            await self.state.delete(self._key(name))
        view = await self.view(name)
        await self.transport.ensure_stream(view.native)
        logger.info("limits of a stream changed", extra={"stream": name, "changed": after})
        return view

    def _key(self, name: str) -> str:
        return f"{self.namespace}.state.streams.{name}"

    async def _changes(self, name: str) -> dict[str, Any]:
        if self.state is None:
            return {}
        raw = await self.state.get_field(self._key(name), _CHANGES)
        if raw is None:
            return {}
        try:
            found = msgspec.json.decode(raw, type=dict[str, int | float | None])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            logger.warning("changed limits cannot be read", extra={"stream": name})
            return {}
        return {limit: value for limit, value in found.items() if limit in LIMITS}


def _within(pattern: str, text: str) -> bool:
    """Whether a text, a subject or a pattern itself, names a part of what a pattern covers."""
    plain = text.replace("*", "x").replace(">", "x")
    return all(plain.split(".")) and matches(pattern, plain)
