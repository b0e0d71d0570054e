"""What the archiver tells others: its confirmed position, and the payload of ``{namespace}.events.system.archive``.

The position is a field of the record ``{namespace}.state.archive.{group}.{subject}``: everything on that subject up to
it, its message included, is in the archive. Who removes messages asks it first.

The record ``{namespace}.state.archives`` names every archive of the deployment: a field for each group, with the
patterns that it archives. It is written before anything is archived, and stays while no archiver runs.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from gbe.schemas.fields import Count, Moment, PayloadId, Version

VERSION: Final = 1
POSITION: Final = "position"
"""The field that holds ``str(Position)``."""
LIFE: Final = "life"
"""The field that names the stream in which that position lies, where positions of another one would look the same."""

_MAX_KEY: Final = 255
_MAX_TOKEN: Final = 128


def archives_key(namespace: str) -> str:
    """The record of all archives."""
    return f"{namespace}.state.archives"


class ArchiveRule(msgspec.Struct, frozen=True):
    """One archive: its consumer group, and the patterns that it archives, with the namespace."""

    group: str
    patterns: tuple[str, ...]

    def to_field(self) -> dict[str, bytes]:
        """As a field of the record."""
        return {self.group: msgspec.json.encode(self.patterns)}


def archives_of(fields: Mapping[str, bytes] | None) -> list[ArchiveRule]:
    """All archives of the record; ``ValueError`` names one that cannot be read: it must not count as nothing."""
    rules: list[ArchiveRule] = []
    for group, raw in sorted((fields or {}).items()):
        try:
            rules.append(ArchiveRule(group, msgspec.json.decode(raw, type=tuple[str, ...])))
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise ValueError(f"the record of the archive {group} cannot be read: {exc}") from None
    return rules


def progress_prefix(namespace: str, group: str) -> str:
    """What the keys of all subjects of one archive begin with."""
    return f"{namespace}.state.archive.{group}"


def progress_key(namespace: str, group: str, subject: str) -> str:
    """The record of a subject; one that is too long for a key is named by its hash, and the record has it in full."""
    key = f"{progress_prefix(namespace, group)}.{subject}"
    if len(key) <= _MAX_KEY and max(map(len, subject.split("."))) <= _MAX_TOKEN:
        return key
    return f"{progress_prefix(namespace, group)}._long.{hashlib.sha256(subject.encode()).hexdigest()}"


def pruned_days_key(namespace: str, group: str) -> str:
    """The record of the days that were pruned from an archive in a database."""
    return f"{namespace}.state.archive-pruned.{group}"


def confirmed_position(fields: Mapping[str, bytes] | None) -> str | None:
    """The position, as ``str(Position)``; ``None`` if nothing of the subject is archived yet."""
    found = (fields or {}).get(POSITION)
    return None if found is None else found.decode()


def confirmed_life(fields: Mapping[str, bytes] | None) -> str:
    """The life of the stream that the position lies in (``Transport.stream_life``), ``""`` where it does not matter."""
    return (fields or {}).get(LIFE, b"").decode()


class ArchiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an archiver did since its last report.

    Attributes:
        ts, id: when (unix ms), and which report it was.
        archiver: who.
        sink: where it writes.
        batches, messages, payload_bytes: confirmed.
        failures: batches that could not be written, and are written again.
        waiting: messages handed to it that are not in the archive yet.
        oldest_ms: age of the oldest of those.
    """

    v: Version = VERSION
    ts: Moment
    id: PayloadId
    archiver: str
    sink: str
    batches: Count = 0
    messages: Count = 0
    payload_bytes: Count = 0
    failures: Count = 0
    waiting: Count = 0
    oldest_ms: Count = 0


_encoder: Final = msgspec.json.Encoder()


def encode(report: ArchiveReport) -> bytes:
    """The report as JSON."""
    return _encoder.encode(report)
