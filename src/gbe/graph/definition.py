"""Definitions of jobs: what a file, a program or a request says of one, read and checked.

    diamond:
      params: {region: eu}             # defaults
      tasks:
        fetch: {task: http-get, input_from: {url: params.url}, max_retries: 3}
        resize:
          task: resize
          for_each: fetch.images       # one task an item
          input_from: {image: item}
        publish: {task: publish, input_from: {images: resize}, when: len(fetch.images) > 0}

Every error names the source and the key, and says what would be accepted.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import msgspec

from gbe.durations import parse_duration
from gbe.errors import ConfigError, InvalidJobError
from gbe.graph.conditions import Condition, ConditionError
from gbe.graph.names import MAX_ITEMS, MAX_NAME, MAX_NODES, check_job_type
from gbe.graph.references import INDEX, ITEM, PARAMS, RESERVED, Reference
from gbe.lifecycle.types import check_type_name
from gbe.subjects import is_token

Policy = Literal["fail", "continue", "compensate"]
POLICIES: Final[tuple[str, ...]] = get_args(Policy)
MAX_DEFINITION: Final = 2 * 1024 * 1024
_MOST_SECONDS: Final = 366 * 86_400.0
_JOB_KEYS: Final = ("params", "tasks", "timeout", "retention")
_NODE_KEYS: Final = (
    "task",
    "depends_on",
    "params",
    "input_from",
    "for_each",
    "when",
    "on_failure",
    "compensate",
    "max_retries",
    "timeout",
    "step_timeout",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One task of a job, or one for each item of a list. Durations in seconds.

    Attributes:
        name: unique in the job.
        task: the task type.
        depends_on: names of those that end before it starts, those that it refers to among them.
        params: parameters as they are.
        input_from: parameters from elsewhere.
        for_each: the list of a fan-out, as it is or from elsewhere.
        when: it is skipped unless this is true.
        on_failure: what a failure of it means for the job.
        compensate: the task type that undoes it when the job fails.
        max_retries, timeout, step_timeout: in place of the task type's.
    """

    name: str
    task: str
    depends_on: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    input_from: Mapping[str, Reference] = field(default_factory=dict)
    for_each: Reference | tuple[Any, ...] | None = None
    when: Condition | None = None
    on_failure: Policy = "fail"
    compensate: str | None = None
    max_retries: int | None = None
    timeout: float | None = None
    step_timeout: float | None = None

    def references(self) -> list[Reference]:
        """Every reference that it makes."""
        found = list(self.input_from.values())
        if isinstance(self.for_each, Reference):
            found.append(self.for_each)
        return found + (list(self.when.references) if self.when is not None else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDefinition:
    """One job type.

    Attributes:
        name: of the type.
        nodes: in the order in which they were written; the number of a node is its place here.
        params: defaults of the job's parameters.
        timeout: the whole time of a job, seconds.
        retention: how long a job is kept after its end, seconds.
        document: what it was read from, as JSON values.
        order: numbers of the nodes, those that others depend on first.
        numbers: of the nodes, by name.
        after: for each node the numbers of those that depend on it.
        places: for each node its place in ``order``.
    """

    name: str
    nodes: tuple[Node, ...]
    params: Mapping[str, Any]
    timeout: float
    retention: float
    document: Mapping[str, Any]
    order: tuple[int, ...]
    numbers: Mapping[str, int]
    after: tuple[tuple[int, ...], ...]
    places: tuple[int, ...]

    @property
    def life(self) -> float:
        """Seconds that what belongs to a job is kept from its last write, at most."""
        return self.timeout + self.retention + 86_400.0

    def task_types(self) -> list[str]:
        """Every task type that it may need."""
        return sorted({node.task for node in self.nodes} | {node.compensate for node in self.nodes if node.compensate})

    def to_json(self) -> bytes:
        """As it is stored."""
        return msgspec.json.encode(self.document)


def parse_definition(name: object, document: object, source: str = "") -> JobDefinition:
    """Read and check a definition.

    Args:
        name: of the job type.
        document: JSON values: ``{"tasks": {…}, "params": {…}, "timeout": …, "retention": …}``.
        source: the file or the like, for errors.

    Raises:
        InvalidJobError: its ``field`` is the key.
    """
    what = f"{source}: " if source else ""
    reader = _Reader(what + "job", str(name))
    check_job_type(str(name), f"{what}jobs")
    table = reader.mapping("", document)
    reader.known("", table, _JOB_KEYS)
    tasks = reader.mapping("tasks", table.get("tasks"))
    if not tasks:
        raise reader.error("tasks", "is empty; name at least one task")
    if len(tasks) > MAX_NODES:
        raise reader.error("tasks", f"{len(tasks)} tasks; a job has at most {MAX_NODES}. Use for_each for many alike")
    try:
        size = len(msgspec.json.encode(document))
    except (TypeError, ValueError, RecursionError, OverflowError) as exc:
        raise reader.error("", f"not JSON values: {exc}") from None
    if size > MAX_DEFINITION:
        raise reader.error("", f"{size} bytes; a definition has at most {MAX_DEFINITION}")
    nodes = tuple(_node(reader, str(key), value) for key, value in tasks.items())
    numbers = {node.name: number for number, node in enumerate(nodes)}
    if len(numbers) != len(nodes):
        raise reader.error("tasks", "two tasks have the same name")
    for node in nodes:
        _check_links(reader, node, numbers)
    after = _after(nodes, numbers)
    order = _order(reader, nodes, numbers, after)
    return JobDefinition(
        name=str(name),
        nodes=nodes,
        params=reader.mapping("params", table.get("params") or {}),
        timeout=reader.seconds("timeout", table.get("timeout"), 7 * 86_400.0),
        retention=reader.seconds("retention", table.get("retention"), 86_400.0),
        document=table,
        order=order,
        numbers=numbers,
        after=after,
        places=tuple(sorted(range(len(order)), key=order.__getitem__)),
    )


def decode_definition(name: str, stored: bytes) -> JobDefinition:
    """Read what ``to_json`` wrote. Raises ``InvalidJobError``."""
    try:
        document = msgspec.json.decode(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidJobError(f"job {name}", "", f"the definition is not JSON: {exc}") from None
    return parse_definition(name, document)


class _Reader:
    """Reads values of one job; errors name the place."""

    def __init__(self, what: str, name: str) -> None:
        self._what = f"{what} {name[:MAX_NAME]}"

    def error(self, key: str, reason: str) -> InvalidJobError:
        return InvalidJobError(self._what, key[:160], reason)

    def mapping(self, key: str, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self.error(key, f"expected names and values, got {_kind(value)}")
        for name in value:
            if not isinstance(name, str):
                raise self.error(key, f"{name!r} is no name; put it into quotes")
        return dict(value)

    def known(self, key: str, table: Mapping[str, Any], names: tuple[str, ...]) -> None:
        for name in table:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
                raise self.error(f"{key}.{name}".lstrip("."), f"no such key; {hint}")

    def seconds(self, key: str, value: object, default: float) -> float:
        found = self.optional_seconds(key, value)
        return default if found is None else found

    def optional_seconds(self, key: str, value: object) -> float | None:
        if value is None:
            return None
        try:
            found = parse_duration(value)
        except ValueError as exc:
            raise self.error(key, f"{str(value)[:40]!r}; expected {exc}") from None
        if not 1 <= found <= _MOST_SECONDS:
            raise self.error(key, f"{found:g} s; expected 1 second to 366 days")
        return found

    def names(self, key: str, value: object) -> tuple[str, ...]:
        words = [value] if isinstance(value, str) else value
        if words is None:
            return ()
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            raise self.error(key, "expected the name of a task, or a list of them")
        if len(set(words)) != len(words):
            raise self.error(key, "names a task twice")
        return tuple(words)

    def reference(self, key: str, value: object) -> Reference:
        try:
            return Reference.parse(value)
        except ValueError as exc:
            raise self.error(key, f"{str(value)[:60]!r}; expected {exc}") from None

    def type_name(self, key: str, value: object) -> str:
        try:
            return check_type_name(value if isinstance(value, str) else "")
        except ConfigError:
            raise self.error(key, f"{str(value)[:60]!r}; expected the name of a task type") from None


def _node(reader: _Reader, name: str, document: object) -> Node:
    at = f"tasks.{name}"
    if not is_token(name) or len(name) > MAX_NAME or name in RESERVED:
        raise reader.error(
            at, f"expected a name of at most {MAX_NAME} letters, digits, _ and -, none of {', '.join(sorted(RESERVED))}"
        )
    table = reader.mapping(at, document)
    reader.known(at, table, _NODE_KEYS)
    references = reader.mapping(f"{at}.input_from", table.get("input_from") or {})
    input_from = {key: reader.reference(f"{at}.input_from.{key}", value) for key, value in references.items()}
    params = reader.mapping(f"{at}.params", table.get("params") or {})
    twice = set(params) & set(input_from)
    if twice:
        raise reader.error(f"{at}.input_from.{min(twice)}", "is in params too; give it once")
    when = _condition(reader, f"{at}.when", table.get("when"))
    for_each = _for_each(reader, f"{at}.for_each", table.get("for_each"))
    asked = {r.task for r in input_from.values()} | (set() if when is None else set(when.tasks))
    if isinstance(for_each, Reference):
        asked.add(for_each.task)
    named = reader.names(f"{at}.depends_on", table.get("depends_on"))
    depends_on = (*named, *sorted(task for task in asked if task is not None and task not in named))
    on_failure, compensate = table.get("on_failure", "fail"), table.get("compensate")
    if on_failure not in POLICIES:
        raise reader.error(f"{at}.on_failure", f"{str(on_failure)[:40]!r}; expected one of {', '.join(POLICIES)}")
    if on_failure == "compensate" and compensate is None:
        raise reader.error(f"{at}.compensate", "is missing; on_failure is compensate: name the task type that undoes")
    retries = table.get("max_retries")
    if retries is not None and (
        isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 10_000
    ):
        raise reader.error(f"{at}.max_retries", f"{str(retries)[:40]!r}; expected 0 to 10000")
    return Node(
        name=name,
        task=reader.type_name(f"{at}.task", table.get("task", name)),
        depends_on=depends_on,
        params=params,
        input_from=input_from,
        for_each=for_each,
        when=when,
        on_failure=on_failure,
        compensate=None if compensate is None else reader.type_name(f"{at}.compensate", compensate),
        max_retries=retries,
        timeout=reader.optional_seconds(f"{at}.timeout", table.get("timeout")),
        step_timeout=reader.optional_seconds(f"{at}.step_timeout", table.get("step_timeout")),
    )


def _condition(reader: _Reader, key: str, value: object) -> Condition | None:
    if value is None:
        return None
    try:
        return Condition.parse("true" if value is True else "false" if value is False else value)
    except ConditionError as exc:
        raise reader.error(key, str(exc)) from None


def _for_each(reader: _Reader, key: str, value: object) -> Reference | tuple[Any, ...] | None:
    if value is None:
        return None
    if isinstance(value, list | tuple):
        if len(value) > MAX_ITEMS:
            raise reader.error(key, f"{len(value)} items; a fan-out has at most {MAX_ITEMS}")
        return tuple(value)
    return reader.reference(key, value)


def _check_links(reader: _Reader, node: Node, numbers: Mapping[str, int]) -> None:
    at = f"tasks.{node.name}"
    for key, reference in node.input_from.items():
        if reference.root in (ITEM, INDEX) and node.for_each is None:
            raise reader.error(f"{at}.input_from.{key}", f"{reference}: there is an item only in a task with for_each")
        _check_task(reader, f"{at}.input_from.{key}", reference.task, numbers)
    if isinstance(node.for_each, Reference):
        if node.for_each.root in (ITEM, INDEX):
            raise reader.error(f"{at}.for_each", f"{node.for_each}: the list cannot come from an item of itself")
        _check_task(reader, f"{at}.for_each", node.for_each.task, numbers)
    if node.when is not None:
        if any(reference.root in (ITEM, INDEX) for reference in node.when.references):
            raise reader.error(f"{at}.when", "a condition is about the whole task; it cannot see an item")
        for task in sorted(node.when.tasks):
            _check_task(reader, f"{at}.when", task, numbers)
    for task in node.depends_on:
        _check_task(reader, f"{at}.depends_on", task, numbers)
        if task == node.name:
            raise reader.error(f"{at}.depends_on", "depends on itself")


def _check_task(reader: _Reader, key: str, task: str | None, numbers: Mapping[str, int]) -> None:
    if task is None or task in numbers:
        return
    near = difflib.get_close_matches(task, numbers, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(list(numbers)[:20])}, and {PARAMS}"
    raise reader.error(key, f"there is no task {task[:60]!r} in this job; {hint}")


def _after(nodes: tuple[Node, ...], numbers: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
    found: list[list[int]] = [[] for _ in nodes]
    for number, node in enumerate(nodes):
        for name in node.depends_on:
            found[numbers[name]].append(number)
    return tuple(map(tuple, found))


def _order(
    reader: _Reader, nodes: tuple[Node, ...], numbers: Mapping[str, int], after: Sequence[Sequence[int]]
) -> tuple[int, ...]:
    """Those that others depend on first; raises for a cycle, with the way round."""
    missing = {number: len(node.depends_on) for number, node in enumerate(nodes)}
    order: list[int] = [number for number, count in missing.items() if not count]
    for number in order:  # grows while it is read
        for other in after[number]:
            missing[other] -= 1
            if not missing[other]:
                order.append(other)
    if len(order) < len(nodes):
        left = {number for number in missing if missing[number]}
        way = [nodes[number].name for number in _cycle(nodes, numbers, left)]
        shown = way if len(way) <= 12 else [*way[:6], "…", *way[-5:]]
        raise reader.error(f"tasks.{way[0]}.depends_on", f"a cycle: {' → '.join(shown)}; take one of these out")
    return tuple(order)


def _cycle(nodes: tuple[Node, ...], numbers: Mapping[str, int], left: Iterable[int]) -> list[int]:
    within = set(left)
    way = [min(within)]
    while True:
        ahead = next(numbers[name] for name in nodes[way[-1]].depends_on if numbers[name] in within)
        if ahead in way:
            return [*way[way.index(ahead) :], ahead]
        way.append(ahead)


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
