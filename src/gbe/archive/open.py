"""Opens the sink that the configuration names."""

from gbe.archive.config import ArchiveConfig
from gbe.archive.object_sink import ObjectSink
from gbe.archive.postgres.config import PostgresConfig, is_postgres_url
from gbe.archive.sink import Sink
from gbe.errors import SinkRefusedError
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
    try:
        from gbe.archive.postgres.sink import PostgresSink  # its library is an extra
    except ImportError as exc:
        raise SinkRefusedError(
            f"archive.url is a PostgreSQL database, and its library is missing ({exc}): pip install 'gbe[postgres]'"
        ) from exc
    return await PostgresSink.open(PostgresConfig(url=url))
