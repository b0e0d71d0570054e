"""The hash chain over the table: a row for each batch, as a manifest has it for archives of files.

Each batch's ``hash`` covers the hash before it and the SHA-256 of the batch's rows, as they would stand in a file. The
last hash of a subject is kept in the state store too. What a write that was not confirmed has left at a place of the
chain is replaced.
"""

from typing import Final

from psycopg import AsyncConnection

from gbe.archive import manifest, rows
from gbe.archive.batch import Batch
from gbe.archive.manifest import Entry, Mark, chained

_COLUMNS: Final = "subject, number, dt, generation, first_position, last_position, messages, size, sha256, hash"
_INSERT: Final = f"""\
INSERT INTO gbe_archive_batches ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (subject, number) DO UPDATE SET
    (dt, generation, first_position, last_position, messages, size, sha256, hash)
    = (EXCLUDED.dt, EXCLUDED.generation, EXCLUDED.first_position, EXCLUDED.last_position,
       EXCLUDED.messages, EXCLUDED.size, EXCLUDED.sha256, EXCLUDED.hash)"""  # noqa: S608  constants of this file


def entry_of(batch: Batch, place: str) -> Entry:
    """A batch as an entry without its hash. ``place`` names the partition."""
    return manifest.entry_of(batch, place, rows.encode(batch.messages))


async def append(connection: AsyncConnection, batch: Batch, before: Mark, entry: Entry) -> Mark:
    """Put a batch at its place in the chain, within the caller's transaction; returns the mark behind it."""
    entry = chained(before.head, entry)
    number = before.entries
    values = (batch.subject, number, batch.day, batch.generation, entry.first, entry.last)
    await connection.execute(_INSERT, (*values, entry.messages, entry.size, entry.sha256, entry.hash))
    return Mark(head=entry.hash, day=batch.day, entries=number + 1)
