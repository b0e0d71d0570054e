"""The sink that writes objects: to a local folder, or to an S3-compatible server.

A batch is an object under the name of its borders, created and never overwritten, read back and compared. Then its
entry goes into the manifest of its day, which is read back too. A crash in between leaves a file that the retry finds
and takes for its own: same borders, same name, same rows. A manifest is replaced only if it is still the one that was
read: an archiver that was stopped, and wakes when another one has gone on, changes nothing.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from gbe.archive import files, manifest
from gbe.archive.batch import Batch
from gbe.archive.layout import data_name, manifest_name
from gbe.archive.manifest import MAX_ENTRIES, Entry, Manifest, Mark, chained, entry_of, is_sound
from gbe.archive.rows import row_of
from gbe.archive.sink import Sink
from gbe.errors import (
    ArchiveError,
    ObjectError,
    ObjectNotFoundError,
    ObjectStoreRefusedError,
    ObjectTooLargeError,
    SinkConflictError,
    SinkRefusedError,
    SinkUnavailableError,
)
from gbe.objects.store import ObjectStore

_NO_SPACE: Final = ("os error 28", "No space left", "os error 122", "InsufficientStorage", "QuotaExceeded")
_REMEMBERED: Final = 1024  # manifests of that many subjects; of others they are read again


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A manifest, and which version of its object it was read from; ``None`` if there is none yet."""

    manifest: Manifest
    version: str | None


