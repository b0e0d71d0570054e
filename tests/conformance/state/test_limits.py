"""What is refused, and that nothing of it is written."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.conformance.state.conftest import OpenState

from gbe.errors import InvalidKeyError, InvalidRecordError, RecordTooLargeError, StateClosedError
from gbe.state.base import StateStore

BAD_KEYS = {
    "empty": "",
    "star": "a.*.b",
    "tail": "a.>",
    "line break": "a.b\r\nPUB x 0",
    "final line break": "a.b\n",
    "nul": "a.\x00",
    "escape": "a.\x1b[2J",
    "space": "a b",
    "empty token": "a..b",
    "leading dot": ".a",
    "trailing dot": "a.",
    "path": "a/../../b",
    "braces": "{a}.b",
    "colon": "a:b",
    "not ascii": "a.é",
    "a surrogate": "a.\ud800",
    "long token": "a." + "t" * 129,
    "too long": ".".join(["t" * 60] * 5),
}
BAD_FIELDS = {"empty": "", "dotted": "a.b", "line break": "a\n", "long": "f" * 65, "star": "*", "not ascii": "é"}

Call = Callable[[StateStore, str], Coroutine[Any, Any, object]]


async def _scan(state: StateStore, prefix: str) -> None:
    async for _ in state.scan(prefix):
        pass


async def _watch(state: StateStore, prefix: str) -> None:
    async with state.watch(prefix):
        pass


CALLS: dict[str, Call] = {
    "get": lambda state, key: state.get(key),
    "get_field": lambda state, key: state.get_field(key, "a"),
    "put": lambda state, key: state.put(key, {"a": b"1"}),
    "set_fields": lambda state, key: state.set_fields(key, {"a": b"1"}),
    "update_if": lambda state, key: state.update_if(key, {}, {"a": b"1"}),
    "delete": lambda state, key: state.delete(key),
    "scan": _scan,
    "watch": _watch,
}


@pytest.mark.parametrize("bad", BAD_KEYS)
async def test_what_is_no_key_is_refused_everywhere(state: StateStore, bad: str) -> None:
    """Wildcards, control characters, empty and over-long tokens: by every operation, before the engine hears of it."""
    for call in CALLS.values():
        with pytest.raises(InvalidKeyError):
            await call(state, BAD_KEYS[bad])


@pytest.mark.parametrize("bad", BAD_FIELDS)
async def test_what_is_no_field_is_refused_everywhere(state: StateStore, key: str, bad: str) -> None:
    """And the record stays as it is."""
    field = BAD_FIELDS[bad]
    await state.put(key, {"a": b"1"})
    with pytest.raises(InvalidKeyError):
        await state.put(key, {"a": b"2", field: b"1"})
    with pytest.raises(InvalidKeyError):
        await state.set_fields(key, {"a": b"2", field: None})
    with pytest.raises(InvalidKeyError):
        await state.update_if(key, {field: b"1"}, {"a": b"2"})
    with pytest.raises(InvalidKeyError):
        await state.update_if(key, {}, {"a": b"2", field: b"1"})
    with pytest.raises(InvalidKeyError):
        await state.get_field(key, field)
    with pytest.raises(InvalidKeyError):
        await state.due(field, 10)
    assert await state.get(key) == {"a": b"1"}


async def test_values_over_the_limit_name_the_claim_check(state: StateStore, key: str) -> None:
    """Also when only the whole of old and new fields is too much; nothing is written."""
    limit = state.config.max_record_size
    await state.put(key, {"a": b"x" * (limit - 1)})
    await state.put(key, {"a": b"x" * 1000})
    for refused in (
        lambda: state.put(key, {"a": b"y" * limit}),
        lambda: state.set_fields(key, {"b": b"y" * limit}),
        lambda: state.set_fields(key, {"b": b"y" * (limit - 500)}),
        lambda: state.update_if(key, {}, {"b": b"y" * (limit - 500)}),
    ):
        with pytest.raises(RecordTooLargeError, match="claim check"):
            await refused()
    assert await state.get(key) == {"a": b"x" * 1000}
    await state.set_fields(key, {"a": b"y" * (limit - 1)})
    assert len(await state.get_field(key, "a") or b"") == limit - 1


async def test_what_is_no_record_is_refused(state: StateStore, key: str) -> None:
    """No field, too many, text for bytes, a deadline that is none, a life that no engine can keep."""
    with pytest.raises(InvalidRecordError, match="no field"):
        await state.put(key, {})
    with pytest.raises(InvalidRecordError, match="at most 256"):
        await state.put(key, {f"f{number}": b"" for number in range(257)})
    with pytest.raises(InvalidRecordError, match="bytes"):
        await state.put(key, {"a": "text"})  # type: ignore[dict-item]
    with pytest.raises(InvalidRecordError, match="bytes"):
        await state.update_if(key, {"a": "text"}, {})  # type: ignore[dict-item]
    for deadline in (b"", b"soon", b"-1", b"1.5", b" 1", b"1\n", b"1" * 14, b"\xd9\xa1"):
        with pytest.raises(InvalidRecordError, match="timeout_at is an index"):
            await state.put(key, {"a": b"1", "timeout_at": deadline})
        with pytest.raises(InvalidRecordError, match="timeout_at is an index"):
            await state.set_fields(key, {"timeout_at": deadline})
    for ttl in (0.0, -1.0, 0.5, float("nan"), float("inf"), 1e10):
        with pytest.raises(InvalidRecordError, match="ttl"):
            await state.put(key, {"a": b"1"}, ttl=ttl)
    assert await state.get(key) is None


async def test_a_sum_of_fields_is_limited_too(state: StateStore, key: str) -> None:
    """A record cannot grow beyond the number of fields bit by bit."""
    await state.put(key, {f"f{number}": b"" for number in range(200)})
    with pytest.raises(InvalidRecordError, match="at most 256"):
        await state.set_fields(key, {f"g{number}": b"" for number in range(57)})
    await state.set_fields(key, {f"g{number}": b"" for number in range(56)})
    assert len(await state.get(key) or {}) == 256


async def test_an_index_must_be_one_of_the_stores(state: StateStore) -> None:
    """The error names those it has."""
    with pytest.raises(InvalidKeyError, match="timeout_at, wake_at"):
        await state.due("created_at", 10)
    for limit in (0, -1, 10_001):
        with pytest.raises(ValueError, match="limit"):
            await state.due("timeout_at", 10, limit=limit)


async def test_the_longest_names_work(state: StateStore, prefix: str) -> None:
    """A key of 255 bytes, with a token of 128, and fields of 64."""
    tail = "t" * 128
    key = f"{prefix}.{'m' * (254 - len(prefix) - 1 - len(tail))}.{tail}"
    assert len(key) == 255
    await state.put(key, {"f" * 64: b"1", "timeout_at": b"1"})
    assert await state.get_field(key, "f" * 64) == b"1"
    assert key in [record.key for record in await state.due("timeout_at", 1, limit=10_000)]
    assert [record.key async for record in state.scan(key)] == [key]


async def test_a_closed_store_says_so(open_state: OpenState, key: str) -> None:
    """By every operation; closing twice is no error."""
    state = await open_state()
    await state.put(key, {"a": b"1"})
    await state.close()
    await state.close()
    for call in CALLS.values():
        with pytest.raises(StateClosedError):
            await call(state, key)
    with pytest.raises(StateClosedError):
        await state.due("timeout_at", 1)
    with pytest.raises(StateClosedError):
        await state.ping()
    other = await open_state()
    assert await other.get(key) == {"a": b"1"}


async def test_a_ping_takes_some_time(state: StateStore) -> None:
    """A round trip, in seconds."""
    assert 0 <= await state.ping() < 30
