"""What a user of tasks sees, in the order of a tutorial."""

import asyncio
import threading
import time
from dataclasses import dataclass, replace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.deployments import QUICK, Deployment
from tests.waiting import PATIENCE, eventually

from gbe import App, DoNotRetryError, TaskContext
from gbe.errors import (
    ConfigError,
    IllegalTransitionError,
    InvalidTaskError,
    TaskCancelledError,
    TaskFailedError,
    TaskNotFoundError,
    UnknownTaskTypeError,
)
from gbe.lifecycle.moves import signal_for
from gbe.lifecycle.names import Priority
from gbe.lifecycle.transitions import TaskState
from gbe.schemas.tasks import decode_outcome, decode_progress, encode
from gbe.tasks import listing
from gbe.tasks.client import MAX_PARAMS
from gbe.transport.base import EARLIEST


@dataclass
class Receipt:
    to: str
    size: int


async def test_a_submitted_task_runs_and_gives_its_typed_result(deployment: Deployment, app: App) -> None:
    """Parameters and result are those of the annotations."""

    @app.task("email-send", step_timeout="30s", max_retries=3, backoff="exponential")
    async def email_send(ctx: TaskContext, to: str, subject: str = "none") -> Receipt:
        assert (ctx.task_type, ctx.attempt) == ("email-send", 1)
        return Receipt(to, len(subject))

    async with deployment.working(app):
        task = await app.submit("email-send", to="a@example.net", subject="hi")
        assert await task.result(timeout=30) == Receipt("a@example.net", 2)
    record = await task.refresh()
    assert (record.state, record.attempt, record.timeout_at) == (TaskState.COMPLETED, 1, None)


async def test_a_program_without_the_code_submits_too(deployment: Deployment, app: App) -> None:
    """It knows the type from its worker, and is told of a wrong parameter all the same."""

    @app.task("double")
    async def double(number: int) -> int:
        return 2 * number

    other = await deployment.app()
    async with deployment.working(app):
        await eventually(lambda: _knows(other, "double"), "the worker has announced its type")
        assert await (await other.submit("double", number=21)).result(timeout=30) == 42
        with pytest.raises(InvalidTaskError, match="number: expected integer, got string"):
            await other.submit("double", number="21")


async def _knows(app: App, task_type: str) -> bool:
    try:
        await (await app.client()).types.look_up(task_type)
    except UnknownTaskTypeError:
        return False
    return True


async def test_a_wrong_call_fails_at_submit_with_the_field_named(app: App) -> None:
    """Nothing is written."""

    @app.task("pay")
    async def pay(to: str, amounts: list[int]) -> None: ...

    for params, field in (
        ({"to": 1, "amounts": []}, "to"),
        ({"to": "a"}, "amounts"),
        ({"to": "a", "amounts": ["x"]}, "amounts[0]"),
        ({"to": "a", "amounts": [], "cc": "b"}, "cc"),
        ({"to": object(), "amounts": []}, ""),
    ):
        with pytest.raises(InvalidTaskError) as caught:
            await app.submit("pay", **params)
        assert caught.value.field == field
    with pytest.raises(UnknownTaskTypeError, match="pya"):
        await app.submit("pya", to="a")
    with pytest.raises(UnknownTaskTypeError):
        await app.submit("pay.>", to="a")
    with pytest.raises(InvalidTaskError, match="such as 1h30m"):
        await app.submit("pay", to="a", amounts=[], delay="soon")
    with pytest.raises(InvalidTaskError, match="high, normal or low"):
        await app.submit("pay", to="a", amounts=[], priority="urgent")
    assert (await (await app.client()).list()).tasks == []


async def test_parameters_that_are_too_large_are_refused(app: App) -> None:
    """Before anything is written."""

    @app.task("large")
    async def large(text: str) -> None:
        return None

    with pytest.raises(InvalidTaskError, match="over 33554432"):
        await app.submit("large", text="x" * MAX_PARAMS)
    assert not (await (await app.client()).list(task_type="large")).tasks


