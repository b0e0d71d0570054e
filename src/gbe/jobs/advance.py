"""One step of a job: what has ended is noted, what may start is written down, then submitted, then noted as running.

Every step is a compare-and-set on the job's own record, so any orchestrator may take over at any moment, two at once
included, and no lease has to run out first. The order of writes makes a crash harmless wherever it comes:

1. The *intention*: what is to start is written into the job's record.
2. It is submitted under an id made of the job, the task, the item and the run: a second submit finds the first.
3. The record says that it runs.

How a task has ended is read from its own record, never believed of a message.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, cast

from gbe.errors import InvalidJobError, InvalidTaskError, JobNotFoundError, RecordTooLargeError
from gbe.graph import progress
from gbe.graph.definition import Node
from gbe.graph.names import CHUNK, MAX_JOB_ITEMS, UNDO, child_id, place_of
from gbe.graph.record import TO_SUBMIT, ChunkCode, Code, JobRecord, JobState
from gbe.jobs.backend import JobBackend
from gbe.jobs.children import Child, Children
from gbe.jobs.config import OrchestratorConfig
from gbe.jobs.fanout import FanOuts, each
from gbe.jobs.inputs import InputError, Inputs
from gbe.jobs.store import JobStore, Plan
from gbe.lifecycle.registered import Settings
from gbe.lifecycle.transitions import TaskState
from gbe.schemas.jobs import JobWord

_CHUNKS_AT_ONCE: Final = 4
_LONGEST_PATIENCE: Final = 60.0
_CODES: Final = {TaskState.COMPLETED: "c", TaskState.FAILED: "f", TaskState.CANCELLED: "x"}


class Step(Enum):
    """What follows a step."""

    DONE = "done"  # nothing to do until something is heard
    MORE = "more"  # there is more to do at once
    OVERTAKEN = "overtaken"  # somebody else has written the job: once more, with all that was heard


@dataclass(slots=True)
class _Look:
    """A job as it was read, as it becomes, and what belongs to it."""

    seen: JobRecord
    job: JobRecord
    plan: Plan
    is_due: bool = False

    @property
    def has_changed(self) -> bool:
        """Whether it is to be written; one that was due for a look is, so that the next look is later."""
        return self.is_due or self.job != self.seen

    @property
    def life(self) -> float:
        return self.plan.definition.life

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.plan.definition.nodes

    def child(self, number: int, item: int, run: int) -> Child:
        """A task of the job, by its place."""
        node = self.nodes[number]
        task_type = (node.compensate or node.task) if item == UNDO else node.task
        job_id = self.job.job_id
        return Child(task_type, child_id(job_id, number, item, run), job_id, self.job.traceparent)


class Advancer:
    """Advances jobs, one step at a time.

    Args:
        configured: the ``tasks:`` section, by type.
    """

    def __init__(self, backend: JobBackend, configured: Mapping[str, Settings], config: OrchestratorConfig) -> None:
        self._clock, self._config = backend.clock, config
        self.store = JobStore(backend)
        self._children, self._fanouts = Children(backend, configured), FanOuts(self.store)

    async def step(self, job_id: str, ended: Sequence[str] = (), *, look: bool = False) -> Step:
        """Go on with a job as far as one step leads.

        Args:
            ended: ids of tasks that are said to have ended.
            look: ask of every open task whether it has ended: signals may be lost.

        Raises:
            StateUnavailableError, ObjectError: the job is as far as it was written, and is found again.
        """
        seen = await self.store.find(job_id)
        if seen is None or seen.look_at is None:
            return Step.DONE
        try:
            plan = await self.store.plan(job_id)
        except (JobNotFoundError, InvalidJobError):
            return await self._give_up(seen)
        at = _Look(seen, seen.copy(), plan, look)
        if look:
            at.job.settled = None  # whoever looks trusts nothing
        if look and seen.rev == 1:
            await self.store.announce_safely(seen, "created")
        await self._learn(at, ended)
        if look:
            await self._look(at)
        progress.settle_fan_outs(at.job)
        if at.job.state is JobState.RUNNING:
            return await self._run(at)
        is_left = at.job.state is not JobState.FAILING and progress.is_undoing(at.job)
        if progress.is_open(at.job) or is_left:
            return await self._stop(at)
        return await self._wind_up(at)

    # -- what has ended

    async def _learn(self, at: _Look, ended: Sequence[str]) -> None:
        items: dict[tuple[int, int], dict[int, tuple[str, int]]] = defaultdict(dict)

        async def one(place: tuple[int, int, int]) -> None:
            number, item, run = place
            if item == UNDO or number not in at.job.sizes:
                await self._note(at, number, item, run)
            elif item < at.job.sizes[number]:
                code = await self._ended(at, number, item, run)
                if code is not None:
                    items[number, item // CHUNK][item % CHUNK] = (code, run)

        async def note(number: int, chunk: int) -> None:
            found = await self._fanouts.ended(at.job, number, chunk, at.life, items[number, chunk])
            self._fanouts.note(at.job, number, chunk, found)

        places = {place_of(at.job.job_id, task_id) for task_id in ended}
        await each(one, (place for place in places if place is not None and place[0] < len(at.nodes)))
        await each(lambda place: note(*place), list(items))

    async def _look(self, at: _Look) -> None:
        """Ask of everything that is open."""
        for number in range(len(at.nodes)):
            run = at.job.runs[number]
            if at.job.undo[number] == Code.RUNNING.value:
                await self._note(at, number, UNDO, at.job.run)
            if at.job.nodes[number] not in "sr":
                continue
            if number not in at.job.sizes:
                await self._note(at, number, 0, run)
                continue
            for chunk, code in enumerate(at.job.chunks[number]):
                if code not in (ChunkCode.RUNNING, ChunkCode.BROKEN):
                    continue

                async def ended(item: int, run: int, number: int = number) -> str | None:
                    return await self._ended(at, number, item, run)

                found = await self._fanouts.look(at.job, number, chunk, at.life, ended)
                self._fanouts.note(at.job, number, chunk, found)

    async def _note(self, at: _Look, number: int, item: int, run: int) -> None:
        """A task that is no item, or one that undoes, may have ended."""
        is_undo, job = item == UNDO, at.job
        is_open = job.undo[number] in "sr" if is_undo else job.nodes[number] in "sr"
        if not is_open or run != (job.run if is_undo else job.runs[number]) or (item and not is_undo):
            return
        code = await self._ended(at, number, item, run)
        if code is None:
            return
        if is_undo:
            job.set_undo(number, Code.COMPLETED if code == "c" else Code.FAILED)
        elif code == "x" and job.state is not JobState.RUNNING:
            job.set(number, Code.CANCELLED)
        else:
            job.set(number, Code.COMPLETED if code == "c" else Code.FAILED)

    async def _ended(self, at: _Look, number: int, item: int, run: int) -> str | None:
        """How a task has ended, by its own record; its result is kept as long as the job."""
        child = at.child(number, item, run)
        if await self._children.keep(child, at.life):
            return "c"
        record = await self._children.find(child)
        if record is None or not record.state.is_terminal:
            return None
        if record.state is not TaskState.COMPLETED and item != UNDO:
            what = f"item {item}: " if number in at.job.sizes else ""
            at.job.note_error(number, f"{what}{record.error or record.state.value}")
        return _CODES[record.state]

    # -- onward

    async def _run(self, at: _Look) -> Step:
        job, definition = at.job, at.plan.definition
        inputs = Inputs(at.plan, job, self._children, self._fanouts)
        now = self._clock.now_ms()
        if progress.failure(definition, job) is None and now < job.deadline:
            for number in progress.ready(definition, job):
                await self._intend(at, number, inputs)
                if job.code(number) is Code.FAILED and at.nodes[number].on_failure != "continue":
                    break  # what follows it must not start
        failed = progress.failure(definition, job)
        if failed is not None:
            progress.begin_to_fail(job, f"task {at.nodes[failed].name}: {job.errors.get(failed, 'failed')}")
        elif progress.finished(job):
            job.state, job.finished_at = JobState.COMPLETED, now
        elif now >= job.deadline:
            progress.begin_to_fail(job, f"not done within the job's timeout of {definition.timeout:g} s")
        progress.settle(job)
        if at.has_changed and not await self._write(at):
            return Step.OVERTAKEN
        if job.state is not JobState.RUNNING:
            return Step.MORE
        return Step.MORE if await self._submit(at, inputs) else Step.DONE

    async def _intend(self, at: _Look, number: int, inputs: Inputs) -> None:
        """A task may start: say so, or that it is left out, or why it cannot."""
        job, node = at.job, at.nodes[number]
        try:
            if not await inputs.holds(node):
                job.set(number, Code.SKIPPED)
                return
            items = await self._items(at, number, inputs)
        except InputError as exc:
            self._refuse(at, number, exc)
            return
        job.set_run(number, job.run)
        job.set(number, Code.STARTING)
        if items is not None:
            self._fanouts.begin(job, number, len(items))
            if not TO_SUBMIT & set(job.chunks[number]):
                job.set(number, Code.COMPLETED)

    async def _items(self, at: _Look, number: int, inputs: Inputs) -> Sequence[object] | None:
        items = await inputs.items(at.nodes[number])
        if items is not None and not progress.has_room(at.job, number, len(items)):
            raise InputError(
                f"for_each: {len(items)} items; the fan-outs of a job have at most {MAX_JOB_ITEMS} together: "
                "let tasks start jobs of their own for parts of it"
            )
        return items

    def _refuse(self, at: _Look, number: int, exc: Exception) -> None:
        at.job.errors.pop(number, None)
        at.job.note_error(number, str(exc))
        at.job.set(number, Code.FAILED)

    async def _submit(self, at: _Look, inputs: Inputs) -> bool:
        """Submit what is written down. Returns whether anything was, or is left to be."""
        budget, is_busy = _CHUNKS_AT_ONCE, False
        for number in progress.to_submit(at.job):
            code = at.job.nodes[number]
            starting = [chunk for chunk, c in enumerate(at.job.chunks.get(number, "")) if c in TO_SUBMIT]
            try:
                if code == "s" and number not in at.job.sizes:
                    node = at.nodes[number]
                    child = at.child(number, 0, at.job.runs[number])
                    await self._children.submit(child, await inputs.params(node), node)
                    at.job.set(number, Code.RUNNING)
                    is_busy = True
                for chunk in starting[:budget]:
                    await self._submit_chunk(at, number, chunk, inputs)
            except (InputError, InvalidTaskError, RecordTooLargeError) as exc:
                self._refuse(at, number, exc)
                is_busy = True
            budget -= min(budget, len(starting))
            is_busy = is_busy or bool(starting)
        if not is_busy:
            return False
        progress.settle_fan_outs(at.job)
        if has_more := progress.has_more(at.job):
            at.job.settled = None
        return not await self._write(at) or has_more or bool(progress.to_submit(at.job))

    async def _submit_chunk(self, at: _Look, number: int, chunk: int, inputs: Inputs) -> None:
        job, node = at.job, at.nodes[number]
        items = await inputs.items(node)
        if items is None:  # cannot be: the definition of a job does not change
            return
        found = await self._fanouts.opened(job, number, chunk, at.life)

        async def one(place: int) -> None:
            index = chunk * CHUNK + place
            child = at.child(number, index, found.runs[place])
            await self._children.submit(child, await inputs.params(node, items[index], index), node)

        await each(one, (place for place, code in enumerate(found.codes) if code == "s"))
        self._fanouts.note(job, number, chunk, await self._fanouts.started(job, number, chunk, at.life))

    # -- to the end

    async def _stop(self, at: _Look) -> Step:
        """A job that fails, or was cancelled: what is open is stopped; what is not there yet can no more be."""
        for number, code in enumerate(at.job.nodes):
            if code not in "sr":
                continue
            if number not in at.job.sizes:
                await self._children.stop(at.child(number, 0, at.job.runs[number]), "the job has ended")
                await self._note(at, number, 0, at.job.runs[number])
                continue
            for chunk, state in enumerate(at.job.chunks[number]):
                if state in (ChunkCode.COMPLETED, ChunkCode.FAILED):
                    continue

                async def stopped(item: int, run: int, number: int = number) -> str | None:
                    await self._children.stop(at.child(number, item, run), "the job has ended")
                    return await self._ended(at, number, item, run)

                found = await self._fanouts.look(at.job, number, chunk, at.life, stopped)
                self._fanouts.note(at.job, number, chunk, found)
        if at.job.state is not JobState.FAILING:
            await self._stop_undoing(at)
        progress.settle_fan_outs(at.job)
        return Step.MORE if await self._write(at) else Step.OVERTAKEN

    async def _stop_undoing(self, at: _Look) -> None:
        """A job that was cancelled while it was undoing: a later run must not meet what undoes this one."""
        for number, code in enumerate(at.job.undo):
            if code in "sr":
                await self._children.stop(at.child(number, UNDO, at.job.run), "the job was cancelled")
                await self._note(at, number, UNDO, at.job.run)

    async def _wind_up(self, at: _Look) -> Step:
        job = at.job
        if job.state is not JobState.FAILING:
            return await self._end(at.seen, job)
        if await self._undo(at):
            return Step.MORE
        if not progress.is_undoing(job):
            job.state, job.finished_at = JobState.FAILED, self._clock.now_ms()
        elif not at.has_changed:
            return Step.DONE
        if not await self._write(at):
            return Step.OVERTAKEN
        return Step.MORE if job.state.is_terminal else Step.DONE

    async def _end(self, seen: JobRecord, job: JobRecord) -> Step:
        """Tell that a job has ended; once that is stored, nobody looks at it any more."""
        await self.store.announce(job, cast("JobWord", job.state.value))
        job.look_at = None
        is_written = await self.store.update(seen, job, ttl=job.retention_ms / 1000)
        return Step.DONE if is_written else Step.OVERTAKEN

    async def _undo(self, at: _Look) -> bool:
        """Undo the next of what was done; whether there was something to do."""
        job = at.job
        number = progress.next_undo(at.plan.definition, job)
        if number is not None:
            job.set_undo(number, Code.STARTING)
        elif Code.STARTING.value in job.undo:
            await self._submit_undo(at, job.undo.index(Code.STARTING.value))
        else:
            return False
        await self._write(at)  # if not: the next step sees what became of it
        return True

    async def _submit_undo(self, at: _Look, number: int) -> None:
        job = at.job
        inputs = Inputs(at.plan, job, self._children, self._fanouts)
        try:
            await self._children.submit(at.child(number, UNDO, job.run), await inputs.undo(at.nodes[number]), None)
            job.set_undo(number, Code.RUNNING)
        except (InvalidTaskError, RecordTooLargeError) as exc:
            job.errors.pop(number, None)
            job.note_error(number, f"not undone: {exc}")
            job.set_undo(number, Code.FAILED)

    async def _give_up(self, seen: JobRecord) -> Step:
        """What it never changes is gone: nobody can go on with it."""
        job = seen.copy()
        if not job.state.is_terminal:
            job.state, job.finished_at = JobState.FAILED, self._clock.now_ms()
            job.error = "its plan is gone from the state store; start it again"
        return await self._end(seen, job)

    async def _write(self, at: _Look) -> bool:
        """Write the job as it has become, if nobody else has meanwhile."""
        job, now = at.job, self._clock.now_ms()
        patience = min(max(self._config.patience, sum(job.sizes.values()) / 1000), _LONGEST_PATIENCE)
        job.look_at = now if job.state.is_terminal else now + round(patience * 1000)
        if job.state is JobState.RUNNING:
            job.look_at = max(now, min(job.look_at, job.deadline))
        if not await self.store.update(at.seen, job):
            return False
        at.seen = job.copy()
        return True
