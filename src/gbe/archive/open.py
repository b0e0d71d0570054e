"""Opens the sink that the configuration names."""

from gbe.archive.config import ArchiveConfig
from gbe.archive.object_sink import ObjectSink
from gbe.archive.sink import Sink
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
    """
    return ObjectSink(await ObjectStore.open(config.objects(objects, folder)), config.format)