async def test_an_option_of_submit_is_no_parameter(app: App) -> None:
    """A function whose parameter could not be given is refused when it is registered."""
    with pytest.raises(ConfigError, match="key is an option of submit"):

        @app.task("t")
        async def t(key: str) -> None: ...


async def test_a_task_type_has_a_name(app: App) -> None:
    """``@app.task`` without one would register nothing, and every submit would wait for ever."""
    with pytest.raises(ConfigError, match="needs a name"):

        @app.task  # type: ignore[arg-type]
        async def nameless() -> None: ...


async def test_plain_functions_run_in_threads(deployment: Deployment, app: App) -> None:
    """They do not hold up the loop, and may report progress."""

    @app.task("compress")
    def compress(ctx: TaskContext, name: str) -> str:
        ctx.progress(1, 2, "half")
        return f"{name} {threading.current_thread().name.partition('_')[0]}"

    async with deployment.working(app):
        assert await (await app.submit("compress", name="x")).result(timeout=30) == "x gbe.task"


async def test_a_failed_attempt_is_retried_until_it_succeeds(deployment: Deployment, app: App) -> None:
    """Each attempt has its number; the result is that of the last."""

    @app.task("flaky", max_retries=3, backoff_base="10ms")
    async def flaky(ctx: TaskContext) -> int:
        if ctx.attempt < 3:
            raise OSError("not yet")
        return ctx.attempt

    async with deployment.working(app):
        task = await app.submit("flaky")
        assert await task.result(timeout=30) == 3
    record = await task.refresh()
    assert (record.retry_count, record.error) == (2, None)


async def test_a_spent_budget_fails_the_task_with_its_reason(deployment: Deployment, app: App) -> None:
    """The result raises, and so does an error that is final at once."""

    @app.task("broken", max_retries=1, backoff="none")
    async def broken(*, final: bool) -> None:
        if final:
            raise DoNotRetryError("no such account")
        raise ValueError("broken")

    async with deployment.working(app):
        spent = await app.submit("broken", final=False)
        with pytest.raises(TaskFailedError, match="ValueError: broken"):
            await spent.result(timeout=30)
        final = await app.submit("broken", final=True)
        with pytest.raises(TaskFailedError, match="no such account"):
            await final.result(timeout=30)
    assert ((await spent.refresh()).attempt, (await final.refresh()).attempt) == (2, 1)


async def test_a_step_that_takes_too_long_is_interrupted(deployment: Deployment, app: App) -> None:
    """Progress starts the step timeout again; without it the attempt ends."""
    moved_on = asyncio.Event()

    @app.task("steps", max_retries=0)
    async def steps(ctx: TaskContext, *, hang: bool) -> str:
        if hang:
            await asyncio.Event().wait()
        for number in range(6):
            await asyncio.sleep(0.8)
            ctx.progress(number + 1, 6)
        moved_on.set()
        return "done"

    async with deployment.working(app):
        slow = await app.submit("steps", hang=False, step_timeout=4.0)
        stuck = await app.submit("steps", hang=True, step_timeout=0.4)
        assert await slow.result(timeout=30) == "done"
        with pytest.raises(TaskFailedError, match="step timeout"):
            await stuck.result(timeout=30)
    assert moved_on.is_set()


async def test_a_task_has_only_its_whole_time(deployment: Deployment, app: App) -> None:
    """Retries included: the whole-task timeout ends them."""

    @app.task("endless", max_retries=1000, backoff="fixed", backoff_base="150ms")
    async def endless(ctx: TaskContext) -> None:
        raise OSError("again")

    async with deployment.working(app), deployment.sweeping():
        task = await app.submit("endless", timeout=2.0)
        with pytest.raises(TaskFailedError, match="again"):
            await task.result(timeout=30)
        assert (await task.refresh()).retry_count < 30


