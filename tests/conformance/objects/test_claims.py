"""Claim checks: the reader does not notice where a value lies, and nothing is left behind."""

import pytest

from gbe.errors import InvalidKeyError, InvalidObjectNameError, ObjectChangedError, ObjectNotFoundError
from gbe.objects.claims import ClaimChecks, Reference
from gbe.objects.store import ObjectStore
from gbe.state.base import StateStore

KEY = "gbe.state.tasks.email.01J9ZK3V0000000000000000ZZ"
LIMIT = 64 * 1024


@pytest.fixture
def claims(objects: ObjectStore) -> ClaimChecks:
    return ClaimChecks(objects)


async def stored(objects: ObjectStore) -> list[str]:
    return sorted([found.name async for found in objects.list("claims")])


async def write(state: StateStore, claims: ClaimChecks, field: str, value: bytes | None, key: str = KEY) -> None:
    await state.set_fields(key, await claims.fields_for(key, field, value))


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 3_000_000])
async def test_reading_back_is_transparent(
    state: StateStore, objects: ObjectStore, claims: ClaimChecks, size: int
) -> None:
    """Below and at the threshold the record holds the value, above it an object does."""
    value = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    await state.put(KEY, {"state": b"pending"})
    await write(state, claims, "params", value)
    fields = await state.get(KEY) or {}
    assert ("params_ref" in fields) == (size > LIMIT)
    assert ("params" in fields) == (size <= LIMIT)
    assert len(await stored(objects)) == (1 if size > LIMIT else 0)
    assert await claims.value_of(fields, "params") == value
    assert await claims.value_of(fields, "result") is None


async def test_a_value_moves_in_and_out_of_its_record(
    state: StateStore, objects: ObjectStore, claims: ClaimChecks
) -> None:
    """Large, small, large, none: each time the reader gets the last one."""
    for value in (b"a" * (LIMIT + 1), b"small", b"b" * (LIMIT + 1), None):
        await write(state, claims, "result", value)
        assert await claims.value_of(await state.get(KEY) or {}, "result") == value
    assert len(await stored(objects)) == 2, "replaced values wait for the pruning"


async def test_objects_go_with_their_record(state: StateStore, objects: ObjectStore, claims: ClaimChecks) -> None:
    """At once when it is dropped, those of longer keys stay."""
    longer = f"{KEY}.child"
    for key in (KEY, longer):
        await write(state, claims, "params", b"x" * (LIMIT + 1), key)
        await write(state, claims, "result", b"y" * (LIMIT + 1), key)
    assert len(await stored(objects)) == 4
    assert await claims.drop(KEY) == 2
    assert await claims.value_of(await state.get(longer) or {}, "result") == b"y" * (LIMIT + 1)
    with pytest.raises(ObjectNotFoundError):
        await claims.value_of(await state.get(KEY) or {}, "params")


async def test_pruning_removes_what_no_record_refers_to(
    state: StateStore, objects: ObjectStore, claims: ClaimChecks
) -> None:
    """Orphans of a writer that crashed or lost, replaced values, records that are gone; never what is in use."""
    gone, kept = f"{KEY}.gone", f"{KEY}.kept"
    await write(state, claims, "params", b"1" * (LIMIT + 1), gone)
    await write(state, claims, "params", b"2" * (LIMIT + 1), kept)
    await write(state, claims, "result", b"3" * (LIMIT + 1), kept)
    await write(state, claims, "result", b"4" * (LIMIT + 1), kept)
    await claims.fields_for(kept, "result", b"5" * (LIMIT + 1))
    await state.delete(gone)
    assert await claims.prune(state) == 0, "too young: their records may be about to be written"
    assert len(await stored(objects)) == 5
    assert await claims.prune(state, min_age=-60) == 3
    fields = await state.get(kept) or {}
    assert await claims.value_of(fields, "params") == b"2" * (LIMIT + 1)
    assert await claims.value_of(fields, "result") == b"4" * (LIMIT + 1)
    assert len(await stored(objects)) == 2


async def test_an_object_that_is_not_the_one_is_noticed(
    state: StateStore, objects: ObjectStore, claims: ClaimChecks
) -> None:
    """By its size, and by its checksum."""
    await write(state, claims, "params", b"x" * (LIMIT + 1))
    (name,) = await stored(objects)
    for other in (b"x" * LIMIT, b"y" * (LIMIT + 1), b""):
        await objects.put(name, other)
        with pytest.raises(ObjectChangedError):
            await claims.value_of(await state.get(KEY) or {}, "params")


async def test_bad_references_are_refused(claims: ClaimChecks) -> None:
    """Whatever a record carries: nothing outside the rules for names is asked for."""
    digest = "0" * 64
    for value in (
        "",
        "a/b",
        f"../../etc/passwd 5 {digest}",
        f"a/b -5 {digest}",
        f"a/b 5 {digest}\n",
        f"a/b 5 {'g' * 64}",
    ):
        with pytest.raises(InvalidObjectNameError):
            await claims.value_of({"params_ref": value.encode()}, "params")
    with pytest.raises(InvalidKeyError):
        await claims.fields_for("a.*", "params", b"x" * (LIMIT + 1))
    with pytest.raises(InvalidKeyError):
        await claims.fields_for(KEY, "a/b", b"x" * (LIMIT + 1))


def test_a_reference_survives_its_text() -> None:
    """What is written is read."""
    reference = Reference("claims/a/b/params.01J", 70_000, "ab" * 32)
    assert Reference.parse(reference.to_bytes()) == reference
