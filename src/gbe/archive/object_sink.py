"""The sink that writes objects: to a local folder, or to an S3-compatible server.

A batch is an object under the name of its borders, created and never overwritten, read back and compared. Then its
entry goes into the manifest of its day, which is read back too. A crash in between leaves a file that the retry finds
and takes for its own: same borders, same name, same rows.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gbe.archive import files, manifest
from gbe.archive.batch import Batch
from gbe.archive.layout import data_name, manifest_name
from gbe.archive.manifest import MAX_ENTRIES, Entry, Manifest, Mark, chained, is_sound
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


class ObjectSink(Sink):
    """See the module's docstring. Closes the object store that it is given."""

    def __init__(self, objects: ObjectStore, form: str = files.JSONL_GZ) -> None:
        files.check_library(form)
        self._objects, self._form = objects, form
        self._manifests: dict[str, Manifest] = {}  # by subject: the one that is being filled

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
        return Entry(
            file=name,
            first=str(batch.first),
            last=str(batch.last),
            messages=len(batch.messages),
            size=len(stored),
            sha256=hashlib.sha256(stored).hexdigest(),
        )

    # -- its entry

    async def _write_entry(self, batch: Batch, before: Mark, entry: Entry) -> bytes:
        current = await self._manifest(batch, before)
        entry = chained(before.head, entry)
        entries = (*current.entries, entry)
        grown = Manifest(
            subject=batch.subject,
            day=batch.day,
            chunk=current.chunk,
            previous=current.previous,
            messages=sum(one.messages for one in entries),
            entries=entries,
        )
        name, data = manifest_name(batch.subject, batch.day, grown.chunk), manifest.encode(grown)
        await self._objects.put(name, data)
        if await self._objects.get(name) != data:
            raise SinkUnavailableError(f"{name}: what is read back is not what was written")
        self._remember(batch.subject, grown)
        return Mark(head=entry.hash, day=batch.day, chunk=grown.chunk, entries=len(entries)).to_bytes()

    async def _manifest(self, batch: Batch, before: Mark) -> Manifest:
        """The chunk that takes the next entry, without what a write that was not confirmed has left there."""
        if before.day == batch.day and before.entries < MAX_ENTRIES:
            own = self._manifests.get(batch.subject)
            if own is not None and (own.day, own.chunk, own.head) == (batch.day, before.chunk, before.head):
                return own  # as it was written and compared: its hashes need not be computed again
            found = await self._read(batch, before.chunk)
            if found is not None and (found.day, found.chunk) == (batch.day, before.chunk):
                entries = found.entries[: before.entries]
                sound = is_sound(found.previous, entries)
                if sound and len(entries) == before.entries and entries[-1].hash == before.head:
                    return Manifest(
                        subject=batch.subject,
                        day=batch.day,
                        chunk=found.chunk,
                        previous=found.previous,
                        messages=0,
                        entries=entries,
                    )
        # a new day, a chunk that is full, or one that somebody has changed: it stays as it is, for the verification
        chunk = before.chunk + 1 if before.day == batch.day else await self._free_chunk(batch)
        return Manifest(subject=batch.subject, day=batch.day, chunk=chunk, previous=before.head, messages=0, entries=())

    async def _free_chunk(self, batch: Batch) -> int:
        """The first chunk of a day that is not another batch's: clocks may have gone back to a day that was left."""
        chunk = 0
        while (found := await self._read(batch, chunk)) is not None:
            if found.entries and found.entries[0].first == str(batch.first):
                break  # ours, of a write that was not confirmed
            chunk += 1
        return chunk

    async def _read(self, batch: Batch, chunk: int) -> Manifest | None:
        name = manifest_name(batch.subject, batch.day, chunk)
        try:
            return manifest.decode(await self._objects.get(name), name)
        except ObjectNotFoundError:
            return None
        except ArchiveError:  # damaged: it is not overwritten
            return Manifest(subject=batch.subject, day="", chunk=chunk, previous="", messages=0, entries=())

    def _remember(self, subject: str, grown: Manifest) -> None:
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


def _has_rows(data: bytes, batch: Batch, name: str) -> bool:
    try:
        return files.unpack(data, name) == [row_of(message) for message in batch.messages]
    except ArchiveError:
        return False
