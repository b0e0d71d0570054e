"""Names in an archive of objects.

``archive/domain={domain}/subject={subject}/dt={YYYY-MM-DD}/{first}_{last}.jsonl.gz`` holds a batch. Positions are
padded so that names sort as the stream does: ``{major:020}-{minor:010}``.

Positions begin again in a stream that was deleted and made anew: then the name begins with ``g{generation:04}_``.

``manifest/domain={domain}/subject={subject}/dt={YYYY-MM-DD}/{chunk:06}.json`` says what must be there; not below
``archive/``, where query engines would take it for data.

A subject that is too long for a folder's name is cut, and ends in a hash of the whole: ``rows`` carry it in full.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from gbe.archive.batch import Batch, domain_of
from gbe.transport.base import Position

DATA: Final = "archive"
MANIFESTS: Final = "manifest"
_MAX_SUBJECT: Final = 180
_MAX_DOMAIN: Final = 100
_CUT: Final = re.compile(r"-[0-9a-f]{32}\Z")

_FOLDER: Final = r"domain=(?P<domain>[^/]+)/subject=(?P<subject>[^/]+)/dt=(?P<day>\d{4}-\d\d-\d\d)"
_FILE: Final = re.compile(
    rf"{DATA}/{_FOLDER}/(?:g(?P<generation>\d{{4,}})_)?(?P<a>\d{{20}})-(?P<b>\d{{10,}})_(?P<c>\d{{20}})-(?P<d>\d{{10,}})\.(?P<format>[a-z.]+)\Z"
)
_MANIFEST: Final = re.compile(rf"{MANIFESTS}/{_FOLDER}/(?P<chunk>\d{{6,}})\.json\Z")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of rows, read from its name. ``subject`` is as the folder has it: see the module's docstring."""

    name: str
    domain: str
    subject: str
    day: str
    first: Position
    last: Position
    format: str
    generation: int = 0

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """What a name says; ``None`` if it is no data file's."""
        found = _FILE.match(name)
        if found is None:
            return None
        first, last = (
            Position(int(found["a"]), int(found["b"])),
            Position(int(found["c"]), int(found["d"])),
        )
        generation = int(found["generation"] or 0)
        return cls(name, found["domain"], found["subject"], found["day"], first, last, found["format"], generation)


@dataclass(frozen=True, slots=True, order=True)
class ManifestFile:
    """A manifest, read from its name; they sort in the order of the hash chain within a subject."""

    domain: str
    subject: str
    day: str
    chunk: int
    name: str

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """What a name says; ``None`` if it is no manifest's."""
        found = _MANIFEST.match(name)
        if found is None:
            return None
        return cls(found["domain"], found["subject"], found["day"], int(found["chunk"]), name)


def subject_segment(subject: str) -> str:
    """A subject as part of a folder's name."""
    if len(subject) <= _MAX_SUBJECT:
        return subject
    return f"{subject[: _MAX_SUBJECT - 33]}-{hashlib.sha256(subject.encode()).hexdigest()[:32]}"


def is_cut(segment: str) -> bool:
    """Whether a folder's subject may be the beginning of a longer one: its rows have the whole."""
    return _CUT.search(segment) is not None


def folder(root: str, subject: str, day: str | None = None) -> str:
    """Where the files of a subject lie, or of one of its days; ``root`` is ``DATA`` or ``MANIFESTS``."""
    whole = f"{root}/domain={domain_of(subject)[:_MAX_DOMAIN]}/subject={subject_segment(subject)}"
    return whole if day is None else f"{whole}/dt={day}"


def data_name(batch: Batch, extension: str) -> str:
    """The name of a batch's file: the same for the same batch."""
    borders = f"{_padded(batch.first)}_{_padded(batch.last)}"
    generation = f"g{batch.generation:04}_" if batch.generation else ""
    return f"{folder(DATA, batch.subject, batch.day)}/{generation}{borders}.{extension}"


def manifest_name(subject: str, day: str, chunk: int) -> str:
    """The name of one of a day's manifests."""
    return f"{folder(MANIFESTS, subject, day)}/{chunk:06}.json"


def _padded(position: Position) -> str:
    return f"{position.major:020}-{position.minor:010}"