async def test_progress_reaches_the_stream_and_the_record(deployment: Deployment, app: App) -> None:
    """A dashboard follows the stream; who comes later reads the record."""
    let_go = asyncio.Event()

    @app.task("resize")
    async def resize(ctx: TaskContext) -> None:
        ctx.progress(2, 5, "thumbnails")
        await let_go.wait()

    backend = await deployment.backend()
    async with deployment.working(app), backend.transport.tail([deployment.names.progress("resize")]) as messages:
        task = await app.submit("resize")
        progress = decode_progress((await anext(aiter(messages))).envelope.payload)
        assert (progress.task_id, progress.done, progress.total, progress.note) == (task.id, 2, 5, "thumbnails")

        async def is_recorded() -> bool:
            record = await task.refresh()
            return (record.current_step, record.step_count, record.note) == (2, 5, "thumbnails")

        await eventually(is_recorded, "the progress is in the record")
        let_go.set()
        assert await task.result(timeout=30) is None


async def test_outcomes_are_published_for_monitors(deployment: Deployment, app: App) -> None:
    """Completed and failed alike."""

    @app.task("either", max_retries=0)
    async def either(*, well: bool) -> int:
        if not well:
            raise ValueError("no")
        return 7

    async with deployment.working(app):
        tasks = [await app.submit("either", well=well) for well in (True, False)]
        for task in tasks:
            await (await app.client()).wait("either", task.id, 30)
    transport = (await deployment.backend()).transport
    stored = await transport.read(deployment.names.terminal("either"))
    outcomes = {o.task_id: o for o in (decode_outcome(message.envelope.payload) for message in stored)}
    assert [outcomes[task.id].state for task in tasks] == ["completed", "failed"]
    assert outcomes[tasks[1].id].error == "ValueError: no"


async def test_a_pending_task_is_cancelled_before_it_runs(deployment: Deployment, app: App) -> None:
    """Its signal finds nothing to do; a second cancel is an error."""
    ran = asyncio.Event()

    @app.task("later")
    async def later() -> None:
        ran.set()

    @app.task("marker")
    async def marker() -> None: ...

    task = await app.submit("later")
    await task.cancel()
    with pytest.raises(IllegalTransitionError, match="cancelled"):
        await task.cancel()
    async with deployment.working(app):
        await (await app.submit("marker")).result(timeout=30)
        with pytest.raises(TaskCancelledError):
            await task.result(timeout=30)
        client = await app.client()
        group = deployment.names.group("later")
        queue = deployment.names.queue("later", Priority.NORMAL)

        async def is_taken() -> bool:
            lag = await client.backend.transport.lag(queue, group)
            return not lag.pending and not lag.unacknowledged

        await eventually(is_taken, "the signal is taken")
    assert not ran.is_set()


async def test_a_running_task_is_cancelled_at_its_next_renewal(deployment: Deployment, app: App) -> None:
    """The function is interrupted, and its result would be refused."""
    began, interrupted = asyncio.Event(), asyncio.Event()

    @app.task("long")
    async def long() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.set()
            raise

    async with deployment.working(app) as worker:
        task = await app.submit("long")
        await asyncio.wait_for(began.wait(), 30)
        await task.cancel()
        await asyncio.wait_for(interrupted.wait(), 30)
        await eventually(lambda: worker.is_idle, "the worker is idle")
    assert (await task.refresh()).state is TaskState.CANCELLED


