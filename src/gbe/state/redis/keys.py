"""How records, their order, their deadlines and their changes lie in Redis.

Records are spread over a fixed number of buckets by the hash of their key. All keys of a bucket have the same hash tag,
so they lie in one slot of a cluster, and one script may touch them together:

    {gbe-state:17}:r:gbe:state:tasks:email:01J…   hash         a record's fields
    {gbe-state:17}:keys                           sorted set   the keys of its records, by name: what a scan reads
    {gbe-state:17}:due:timeout_at                 sorted set   key by deadline, one set for each index
    {gbe-state:17}:ends                           sorted set   key by end of life, of records that have one
    {gbe-state:17}:seq                            counter      of changes
    {gbe-state:17}:log                            sorted set   key by its last change; the latest only
    {gbe-state:17}:changes                        channel      "sequence key", a hint to watchers
    {gbe-state:17}:w:…                            string       that a write was applied, while it may be repeated

Redis ends a record by itself (``PEXPIRE``); what else knows of it is cleared away by the next write, sweep or watcher
that passes.
"""

import binascii
from dataclasses import dataclass, field
from typing import Final

from gbe.redis.topology import slot_of

BUCKETS: Final = 64
"""Fixed: another number would look for records in other places. The store's mark says which it was made with."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The names of one bucket."""

    number: int
    tag: str
    slot: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slot", slot_of(self.tag.encode()))

    def named(self, suffix: str) -> bytes:
        """A key of this bucket."""
        return f"{self.tag}:{suffix}".encode()

    def record(self, key: str) -> bytes:
        """The hash of a record."""
        return f"{self.tag}:r:{key.replace('.', ':')}".encode()

    @property
    def channel(self) -> bytes:
        """Where changes are announced."""
        return self.named("changes")


class Buckets:
    """All buckets of one store."""

    def __init__(self, name: str) -> None:
        self.all = tuple(Bucket(number, f"{{{name}:{number}}}") for number in range(BUCKETS))
        self.mark = self.all[0].named("mark")

    def of(self, key: str) -> Bucket:
        """Where a record lies."""
        return self.all[binascii.crc32(key.encode()) % BUCKETS]
