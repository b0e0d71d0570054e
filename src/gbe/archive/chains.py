"""Finds manifests, folder by folder: memory follows one subject and day, not the whole archive."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gbe.archive import manifest
from gbe.archive.layout import MANIFESTS, ManifestFile
from gbe.archive.manifest import Entry, Manifest
from gbe.errors import ArchiveError, ObjectNotFoundError
from gbe.objects.store import ObjectStore

_MOST_BEHIND: Final = 2  # one may be of a write that is under way; a second one is enough to know better


@dataclass(frozen=True, slots=True)
class Link:
    """A manifest without what it lists: where it is, and between which hashes of its subject's chain it stands.

    ``is_known``: whether the hash that was asked for is one of its own. ``behind``: the first of the entries behind
    that one, or of all entries if it is not; ``count_behind``: how many those are.
    """

    file: ManifestFile
    subject: str
    previous: str
    head: str
    modified_ms: int
    is_known: bool
    behind: tuple[Entry, ...] = ()
    count_behind: int = 0

    @property
    def day(self) -> str:
        """Of its messages."""
        return self.file.day


@dataclass(frozen=True, slots=True)
class Damaged:
    """A manifest that cannot be read, and why."""

    file: ManifestFile
    error: str


async def subject_folders(objects: ObjectStore, *roots: str) -> list[str]:
    """``domain=…/subject=…`` of every subject that has something below one of these, in order."""
    found: set[str] = set()
    for root in roots:
        for domain in await objects.folders(root):
            found.update(one.removeprefix(f"{root}/") for one in await objects.folders(domain))
    return sorted(found)


async def day_folders(objects: ObjectStore, subject_folder: str, *roots: str) -> list[str]:
    """``dt=…`` of every day that a subject has below one of these, in order."""
    found: set[str] = set()
    for root in roots:
        found.update(one.rpartition("/")[2] for one in await objects.folders(f"{root}/{subject_folder}"))
    return sorted(found)


async def manifests_of(
    objects: ObjectStore, subject_folder: str, day: str
) -> AsyncIterator[tuple[ManifestFile, int, Manifest | Damaged]]:
    """The manifests of a subject's day in the order of their numbers, each with when it was written (unix ms)."""
    infos = [info async for info in objects.list(f"{MANIFESTS}/{subject_folder}/{day}")]
    for info in sorted(infos, key=lambda info: info.name):
        file = ManifestFile.parse(info.name)
        if file is None:
            continue
        try:
            yield file, info.modified_ms, manifest.decode(await objects.get(info.name), info.name)
        except (ArchiveError, ObjectNotFoundError) as exc:
            yield file, info.modified_ms, Damaged(file, str(exc))


async def links_of(
    objects: ObjectStore, subject_folder: str, head_of: Callable[[str], str] = lambda _: ""
) -> tuple[list[Link], list[Damaged]]:
    """All manifests of a subject, by day and number.

    Args:
        head_of: the hash that one of a subject's manifests should have, ``""`` for none.
    """
    links: list[Link] = []
    damaged: list[Damaged] = []
    for day in await day_folders(objects, subject_folder, MANIFESTS):
        async for file, modified_ms, found in manifests_of(objects, subject_folder, day):
            if isinstance(found, Damaged):
                damaged.append(found)
            else:
                links.append(_link(file, found, modified_ms, head_of(found.subject)))
    return links, damaged


def _link(file: ManifestFile, found: Manifest, modified_ms: int, head: str) -> Link:
    place = next((number for number, entry in enumerate(found.entries, 1) if entry.hash == head), 0)
    behind = found.entries[place:]
    return Link(
        file, found.subject, found.previous, found.head, modified_ms, place > 0, behind[:_MOST_BEHIND], len(behind)
    )


def runs(links: Sequence[Link], start: str | None) -> list[list[Link]]:
    """The links in the order of the chain: one run if it is whole, a run more for each break.

    Args:
        start: the hash before the first of them, with which the first run begins, which may be empty; ``None`` if
            nobody knows it.
    """
    by_previous: dict[str, Link] = {}
    doubles: list[list[Link]] = []  # two that claim one place: one of them was put in
    for link in links:
        if link.previous in by_previous:
            doubles.append([link])
        else:
            by_previous[link.previous] = link
    heads = {link.head for link in links}
    begins = [link.previous for link in links if link.previous not in heads]
    in_circles = [link.previous for link in links]
    found = [] if start is None else [_follow(start, by_previous)]
    found += (run for begin in (*begins, *in_circles) if (run := _follow(begin, by_previous)))
    return found + doubles


def _follow(begin: str, by_previous: dict[str, Link]) -> list[Link]:
    """Take the links that follow on one another from a hash on."""
    run: list[Link] = []
    while (link := by_previous.pop(begin, None)) is not None:
        run.append(link)
        begin = link.head
    return run