class ObjectSink(Sink):
    """See the module's docstring. Closes the object store that it is given."""

    def __init__(self, objects: ObjectStore, form: str = files.JSONL_GZ) -> None:
        files.check_library(form)
        self._objects, self._form = objects, form
        self._manifests: dict[str, _Chunk] = {}  # by subject: the one that is being filled
        self._doubted: dict[str, Mark] = {}  # by subject: where there was more than should be

    @property
    def where(self) -> str:
        """The folder or bucket."""
        config = self._objects.config
        return config.url + (f" at {config.endpoint}" if config.endpoint and config.kind == "s3" else "")

    async def write(self, batch: Batch, mark: bytes) -> bytes:
        """See ``Sink.write``."""
        with self._translated(batch):
            before = Mark.parse(mark)
            entry = await self._write_file(batch)
            return await self._write_entry(batch, before, entry)

    async def ping(self) -> float:
        """See ``Sink.ping``."""
        try:
            return await self._objects.ping()
        except ObjectError as exc:
            raise SinkUnavailableError(str(exc)) from exc

    async def close(self) -> None:
        """See ``Sink.close``."""
        await self._objects.close()

    # -- the file

    async def _write_file(self, batch: Batch) -> Entry:
        name = data_name(batch, self._form)
        data = await asyncio.to_thread(files.pack, batch.messages, self._form)
        created = await self._objects.create(name, data)
        stored = await self._objects.get(name)
        if stored != data:
            if created:
                raise SinkUnavailableError(f"{name}: what is read back is not what was written")
            # another version of the compressor packs the same rows otherwise; everything else is not ours
            if not await asyncio.to_thread(_has_rows, stored, batch, name):
                raise SinkConflictError(name, "its rows are not those of this batch")
        return entry_of(batch, name, stored)

    # -- its entry

    async def _write_entry(self, batch: Batch, before: Mark, entry: Entry) -> bytes:
        current = await self._chunk(batch, before)
        entry = chained(before.head, entry)
        entries = (*current.manifest.entries, entry)
        messages = sum(one.messages for one in entries)
        grown = msgspec.structs.replace(current.manifest, entries=entries, messages=messages)
        name, data = manifest_name(batch.subject, batch.day, grown.chunk), manifest.encode(grown)
        is_replaced = await self._objects.replace(name, data, current.version)
        stored, version = await self._objects.get_version(name)
        if stored != data:  # if it was not replaced, that may be our own first attempt
            self._manifests.pop(batch.subject, None)
            raise SinkUnavailableError(
                f"{name}: what is read back is not what was written"
                if is_replaced
                else f"{name}: another archiver has changed it meanwhile"
            )
        self._remember(batch.subject, _Chunk(grown, version))
        return Mark(head=entry.hash, day=batch.day, chunk=grown.chunk, entries=len(entries)).to_bytes()

    async def _chunk(self, batch: Batch, before: Mark) -> _Chunk:
        """The chunk that takes the next entry, without what a write that was not confirmed has left there."""
        if before.day != batch.day:
            return await self._free_chunk(batch, before, 0)
        if before.entries < MAX_ENTRIES:
            own = self._manifests.get(batch.subject)
            if own is not None and (own.manifest.day, own.manifest.chunk, own.manifest.head) == (
                batch.day,
                before.chunk,
                before.head,
            ):
                return own  # as it was written and compared: its hashes need not be computed again
            found = await self._read(batch, before.chunk)
            kept = None if found is None else _confirmed(found.manifest, before)
            if found is not None and kept is not None and not self._is_forged(batch, before, found.manifest):
                return _Chunk(kept, found.version)
        # a chunk that is full, or one that somebody has changed: it stays as it is, for the verification
        return await self._free_chunk(batch, before, before.chunk + 1)

    async def _free_chunk(self, batch: Batch, before: Mark, start: int) -> _Chunk:
        """The first chunk of a day that is not another batch's: clocks may have gone back to a day that was left."""
        chunk, version = start, None
        while (found := await self._read(batch, chunk)) is not None:
            other = found.manifest
            is_ours = other.previous == before.head and [one.first for one in other.entries[:1]] == [str(batch.first)]
            if is_ours and not self._is_forged(batch, before, other):
                version = found.version  # of a write that was not confirmed
                break
            chunk += 1
        empty = Manifest(
            subject=batch.subject, day=batch.day, chunk=chunk, previous=before.head, messages=0, entries=()
        )
        return _Chunk(empty, version)

    def _is_forged(self, batch: Batch, before: Mark, found: Manifest) -> bool:
        """Whether a manifest has more than the confirmed entries and the one of a write that was not confirmed.

        Another archiver may have gone on; then the state store says so, and this is not asked again.

        Raises:
            SinkUnavailableError: the first time.
        """
        is_same = (before.day, before.chunk) == (found.day, found.chunk)
        if len(found.entries) <= (before.entries if is_same else 0) + 1:
            return False
        if self._doubted.get(batch.subject) == before:
            return True
        self._doubted[batch.subject] = before
        raise SinkUnavailableError(f"{manifest_name(batch.subject, batch.day, found.chunk)}: somebody has gone on")

    async def _read(self, batch: Batch, chunk: int) -> _Chunk | None:
        name = manifest_name(batch.subject, batch.day, chunk)
        try:
            data, version = await self._objects.get_version(name)
        except ObjectNotFoundError:
            return None
        try:
            return _Chunk(manifest.decode(data, name), version)
        except ArchiveError:  # damaged: it is not overwritten
            damaged = Manifest(subject=batch.subject, day="", chunk=chunk, previous="?", messages=0, entries=())
            return _Chunk(damaged, version)

    def _remember(self, subject: str, grown: _Chunk) -> None:
        self._doubted.pop(subject, None)
        self._manifests.pop(subject, None)
        self._manifests[subject] = grown
        if len(self._manifests) > _REMEMBERED:
            self._manifests.pop(next(iter(self._manifests)))

    @contextmanager
    def _translated(self, batch: Batch) -> Iterator[None]:
        try:
            yield
        except ObjectStoreRefusedError as exc:
            raise SinkRefusedError(str(exc)) from exc
        except ObjectTooLargeError as exc:
            raise SinkRefusedError(
                f"batch of {batch.subject}: {exc}; raise objects.max_object_size or lower archive.batch_bytes"
            ) from exc
        except ObjectError as exc:
            self._manifests.pop(batch.subject, None)
            if any(word in str(exc) for word in _NO_SPACE):
                raise SinkRefusedError(f"{self.where} is full: free or add space; nothing is lost: {exc}") from exc
            raise SinkUnavailableError(str(exc)) from exc


def _confirmed(found: Manifest, before: Mark) -> Manifest | None:
    """A manifest with what is confirmed of it; ``None`` if it is not as it was written."""
    entries = found.entries[: before.entries]
    is_whole = found.day == before.day and found.chunk == before.chunk and len(entries) == before.entries > 0
    if is_whole and entries[-1].hash == before.head and is_sound(found.previous, entries):
        return msgspec.structs.replace(found, entries=entries)
    return None


def _has_rows(data: bytes, batch: Batch, name: str) -> bool:
    try:
        return files.unpack(data, name) == [row_of(message) for message in batch.messages]
    except ArchiveError:
        return False
