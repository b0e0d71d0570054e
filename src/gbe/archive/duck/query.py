"""One SELECT over an archive of files. It can read the archive and nothing else, and is bounded in memory and time."""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb

from gbe.archive.answer import Answer
from gbe.archive.duck.filesystem import PROTOCOL, ArchiveFiles
from gbe.archive.duck.views import SCHEMA, schema_file, statements
from gbe.archive.layout import DATA, DataFile
from gbe.errors import ArchiveQueryError
from gbe.objects.store import ObjectStore

_CONFIG: Final[dict[str, Any]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
    "threads": 2,
}
_INTERRUPTIONS: Final = 50
_LOCKS: Final = (
    "SET python_enable_replacements = false",  # a name in a query is never a variable of ours
    f"SET allowed_directories = ['{PROTOCOL}://']",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


async def query(objects: ObjectStore, sql: str, *, limit: int, timeout: float, memory: int) -> Answer:
    """Answer a query over the views ``events`` and, the same, ``archive``.

    Args:
        objects: of the archive.
        sql: one SELECT, DuckDB's dialect.
        limit: rows that are returned at most.
        timeout: seconds.
        memory: bytes that the query may take; what is more goes to the disk, up to four times as much.

    Raises:
        ArchiveQueryError: it is no single SELECT, it has a mistake, or it took too long.
        ObjectError: a file could not be fetched.
    """
    _check(sql)
    listed = {info.name: info async for info in objects.list(DATA) if DataFile.parse(info.name) is not None}
    names = [file for name in listed if (file := DataFile.parse(name)) is not None]
    files = ArchiveFiles(objects, listed, asyncio.get_running_loop())
    with tempfile.TemporaryDirectory(prefix="gbe-query-") as folder:
        connection = duckdb.connect(":memory:", config=_CONFIG)
        try:
            work = partial(_answer, connection, files, names, Path(folder), memory, sql, limit)
            return await _bounded(connection, timeout, work)
        except duckdb.Error as exc:
            if files.error is not None:
                raise files.error from exc
            raise ArchiveQueryError(_plain(exc)) from exc
        finally:
            await _close(connection)


async def _close(connection: duckdb.DuckDBPyConnection) -> None:
    """Which waits for what still runs: not for long."""
    closing = threading.Thread(target=connection.close, daemon=True)
    closing.start()
    for _ in range(_INTERRUPTIONS):
        if not closing.is_alive():
            return
        await asyncio.sleep(0.01)


async def _bounded(connection: duckdb.DuckDBPyConnection, timeout: float, work: Callable[[], Answer]) -> Answer:
    """Run it in a thread, which is interrupted when the time is over or nobody waits any more."""
    working = _started(work)
    try:
        done, _ = await asyncio.wait({working}, timeout=timeout)
    except asyncio.CancelledError:
        await _interrupt(connection, working)
        raise
    if done:
        return working.result()
    await _interrupt(connection, working)
    raise ArchiveQueryError(f"the query was not done within {timeout:g} s: ask for fewer days, or allow more time")


def _started(work: Callable[[], Answer]) -> asyncio.Future[Answer]:
    """In a thread that the end of the program does not wait for: some functions of SQL hear no interruption."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def settle(answer: Answer | None, error: Exception | None) -> None:
        if future.cancelled():
            return
        if answer is not None:
            future.set_result(answer)
        else:
            future.set_exception(error or ArchiveQueryError("no answer"))

    def main() -> None:
        answer, error = None, None
        try:
            answer = work()
        except Exception as exc:  # noqa: BLE001  whoever waits gets it
            error = exc
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, answer, error)

    threading.Thread(target=main, name="gbe.query", daemon=True).start()
    return future


async def _interrupt(connection: duckdb.DuckDBPyConnection, working: asyncio.Future[Answer]) -> None:
    for _ in range(_INTERRUPTIONS):
        connection.interrupt()  # one that comes between two statements is lost
        done, _ = await asyncio.wait({working}, timeout=0.1)
        if done:
            working.exception()  # seen
            return
    working.cancel()


def _check(sql: str) -> None:
    try:
        found = duckdb.extract_statements(sql)
    except duckdb.Error as exc:
        raise ArchiveQueryError(_plain(exc)) from exc
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        raise ArchiveQueryError("a query is one SELECT: SELECT … FROM events WHERE …")


def _bounds(folder: Path, memory: int) -> tuple[str, ...]:
    return (
        f"SET temp_directory = '{folder}'",
        f"SET memory_limit = '{memory}B'",
        f"SET max_temp_directory_size = '{4 * memory}B'",
    )


def _answer(
    connection: duckdb.DuckDBPyConnection,
    files: ArchiveFiles,
    names: list[DataFile],
    folder: Path,
    memory: int,
    sql: str,
    limit: int,
) -> Answer:
    """In a thread of its own: what it reads is fetched by the event loop."""
    connection.register_filesystem(files)
    for statement in _bounds(folder, memory):
        connection.execute(statement)
    schema = folder / "schema.parquet"
    connection.execute(schema_file(str(schema)))
    files.add(SCHEMA, schema.read_bytes())
    for statement in (*statements(names), *_LOCKS):
        connection.execute(statement)
    return _select(connection, sql, limit)


def _select(connection: duckdb.DuckDBPyConnection, sql: str, limit: int) -> Answer:
    result = connection.execute(sql)
    described = result.description or []
    rows = result.fetchmany(limit + 1)
    json = frozenset(str(one[0]) for one in described if str(one[1]) == "JSON")
    return Answer(tuple(str(one[0]) for one in described), json, rows[:limit], len(rows) > limit)


def _plain(exc: Exception) -> str:
    """Without the kind of error in front, and without the tail that repeats the query."""
    text = str(exc).strip()
    head, colon, rest = text.partition(": ")
    return (rest if colon and head.endswith("Error") else text)[:2000]
