"""Cold retention: whole chunks at the old end of each subject's chain, and nothing that is younger."""

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gbe.archive import manifest
from gbe.archive.layout import MANIFESTS, ManifestFile
from gbe.archive.manifest import Manifest
from gbe.archive.progress import Progress
from gbe.errors import ArchiveError, ObjectNotFoundError
from gbe.objects.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Old:
    """A chunk that may go: its manifest's name, the subject and day, and what it lists."""

    name: str
    manifest: Manifest

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(entry.size for entry in self.manifest.entries)


async def find_old(objects: ObjectStore, progress: Progress, before_ms: int) -> AsyncIterator[Old]:
    """What lies at the old end of each chain, of a day that had ended, and was written, before a moment (unix ms).

    The newest chunk of a chain stays in any case: the next batch follows on it.
    """
    pruned = {subject: point.pruned async for subject, point in progress.all()}
    newest_day = dt.datetime.fromtimestamp(before_ms / 1000, dt.UTC).date().isoformat()
    chains: dict[str, dict[str, tuple[str, Manifest, int]]] = {}
    async for info in objects.list(MANIFESTS):
        if ManifestFile.parse(info.name) is None:
            continue
        try:
            found = manifest.decode(await objects.get(info.name), info.name)
        except (ArchiveError, ObjectNotFoundError):
            continue  # what is damaged stays, for the verification
        chains.setdefault(found.subject, {})[found.previous] = (info.name, found, info.modified_ms)
    for subject, chain in chains.items():
        hash_before = pruned.get(subject, "")
        while len(chain) > 1 and hash_before in chain:
            name, found, modified = chain.pop(hash_before)
            if found.day >= newest_day or modified >= before_ms or not found.entries:
                break
            yield Old(name, found)
            hash_before = found.head


async def remove(objects: ObjectStore, progress: Progress, old: Old) -> None:
    """Remove a chunk, its files first; a crash in between is made good by doing it again."""
    for entry in old.manifest.entries:
        await objects.delete(entry.file)
    await progress.prune(old.manifest.subject, old.manifest.head)
    await objects.delete(old.name)