async def test_a_delayed_task_does_not_run_early(deployment: Deployment, app: App) -> None:
    """It waits as long as it was told to."""
    ran_at: list[int] = []

    @app.task("reminder")
    async def reminder() -> None:
        ran_at.append(time.time_ns() // 1_000_000)

    async with deployment.working(app):
        task = await app.submit("reminder", delay="300ms")
        await task.result(timeout=30)
    assert ran_at[0] >= (task.record.run_at or 0)


async def test_a_higher_priority_goes_first(deployment: Deployment, app: App) -> None:
    """With one place, what waits is taken by class."""
    order: list[str] = []
    gate, began = asyncio.Event(), asyncio.Event()

    @app.task("job")
    async def job(name: str) -> None:
        order.append(name)
        if name == "first":
            began.set()
            await gate.wait()

    one = type(QUICK)(concurrency=1, lease=2.0, renew_every=0.2, signal_timeout=30.0)
    async with deployment.working(app, one) as worker:
        tasks = [await app.submit("job", name="first")]
        await asyncio.wait_for(began.wait(), 30)
        tasks += [await app.submit("job", name=name, priority=name) for name in ("low", "normal", "high")]
        await eventually(lambda: all(worker._slots._waiting.values()), "all three wait for the place")
        gate.set()
        for task in tasks:
            await task.result(timeout=30)
    assert order == ["first", "high", "normal", "low"]


async def test_one_idempotency_key_is_one_task(deployment: Deployment, app: App) -> None:
    """Submitted twice, also at once, it runs once."""
    runs: list[int] = []

    @app.task("charge")
    async def charge(order: int) -> int:
        runs.append(order)
        return order

    async with deployment.working(app):
        tasks = await asyncio.gather(
            *(app.submit("charge", order=number, idempotency_key="order-17") for number in range(5))
        )
        results = {await task.result(timeout=30) for task in tasks}
    assert len({task.id for task in tasks}) == 1
    assert results == set(runs)
    assert len(runs) == 1


async def test_a_concurrency_limit_holds_over_all_workers(deployment: Deployment, app: App) -> None:
    """Two workers together run no more than the limit, per type and per key."""
    running: dict[str, int] = {}
    most: dict[str, int] = {}

    def register(app: App) -> None:
        @app.task("limited", concurrency=3, concurrency_per_key=1)
        async def limited(of: str) -> None:
            for name in ("all", of):
                running[name] = running.get(name, 0) + 1
                most[name] = max(most.get(name, 0), running[name])
            await asyncio.sleep(0.03)
            for name in ("all", of):
                running[name] -= 1

    other = await deployment.app()
    register(app)
    register(other)
    async with deployment.working(app), deployment.working(other):
        tasks = [await app.submit("limited", of=f"k{n % 4}", key=f"k{n % 4}") for n in range(16)]
        for task in tasks:
            await task.result(timeout=60)
    assert most["all"] <= 3
    assert all(most[f"k{n}"] == 1 for n in range(4))


async def test_a_rate_limit_spreads_starts(deployment: Deployment, app: App) -> None:
    """Of a rate of 20 a second, ten starts are at least eight intervals apart, whatever the machine does."""
    starts: list[float] = []

    @app.task("polite", rate_limit="20/s")
    async def polite() -> None:
        starts.append(time.time())

    async with deployment.working(app):
        tasks = [await app.submit("polite") for _ in range(10)]
        for task in tasks:
            await task.result(timeout=60)
    assert max(starts) - min(starts) >= 7 * 0.05


async def test_a_paused_type_waits_until_it_is_resumed(deployment: Deployment, app: App) -> None:
    """Pausing works on running workers; other types go on."""
    ran: list[str] = []

    @app.task("a")
    async def a() -> None:
        ran.append("a")

    @app.task("b")
    async def b() -> None:
        ran.append("b")

    operator = await deployment.app()
    types = (await operator.client()).types
    async with deployment.working(app):
        await (await app.submit("a")).result(timeout=30)
        await types.pause("a", paused=True)
        own = (await app.client()).types
        await eventually(lambda: own.effective("a").paused, "the worker has heard of the pause")
        waiting = await app.submit("a")
        await (await app.submit("b")).result(timeout=30)
        assert ran == ["a", "b"]
        assert (await waiting.refresh()).state is TaskState.PENDING
        await types.pause("a", paused=False)
        await waiting.result(timeout=30)
    assert ran == ["a", "b", "a"]


async def test_settings_of_a_type_change_while_workers_run(deployment: Deployment, app: App) -> None:
    """The next attempt goes by them; what cannot be is refused."""

    @app.task("adjust", max_retries=0)
    async def adjust(ctx: TaskContext) -> int:
        if ctx.attempt == 1:
            raise OSError("once")
        return ctx.attempt

    types = (await (await deployment.app()).client()).types
    async with deployment.working(app):
        await eventually(lambda: _knows_through(types, "adjust"), "the type is announced")
        await types.set("adjust", {"max_retries": 2, "backoff": "none"})
        own = (await app.client()).types
        await eventually(lambda: own.effective("adjust").max_retries == 2, "the worker has heard of it")
        assert await (await app.submit("adjust")).result(timeout=30) == 2
        with pytest.raises(ConfigError, match="a whole number"):
            await types.set("adjust", {"max_retries": "many"})


async def _knows_through(types: object, name: str) -> bool:
    try:
        await types.look_up(name)  # type: ignore[attr-defined]
    except UnknownTaskTypeError:
        return False
    return True


async def test_an_operator_retries_a_failed_task_as_a_new_one(deployment: Deployment, app: App) -> None:
    """What has ended stays as it is; the new task has the same parameters, and names the old one."""
    heal = asyncio.Event()

    @app.task("fragile", max_retries=0)
    async def fragile(text: str) -> str:
        if not heal.is_set():
            raise OSError("down")
        return text

    async with deployment.working(app):
        task = await app.submit("fragile", text="x" * 10_000)
        with pytest.raises(TaskFailedError):
            await task.result(timeout=30)
        heal.set()
        client = await app.client()
        again = await client.retry(task.id)
        assert await client.result("fragile", again.task_id, 30) == b'"' + b"x" * 10_000 + b'"'
        with pytest.raises(IllegalTransitionError, match="completed"):
            await client.retry(again.task_id)
    assert again.retry_of == task.id
    assert (await task.refresh()).state is TaskState.FAILED


async def test_large_parameters_and_results_are_claim_checks(deployment: Deployment, app: App) -> None:
    """The record stays small, and the values are whole."""

    @app.task("echo")
    async def echo(text: str) -> str:
        return text[::-1]

    text = "0123456789" * 50_000
    async with deployment.working(app):
        task = await app.submit("echo", text=text)
        assert await task.result(timeout=30) == text[::-1]
    record = await task.refresh()
    assert record.params is None
    assert record.params_ref is not None
    assert record.result_ref is not None


async def test_lists_show_the_newest_first_page_by_page(app: App) -> None:
    """Filters, pages and cursors together show every task once."""

    @app.task("list-a")
    async def a(n: int) -> None: ...

    @app.task("list-b")
    async def b() -> None: ...

    submitted = [(await app.submit("list-a", n=n)).id for n in range(7)]
    await app.submit("list-b")
    client = await app.client()
    seen: list[str] = []
    cursor = None
    while True:
        page = await client.list(task_type="list-a", limit=3, cursor=cursor)
        seen += [record.task_id for record in page.tasks]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(submitted)
    assert len((await client.list()).tasks) == 8
    assert (await client.list(state=TaskState.FAILED)).tasks == []
    with pytest.raises(InvalidTaskError, match="cursor"):
        await client.list(cursor="nonsense")
    with pytest.raises(InvalidTaskError, match="1 to 1000"):
        await client.list(limit=0)


async def test_a_page_of_a_list_is_bounded(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a stretch of records a list goes on in the next: every task is on one page, the newest of each first."""
    monkeypatch.setattr(listing, "STRETCH", 10)

    @app.task("many")
    async def many() -> None: ...

    tasks = [await app.submit("many", key="even" if n % 2 == 0 else "odd") for n in range(34)]
    client = await app.client()

    async def pages(limit: int, key: str | None) -> list[list[str]]:
        found, cursor = [], None
        while True:
            page = await client.list(task_type="many", key=key, limit=limit, cursor=cursor)
            found.append([record.task_id for record in page.tasks])
            assert [record.task_id for record in page.tasks] == [
                record.task_id for record in sorted(page.tasks, key=lambda r: (r.created_at, r.task_id), reverse=True)
            ]
            cursor = page.cursor
            if cursor is None:
                return found

    for key, limit in ((None, 3), (None, 100), ("odd", 3), ("neither", 3)):
        found = await pages(limit, key)
        expected = [task.id for task in tasks if key is None or task.record.key == key]
        assert sorted(task_id for page in found for task_id in page) == sorted(expected)
        assert max(map(len, found)) <= min(limit, 10)
        assert len(found) >= 4, "the records of four stretches"
    cursor = (await client.list(task_type="many", limit=3)).cursor
    assert cursor is not None
    for bad in (cursor[:-3], cursor + "AAAA", "A" * 5000, "é", "WyJ4IHkiXQ"):
        with pytest.raises(InvalidTaskError, match="cursor"):
            await client.list(task_type="many", limit=3, cursor=bad)


async def test_a_task_that_does_not_exist_is_said_so(app: App) -> None:
    """Whatever is asked of it."""
    client = await app.client()
    for task_id in ("0" * 26, "nonsense", "*"):
        with pytest.raises(TaskNotFoundError):
            await client.get(task_id)
        with pytest.raises(TaskNotFoundError):
            await client.cancel(task_id)


async def test_a_stopping_worker_finishes_what_runs(deployment: Deployment, app: App) -> None:
    """Within its grace period nothing is interrupted."""
    began, let_go = asyncio.Event(), asyncio.Event()

    @app.task("slow")
    async def slow() -> str:
        began.set()
        await let_go.wait()
        return "done"

    async with deployment.working(app):
        task = await app.submit("slow")
        await asyncio.wait_for(began.wait(), 30)
        asyncio.get_running_loop().call_later(0.2, let_go.set)
    assert await task.result(timeout=30) == "done"
    assert (await task.refresh()).attempt == 1


async def test_what_is_not_finished_in_time_is_handed_back(deployment: Deployment, app: App) -> None:
    """Another worker goes on at once, and no retry is counted."""
    began = asyncio.Event()

    @app.task("stubborn", max_retries=0)
    async def stubborn(ctx: TaskContext) -> int:
        if ctx.attempt == 1:
            began.set()
            await asyncio.Event().wait()
        return ctx.attempt

    # a lease that no busy machine outlasts: the task has no retry left; the sweeper is for signals that come too late
    impatient = type(QUICK)(concurrency=2, lease=20.0, renew_every=0.2, grace=0.0)
    async with deployment.sweeping():
        async with deployment.working(app, impatient):
            task = await app.submit("stubborn")
            await asyncio.wait_for(began.wait(), 30)
        async with deployment.working(app):
            assert await task.result(timeout=30) == 2
    assert (await task.refresh()).retry_count == 0


async def test_a_hurry_ends_the_grace_period(deployment: Deployment, app: App) -> None:
    """Whoever is asked twice to stop hands back at once."""
    started = asyncio.Event()

    @app.task("endless")
    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    stop, hurry = asyncio.Event(), asyncio.Event()
    worker = await app.worker(replace(QUICK, grace=600.0))
    running = asyncio.create_task(worker.run(stop, hurry))
    task = await app.submit("endless")
    await asyncio.wait_for(started.wait(), PATIENCE)
    stop.set()
    hurry.set()
    await asyncio.wait_for(running, PATIENCE)
    assert (await task.refresh()).state is TaskState.PENDING


async def test_a_type_that_is_gone_from_the_store_is_written_again(
    deployment: Deployment, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that came back without its data must not end in "unknown type" until workers are started again."""
    monkeypatch.setattr("gbe.tasks.worker._LOOK_AT_TYPES", 0.05)

    @app.task("known")
    async def known() -> int:
        return 1

    async with deployment.working(app):
        client = await app.client()
        backend = client.backend
        assert await (await app.submit("known")).result(timeout=PATIENCE) == 1
        await backend.state.delete(backend.names.type("known"))

        async def is_back() -> bool:
            return bool((await backend.state.get(backend.names.type("known")) or {}).get("schema"))

        await eventually(is_back, "the type is known again")
        assert await (await app.submit("known")).result(timeout=PATIENCE) == 1


async def test_a_signal_that_is_none_goes_to_the_dead_letters(deployment: Deployment, app: App) -> None:
    """What other programs put into a queue stops nobody."""

    @app.task("safe")
    async def safe() -> str:
        return "fine"

    transport = (await deployment.backend()).transport
    queue = deployment.names.queue("safe", Priority.NORMAL)
    for payload in (b"", b"{}", b"\xff", b'{"v":1,"ts":1,"id":"x","task_id":"../../x","attempt":0,"created_at":1}'):
        await transport.publish(queue, payload)
    async with deployment.working(app):
        assert await (await app.submit("safe")).result(timeout=30) == "fine"

        async def has_letters() -> bool:
            letters = await transport.read(f"{deployment.namespace}._deadletter.tasks", start=EARLIEST)
            return len(letters) == 4

        await eventually(has_letters, "four dead letters")


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """What the program's tracers report: a process has one provider, for good."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def attempts_of(exporter: InMemorySpanExporter, task_id: str) -> dict[object, ReadableSpan]:
    """The spans of a task, by the number of the attempt."""
    found: dict[object, ReadableSpan] = {}
    for span in exporter.get_finished_spans():
        attributes = span.attributes or {}
        if attributes.get("gbe.task_id") == task_id:
            found[attributes["gbe.attempt"]] = span
    return found


async def test_retries_link_to_the_first_attempt(
    deployment: Deployment, app: App, exporter: InMemorySpanExporter
) -> None:
    """Every attempt is a child of the submit; the second and the third link to the first."""

    @app.task("traced", backoff="none")
    async def traced(ctx: TaskContext) -> None:
        if ctx.attempt < 3:
            raise OSError("again")

    with trace.get_tracer("test").start_as_current_span("request") as request:
        submitted = request.get_span_context()
        task = await app.submit("traced")
    async with deployment.working(app):
        await task.result(timeout=30)
    attempts = attempts_of(exporter, task.id)
    assert sorted(map(str, attempts)) == ["1", "2", "3"]
    assert {span.parent.span_id for span in attempts.values() if span.parent} == {submitted.span_id}
    first = attempts[1].get_span_context()
    assert first is not None
    assert not attempts[1].links
    for number in (2, 3):
        (link,) = attempts[number].links
        assert (link.context.trace_id, link.context.span_id) == (first.trace_id, first.span_id)
    assert attempts[1].status.status_code is trace.StatusCode.ERROR
    assert attempts[3].status.status_code is not trace.StatusCode.ERROR
    record = await task.refresh()
    assert record.attempt_trace == f"00-{first.trace_id:032x}-{first.span_id:016x}-{first.trace_flags:02x}"


async def test_a_signal_with_a_broken_trace_runs_all_the_same(
    deployment: Deployment, app: App, exporter: InMemorySpanExporter
) -> None:
    """What a signal says of a first attempt may be another program's invention."""

    @app.task("traced")
    async def traced() -> str:
        return "done"

    transport = (await deployment.backend()).transport
    task = await app.submit("traced", delay=600)
    signal = signal_for(replace(task.record, attempt_trace="nonsense"), 0)
    await transport.publish(deployment.names.queue("traced", Priority.NORMAL), encode(signal))
    async with deployment.working(app):
        assert await task.result(timeout=30) == "done"
    assert not attempts_of(exporter, task.id)[1].links
