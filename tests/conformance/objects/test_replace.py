"""``ObjectStore.replace``: an object changes only if it is still the one that was read."""

import asyncio

from gbe.objects.store import ObjectStore


async def test_a_version_is_replaced_once(objects: ObjectStore) -> None:
    """Whoever has read what is there no more is told so, and changes nothing."""
    assert await objects.replace("r/one", b"first", None)
    assert not await objects.replace("r/one", b"other", None)
    data, version = await objects.get_version("r/one")
    assert data == b"first"
    assert await objects.replace("r/one", b"second", version)
    assert not await objects.replace("r/one", b"third", version)
    assert await objects.get("r/one") == b"second"


async def test_what_is_gone_is_not_replaced(objects: ObjectStore) -> None:
    """There is no such version any more."""
    await objects.put("r/two", b"first")
    _, version = await objects.get_version("r/two")
    await objects.delete("r/two")
    assert not await objects.replace("r/two", b"second", version)


async def test_of_many_who_replace_the_same_version_one_does(objects: ObjectStore) -> None:
    """However they overtake each other."""
    await objects.put("r/three", b"first")
    _, version = await objects.get_version("r/three")
    done = await asyncio.gather(*(objects.replace("r/three", b"%d" % number, version) for number in range(8)))
    assert sum(done) == 1
    assert await objects.get("r/three") == b"%d" % done.index(True)
