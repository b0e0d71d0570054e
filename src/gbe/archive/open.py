"""Opens the archive that the configuration names: to write, to read, to query."""

from collections.abc import Iterator
from contextlib import contextmanager

from gbe.archive.answer import Answer
from gbe.archive.config import ArchiveConfig
from gbe.archive.history import History, ObjectHistory
from gbe.archive.object_sink import ObjectSink
from gbe.archive.postgres.config import PostgresConfig, is_postgres_url
from gbe.archive.sink import Sink
from gbe.errors import ArchiveQueryError, SinkRefusedError
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore


async def open_sink(config: ArchiveConfig, objects: ObjectsConfig, folder: str) -> Sink:
    """Open the sink of an archive, and try it.

    Args:
        config: of the archive.
        objects: of the object store; what the archive does not say is taken from there.
        folder: where a local archive lies if ``config.url`` says nothing.

    Raises:
        ObjectStoreRefusedError: no such bucket, wrong credentials, a folder that cannot be written.
        ObjectUnavailableError: no answer.
        SinkRefusedError, SinkUnavailableError: the same of a database.
    """
    if config.url is not None and is_postgres_url(config.url):
        return await _open_postgres(config.url)
    return ObjectSink(await ObjectStore.open(config.objects(objects, folder)), config.format)


async def _open_postgres(url: str) -> Sink:
    with _postgres():
        from gbe.archive.postgres.sink import PostgresSink  # its library is an extra
    return await PostgresSink.open(PostgresConfig(url=url))


async def open_history(config: ArchiveConfig, objects: ObjectsConfig, folder: str) -> History:
    """Open an archive to read its messages; arguments as for ``open_sink``. Nothing is written or made.

    Raises:
        ObjectStoreRefusedError, ObjectUnavailableError: there is no such archive, or no answer.
        SinkRefusedError, SinkUnavailableError: the same of a database.
    """
    if config.url is None or not is_postgres_url(config.url):
        return ObjectHistory(await ObjectStore.open(config.objects(objects, folder), writes=False))
    with _postgres():
        from gbe.archive.postgres.history import PostgresHistory  # its library is an extra
    return await PostgresHistory.open(PostgresConfig(url=config.url))


async def query(
    config: ArchiveConfig, objects: ObjectsConfig, folder: str, sql: str, *, limit: int, timeout: float, memory: int
) -> Answer:
    """Answer one SELECT over the view ``events``: in DuckDB's dialect for files, in PostgreSQL's for a database.

    Args:
        config, objects, folder: as for ``open_sink``.
        sql: the query.
        limit: rows that are returned at most.
        timeout: seconds.
        memory: bytes that the query of files may take.

    Raises:
        ArchiveQueryError: it is no single SELECT, it has a mistake, it took too long, or a library is missing.
        ObjectError, SinkError: the archive is not there.
    """
    if config.url is not None and is_postgres_url(config.url):
        with _postgres():
            from gbe.archive.postgres import query as postgres
        return await postgres.query(PostgresConfig(url=config.url, statement_timeout=max(1, timeout)), sql, limit=limit)
    try:
        from gbe.archive.duck import query as duck
    except ImportError as exc:
        raise ArchiveQueryError(
            f"queries of files need libraries that are missing ({exc}): pip install 'gbe[query]'"
        ) from exc
    async with await ObjectStore.open(config.objects(objects, folder), writes=False) as store:
        return await duck.query(store, sql, limit=limit, timeout=timeout, memory=memory)


@contextmanager
def _postgres() -> Iterator[None]:
    try:
        yield
    except ImportError as exc:
        raise SinkRefusedError(
            f"archive.url is a PostgreSQL database, and its library is missing ({exc}): pip install 'gbe[postgres]'"
        ) from exc
