"""Looks at every file that an archive must have, and names those that are gone, changed or too many.

The archiver goes on meanwhile, and what it has just written may be in one listing and not in the other. So where
something is not as it should be, it is looked at again if the state store says that the subject has moved on.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

from gbe.archive import files
from gbe.archive.chains import Damaged, Link, day_folders, links_of, manifests_of, runs, subject_folders
from gbe.archive.layout import DATA, MANIFESTS, DataFile, ManifestFile, manifest_name, subject_segment
from gbe.archive.manifest import Entry, Manifest, Mark, chained
from gbe.archive.progress import Point, Progress
from gbe.errors import ArchiveError, ObjectNotFoundError
from gbe.objects.store import ObjectStore

Kind = Literal["missing", "changed", "unlisted", "manifest"]

TRIES: Final = 20
"""How often something is looked at again because an archiver has gone on."""
NOT_KNOWN: Final = "the state store knows nothing of it: it was put in, or the state was lost"


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
        pruned: what ``gbe archive prune`` has removed so far, in words.
    """

    files: int = 0
    messages: int = 0
    findings: list[Finding] = field(default_factory=list)
    being_pruned: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether all is as it should be."""
        return not self.findings

    def add(self, file: str, kind: Kind, what: str) -> None:
        """Something was found."""
        self.findings.append(Finding(file, kind, what))

    def take(self, part: "Verification") -> None:
        """Add what a part of the archive had."""
        self.files += part.files
        self.messages += part.messages
        self.findings += part.findings
        self.being_pruned += part.being_pruned


@dataclass(frozen=True, slots=True)
class Known:
    """What the state store knows of a subject's chain.

    Attributes:
        head: its last hash.
        pruned: the hash before the first day that is kept; ``""`` if nothing was pruned.
        under_way: last position of the batch that is being written, if one is.
        day, chunk: of the manifest that has the last hash.
        pruned_day, pruned_messages: up to which day was pruned, and how much.
    """

    head: str
    pruned: str = ""
    under_way: str | None = None
    day: str = ""
    chunk: int = 0
    pruned_day: str = ""
    pruned_messages: int = 0

    @classmethod
    def of(cls, point: Point) -> "Known":
        """What a subject's progress says; raises ``ArchiveError``."""
        mark = Mark.parse(point.mark)
        under_way = None if point.borders is None else point.borders.last
        gone = point.pruned_day, point.pruned_messages
        return cls(mark.head, point.pruned, under_way, mark.day, mark.chunk, *gone)


Now = Callable[[str], Awaitable[Known | None]]
"""What the state store knows of a subject at this moment."""


def looking_into(progress: Progress) -> Now:
    """What an archive's progress says at the moment of each call."""

    async def now(subject: str) -> Known | None:
        point = await progress.load(subject)
        return None if point == Point() else Known.of(point)

    return now


async def verify(
    objects: ObjectStore, known: Mapping[str, Known] | None, now: Now | None = None, namespace: str = ""
) -> Verification:
    """Read every manifest and every file; memory follows one subject and day.

    Args:
        objects: of the archive.
        known: by subject, as the state store has them; ``None`` without one: then it is not noticed what was cut off at
            either end of a chain, or put in there.
        now: looks into the state store again, where an archiver may be writing meanwhile.
        namespace: whose subjects must be known; of others, which share the place, the ends of chains are not looked at.

    Raises:
        ObjectError: the store does not answer, or refuses.
        StateError: the same of the state store.
    """
    books = Books(known, now, namespace)
    result = Verification()
    seen: set[str] = set()
    for subject_folder in await subject_folders(objects, DATA, MANIFESTS):
        subject = await _verify_subject(objects, subject_folder, books, result)
        if subject is not None:
            seen.add(subject)
    for subject, about in (known or {}).items():
        if about.head and subject not in seen:
            newest = f"; the newest was of {about.day}" if about.day else ""
            result.add(subject, "manifest", f"all manifests of this subject are gone{newest}")
        if about.pruned_day:
            result.pruned.append(f"{subject}: {about.pruned_messages} messages up to {about.pruned_day}")
    return result


class Books:
    """The state store's side of the comparison."""

    def __init__(self, known: Mapping[str, Known] | None, now: Now | None, namespace: str) -> None:
        self._known, self._now, self._namespace = known, now, namespace

    async def of(self, subject: str | None) -> Known | None:
        """Of a subject; ``None`` if there is nothing."""
        if subject is None or self._known is None:
            return None
        return self._known.get(subject) if self._now is None else await self._now(subject)

    def must_know(self, subject: str) -> bool:
        """Whether a subject that the state store does not know is a finding."""
        return self._known is not None and (not self._namespace or subject.startswith(f"{self._namespace}."))


