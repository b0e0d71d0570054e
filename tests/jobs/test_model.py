"""Random jobs of up to 30 tasks, advanced by orchestrators that die at any moment, against an oracle.

The tasks are run by the test: it claims what was submitted, ends it well or badly, and keeps, loses, delays and repeats
the messages that say so. An operator cancels and retries. Whatever happens, the job must end, once, as the oracle says.
"""

import asyncio
import itertools
import os
from collections import Counter
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.deployments import Deployment, Engine, MemoryBoth
from tests.jobs.conftest import QUICK
from tests.jobs.mortal import Died, Life, mortal
from tests.jobs.oracle import Ended, Spec, World, graphs
from tests.naming import unique
from tests.told import ends_told

from gbe.errors import IllegalJobTransitionError, StateError, TransportError
from gbe.graph.definition import parse_definition
from gbe.graph.names import place_of
from gbe.graph.record import JobRecord, JobState
from gbe.jobs.advance import Advancer, Step
from gbe.jobs.client import JobClient
from gbe.lifecycle import moves
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.schemas.jobs import decode_event
from gbe.state.base import Expected
from gbe.tasks.backend import Backend
from gbe.tasks.registry import TypeRegistry

_numbers = itertools.count(1)
_KNOWN: Final = {"work": {"command": ["/bin/cat"]}, "undo": {"command": ["/bin/cat"]}}
_DAY: Final = 86_400.0
_MOST_STEPS: Final = 500
_EXAMPLES: Final = int(os.environ.get("GBE_MODEL_EXAMPLES", "50"))  # in memory; more of them on purpose
_CODES: Final = {TaskState.COMPLETED: "c", TaskState.FAILED: "f", TaskState.CANCELLED: "x"}
_MESSAGES: Final = st.integers(0, 2**16)


