"""Claim checks: large values of a record lie in the object store, and the record carries a reference.

A field ``params`` of a record has its value either in itself or, when that is over the threshold, in an object that
``params_ref`` refers to: its name, its size and its SHA-256. The object is written before the record, under a name
that is never used again; so a reference never leads nowhere, a reader never sees half of a new value, and a writer
that loses its ``update_if`` leaves only an orphan. Objects go when their record goes, and orphans with them: ``prune``
asks the state store who is still referred to.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from gbe.errors import InvalidObjectNameError, ObjectChangedError
from gbe.ids import new_ulid
from gbe.objects.names import check_name
from gbe.objects.store import ObjectStore
from gbe.state.base import StateStore, check_field, check_key

logger = logging.getLogger(__name__)

PREFIX: Final = "claims"
SUFFIX: Final = "_ref"
MIN_AGE: Final = 3600.0

_REFERENCE: Final = re.compile(rb"([A-Za-z0-9_./=-]{1,512}) ([0-9]{1,15}) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Reference:
    """What a record carries in place of a value."""

    name: str
    size: int
    sha256: str

    def to_bytes(self) -> bytes:
        """As it stands in the record: ``{name} {size} {sha256}``."""
        return f"{self.name} {self.size} {self.sha256}".encode()

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """Read what ``to_bytes`` wrote; raises ``InvalidObjectNameError`` on anything else."""
        match = _REFERENCE.fullmatch(value)
        if match is None:
            raise InvalidObjectNameError(value[:80].decode(errors="replace"), "not a reference to an object")
        return cls(check_name(match[1].decode()), int(match[2]), match[3].decode())


class ClaimChecks:
    """Stores values beside records and reads them back, wherever they lie."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._threshold = objects.config.threshold

    async def fields_for(self, key: str, field: str, value: bytes | None) -> dict[str, bytes | None]:
        """The changes that give a record's field this value; writes an object first if the value is large.

        Args:
            key: the record's.
            field: the field's, at most 60 bytes.
            value: ``None`` removes it.

        Returns:
            Changes for ``set_fields`` or ``update_if``: ``{field: …, field_ref: …}``, one of them ``None``.

        Raises:
            ObjectTooLargeError: over the object store's limit; nothing was written.
            ObjectUnavailableError, ObjectStoreRefusedError: the object is not stored; do not write the record.
        """
        reference_field = check_field(check_field(field) + SUFFIX)
        if value is None or len(value) <= self._threshold:
            return {field: value, reference_field: None}
        name = f"{_folder(key)}/{field}.{new_ulid()}"
        await self._objects.put(name, value)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(value).hexdigest())
        return {field: None, reference_field: Reference(name, len(value), digest).to_bytes()}

    async def value_of(self, fields: Mapping[str, bytes], field: str) -> bytes | None:
        """The value of a record's field, from the record or from its object; ``None`` if it has none.

        Raises:
            ObjectNotFoundError: the object is gone, as the record should be.
            ObjectChangedError: its bytes are not those that were stored.
            InvalidObjectNameError: the record carries something else than a reference.
        """
        reference_field = fields.get(field + SUFFIX)
        if reference_field is None:
            return fields.get(field)
        reference = Reference.parse(reference_field)
        value = await self._objects.get(reference.name)
        if len(value) != reference.size:
            raise ObjectChangedError(reference.name, f"{len(value)} bytes, expected {reference.size}")
        digest = await asyncio.to_thread(lambda: hashlib.sha256(value).hexdigest())
        if digest != reference.sha256:
            raise ObjectChangedError(reference.name, "its checksum differs")
        return value

    async def drop(self, key: str) -> int:
        """Remove all objects of a record, when the record is deleted; returns how many."""
        removed, folder = 0, _folder(key)
        async for found in self._objects.list(folder):
            if found.name.rpartition("/")[0] == folder:  # deeper ones are those of longer keys
                await self._objects.delete(found.name)
                removed += 1
        return removed

    async def prune(self, state: StateStore, *, min_age: float = MIN_AGE) -> int:
        """Remove the objects that no record refers to any more: expired, deleted, replaced, or orphaned by a crash.

        Args:
            state: where the records are.
            min_age: seconds; younger objects stay, their record may be about to be written.

        Returns:
            How many were removed.
        """
        removed, owner, referred = 0, "", frozenset[str]()
        before = time.time_ns() // 1_000_000 - round(min_age * 1000)
        async for found in self._objects.list(PREFIX):
            if found.modified_ms >= before:
                continue
            key = ".".join(found.name.split("/")[1:-1])
            if key != owner:  # a listing is in the order of names, more or less: one question per record
                owner, referred = key, await _referred_by(state, key)
            if found.name not in referred:
                await self._objects.delete(found.name)
                removed += 1
        if removed:
            logger.info("claim checks pruned: %d objects", removed)
        return removed


async def _referred_by(state: StateStore, key: str) -> frozenset[str]:
    fields = await state.get(key) or {}
    return frozenset(
        value.partition(b" ")[0].decode(errors="replace") for name, value in fields.items() if name.endswith(SUFFIX)
    )


def _folder(key: str) -> str:
    return f"{PREFIX}/{check_key(key).replace('.', '/')}"
