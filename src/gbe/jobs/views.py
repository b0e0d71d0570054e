"""Jobs as people and programs read them: documents for JSON, and the graph as Mermaid."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from gbe.errors import InvalidJobError
from gbe.graph import progress
from gbe.graph.definition import JobDefinition
from gbe.graph.names import child_id
from gbe.graph.record import NOT_UNDONE, ChunkCode, Code, JobRecord, JobState
from gbe.jobs.timeline import Timeline

_SHAPES: Final = {True: ("[[", "]]"), False: ("[", "]")}
_CHUNK_WORDS: Final = {code.value: code.name.lower() for code in ChunkCode}


def parse_state(text: str) -> JobState:
    """A state by its name; raises ``InvalidJobError``."""
    try:
        return JobState(text)
    except ValueError:
        names = ", ".join(each.value for each in JobState)
        raise InvalidJobError("list", "state", f"{text[:40]!r}; expected one of {names}") from None


def summary(job: JobRecord) -> dict[str, Any]:
    """A job without its tasks. Moments are unix milliseconds; what is not there is left out."""
    found = {
        "id": job.job_id,
        "type": job.job_type,
        "state": job.state.value,
        "run": job.run,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "finished_at": job.finished_at,
        "error": job.error,
        "idempotency_key": job.idempotency_key,
        "counts": progress.counts(job),
    }
    return {name: value for name, value in found.items() if value is not None}


def document(job: JobRecord, definition: JobDefinition) -> dict[str, Any]:
    """A job with its tasks, in the order of the definition."""
    return {**summary(job), "tasks": [_task(job, definition, number) for number in range(len(definition.nodes))]}


def _task(job: JobRecord, definition: JobDefinition, number: int) -> dict[str, Any]:
    node, run = definition.nodes[number], job.runs[number]
    found: dict[str, Any] = {"name": node.name, "task_type": node.task, "state": job.code(number).word}
    if number in job.sizes:
        codes = job.chunks.get(number, "")
        found["items"] = job.sizes[number]
        found["chunks"] = {word: codes.count(code) for code, word in _CHUNK_WORDS.items() if code in codes}
    elif run:
        found["task_id"] = child_id(job.job_id, number, 0, run)
    if run:
        found["run"] = run
    if (undoing := _undoing(job, number)) is not None:
        found["undo"] = undoing
    if number in job.errors:
        found["error"] = job.errors[number]
    if node.depends_on:
        found["depends_on"] = list(node.depends_on)
    return found


def _undoing(job: JobRecord, number: int) -> str | None:
    """How far the undoing of a task is, as a word; ``None`` if nothing undoes it."""
    code = job.undo[number : number + 1]
    return None if code in ("", NOT_UNDONE) else Code(code).word


def moments(found: Timeline) -> dict[str, Any]:
    """A timeline; what is not there is left out."""
    listed = [
        {name: value for name, value in dataclasses.asdict(one).items() if value not in (None, False)}
        for one in found.transitions
    ]
    return {"transitions": listed, "more": found.is_cut}


def states(job: JobRecord, definition: JobDefinition) -> dict[str, str]:
    """Where each task of a job is, in a few words, by name."""
    found = {}
    for number, node in enumerate(definition.nodes):
        items = f", {job.sizes[number]} items" if number in job.sizes else ""
        undoing = _undoing(job, number)
        undone = "" if undoing is None else f", undo {undoing}" if undoing != "completed" else ", undone"
        found[node.name] = f"{job.code(number).word}{items}{undone}"
    return found


def mermaid(definition: JobDefinition, states: Mapping[str, str] | None = None) -> str:
    """The graph as a Mermaid flowchart; fan-outs have a double border.

    Args:
        states: where each task of a job is, by name.
    """
    lines = ["flowchart TD"]
    for number, node in enumerate(definition.nodes):
        left, right = _SHAPES[node.for_each is not None]
        label = node.name if states is None else f"{node.name}<br/>{states[node.name]}"
        lines.append(f'    n{number}{left}"{label}"{right}')
    for number, node in enumerate(definition.nodes):
        lines += [f"    n{definition.numbers[name]} --> n{number}" for name in node.depends_on]
    return "\n".join(lines) + "\n"