class Machine(RuleBasedStateMachine):
    """One job and all that can happen to it.

    Args:
        runner: its event loop, the same for all examples.
        backend: the deployment, the same for all examples.
        most: tasks of a job.
    """

    def __init__(self, runner: "asyncio.Runner", backend: Backend, most: int) -> None:
        super().__init__()
        self._runner, self._backend, self._most = runner, backend, most
        self.new: list[str] = []  # keys of tasks that were submitted since they were looked at
        self.open: list[str] = []
        self.mail: list[str] = []
        self.undoing: dict[tuple[int, str], str] = {}
        self.submitted: set[tuple[str, int, int]] = set()
        self.ends: dict[int, str] = {}
        self.was_cancelled = False

    @initialize(data=st.data(), is_calm=st.booleans())
    def start(self, data: st.DataObject, is_calm: bool) -> None:
        """A job; in a calm world nobody dies, and no message is lost: then nobody ever has to look at everything."""
        self.specs, self.is_calm = data.draw(graphs(self._most)), is_calm
        self.world = World(self.specs)
        self.job_type = f"model{next(_numbers)}"
        types = TypeRegistry(self._backend.state, self._backend.names, _KNOWN, {})
        tasks = {spec.name: spec.document() for spec in self.specs}
        definition = parse_definition(self.job_type, {"tasks": tasks})
        self.client = JobClient(self._backend, types, {self.job_type: definition})
        self.job_id = self._runner.run(self.client.start(self.job_type)).job_id
        self.advancers = [self._advancer(Life()) for _ in range(2)]
        self._runner.run(self._advance(0, [], look=True))

    # -- what happens

    @precondition(lambda self: self.open)
    @rule(some=st.lists(st.tuples(_MESSAGES, st.sampled_from([None, 0, 1, 2, 3])), min_size=1, max_size=6))
    def workers_end_tasks(self, some: list[tuple[int, int | None]]) -> None:
        """Well, or so that it is tried again as long as it may be."""
        for number, length in some:
            if self.open:
                self._runner.run(self._work(self.open[number % len(self.open)], length))

    @precondition(lambda self: self.mail and not self.is_calm)
    @rule(number=_MESSAGES)
    def a_message_is_lost(self, number: int) -> None:
        """For good."""
        del self.mail[number % len(self.mail)]

    @precondition(lambda self: self.mail)
    @rule(who=st.integers(0, 1), some=st.lists(_MESSAGES, min_size=1, max_size=4), is_repeated=st.booleans())
    def messages_arrive(self, who: int, some: list[int], is_repeated: bool) -> None:
        """In any order, once or twice."""
        heard = {self.mail[number % len(self.mail)] for number in some}
        if not is_repeated:
            self.mail = [task_id for task_id in self.mail if task_id not in heard]
        self._runner.run(self._advance(who, sorted(heard)))

    @precondition(lambda self: not self.is_calm)
    @rule(who=st.integers(0, 1))
    def one_looks(self, who: int) -> None:
        """At everything, as when nothing was heard for long."""
        self._runner.run(self._advance(who, [], look=True))

    @precondition(lambda self: not self.is_calm)
    @rule(who=st.integers(0, 1), writes=st.integers(1, 12), loses=st.booleans(), look=st.booleans())
    def one_dies(self, who: int, writes: int, loses: bool, look: bool) -> None:
        """After so many writes; another one comes. Or it loses the answer to one, and lives."""
        self.advancers[who] = self._advancer(Life(writes, loses_answer=loses))
        heard, self.mail = self.mail[:3], self.mail[3:]
        self._runner.run(self._advance(who, heard, look=look))
        self.advancers[who] = self._advancer(Life())

    @rule(some=st.lists(_MESSAGES, max_size=4))
    def both_at_once(self, some: list[int]) -> None:
        """Each is told something else, and neither knows of the other."""
        heard = self._take(some)

        async def race() -> None:
            await asyncio.gather(*(self._advance(who, heard[who::2]) for who in range(2)))

        self._runner.run(race())

    def _take(self, some: list[int]) -> list[str]:
        heard = sorted({self.mail[number % len(self.mail)] for number in some}) if self.mail else []
        self.mail = [task_id for task_id in self.mail if task_id not in heard]
        return heard

    @rule(is_meant=st.integers(0, 5), some=st.lists(_MESSAGES, max_size=4))
    def an_operator_cancels(self, is_meant: int, some: list[int]) -> None:
        """Now and then, while somebody goes on with the job."""
        if is_meant == 5 and not self._job().state.is_terminal:
            self._runner.run(self._cancel(self._take(some)))

    async def _cancel(self, heard: list[str]) -> None:
        await asyncio.gather(self._advance(0, heard), self._try_to_cancel(), self._advance(1, heard))
        await self._advance(0, [], look=True)

    async def _try_to_cancel(self) -> None:
        try:
            await self.client.cancel(self.job_id)
        except IllegalJobTransitionError:  # it has just ended
            return
        self.was_cancelled = True

    @rule()
    def an_operator_retries(self) -> None:
        """As soon as that is possible."""
        job = self._job()
        if job.state in (JobState.FAILED, JobState.CANCELLED) and job.look_at is None:
            self._is_right(job)
            self._runner.run(self._retry(job))

    async def _retry(self, job: JobRecord) -> None:
        codes = {spec.name: job.nodes[number] for number, spec in enumerate(self.specs)}
        kept = {name for name, code in codes.items() if code in "ck"}
        undone = {name for run, name in self.undoing if run == job.run}
        self.ends[job.run] = job.state.value
        after = await self.client.retry(self.job_id)
        self.world.repeat(after.run, kept, undone)
        self.open, self.mail, self.was_cancelled = [], [], False
        await self._advance(0, [], look=True)

    # -- workers

    async def _work(self, key: str, length: int | None) -> None:
        """One attempt; ``length`` of the list in its result, ``None`` if it fails."""
        state, now = self._backend.state, self._backend.clock.now_ms()
        record = await self._record(key)
        if record.state is TaskState.PENDING:
            claim = moves.claim(record.attempt, worker=b"model", now=now, timeout_at=now + 60_000)
            assert await state.update_if(key, claim.expected, claim.changes)
            name = self._name(record)
            if record.task_type == "work":
                self.world.effects.add(name)
            attempt = record.attempt + 1
            if length is not None:
                result = msgspec.json.encode({"list": list(range(length)), "of": name})
                move = moves.complete(attempt, now=now, result={"result": result}, retention=_DAY)
            elif record.retry_count < (record.max_retries or 0):
                move = moves.retry(attempt, now=now, run_at=now, retry_count=record.retry_count + 1, error="not yet")
            else:
                count = record.retry_count
                move = moves.fail(attempt, now=now, retry_count=count, error=f"{name} broke", retention=_DAY)
            assert await state.update_if(key, move.expected, move.changes, ttl=move.ttl)
            record = await self._record(key)
        if record.state.is_terminal:
            self.open.remove(key)
            self.mail.append(record.task_id)
            self._learn(record)

    def _learn(self, record: TaskRecord) -> None:
        if record.task_type != "work" or record.params is None:
            return
        name, item, run = self._place(record)
        result = None if record.result is None else msgspec.json.decode(record.result)
        if self.world.tasks[name, item].run == run:
            self.world.tasks[name, item] = Ended(run, _CODES[record.state], result)

    async def _record(self, key: str) -> TaskRecord:
        fields = await self._backend.state.get(key)
        assert fields is not None
        return TaskRecord.from_fields(fields)

    def _params(self, record: TaskRecord) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(record.params or b"{}")
        return found

    def _name(self, record: TaskRecord) -> str:
        return str(self._params(record)["node" if record.task_type == "work" else "task"])

    def _place(self, record: TaskRecord) -> tuple[str, int, int]:
        place = place_of(self.job_id, record.task_id)
        assert place is not None
        return self._name(record), self._params(record).get("index", 0), place[2]

    # -- orchestrators

    def _advancer(self, life: Life) -> Advancer:
        return Advancer(mortal(self._backend, life, self._wrote), {}, QUICK)

    def _wrote(self, key: str, expected: Expected) -> None:
        if key.startswith(f"{self._backend.names.namespace}.state.tasks.") and expected == {"state": None}:
            self.new.append(key)

    async def _advance(self, who: int, heard: list[str], *, look: bool = False) -> None:
        """What an orchestrator does: step after step until there is nothing more to do."""
        ended = list(heard)
        try:
            for _ in range(_MOST_STEPS):
                step = await self.advancers[who].step(self.job_id, ended, look=look)
                if step is Step.DONE:
                    break
                ended = ended if step is Step.OVERTAKEN else []
                look = look and step is Step.OVERTAKEN
            else:
                raise AssertionError("it goes round in circles")
        except (Died, StateError, TransportError):
            assert not self.is_calm
        await self._look_at_the_new()

    # -- what must be true

    async def _look_at_the_new(self) -> None:
        """A task is submitted in its turn, once, and with what belongs to it."""
        job = await self.client.get(self.job_id)
        keys, self.new = self.new, []
        for key in keys:
            record = await self._record(key)
            if record.params is None:
                continue  # nobody can submit it any more
            self.open.append(key)
            if record.task_type == "undo":
                await self._check_undo(job, record)
                continue
            name, item, run = self._place(record)
            assert (name, item, run) not in self.submitted, f"{name}.{item} is submitted twice"
            self.submitted.add((name, item, run))
            assert run >= self.world.from_run(name, item), f"{name}.{item} is done already"
            known = self.world.tasks.get((name, item))
            assert known is None or known.run < self.world.from_run(name, item), f"{name}.{item} is done already"
            spec = self.world.by_name[name]
            assert self.world.is_due(spec), f"{name} starts out of turn"
            size = self.world.size(spec)
            assert size is not None
            assert item < size
            assert self._params(record) == self.world.given(name, item)
            self.world.tasks[name, item] = Ended(run)

    async def _check_undo(self, job: JobRecord, record: TaskRecord) -> None:
        """One at a time, what depends on a task before the task itself."""
        name, run = self._name(record), job.run
        assert (run, name) not in self.undoing, f"{name} is undone twice"
        for (other_run, _), key in self.undoing.items():
            assert other_run != run or (await self._record(key)).state.is_terminal
        assert name in self.world.effects or self._is_empty(name) or name in self._stopped_fan_outs(job)
        for behind in self.world.behind(name):
            spec = self.world.by_name[behind]
            assert not (spec.undone and (run, behind) not in self.undoing and self._must_be_undone(job, spec))
        result = self.world.result(name)
        assert self._params(record) == {"job": self.job_id, "task": name, "result": result}
        self.undoing[run, name] = f"{self._backend.names.task('undo', record.task_id)}"

    def _is_empty(self, name: str) -> bool:
        return self.world.verdict(name) == "c" and self.world.size(self.world.by_name[name]) == 0

    def _stopped_fan_outs(self, job: JobRecord) -> set[str]:
        """They count as failed, whether an item of them had begun or not."""
        return {
            spec.name
            for number, spec in enumerate(self.specs)
            if spec.undone and spec.items is not None and job.nodes[number] == "f"
        }

    def _must_be_undone(self, job: JobRecord, spec: Spec) -> bool:
        code = job.nodes[self.specs.index(spec)]
        has_effect = spec.name in self.world.effects or self._is_empty(spec.name)
        return spec.undone and code in "cf" and has_effect and self.world.verdict(spec.name) is not None

    @invariant()
    def nothing_is_undone_in_a_job_that_goes_on(self) -> None:
        """Only one that fails undoes."""
        job = self._job()
        if job.state in (JobState.RUNNING, JobState.COMPLETED):
            assert not [name for run, name in self.undoing if run == job.run]
        if job.state is JobState.CANCELLED:
            assert self.was_cancelled

    def _job(self) -> JobRecord:
        return self._runner.run(self.client.get(self.job_id))

    def _is_right(self, job: JobRecord) -> None:
        """A job that has ended is as its tasks' ends make it."""
        assert self._runner.run(self._alive()) == [], "left running"
        fatal = [spec.name for spec in self.specs if self.world.is_fatal(spec.name)]
        codes = {spec.name: job.nodes[number] for number, spec in enumerate(self.specs)}
        assert not set(codes.values()) & set("wsr")
        undone = {name for run, name in self.undoing if run == job.run}
        if job.state is JobState.CANCELLED:
            self.world.effects -= undone  # cancelled while it was undoing
            return
        assert not self.was_cancelled
        if job.state is JobState.COMPLETED:
            assert not fatal, (job, fatal)
            assert codes == {name: self.world.verdict(name) for name in codes}
            return
        assert job.state is JobState.FAILED
        assert fatal, (job.error, codes, self.world.tasks)
        assert job.error is not None
        must = {spec.name for spec in self.specs if self._must_be_undone(job, spec)}
        assert must <= undone <= must | self._stopped_fan_outs(job), (must, undone, codes)
        self.world.effects -= undone

    async def _alive(self) -> list[str]:
        """Tasks that nobody looks after any more."""
        return [key for key in self.open if not (await self._record(key)).state.is_terminal]

    def teardown(self) -> None:
        """Whatever has happened, the job ends."""
        if hasattr(self, "job_id"):
            self._runner.run(self._finish())
            job = self._job()
            self._is_right(job)
            self.ends[job.run] = job.state.value
            assert self._runner.run(self._told()) == dict.fromkeys(self.ends.items(), 1)

    async def _finish(self) -> None:
        for number in range(_MOST_STEPS):
            for key in list(self.open):
                await self._work(key, number % 4)
            heard, self.mail = self.mail, []
            await self._advance(number % 2, heard, look=not self.is_calm)
            if (await self.client.get(self.job_id)).look_at is None:
                return
            assert self.open or self.mail or not self.is_calm, "nothing happens any more"
        raise AssertionError(f"it does not end: {await self.client.get(self.job_id)}")

    async def _told(self) -> Counter[tuple[int, str]]:
        words = [state.value for state in JobState if state.is_terminal]
        subjects = [self.client.store.names.event(self.job_type, word) for word in words]
        told = await ends_told(self._backend.transport, subjects, lambda payload: decode_event(payload).id)
        return Counter((int(event_id.split(".")[1]), event_id.split(".")[2]) for event_id in told)


@pytest.mark.timeout(300)
def test_a_job_ends_as_its_tasks_do_whoever_dies(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Random graphs, random ends, random deaths."""
    is_quick = isinstance(engine, MemoryBoth)
    with asyncio.Runner() as runner:
        folder = tmp_path_factory.mktemp("model")
        deployment = Deployment(engine, unique("m"), folder)
        backend = runner.run(deployment.backend())
        try:
            run_state_machine_as_test(
                lambda: Machine(runner, backend, 30 if is_quick else 12),
                settings=settings(
                    max_examples=_EXAMPLES if is_quick else 12,
                    stateful_step_count=40 if is_quick else 20,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(deployment.close())
