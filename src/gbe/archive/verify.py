"""Looks at every file that an archive must have, and names those that are gone, changed or too many."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from gbe.archive import files, manifest
from gbe.archive.layout import DATA, MANIFESTS, DataFile, ManifestFile
from gbe.archive.manifest import Entry, Manifest, chained
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
    """What was looked at, and what was found."""

    files: int = 0
    messages: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether all is as it should be."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class Known:
    """What the state store knows of a subject's chain.

    Attributes:
        head: its last hash.
        pruned: the hash before the first day that is kept; ``""`` if nothing was pruned.
        under_way: last position of the batch that is being written, if one is.
    """

    head: str
    pruned: str = ""
    under_way: str | None = None


async def verify(objects: ObjectStore, known: Mapping[str, Known]) -> Verification:
    """Read every manifest and every file.

    Args:
        objects: of the archive.
        known: by subject; a subject that is not in it is verified without a head.

    Raises:
        ObjectError: the store does not answer, or refuses.
    """
    result = Verification()
    listed: set[str] = set()
    seen: set[str] = set()
    names = sorted([one async for one in _manifests(objects)])
    for _, chunks in groupby(names, key=lambda one: (one.domain, one.subject)):
        subject = await _verify_chain(objects, list(chunks), known, listed, result)
        if subject is not None:
            seen.add(subject)
    for subject, about in known.items():
        if about.head and subject not in seen:
            result.findings.append(Finding(subject, "manifest", "all manifests of this subject are gone"))
    under_way = {about.under_way for about in known.values() if about.under_way is not None}
    async for info in objects.list(DATA):
        file = DataFile.parse(info.name)
        if info.name in listed or (file is not None and str(file.last) in under_way):
            continue
        result.findings.append(Finding(info.name, "unlisted", "no manifest knows this file"))
    return result


async def _manifests(objects: ObjectStore) -> AsyncIterator[ManifestFile]:
    async for info in objects.list(MANIFESTS):
        found = ManifestFile.parse(info.name)
        if found is not None:
            yield found


async def _verify_chain(
    objects: ObjectStore,
    chunks: list[ManifestFile],
    known: Mapping[str, Known],
    listed: set[str],
    result: Verification,
) -> str | None:
    """One subject; returns its name as the manifests have it."""
    loaded = [(one, found) for one in chunks if (found := await _load(objects, one, result)) is not None]
    if not loaded:
        return None
    subject = loaded[0][1].subject
    about = known.get(subject)
    by_previous = {found.previous: (one, found) for one, found in loaded}
    expected = about.pruned if about is not None else loaded[0][1].previous
    order: list[tuple[ManifestFile, Manifest]] = []
    while expected in by_previous:
        one, found = by_previous.pop(expected)
        order.append((one, found))
        expected = found.head if found.entries else ""
    for one, found in by_previous.values():
        result.findings.append(
            Finding(one.name, "manifest", "does not follow on the manifest before it, which is gone or was changed")
        )
        order.append((one, found))
    if about is not None and about.head and not any(_has(found, about.head) for _, found in order):
        newest = order[-1][0].name
        result.findings.append(
            Finding(newest, "manifest", "the last entries are gone, the state store knows later ones")
        )
    for one, found in order:
        _verify_hashes(one, found, result)
        for entry in found.entries:
            listed.add(entry.file)
            await _verify_file(objects, entry, result)
    return subject


def _has(found: Manifest, head: str) -> bool:
    return any(entry.hash == head for entry in found.entries)


async def _load(objects: ObjectStore, one: ManifestFile, result: Verification) -> Manifest | None:
    try:
        return manifest.decode(await objects.get(one.name), one.name)
    except (ArchiveError, ObjectNotFoundError) as exc:
        result.findings.append(Finding(one.name, "manifest", str(exc)))
        return None


def _verify_hashes(one: ManifestFile, found: Manifest, result: Verification) -> None:
    previous = found.previous
    for entry in found.entries:
        if chained(previous, entry) != entry:
            result.findings.append(Finding(one.name, "manifest", f"its entry for {entry.file} was changed"))
        previous = entry.hash


async def _verify_file(objects: ObjectStore, entry: Entry, result: Verification) -> None:
    result.files += 1
    try:
        data = await objects.get(entry.file)
    except ObjectNotFoundError:
        result.findings.append(Finding(entry.file, "missing", f"deleted; it held {entry.messages} messages"))
        return
    digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
    if digest != entry.sha256:
        result.findings.append(Finding(entry.file, "changed", "its checksum is not the one of its manifest"))
        return
    try:
        found = len(await asyncio.to_thread(files.unpack, data, entry.file))
    except ArchiveError as exc:  # written so, and listed so
        result.findings.append(Finding(entry.file, "changed", str(exc)))
        return
    result.messages += found
    if found != entry.messages:
        result.findings.append(Finding(entry.file, "changed", f"{found} messages, expected {entry.messages}"))
