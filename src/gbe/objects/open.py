"""Opens the object store that the configuration names."""

from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore


async def open_objects(config: ObjectsConfig) -> ObjectStore:
    """Open the object store and try it; raises as ``ObjectStore.open`` does."""
    return await ObjectStore.open(config)
