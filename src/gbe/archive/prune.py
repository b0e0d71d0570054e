"""Cold retention: whole chunks at the old end of each subject's chain, and nothing that is younger.

The state store is told first: the chain begins behind a chunk from then on. So a crash leaves at most one chunk that
nothing depends on, with some of its files; the verification knows it by that, and the next prune removes it.
"""

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gbe.archive import manifest
from gbe.archive.chains import Link, links_of, runs, subject_folders
from gbe.archive.layout import MANIFESTS
from gbe.archive.manifest import Manifest
from gbe.archive.progress import Progress
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

    The newest chunk of a chain stays in any case: the next batch follows on it. What is damaged stays too, for the
    verification. What an earlier prune has left behind comes first.
    """
    newest_day = dt.datetime.fromtimestamp(before_ms / 1000, dt.UTC).date().isoformat()
    for subject_folder in await subject_folders(objects, MANIFESTS):
        links, _ = await links_of(objects, subject_folder)
        if not links:
            continue
        pruned = (await progress.load(links[0].subject)).pruned
        for link in _oldest(links, pruned):
            is_left = link.head == pruned and pruned != ""
            if not is_left and (link.day >= newest_day or link.modified_ms >= before_ms or link.head == link.previous):
                break
            name = link.file.name
            yield Old(name, manifest.decode(await objects.get(name), name))


def _oldest(links: list[Link], pruned: str) -> list[Link]:
    """What may go first, by the chain alone."""
    left = [link for link in links if pruned and link.head == pruned and link.previous != pruned]
    (chain, *_) = runs([link for link in links if link not in left], pruned)
    is_whole = len(chain) == len(links) - len(left)
    return [*left, *(chain[:-1] if is_whole else chain)]


async def remove(objects: ObjectStore, progress: Progress, old: Old) -> None:
    """Remove a chunk; a crash in between is made good by the next prune."""
    found = old.manifest
    await progress.prune(found.subject, found.head, found.day, found.messages)
    for entry in found.entries:
        await objects.delete(entry.file)
    await objects.delete(old.name)
