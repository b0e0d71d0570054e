"""Looks at every file that an archive must have, and names those that are gone, changed or too many."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from gbe.archive import files
from gbe.archive.chains import Damaged, Link, day_folders, links_of, manifests_of, runs, subject_folders
from gbe.archive.layout import DATA, MANIFESTS, DataFile, ManifestFile, manifest_name
from gbe.archive.manifest import Entry, Manifest, Mark, chained
from gbe.archive.progress import Point
from gbe.errors import ArchiveError, ObjectNotFoundError
from gbe.objects.store import ObjectStore

Kind = Literal["missing", "changed", "unlisted", "manifest"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: which file, what kind of trouble, and what exactly."""

    file: str
    kind: Kind
    what: str


@dataclass(slots=True)
class Verification:
    """What was looked at, and what was found.

    Attributes:
        being_pruned: manifests that an interrupted ``gbe archive prune`` has left, with what they list.
    """

    files: int = 0
    messages: int = 0
    findings: list[Finding] = field(default_factory=list)
    being_pruned: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether all is as it should be."""
        return not self.findings

    def add(self, file: str, kind: Kind, what: str) -> None:
        """Something was found."""
        self.findings.append(Finding(file, kind, what))


@dataclass(frozen=True, slots=True)
class Known:
    """What the state store knows of a subject's chain.

    Attributes:
        head: its last hash.
        pruned: the hash before the first day that is kept; ``""`` if nothing was pruned.
        under_way: last position of the batch that is being written, if one is.
        day, chunk: of the manifest that has the last hash.
    """

    head: str
    pruned: str = ""
    under_way: str | None = None
    day: str = ""
    chunk: int = 0

    @classmethod
    def of(cls, point: Point) -> "Known":
        """What a subject's progress says; raises ``ArchiveError``."""
        mark = Mark.parse(point.mark)
        under_way = None if point.borders is None else point.borders.last
        return cls(mark.head, point.pruned, under_way, mark.day, mark.chunk)


async def verify(objects: ObjectStore, known: Mapping[str, Known]) -> Verification:
    """Read every manifest and every file; memory follows one subject and day.

    Args:
        objects: of the archive.
        known: by subject; a subject that is not in it is verified without a head.

    Raises:
        ObjectError: the store does not answer, or refuses.
    """
    result = Verification()
    seen: set[str] = set()
    for subject_folder in await subject_folders(objects, DATA, MANIFESTS):
        subject = await _verify_subject(objects, subject_folder, known, result)
        if subject is not None:
            seen.add(subject)
    for subject, about in known.items():
        if about.head and subject not in seen:
            newest = f"; the newest was of {about.day}" if about.day else ""
            result.add(subject, "manifest", f"all manifests of this subject are gone{newest}")
    return result


async def _verify_subject(
    objects: ObjectStore, subject_folder: str, known: Mapping[str, Known], result: Verification
) -> str | None:
    """One subject; returns its name as the manifests have it."""
    links, damaged = await links_of(objects, subject_folder, lambda name: known[name].head if name in known else "")
    for one in damaged:
        result.add(one.file.name, "manifest", one.error)
    subject = links[0].subject if links else None
    about = None if subject is None else known.get(subject)
    if subject is not None:
        _verify_chain(subject, _without_leftovers(links, about, result), about, result)
    under_way = None if about is None else about.under_way
    for day in await day_folders(objects, subject_folder, DATA, MANIFESTS):
        await _verify_day(objects, f"{subject_folder}/{day}", under_way, result)
    return subject


def _without_leftovers(links: list[Link], about: Known | None, result: Verification) -> list[Link]:
    """What an interrupted prune has begun to remove is no part of the chain."""
    pruned = "" if about is None else about.pruned
    left = [link for link in links if pruned and link.head == pruned and link.previous != pruned]
    result.being_pruned += (link.file.name for link in left)
    return [link for link in links if link not in left]


def _verify_chain(subject: str, links: list[Link], about: Known | None, result: Verification) -> None:
    found = runs(links, None if about is None else about.pruned)
    for before, run in pairwise(found):
        behind = f"behind {before[-1].file.name}" if before else "at the beginning"
        result.add(run[0].file.name, "manifest", f"what it follows on is gone or was changed: look {behind}")
    if about is not None and about.head and not any(link.is_known for link in links):
        name = manifest_name(subject, about.day, about.chunk) if about.day else subject
        result.add(name, "manifest", "gone, or its last entries are: the state store knows later ones")


async def _verify_day(objects: ObjectStore, day_folder: str, under_way: str | None, result: Verification) -> None:
    """The files of one subject's day: all that are listed, and no others."""
    subject_folder, _, day = day_folder.rpartition("/")
    listed: set[str] = set()
    async for file, _, found in manifests_of(objects, subject_folder, day):
        if isinstance(found, Damaged):
            continue
        listed.update(entry.file for entry in found.entries)
        if file.name in result.being_pruned:
            continue
        _verify_hashes(file, found, result)
        for entry in found.entries:
            await _verify_file(objects, entry, result)
    async for info in objects.list(f"{DATA}/{day_folder}"):
        data_file = DataFile.parse(info.name)
        if info.name not in listed and not (data_file is not None and str(data_file.last) == under_way):
            result.add(info.name, "unlisted", "no manifest knows this file")


def _verify_hashes(file: ManifestFile, found: Manifest, result: Verification) -> None:
    previous = found.previous
    for entry in found.entries:
        if chained(previous, entry) != entry:
            result.add(file.name, "manifest", f"its entry for {entry.file} was changed")
        previous = entry.hash


async def _verify_file(objects: ObjectStore, entry: Entry, result: Verification) -> None:
    result.files += 1
    try:
        data = await objects.get(entry.file)
    except ObjectNotFoundError:
        result.add(entry.file, "missing", f"deleted; it held {entry.messages} messages")
        return
    error, lines = await asyncio.to_thread(_look_at, data, entry)
    result.messages += lines
    if error:
        result.add(entry.file, "changed", error)


def _look_at(data: bytes, entry: Entry) -> tuple[str, int]:
    """What is wrong with a file, and how many messages it holds."""
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        return "its checksum is not the one of its manifest", 0
    try:
        lines = len(files.unpack(data, entry.file))
    except ArchiveError as exc:
        return str(exc), 0
    return ("" if lines == entry.messages else f"{lines} messages, expected {entry.messages}"), lines
