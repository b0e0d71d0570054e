"""Backoff, rates, settings of types, names, and what is stored of a task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import ConfigError, InvalidTaskError, TaskError, TaskNotFoundError
from gbe.ids import is_ulid
from gbe.lifecycle.backoff import KINDS, Backoff
from gbe.lifecycle.names import Priority, TaskNames, check_task_id, id_of_key
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.schema import mismatch
from gbe.lifecycle.transitions import TaskState
from gbe.lifecycle.types import Rate, TaskType, check_type_name


@pytest.mark.parametrize(
    ("kind", "pauses"),
    [("exponential", [1, 2, 4, 8, 10]), ("linear", [1, 2, 3, 4, 5]), ("fixed", [1] * 5), ("none", [0] * 5)],
)
def test_pauses_grow_as_their_kind_says_and_are_capped(kind: str, pauses: list[float]) -> None:
    """Without chance the schedule is exact."""
    backoff = Backoff(kind=kind, base=1, most=10, jitter=0)  # type: ignore[arg-type]
    assert [backoff.delay(retry) for retry in range(1, 6)] == pauses


@given(st.sampled_from(KINDS), st.integers(1, 100_000), st.floats(0, 1), st.floats(0, 1))
def test_jitter_only_shortens_a_pause(kind: str, retry: int, jitter: float, chance: float) -> None:
    """However often it was tried, a pause is between its part without jitter and its cap."""
    full = Backoff(kind=kind, jitter=0).delay(retry)  # type: ignore[arg-type]
    some = Backoff(kind=kind, jitter=jitter).delay(retry, lambda: chance)  # type: ignore[arg-type]
    assert full * (1 - jitter) - 1e-9 <= some <= full <= 300


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"step_timeot": "3s"}, "did you mean step_timeout"),
        ({"step_timeout": "3 parsecs"}, "such as 1h30m"),
        ({"step_timeout": "0"}, "10 ms to 366 days"),
        ({"max_retries": "-1"}, "a whole number"),
        ({"max_retries": True}, "a whole number"),
        ({"rate_limit": "10 per second"}, "such as 10/s"),
        ({"rate_limit": "0/s"}, "such as 10/s"),
        ({"backoff": "quadratic"}, "exponential, linear, fixed, none"),
        ({"backoff_base": "1h", "backoff_max": "1m"}, "0 to backoff_max"),
        ({"concurrency": 201}, "1 to 200"),
        ({"paused": "maybe"}, "true or false"),
        ({"command": "echo hi"}, "a list of words"),
        ({"command": []}, "a program and its arguments"),
        ({"http": "ftp://host"}, "begins with http://"),
        ({"http": "http://user:secret@host"}, "without a user part"),
        ({"http": "http://host", "command": ["true"]}, "is one of them"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_would_do(settings: dict[str, object], words: str) -> None:
    """The error names the place, the key and what is accepted."""
    with pytest.raises(ConfigError, match=r"tasks\.email") as caught:
        TaskType().changed(settings, source="tasks.email")
    assert words in str(caught.value)


def test_settings_survive_a_round_trip() -> None:
    """What a type shows of itself makes the same type again."""
    written = {"step_timeout": "30s", "timeout": "1h", "backoff": "linear", "rate_limit": "90/m", "concurrency": 4}
    task_type = TaskType().changed(written, source="here")
    assert TaskType().changed(task_type.settings(), source="there") == task_type
    assert (task_type.rate_limit, task_type.step_timeout) == (Rate(90, 60.0), 30.0)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "_control", "x" * 65, "a\n", "*"])
def test_a_type_name_cannot_be_a_subject_of_somebody_else(name: str) -> None:
    """A name is one token of a subject, and none that gbe uses itself."""
    with pytest.raises(ConfigError):
        check_type_name(name)


@pytest.mark.parametrize("task_id", ["", "01J", "0" * 27, "0" * 25 + "a", "../" + "0" * 23, "8" + "0" * 25])
def test_what_cannot_be_an_id_is_not_looked_up(task_id: str) -> None:
    """Ids from outside never reach a key unchecked."""
    with pytest.raises(TaskNotFoundError):
        check_task_id(task_id)


@given(st.text(min_size=1), st.text(min_size=1))
def test_one_idempotency_key_is_one_id(first: str, second: str) -> None:
    """The id of a key looks like any other, and differs from that of every other key or type."""
    assert is_ulid(id_of_key("t", first))
    assert check_task_id(id_of_key("t", first)) == id_of_key("t", first)
    assert (id_of_key("t", first) == id_of_key("t", second)) == (first == second)
    assert id_of_key("u", first) != id_of_key("t", first)


def test_names_of_a_namespace() -> None:
    """Subjects and keys are those of the design."""
    names = TaskNames("prod")
    assert names.queue("email", Priority.NORMAL) == "prod.tasks.email.queue"
    assert names.queue("email", Priority.HIGH) == "prod.tasks.email.queue.high"
    assert names.task("email", "0" * 26) == f"prod.state.tasks.email.{'0' * 26}"
    assert names.is_reply(names.reply("0" * 26))
    assert not names.is_reply("prod.tasks.email.queue")


def test_a_priority_is_one_of_three_words() -> None:
    """Anything else is refused with the words that are accepted."""
    assert Priority.parse("High") is Priority.HIGH
    with pytest.raises(InvalidTaskError, match="high, normal or low"):
        Priority.parse("urgent")


@given(
    st.builds(
        TaskRecord,
        task_type=st.just("email"),
        task_id=st.just("0" * 26),
        state=st.sampled_from(list(TaskState)),
        priority=st.sampled_from(list(Priority)),
        attempt=st.integers(0, 9),
        timeout_at=st.none() | st.integers(0, 10**13 - 1),
        error=st.none() | st.text(),
        key=st.none() | st.text(),
        params=st.none() | st.binary(),
    )
)
def test_a_record_survives_its_codec(record: TaskRecord) -> None:
    """What is stored is read back the same, and every value is bytes."""
    fields = record.to_fields()
    assert all(isinstance(value, bytes) for value in fields.values())
    assert TaskRecord.from_fields({**fields, "of_a_later_version": b"1"}) == record


@pytest.mark.parametrize("fields", [{}, {"task_type": b"t"}, {"task_type": b"t", "task_id": b"1", "state": b"odd"}])
def test_what_is_no_task_is_told(fields: dict[str, bytes]) -> None:
    """Somebody else's record is an error, not a crash."""
    with pytest.raises(TaskError, match="not a task's record"):
        TaskRecord.from_fields(fields)


