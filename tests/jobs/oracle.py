"""What must become of a job, worked out from its tasks' own ends alone; written from the design, not from the code.

A model of the world beside it: which tasks were submitted, with what they were given, and how they have ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import strategies as st

Policy = Literal["fail", "continue", "compensate"]


@dataclass(frozen=True, slots=True)
class Spec:
    """One task of a random job.

    Attributes:
        items: a fan-out over so many items, or over the list in the result of the task of that name.
        when: a condition as a word and the task that it asks about; without a task, ``true`` or ``false``.
        takes: tasks whose results it is given.
    """

    name: str
    depends_on: tuple[str, ...]
    items: int | str | None
    when: tuple[str, str] | None
    takes: tuple[str, ...]
    policy: Policy
    undone: bool
    retries: int

    @property
    def ahead(self) -> frozenset[str]:
        """All that it waits for."""
        asked = {self.when[1]} - {""} if self.when is not None else set()
        listed = {self.items} if isinstance(self.items, str) else set()
        return frozenset({*self.depends_on, *self.takes, *asked, *listed})

    def document(self) -> dict[str, Any]:
        """As a definition has it."""
        inputs = {f"from-{name}": name for name in self.takes}
        found: dict[str, Any] = {
            "task": "work",
            "depends_on": list(self.depends_on),
            "params": {"node": self.name},
            "on_failure": self.policy,
            "max_retries": self.retries,
        }
        if self.undone:
            found["compensate"] = "undo"
        if self.when is not None:
            word, task = self.when
            found["when"] = f"{word}({task})" if task else word
        if self.items is not None:
            found["for_each"] = f"{self.items}.list" if isinstance(self.items, str) else list(range(self.items))
            inputs["index"] = "index"
        return {**found, "input_from": inputs}


@st.composite
def graphs(draw: st.DrawFn, most: int = 30) -> list[Spec]:
    """Random jobs; every task follows some that come earlier in the list."""
    found: list[Spec] = []
    for number in range(draw(st.integers(1, most))):
        names = [spec.name for spec in found]
        plain = [spec.name for spec in found if spec.items is None]
        some = st.lists(st.sampled_from(names), unique=True, max_size=3).map(tuple) if names else st.just(())
        sized: st.SearchStrategy[Any] = st.one_of(st.none(), st.none(), st.integers(0, 3))
        if plain:
            sized = st.one_of(sized, st.sampled_from(plain))
        words = st.sampled_from(["completed", "failed", "skipped", "not skipped"])
        asks = st.tuples(words, st.sampled_from(names)) if names else st.just(("true", ""))
        policy = draw(st.sampled_from(["fail", "continue", "continue", "compensate"]))
        found.append(
            Spec(
                name=f"t{number}",
                depends_on=draw(some),
                items=draw(sized),
                when=draw(st.one_of(st.none(), st.none(), st.none(), st.sampled_from([("false", "")]), asks)),
                takes=draw(some),
                policy=policy,
                undone=policy == "compensate" or draw(st.booleans()),
                retries=draw(st.integers(0, 2)),
            )
        )
    return found


Place = tuple[str, int]


@dataclass(slots=True)
class Ended:
    """How a submitted task stands: ``c``ompleted, ``f``ailed, cancelled (``x``), or open (``None``)."""

    run: int
    code: str | None = None
    result: Any = None


@dataclass
class World:
    """What has really happened to the tasks of one job.

    Attributes:
        tasks: by name and item, the latest that was submitted.
        floor: from which run on an item's end counts; what is older was given up for another run.
        effects: names of tasks that may have done something since they were undone last.
    """

    specs: Sequence[Spec]
    tasks: dict[Place, Ended] = field(default_factory=dict)
    floor: dict[Place, int] = field(default_factory=dict)
    effects: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.by_name: Mapping[str, Spec] = {spec.name: spec for spec in self.specs}

    def from_run(self, name: str, item: int) -> int:
        """The run in which an item is due at the earliest."""
        return max(self.floor.get((name, item), 1), self.floor.get((name, -1), 1))

    def _end(self, name: str, item: int) -> Ended | None:
        found = self.tasks.get((name, item))
        return found if found is not None and found.run >= self.from_run(name, item) else None

    def size(self, spec: Spec) -> int | None:
        """How many items a task has, one if it is no fan-out; ``None``: its list is not one."""
        if not isinstance(spec.items, str):
            return 1 if spec.items is None else spec.items
        if self.verdict(spec.items) != "c":
            return None
        found = self._end(spec.items, 0)
        assert found is not None
        return len(found.result["list"])

    def is_due(self, spec: Spec) -> bool | None:
        """Whether a task is to run: ``None`` while that is open, or because of a failure never decided."""
        ends = {name: self.verdict(name) for name in spec.ahead}
        if any(end is None for end in ends.values()):
            return None
        if any(end == "f" and self.by_name[name].policy != "continue" for name, end in ends.items()):
            return None
        if spec.when is None:
            return "k" not in ends.values()
        word, task = spec.when
        answers = {"true": True, "false": False}
        if task:
            answers |= {"completed": ends[task] == "c", "failed": ends[task] == "f"}
            answers |= {"skipped": ends[task] == "k", "not skipped": ends[task] != "k"}
        return answers[word]

    def verdict(self, name: str) -> str | None:
        """How a task as a whole has ended: ``c``, ``f``, skipped (``k``), or not (``None``)."""
        spec = self.by_name[name]
        is_due = self.is_due(spec)
        if is_due is not True:
            return "k" if is_due is False else None
        size = self.size(spec)
        if size is None:
            return "f"
        codes = [None if end is None else end.code for end in (self._end(name, item) for item in range(size))]
        if any(code not in ("c", "f") for code in codes):
            return None
        return "f" if "f" in codes else "c"

    def is_fatal(self, name: str) -> bool:
        """Whether a task, or one of its items, has failed the job."""
        spec = self.by_name[name]
        if spec.policy == "continue":
            return False
        is_refused = isinstance(spec.items, str) and self.verdict(name) == "f"
        items = [item for each, item in self.tasks if each == name]
        ends = (self._end(name, item) for item in items)
        return is_refused or any(end is not None and end.code == "f" for end in ends)

    def result(self, name: str) -> Any:
        """What others are given of a task that has ended."""
        spec, verdict = self.by_name[name], self.verdict(name)
        if spec.items is None:
            found = self._end(name, 0)
            return found.result if verdict == "c" and found is not None else None
        size = self.size(spec)
        if verdict == "k" or size is None:
            return None
        ends = [self._end(name, item) for item in range(size)]
        return [end.result if end is not None and end.code == "c" else None for end in ends]

    def given(self, name: str, item: int) -> dict[str, Any]:
        """The parameters of a task."""
        spec = self.by_name[name]
        found: dict[str, Any] = {"node": name, **{f"from-{each}": self.result(each) for each in spec.takes}}
        return found if spec.items is None else {**found, "index": item}

    def behind(self, name: str) -> set[str]:
        """All that waits for a task, directly or not."""
        found = {name}
        for spec in self.specs:  # each comes after those that it waits for
            if spec.ahead & found:
                found.add(spec.name)
        return found - {name}

    def repeat(self, run: int, kept: set[str], undone: set[str]) -> None:
        """Another run: what succeeded and was not undone is kept, of a fan-out its items; with what is behind, anew."""
        anew: set[str] = set()
        for spec in self.specs:
            name = spec.name
            if name in undone or spec.ahead & anew:
                self.floor[name, -1] = run
                anew.add(name)
            elif name not in kept:
                anew.add(name)
                for place, end in self.tasks.items():
                    if place[0] == name and end.code != "c":
                        self.floor[place] = run
