"""Definitions of jobs: what is accepted, and errors that name the place and the fix."""

from typing import Any

import pytest

from gbe.errors import InvalidJobError
from gbe.graph.conditions import Condition, ConditionError
from gbe.graph.definition import decode_definition, parse_definition
from gbe.graph.names import child_id, place_of
from gbe.ids import new_ulid

DIAMOND: dict[str, Any] = {
    "tasks": {
        "fetch": {"task": "http-get"},
        "resize": {"task": "resize", "for_each": "fetch.images", "input_from": {"image": "item"}},
        "audit": {"depends_on": ["fetch"], "on_failure": "continue"},
        "publish": {"input_from": {"images": "resize"}, "when": "len(fetch.images) > 0 and not failed(audit)"},
    }
}


def test_what_a_task_refers_to_it_depends_on() -> None:
    """Input, lists and conditions need not be said twice; a stored definition reads the same."""
    job = decode_definition("diamond", parse_definition("diamond", DIAMOND).to_json())
    assert job.nodes[3].depends_on == ("audit", "fetch", "resize")
    assert [job.nodes[number].name for number in job.order] == ["fetch", "resize", "audit", "publish"]


@pytest.mark.parametrize(
    ("tasks", "field", "words"),
    [
        ({"a": {"depends_on": "b"}, "b": {"depends_on": "a"}}, "tasks.a.depends_on", "a → b → a"),
        ({"fetch": {}, "b": {"depends_on": "fech"}}, "tasks.b.depends_on", "did you mean fetch"),
        ({"a": {"input_from": {"x": "a b"}}}, "tasks.a.input_from.x", "expected a reference"),
        ({"a": {"input_from": {"x": "item"}}}, "tasks.a.input_from.x", "for_each"),
        ({"a": {"when": "1 <"}}, "tasks.a.when", "a value is missing"),
        ({"a": {"on_failure": "compensate"}}, "tasks.a.compensate", "name the task type"),
        ({"a": {"max_retry": 1}}, "tasks.a.max_retry", "did you mean max_retries"),
        ({"a": {"for_each": [0] * 20_001}}, "tasks.a.for_each", "at most 20000"),
        ({f"t{n}": {} for n in range(2_001)}, "tasks", "at most 2000"),
        ({"item": {}}, "tasks.item", "none of"),
    ],
)
def test_an_error_names_the_place_and_the_fix(tasks: dict[str, Any], field: str, words: str) -> None:
    """File, key, and what would be accepted."""
    with pytest.raises(InvalidJobError) as caught:
        parse_definition("bad", {"tasks": tasks}, source="jobs.yaml")
    assert caught.value.field == field
    assert words in str(caught.value)
    assert str(caught.value).startswith("jobs.yaml: job bad")


def test_the_id_of_a_task_says_where_in_its_job_it_belongs() -> None:
    """And no other job takes it for its own."""
    job_id = new_ulid()
    assert place_of(job_id, child_id(job_id, 1999, 19_999, 255)) == (1999, 19_999, 255)
    assert place_of(new_ulid(), child_id(job_id, 0, 0, 1)) is None


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("fetch.count > 2 and not failed(fetch)", True),
        ("fetch.name in ['x', 'y'] or len(fetch.list) == 2", True),
        ("(fetch.count == 3) == false", False),
        ("skipped(fetch)", False),
    ],
)
def test_a_condition_is_true_of_its_values(text: str, holds: bool) -> None:
    """Comparisons, lists, states and parentheses."""
    values = {"count": 3, "name": "z", "list": [1, 2]}
    assert Condition.parse(text).holds(lambda _root: values, lambda _task: "completed") is holds


@pytest.mark.parametrize("text", ["(" * 100 + "1" + ")" * 100, "not " * 200 + "true", "x" * 1001, "a.__b__()", "1 2"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    """Depth and length are bounded."""
    with pytest.raises(ConditionError):
        Condition.parse(text)
