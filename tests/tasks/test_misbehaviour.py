"""Functions that do what functions should not: their tasks fail with a reason, and nobody else's suffer."""

import asyncio
import contextvars
import re
import sys
import threading
from typing import Any

import pytest
from tests.waiting import eventually

import gbe
from gbe.lifecycle.transitions import TaskState
from gbe.tasks.context import TaskContext
from gbe.testing import task_bench


class _MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("I say nothing")


def make_app() -> gbe.App:
    app = gbe.App()

    @app.task("fine")
    async def fine(ctx: gbe.TaskContext) -> str:
        ctx.progress(1, 2, "half \udc80")
        await asyncio.sleep(0.05)
        return "fine"

    @app.task("exit-async", max_retries=0)
    async def exit_async() -> None:
        sys.exit("argument missing")

    @app.task("exit-plain", max_retries=0)
    def exit_plain() -> None:
        sys.exit(3)

    @app.task("stop-plain", max_retries=0)
    def stop_plain() -> str:
        return next(iter(list[str]()))

    @app.task("await-cancelled", max_retries=0)
    async def await_cancelled() -> None:
        other = asyncio.ensure_future(asyncio.sleep(60))
        other.cancel()
        await other

    @app.task("mute", max_retries=0)
    async def mute() -> None:
        raise _MuteError

    @app.task("surrogate", max_retries=0)
    async def surrogate() -> None:
        raise ValueError("a name \udc80 of the file system")

    @app.task("wrong-note", max_retries=0)
    async def wrong_note(ctx: gbe.TaskContext) -> None:
        note: Any = None
        ctx.progress(1, 2, note)

    return app


FAILURES = {
    "exit-async": "SystemExit: argument missing",
    "exit-plain": "SystemExit: 3",
    "stop-plain": "RuntimeError: the function raised StopIteration",
    "await-cancelled": "CancelledError",
    "mute": "_MuteError, which cannot be shown as text|I say nothing",  # so says OpenTelemetry, where it is loaded
    "surrogate": r"ValueError: a name \? of the file system",
    "wrong-note": "TypeError: progress: note is NoneType; expected text",
}


async def test_whatever_a_function_raises_fails_its_task_alone() -> None:
    """An exit, an end of an iteration, an error that cannot be printed: a reason each, and the worker goes on."""
    app = make_app()
    async with task_bench(app) as bench:
        others = [await app.submit("fine") for _ in range(3)]
        wrong = {name: await app.submit(name) for name in FAILURES}
        await bench.run_until_idle(60)
        for name, task in wrong.items():
            record = await task.refresh()
            assert record.state is TaskState.FAILED, name
            assert re.search(FAILURES[name], record.error or ""), name
        last = await app.submit("fine")
        await bench.run_until_idle(60)
        assert [await task.result(timeout=20) for task in (*others, last)] == ["fine"] * 4


async def test_a_plain_function_that_outlives_its_time_keeps_its_place() -> None:
    """There is no thread for another task before it returns: that one waits, and is not failed for it."""
    app, gate = gbe.App(), threading.Event()

    @app.task("stuck", step_timeout="200ms", max_retries=0)
    def stuck() -> None:
        gate.wait(60)

    @app.task("next", step_timeout="10s", max_retries=0)
    def follow() -> str:
        return "done"

    async with task_bench(app, concurrency=1) as bench:
        first = await app.submit("stuck")

        async def has_failed() -> bool:
            return (await first.refresh()).state is TaskState.FAILED

        await eventually(has_failed, "the first task has failed")
        second = await app.submit("next")
        for _ in range(25):
            await asyncio.sleep(0.02)
            assert (await second.refresh()).state is TaskState.PENDING
        gate.set()
        await bench.run_until_idle(60)
        assert await second.result(timeout=20) == "done"


async def test_a_plain_function_has_the_context_of_its_attempt() -> None:
    """Context variables, so the span and the trace too, reach the thread."""
    app, variable, seen = gbe.App(), contextvars.ContextVar("variable", default="none"), list[str]()

    @app.task("look")
    def look() -> None:
        seen.append(variable.get())

    variable.set("of the caller")
    async with task_bench(app) as bench:
        await app.submit("look")
        await bench.run_until_idle(60)
    assert seen == ["of the caller"]


@pytest.mark.parametrize(
    ("done", "total", "error", "words"),
    [
        (0.5, 1, TypeError, "done is float; expected a whole number"),
        (-1, None, ValueError, "done is -1; expected 0 or more"),
        (1, 2**64, ValueError, "total is 18446744073709551616; expected 0 or more"),
        ("1", None, TypeError, "done is str; expected a whole number"),
    ],
)
def test_progress_that_cannot_be_is_refused_where_it_is_said(
    done: Any, total: Any, error: type[Exception], words: str
) -> None:
    """In the function, and not later in the worker."""
    context = TaskContext(task_id="t", task_type="x", attempt=1, retry_count=0, created_at=0, worker="w")
    with pytest.raises(error, match=words):
        context.progress(done, total)
