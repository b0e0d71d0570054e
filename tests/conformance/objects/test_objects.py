"""Bytes under names, on every kind of object store."""

import asyncio
import io
import os
import time

import pytest

from gbe.errors import (
    InvalidObjectNameError,
    ObjectError,
    ObjectNotFoundError,
    ObjectTooLargeError,
)
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore

BAD_NAMES = {
    "empty": "",
    "climbing": "a/../../etc/passwd",
    "absolute": "/etc/passwd",
    "hidden": "a/.ssh",
    "dot": ".",
    "trailing slash": "a/",
    "double slash": "a//b",
    "line break": "a\nb",
    "final line break": "a\n",
    "nul": "a\x00b",
    "backslash": "a\\b",
    "space": "a b",
    "percent": "a%2e%2e/b",
    "query": "a?b",
    "not ascii": "é",
    "long segment": "s" * 201,
    "too long": "/".join(["s" * 100] * 6),
}


async def names(store: ObjectStore, prefix: str) -> list[str]:
    return sorted([found.name async for found in store.list(prefix)])


@pytest.mark.parametrize("size", [0, 1, 1000, 6_000_000])
async def test_what_was_put_is_read_back(objects: ObjectStore, size: int) -> None:
    """Bytes of any kind and of any size up to the limit."""
    data = os.urandom(size)
    await objects.put("a/b/c.bin", data)
    assert await objects.get("a/b/c.bin") == data


@pytest.mark.parametrize("size", [0, 1, 300_000, 12_000_000])
async def test_a_file_goes_in_and_out_part_by_part(objects: ObjectStore, size: int) -> None:
    """Larger than what is read into memory too; from its beginning, wherever it stands."""
    data = os.urandom(size)
    with io.BytesIO(data) as file:
        file.seek(0, io.SEEK_END)
        await objects.put_file("a/file", file)
    parts = [part async for part in objects.chunks("a/file")]
    assert b"".join(parts) == data
    if objects.config.kind != "memory":  # which has it whole in any case
        assert all(len(part) < 2_000_000 for part in parts)
    await objects.delete("a/file")
    with pytest.raises(ObjectNotFoundError):
        await anext(objects.chunks("a/file"))


async def test_a_put_replaces_in_one_step(objects: ObjectStore) -> None:
    """Readers see one of the two, whole."""
    one, two = b"1" * 300_000, b"2" * 200_000
    await objects.put("a/x", one)

    async def read() -> None:
        for _ in range(20):
            assert await objects.get("a/x") in (one, two)

    async def write() -> None:
        for number in range(20):
            await objects.put("a/x", one if number % 2 else two)

    await asyncio.gather(read(), write(), read())


async def test_create_writes_once(objects: ObjectStore) -> None:
    """Of many at once, one."""
    won = await asyncio.gather(*(objects.create("a/x", b"%d" % number) for number in range(8)))
    assert sum(won) == 1
    assert await objects.get("a/x") == b"%d" % won.index(True)


async def test_what_is_not_there_is_said(objects: ObjectStore) -> None:
    """By get; delete does not mind."""
    with pytest.raises(ObjectNotFoundError, match="a/nothing"):
        await objects.get("a/nothing")
    await objects.delete("a/nothing")
    await objects.put("a/x", b"1")
    await objects.delete("a/x")
    with pytest.raises(ObjectNotFoundError):
        await objects.get("a/x")
    with pytest.raises(ObjectNotFoundError):
        await objects.get("a")


async def test_a_listing_covers_whole_segments(objects: ObjectStore) -> None:
    """Everything beneath the prefix, with its size."""
    for name in ("a/x", "a/y/z", "ab/x", "b"):
        await objects.put(name, name.encode())
    assert await names(objects, "a") == ["a/x", "a/y/z"]
    assert await names(objects, "a/y") == ["a/y/z"]
    assert await names(objects, "nothing") == []
    (found,) = [found async for found in objects.list("ab")]
    assert (found.name, found.size) == ("ab/x", 4)
    assert abs(found.modified_ms - time.time() * 1000) < 120_000


async def test_a_listing_goes_on_page_by_page(objects: ObjectStore) -> None:
    """More than a page holds."""
    for start in range(0, 1100, 50):
        await asyncio.gather(*(objects.put(f"a/{number}", b"") for number in range(start, start + 50)))
    assert len(await names(objects, "a")) == 1100


async def test_prune_removes_what_is_older(objects: ObjectStore) -> None:
    """And nothing else."""
    await objects.put("a/x", b"1")
    await objects.put("a/y/z", b"1")
    await objects.put("b/x", b"1")
    assert await objects.prune("a", before=0) == 0
    assert await names(objects, "a") == ["a/x", "a/y/z"]
    assert await objects.prune("a", before=time.time_ns() // 1_000_000 + 60_000) == 2
    assert await names(objects, "a") == []
    assert await names(objects, "b") == ["b/x"]


async def test_many_writers_and_removers_in_the_same_folders(objects: ObjectStore) -> None:
    """Folders that become empty are removed, and writers do not stumble over that."""

    async def work(number: int) -> None:
        for step in range(30):
            name = f"a/f{(number + step) % 3}/{number}"
            await objects.put(name, b"%d" % number)
            assert await objects.get(name) == b"%d" % number
            await objects.delete(name)

    await asyncio.gather(*(work(number) for number in range(6)))
    assert await names(objects, "a") == []


@pytest.mark.parametrize("bad", BAD_NAMES)
async def test_what_is_no_name_is_refused(objects: ObjectStore, bad: str) -> None:
    """By every operation, before anything is sent."""
    name = BAD_NAMES[bad]
    for call in (
        lambda: objects.put(name, b"1"),
        lambda: objects.create(name, b"1"),
        lambda: objects.get(name),
        lambda: objects.delete(name),
        lambda: objects.prune(name, before=1),
        lambda: names(objects, name),
    ):
        with pytest.raises(InvalidObjectNameError):
            await call()


async def test_sizes_are_limited(config: ObjectsConfig) -> None:
    """What is too large is not written, and what somebody else wrote is not read into memory."""
    small = ObjectsConfig(
        url=config.url,
        endpoint=config.endpoint,
        access_key_id=config.access_key_id,
        secret_access_key=config.secret_access_key,
        max_object_size=1024,
    )
    async with await ObjectStore.open(config) as large, await ObjectStore.open(small) as store:
        with pytest.raises(ObjectTooLargeError, match="1025 bytes is over the limit of 1024"):
            await store.put("a/x", b"x" * 1025)
        with pytest.raises(ObjectTooLargeError):
            await store.create("a/x", b"x" * 1025)
        with pytest.raises(ObjectNotFoundError):
            await store.get("a/x")
        await store.put("a/x", b"x" * 1024)
        if config.kind != "memory":
            await large.put("a/x", b"x" * 1025)
            with pytest.raises(ObjectTooLargeError):
                await store.get("a/x")


async def test_a_closed_store_says_so(objects: ObjectStore) -> None:
    """Closing twice is no error."""
    assert 0 <= await objects.ping() < 30
    await objects.close()
    await objects.close()
    with pytest.raises(ObjectError, match="closed"):
        await objects.get("a/x")
    with pytest.raises(ObjectError, match="closed"):
        await objects.ping()
