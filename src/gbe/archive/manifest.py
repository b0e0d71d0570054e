"""Manifests: what must be in the archive, chained by hashes. Pure; no I/O.

Each entry's ``hash`` is the SHA-256 of the hash before it, a newline, and the entry's canonical JSON without its hash.
The chain of a subject runs through all its days; a manifest is a chunk of it, with the hash before its first entry.
So an entry that is changed, left out or put in shows, and the last hash, which the state store keeps too, vouches for
everything before it.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from gbe.archive.batch import Batch
from gbe.errors import ArchiveError

VERSION: Final = 1
MAX_ENTRIES: Final = 256
"""Of one chunk: a chunk is written anew with each batch, so this bounds what a batch costs."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of rows.

    Attributes:
        file: its name in the object store.
        first, last: positions of its first and last message.
        messages: how many it holds.
        size: of the file in bytes.
        sha256: of the file.
        hash: of the chain up to here.
    """

    file: str
    first: str
    last: str
    messages: int
    size: int
    sha256: str
    hash: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk of one subject's and day's chain; ``previous`` is the hash before its first entry, empty at the start."""

    v: int = VERSION
    subject: str
    day: str
    chunk: int
    previous: str
    messages: int
    entries: tuple[Entry, ...]

    @property
    def head(self) -> str:
        """The hash behind its last entry."""
        return self.entries[-1].hash if self.entries else self.previous


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Where a subject's chain stands: what the state store keeps for the sink."""

    head: str = ""
    day: str = ""
    chunk: int = 0
    entries: int = 0

    @classmethod
    def parse(cls, mark: bytes) -> "Mark":
        """Read what ``to_bytes`` wrote; ``b""`` is the start. Raises ``ArchiveError``."""
        try:
            return msgspec.json.decode(mark, type=cls) if mark else cls()
        except msgspec.MsgspecError as exc:
            raise ArchiveError(f"the mark of an archive cannot be read: {exc}") from None

    def to_bytes(self) -> bytes:
        """As it is kept."""
        return msgspec.json.encode(self)


def entry_of(batch: Batch, file: str, data: bytes) -> Entry:
    """A batch as an entry that has no place in a chain yet. ``data`` is what is hashed, and stored as ``file``."""
    return Entry(
        file=file,
        first=str(batch.first),
        last=str(batch.last),
        messages=len(batch.messages),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def chained(previous: str, entry: Entry) -> Entry:
    """The entry with its hash."""
    bare = msgspec.structs.replace(entry, hash="")
    digest = hashlib.sha256(previous.encode() + b"\n" + msgspec.json.encode(bare)).hexdigest()
    return msgspec.structs.replace(entry, hash=digest)


def is_sound(previous: str, entries: Sequence[Entry]) -> bool:
    """Whether each entry has the hash that follows from those before it."""
    for entry in entries:
        if chained(previous, entry) != entry:
            return False
        previous = entry.hash
    return True


def encode(manifest: Manifest) -> bytes:
    """As it is stored: JSON that people can read too."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(data: bytes, where: str) -> Manifest:
    """Read what ``encode`` wrote; raises ``ArchiveError``."""
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as exc:
        raise ArchiveError(f"{where} is not a manifest: {exc}") from None