SCHEMA = {
    "$ref": "#/$defs/Params",
    "$defs": {
        "Params": {
            "type": "object",
            "required": ["to"],
            "additionalProperties": False,
            "properties": {
                "to": {"type": "string", "maxLength": 5},
                "times": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
                "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
            },
            "patternProperties": {"^size_[a-z]$": {"type": "integer"}, "^t": {}},
        }
    },
}


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ({}, "to", "missing"),
        ({"to": 1}, "to", "expected string, got integer"),
        ({"to": "abcdef"}, "to", "too long"),
        ({"to": "a", "cc": 1}, "cc", "no such parameter"),
        ({"to": "a", "times": 0}, "times", "at least 1"),
        ({"to": "a", "times": True}, "times", "expected integer"),
        ({"to": "a", "tags": ["a", "c"]}, "tags.1", "one of a, b"),
        ({"to": "a", "size_a": "1"}, "size_a", "expected integer"),
        ({"to": "a", "size_": 1}, "size_", "no such parameter"),
        ({"to": "a", "times": "x"}, "times", "expected integer"),
        ([], "", "expected object, got array"),
    ],
)
def test_a_wrong_parameter_is_named(value: object, path: str, reason: str) -> None:
    """Path and reason are those a person looks for."""
    found = mismatch(value, SCHEMA)
    assert found is not None
    assert (found[0], reason in found[1]) == (path, True)


def test_right_parameters_pass() -> None:
    """Also those that say nothing of what may be left out."""
    assert mismatch({"to": "a"}, SCHEMA) is None
    assert mismatch({"to": "a", "times": None, "tags": [], "size_b": 1, "top": "x"}, SCHEMA) is None
