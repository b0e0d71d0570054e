"""Tasks whose JSON is broken in the state store, or would be: somebody finds out, and nothing is tried for ever."""

import dataclasses
from typing import Any

import msgspec
import pytest

import gbe
from gbe.errors import BrokenRecordError, InvalidTaskError
from gbe.ids import new_ulid
from gbe.lifecycle import moves
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.schemas.documents import MAX_DEPTH
from gbe.testing import task_bench


def nested(levels: int) -> Any:
    """Lists in one another."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def make_app() -> gbe.App:
    app = gbe.App()

    @app.task("echo", max_retries=3)
    async def echo(value: Any = None, levels: int = 0) -> Any:
        return nested(levels) if levels else value

    return app


def key_of(task: gbe.Task) -> str:
    return f"test.state.tasks.echo.{task.id}"


@pytest.mark.parametrize(
    "broken", [b'{"value":', b"", b'{"value":"\xff"}', b'{"value":' + b"[" * 600 + b"]" * 600 + b"}"]
)
async def test_a_task_with_broken_parameters_fails_at_once(broken: bytes) -> None:
    """Its signal goes without them; the worker says what is wrong, and does not try again."""
    app = make_app()
    async with task_bench(app) as bench:
        whole = await (await app.submit("echo", value=7)).refresh()
        backend = (await app.client()).backend
        record = dataclasses.replace(whole, task_id=new_ulid(), params=broken)
        key = backend.names.task("echo", record.task_id)
        await backend.state.put(key, record.to_fields())
        assert moves.signal_for(record, 1).params is msgspec.UNSET
        await backend.signal(record)
        await bench.run_until_idle()
        found = TaskRecord.from_fields(await backend.state.get(key) or {})
        assert (found.state, found.attempt, found.retry_count) == (TaskState.FAILED, 1, 0)
        assert (found.error or "").startswith("not a task's record: params: type: ")


async def test_a_result_that_somebody_broke_is_no_result() -> None:
    """Who asks for it hears which field it is."""
    app = make_app()
    async with task_bench(app) as bench:
        task = await app.submit("echo", value=7)
        await bench.run_until_idle()
        client = await app.client()
        await client.backend.state.set_fields(key_of(task), {"result": b"[7"})
        with pytest.raises(BrokenRecordError, match="not a task's record: result: type: ") as refusal:
            await client.result_of(await task.refresh())
        assert (refusal.value.field, refusal.value.reason) == ("result", "type")


async def test_parameters_and_results_are_as_deep_as_the_contract_allows() -> None:
    """At the bound they lie in the record, and do not travel in a signal; beyond, they are refused where they arise."""
    app = make_app()
    async with task_bench(app) as bench:
        deepest = await app.submit("echo", value=nested(MAX_DEPTH - 1))
        too_deep = await app.submit("echo", levels=MAX_DEPTH + 1)
        await bench.run_until_idle()
        assert await deepest.result(timeout=20) == nested(MAX_DEPTH - 1)
        record = await too_deep.refresh()
        assert record.state is TaskState.FAILED
        assert f"nested deeper than {MAX_DEPTH}" in (record.error or "")
        with pytest.raises(InvalidTaskError, match=f"params: nested deeper than {MAX_DEPTH}"):
            await app.submit("echo", value=nested(MAX_DEPTH))