async def _verify_subject(objects: ObjectStore, subject_folder: str, books: Books, result: Verification) -> str | None:
    """One subject; returns its name as the manifests have it."""
    subject = await _subject_of(objects, subject_folder)
    for _ in range(TRIES):
        about, part = await books.of(subject), Verification()
        await _verify_links(objects, subject_folder, subject, about, books, part)
        if part.is_sound or about == await books.of(subject):
            break
    result.take(part)
    for day in await day_folders(objects, subject_folder, DATA, MANIFESTS):
        await _verify_day(objects, f"{subject_folder}/{day}", subject, books, result)
    return subject


async def _subject_of(objects: ObjectStore, subject_folder: str) -> str | None:
    """The subject whose folder this is, as its manifests have it: a folder's name may be shortened."""
    segment = subject_folder.rpartition("subject=")[2]
    for day in await day_folders(objects, subject_folder, MANIFESTS):
        async for _, _, found in manifests_of(objects, subject_folder, day):
            if isinstance(found, Manifest) and subject_segment(found.subject) == segment:
                return found.subject
    return None


async def _verify_links(
    objects: ObjectStore,
    subject_folder: str,
    subject: str | None,
    about: Known | None,
    books: Books,
    result: Verification,
) -> None:
    links, damaged = await links_of(objects, subject_folder, lambda _: "" if about is None else about.head)
    for one in damaged:
        result.add(one.file.name, "manifest", one.error)
    if subject is None or not links:
        return
    if about is None and books.must_know(subject):
        result.add(subject, "manifest", NOT_KNOWN)
    _verify_chain(subject, _without_leftovers(links, about, result), about, result)


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
    if about is None:
        return
    if about.head and not any(link.is_known for link in links):
        name = manifest_name(subject, about.day, about.chunk) if about.day else subject
        result.add(name, "manifest", "gone, or its last entries are: the state store knows later ones")
    for run in found:
        _verify_end(run, about, result)


def _verify_end(run: Sequence[Link], about: Known, result: Verification) -> None:
    """Behind the hash that the state store has there may be the entry of the batch under way, and nothing else."""
    place = next((number for number, link in enumerate(run) if link.is_known or not about.head), None)
    if place is None:
        return
    behind = [link for link in run[place:] if link.count_behind]
    excess = sum(link.count_behind for link in behind)
    if not behind or (excess == 1 and behind[0].behind[0].last == about.under_way):
        return
    first = behind[0]
    forged = next((one for one in first.behind if one.last != about.under_way), first.behind[-1])
    more = f" and {excess - 1} more were" if excess > 1 else " was"
    what = f"it goes on behind the last hash that the state store knows: {forged.file}{more} put in"
    result.add(first.file.name, "manifest", what)


async def _verify_day(
    objects: ObjectStore, day_folder: str, subject: str | None, books: Books, result: Verification
) -> None:
    """The files of one subject's day: all that are listed, and no others."""
    subject_folder, _, day = day_folder.rpartition("/")
    for _ in range(TRIES):
        about, part = await books.of(subject), Verification()
        await _verify_listing(objects, day_folder, about, part)
        if part.is_sound or about == await books.of(subject):
            break
    async for file, _, found in manifests_of(objects, subject_folder, day):
        if isinstance(found, Damaged) or file.name in result.being_pruned:
            continue
        _verify_manifest(file, found, result)
        for entry in found.entries:
            await _verify_file(objects, entry, result)
    result.take(part)


async def _verify_listing(objects: ObjectStore, day_folder: str, about: Known | None, result: Verification) -> None:
    """No file that no manifest has. Files are listed first: the manifest has them by then, but for the newest one."""
    subject_folder, _, day = day_folder.rpartition("/")
    present = [info.name async for info in objects.list(f"{DATA}/{day_folder}")]
    listed: set[str] = set()
    async for _, _, found in manifests_of(objects, subject_folder, day):
        if not isinstance(found, Damaged):
            listed.update(entry.file for entry in found.entries)
    for name in present:
        data_file = DataFile.parse(name)
        is_under_way = data_file is not None and about is not None and str(data_file.last) == about.under_way
        if name not in listed and not is_under_way:
            result.add(name, "unlisted", "no manifest knows this file")


def _verify_manifest(file: ManifestFile, found: Manifest, result: Verification) -> None:
    is_here = (subject_segment(found.subject), found.day, found.chunk) == (file.subject, file.day, file.chunk)
    if not is_here or not found.entries or found.messages != sum(entry.messages for entry in found.entries):
        result.add(file.name, "manifest", "its subject, day, number or count of messages was changed")
    _verify_hashes(file, found, result)


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
