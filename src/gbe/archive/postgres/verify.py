"""Compares the rows of the archive's table with the hash chain over its batches, and names what is not as it was.

The chain is followed subject by subject. The rows are read day by day, in one pass over each partition, beside the
batches that it must hold; memory follows the batches of one day.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from gbe.archive import rows
from gbe.archive.batch import Archived
from gbe.archive.manifest import Entry, chained
from gbe.archive.postgres.database import Database
from gbe.archive.postgres.migrations import partition_name
from gbe.archive.verify import NOT_KNOWN, TRIES, Books, Known, Now, Verification
from gbe.envelope import Envelope
from gbe.transport.base import Position

_PAGE: Final = 500
_MOST_NAMED: Final = 10
_COLUMNS: Final = "subject, number, dt, generation, first_position, last_position, messages, size, sha256, hash"
_CHAIN: Final = f"""\
SELECT {_COLUMNS} FROM gbe_archive_batches
WHERE subject = %s AND number >= %s ORDER BY number LIMIT %s"""  # noqa: S608  constants of this file
_OF_DAY: Final = f"""\
SELECT {_COLUMNS} FROM gbe_archive_batches
WHERE dt = %s ORDER BY subject, generation, number"""  # noqa: S608  constants of this file
_SUBJECTS: Final = "SELECT DISTINCT subject FROM gbe_archive_batches"
_DAYS: Final = """\
SELECT DISTINCT dt FROM gbe_archive_batches
UNION SELECT to_date(right(relname, 8), 'YYYYMMDD') FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'gbe_archive'::regclass AND relname ~ '^gbe_archive_[0-9]{8}$'"""
_FOREIGN: Final = """\
SELECT nspname || '.' || relname
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE inhparent = 'gbe_archive'::regclass AND relname !~ '^gbe_archive_[0-9]{8}$'"""
_EXISTS: Final = "SELECT to_regclass(%s) IS NOT NULL"
_ROWS: Final = """\
SELECT generation, pos_major, pos_minor, id, subject, ts, payload, traceparent FROM gbe_archive
WHERE dt = %s ORDER BY subject, generation, pos_major, pos_minor"""

_Place = tuple[str, int, Position]
"""Subject, generation, position: the order in which batches and rows are read."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A batch, as the chain has it."""

    subject: str
    number: int
    dt: date
    generation: int
    first_position: str
    last_position: str
    messages: int
    size: int
    sha256: str
    hash: str

    @property
    def entry(self) -> Entry:
        return Entry(
            file=partition_name(self.dt),
            first=self.first_position,
            last=self.last_position,
            messages=self.messages,
            size=self.size,
            sha256=self.sha256,
            hash=self.hash,
        )

    @property
    def first(self) -> _Place:
        return self.subject, self.generation, Position.parse(self.first_position)

    @property
    def last(self) -> _Place:
        return self.subject, self.generation, Position.parse(self.last_position)

    @property
    def name(self) -> str:
        """For people."""
        return f"{partition_name(self.dt)}: {self.subject}, positions {self.first_position} to {self.last_position}"


async def verify_table(
    database: Database,
    known: Mapping[str, Known] | None,
    pruned: Set[str],
    now: Now | None = None,
    namespace: str = "",
) -> Verification:
    """Read the whole chain, and all rows, in one snapshot.

    Args:
        known: by subject; ``None`` without a state store: then the ends of chains are not looked for.
        pruned: days (``YYYY-MM-DD``) whose rows were removed by ``gbe archive prune``.
        now, namespace: as for ``gbe.archive.verify.verify``.

    Raises:
        SinkUnavailableError, SinkRefusedError: the database does not answer, or refuses.
        StateError: the state store does not.
    """
    books, result = Books(known, now, namespace), Verification()
    if pruned:
        result.pruned.append(f"{len(pruned)} days up to {max(pruned)}")
    async with database.use() as connection:
        for attempt in range(TRIES):
            abouts = await _abouts(connection, known or {}, books)
            async with connection.transaction():
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                await connection.execute("SET LOCAL statement_timeout = 0")
                chains, has_moved = await _verify_chains(connection, abouts, books)
                if has_moved and attempt < TRIES - 1:
                    continue  # an archiver has written between our two looks: take another snapshot
                result.take(chains)
                for day in await _days(connection):
                    await _verify_day(connection, day, result, is_pruned=day.isoformat() in pruned)
                return result
    return result


async def _abouts(connection: AsyncConnection, known: Mapping[str, Known], books: Books) -> dict[str, Known | None]:
    """What the state store knows of each subject, those of the table included."""
    async with connection.transaction():
        found = await (await connection.execute(_SUBJECTS)).fetchall()
    subjects = {str(name) for (name,) in found} | {name for name, about in known.items() if about.head}
    return {subject: await books.of(subject) for subject in sorted(subjects)}


