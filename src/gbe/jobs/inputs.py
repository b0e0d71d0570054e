"""What the tasks of a job are given: parameters, results of others, items, and whether a condition holds."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gbe.errors import TaskError
from gbe.graph.conditions import ConditionError
from gbe.graph.definition import Node
from gbe.graph.names import MAX_ITEMS, child_id
from gbe.graph.record import Code, JobRecord
from gbe.graph.references import INDEX, ITEM, PARAMS, Lookup, Reference, ReferenceValueError
from gbe.jobs.children import Child, Children
from gbe.jobs.fanout import FanOuts, each
from gbe.jobs.store import Plan


class InputError(TaskError):
    """A task cannot be given what its definition says; it has failed, and the text says why."""


class Inputs:
    """Values for the tasks of one job, each read once.

    Args:
        job: as it is now.
    """

    def __init__(self, plan: Plan, job: JobRecord, children: Children, fanouts: FanOuts) -> None:
        self._plan, self._job, self._children, self._fanouts = plan, job, children, fanouts
        self._values: dict[str, Any] = {PARAMS: plan.params}

    async def holds(self, node: Node) -> bool:
        """Whether the task is to run at all. Raises ``InputError``."""
        if node.when is None:
            return True
        await self._read(node.when.references)
        try:
            return node.when.holds(self._lookup(), self._state_of)
        except ConditionError as exc:
            raise InputError(f"when: {exc}") from None

    async def items(self, node: Node) -> Sequence[Any] | None:
        """The list of a fan-out; ``None`` if it is none. Raises ``InputError``."""
        if node.for_each is None or not isinstance(node.for_each, Reference):
            return node.for_each
        await self._read((node.for_each,))
        found = self._value(node.for_each, self._lookup(), "for_each")
        if not isinstance(found, list):
            raise InputError(f"for_each: {node.for_each} is {type(found).__name__}, not a list")
        if len(found) > MAX_ITEMS:
            raise InputError(f"for_each: {len(found)} items; a fan-out has at most {MAX_ITEMS}")
        return found

    async def params(self, node: Node, item: Any = None, index: int = 0) -> bytes:
        """The parameters of a task, or of one of its items, as JSON. Raises ``InputError``."""
        await self._read(tuple(node.input_from.values()))
        lookup = self._lookup(item, index)
        taken = {key: self._value(ref, lookup, f"input_from.{key}") for key, ref in node.input_from.items()}
        return msgspec.json.encode({**node.params, **taken})

    async def undo(self, node: Node) -> bytes:
        """The parameters of the task that undoes another: its name, and what it had done."""
        try:
            await self._read((Reference(node.name),))
            result = self._values[node.name]
        except InputError:  # it failed, or its result is gone; whoever undoes it goes by the job's id
            result = None
        return msgspec.json.encode({"job": self._job.job_id, "task": node.name, "result": result})

    def _lookup(self, item: Any = None, index: int = 0) -> Lookup:
        return {**self._values, ITEM: item, INDEX: index}.__getitem__

    def _value(self, reference: Reference, lookup: Lookup, where: str) -> Any:
        try:
            return reference.value(lookup)
        except ReferenceValueError as exc:
            raise InputError(f"{where}: {exc}") from None

    def _state_of(self, name: str) -> str:
        return self._job.code(self._plan.definition.numbers[name]).word

    async def _read(self, references: Sequence[Reference]) -> None:
        for name in {reference.task for reference in references if reference.task is not None} - set(self._values):
            self._values[name] = await self._result(name)

    async def _result(self, name: str) -> Any:
        """What a task has given: ``None`` if it was skipped or has failed; of a fan-out the list, by item."""
        number = self._plan.definition.numbers[name]
        if number in self._job.sizes:
            return await self._results(number)
        if self._job.code(number) is not Code.COMPLETED:
            return None
        return await self._one(number, 0, self._job.runs[number])

    async def _results(self, number: int) -> list[Any]:
        done = await self._fanouts.completed(self._job, number)
        results = await each(lambda place: self._one(number, *place), done.items())
        found = dict(zip(done, results, strict=True))
        return [found.get(item) for item in range(self._job.sizes[number])]

    async def _one(self, number: int, item: int, run: int) -> Any:
        node = self._plan.definition.nodes[number]
        child = Child(node.task, child_id(self._job.job_id, number, item, run), self._job.job_id)
        result = await self._children.result(child)
        if result is None:
            raise InputError(f"the result of {node.name} is kept no longer; retry the job from an earlier task")
        return msgspec.json.decode(result)