async def _verify_chains(
    connection: AsyncConnection, abouts: Mapping[str, Known | None], books: Books
) -> tuple[Verification, bool]:
    """All chains, and whether a subject in which something was found has moved on since ``abouts``."""
    result, has_moved = Verification(), False
    for subject, about in abouts.items():
        part = Verification()
        if about is None and books.must_know(subject):
            part.add(subject, "manifest", NOT_KNOWN)
        await _verify_chain(connection, subject, about, part)
        has_moved = has_moved or (not part.is_sound and about != await books.of(subject))
        result.take(part)
    return result, has_moved


async def _verify_chain(connection: AsyncConnection, subject: str, about: Known | None, result: Verification) -> None:
    previous, number, is_behind = "", 0, about is not None and not about.head
    behind: list[_Listed] = []
    async for batch in _chain(connection, subject):
        if batch.number != number:
            what = f"{batch.number - number} batches before it are gone from gbe_archive_batches"
            result.add(batch.name, "manifest", what)
        elif chained(previous, batch.entry) != batch.entry:
            result.add(batch.name, "manifest", "its row in gbe_archive_batches was changed")
        previous, number = batch.hash, batch.number + 1
        if is_behind and len(behind) < _MOST_NAMED:
            behind.append(batch)
        is_behind = is_behind or (about is not None and batch.hash == about.head)
    if about is None:
        return
    if not is_behind:
        what = "the last batches are gone from gbe_archive_batches: the state store knows later ones"
        result.add(subject, "manifest", what)
    if len(behind) == 1 and behind[0].last_position == about.under_way:
        return  # stored, and about to be confirmed
    for batch in behind:
        result.add(batch.name, "manifest", "put in: the state store does not know it")


async def _days(connection: AsyncConnection) -> Sequence[date]:
    """Every day that has batches, a partition, or rows in a partition that is not ours."""
    found = {day for (day,) in await (await connection.execute(_DAYS)).fetchall()}
    for (partition,) in await (await connection.execute(_FOREIGN)).fetchall():
        days = SQL("SELECT DISTINCT dt FROM {}").format(Identifier(*partition.split(".")))
        found.update(day for (day,) in await (await connection.execute(days)).fetchall())
    return sorted(found)


async def _chain(connection: AsyncConnection, subject: str) -> AsyncIterator[_Listed]:
    following = 0
    while True:
        page = await _listed(connection, _CHAIN, (subject, following, _PAGE))
        for batch in page:
            yield batch
        if len(page) < _PAGE:
            return
        following = page[-1].number + 1


async def _listed(connection: AsyncConnection, query: str, values: tuple[object, ...]) -> Sequence[_Listed]:
    async with connection.cursor(row_factory=class_row(_Listed)) as cursor:
        await cursor.execute(query.encode(), values)
        return await cursor.fetchall()


async def _verify_day(connection: AsyncConnection, day: date, result: Verification, *, is_pruned: bool) -> None:
    """The rows of a day; of one that was pruned a batch has all of its rows or none."""
    batches = await _listed(connection, _OF_DAY, (day,))
    name = partition_name(day)
    exists = await (await connection.execute(_EXISTS, (name,))).fetchone()
    if not is_pruned and batches and (exists is None or not exists[0]):
        messages = sum(batch.messages for batch in batches)
        result.add(name, "missing", f"the partition of {day} is gone; it held {messages} messages")
        return
    waiting = iter(batches)
    batch = next(waiting, None)
    messages_of_batch: list[Archived] = []
    unlisted = Counter[str]()
    async with connection.cursor(name="gbe_archive_verify") as cursor:
        cursor.itersize = _PAGE
        await cursor.execute(_ROWS, (day,))
        async for row in cursor:
            generation, message = row[0], _message(row)
            place = message.envelope.subject, generation, message.position
            while batch is not None and place > batch.last:
                _judge(batch, messages_of_batch, result, may_be_gone=is_pruned)
                batch, messages_of_batch = next(waiting, None), []
            if batch is None or place < batch.first:
                unlisted[message.envelope.subject] += 1
            else:
                messages_of_batch.append(message)
    while batch is not None:
        _judge(batch, messages_of_batch, result, may_be_gone=is_pruned)
        batch, messages_of_batch = next(waiting, None), []
    for subject, count in unlisted.items():
        result.add(f"{name}: {subject}", "unlisted", f"{count} rows that no batch in gbe_archive_batches has")


def _judge(batch: _Listed, messages: Sequence[Archived], result: Verification, *, may_be_gone: bool) -> None:
    if may_be_gone and not messages:
        return
    result.files += 1
    result.messages += len(messages)
    if len(messages) < batch.messages:
        missing = batch.messages - len(messages)
        result.add(batch.name, "missing", f"{missing} of its {batch.messages} rows were deleted")
    elif len(messages) > batch.messages:
        result.add(batch.name, "unlisted", f"{len(messages) - batch.messages} rows were put in")
    elif hashlib.sha256(rows.encode(messages)).hexdigest() != batch.sha256:
        result.add(batch.name, "changed", "its rows are not those that were archived")


def _message(row: tuple[Any, ...]) -> Archived:
    return Archived(Position(row[1], row[2]), Envelope(*row[3:]))
