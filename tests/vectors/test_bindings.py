"""Bindings: envelopes, names, ids, records and moves, as the codecs of the Python side have them."""

import dataclasses
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator
from tests.vectors.files import contract, in_bytes, named

from gbe.contracts.vectors import same, without_defaults
from gbe.envelope import Envelope, is_traceparent
from gbe.errors import BrokenRecordError, InvalidSubjectError
from gbe.graph.names import JobNames, child_id, job_id_of_key, place_of
from gbe.graph.record import JobRecord
from gbe.ids import decode_ulid, encode_ulid, is_ulid
from gbe.lifecycle import history, moves
from gbe.lifecycle.names import Priority, TaskNames, id_of_key
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.redis.topology import slot_of
from gbe.schemas.stored import check_json
from gbe.state.nats import wire as state_wire
from gbe.state.redis.keys import Buckets
from gbe.subjects import check_pattern, check_subject, matches
from gbe.transport.base import deadletter_subject
from gbe.transport.nats import wire as nats_wire
from gbe.transport.nats.groups import durable_name
from gbe.transport.redis import wire as redis_wire
from gbe.transport.redis.keys import keys_of, subject_of

Vector = dict[str, Any]
RECORDS = {"tasks/record": TaskRecord, "jobs/record": JobRecord}
SCHEMAS = contract().schemas


def envelope_of(vector: Vector) -> Envelope:
    """The envelope that a vector states."""
    return Envelope(**{**vector["envelope"], "payload": in_bytes(vector["envelope"]["payload"])})


@pytest.mark.parametrize("vector", **named("nats-message"))
def test_a_message_in_nats_has_these_headers_and_this_body(vector: Vector) -> None:
    """Both ways; what another program wrote, one way."""
    envelope, message = envelope_of(vector), vector["message"]
    headers = dict(message["headers"])
    if vector["case"] == "publish":
        lines = nats_wire.header_lines(envelope, vector["idempotency_key"])
        assert lines == "".join(f"{name}: {value}\r\n" for name, value in message["headers"])
        assert (envelope.subject, envelope.payload) == (message["subject"], in_bytes(message["body"]))
    stored = vector.get("stored", {"sequence": 1, "time_ms": 1})
    read = nats_wire.envelope_of(
        message["subject"], in_bytes(message["body"]), headers, stored["sequence"], stored["time_ms"]
    )
    assert read == envelope


@pytest.mark.parametrize("vector", **named("redis-entry"))
def test_a_message_in_redis_has_these_fields(vector: Vector) -> None:
    """What the script writes is in ``test_live``; this is how it is read."""
    envelope, entry = envelope_of(vector), vector["entry"]
    flat = [part for name, value in entry["fields"] for part in (name.encode(), in_bytes(value))]
    assert redis_wire.entry_envelope(envelope.subject, entry.get("id", "1-1").encode(), flat) == envelope
    assert keys_of(envelope.subject).stream.decode() == entry["key"]
    assert subject_of(entry["key"].encode()) == envelope.subject


@pytest.mark.parametrize("vector", **named("subject"))
def test_subjects(vector: Vector) -> None:
    """What is one, and what is none."""
    if vector["valid"]:
        assert check_subject(vector["subject"]) == vector["subject"]
    else:
        with pytest.raises(InvalidSubjectError):
            check_subject(vector["subject"])


@pytest.mark.parametrize("vector", **named("pattern"))
def test_patterns(vector: Vector) -> None:
    """What is one, what it covers, and what not."""
    if not vector["valid"]:
        with pytest.raises(InvalidSubjectError):
            check_pattern(vector["pattern"])
        return
    pattern = check_pattern(vector["pattern"])
    assert [subject for subject in vector["matches"] if not matches(pattern, subject)] == []
    assert [subject for subject in vector["does_not_match"] if matches(pattern, subject)] == []


@pytest.mark.parametrize("vector", **named("ulid"))
def test_ulids(vector: Vector) -> None:
    """What is one, and what it says."""
    assert is_ulid(vector["ulid"]) is vector["valid"]
    if vector["valid"]:
        parts = vector["time_ms"], int(vector["randomness"], 16)
        assert decode_ulid(vector["ulid"]) == parts
        assert encode_ulid(*parts) == vector["ulid"]


@pytest.mark.parametrize("vector", **named("traceparent"))
def test_traceparents(vector: Vector) -> None:
    """What is one."""
    assert is_traceparent(vector["traceparent"]) is vector["valid"]


@pytest.mark.parametrize("vector", **named("task-id-of-key", "job-id-of-key", "task-id-of-job"))
def test_ids_that_are_computed(vector: Vector) -> None:
    """The same in every program."""
    if vector["kind"] == "task-id-of-key":
        assert id_of_key(vector["task_type"], vector["idempotency_key"]) == vector["task_id"]
    elif vector["kind"] == "job-id-of-key":
        assert job_id_of_key(vector["job_type"], vector["idempotency_key"]) == vector["job_id"]
    else:
        place = vector["node"], vector["item"], vector["run"]
        assert child_id(vector["job_id"], *place) == vector["task_id"]
        assert place_of(vector["job_id"], vector["task_id"]) == place


@pytest.mark.parametrize("vector", **named("subject-keys"))
def test_keys_of_a_subject(vector: Vector) -> None:
    """All of them in one slot."""
    keys = keys_of(vector["subject"])
    found = {
        "delayed": keys.delayed,
        "later": keys.later,
        "wake": keys.wake,
        "seen_id": keys.dedup("i", vector["id"]),
        "seen_key": keys.dedup("k", vector["idempotency_key"]),
        "waiting": keys.waiting(vector["group"]),
    }
    assert {name: key.decode() for name, key in found.items()} == vector["companions"]
    assert (keys.stream.decode(), keys.slot) == (vector["stream"], vector["slot"])
    assert (keys.bucket, keys.mark) == (vector["bucket"], vector["mark"])
    assert {slot_of(key) for key in found.values()} == {vector["slot"]}


@pytest.mark.parametrize("vector", **named("state-keys"))
def test_keys_of_a_record(vector: Vector) -> None:
    """In Redis and in NATS, with the entry of its deadline."""
    bucket, stated = Buckets(vector["store"]).of(vector["key"]), vector["redis"]
    assert (bucket.number, bucket.slot) == (stated["bucket"], stated["slot"])
    assert bucket.record(vector["key"]).decode() == stated["record"]
    assert bucket.named(f"due:{vector['index']}").decode() == stated["due"]
    for name in ("keys", "ends", "seq", "log", "changes"):
        assert bucket.named(name).decode() == stated[name]
    names, there = state_wire.Names(vector["store"]), vector["nats"]
    entry = names.entry(vector["index"], vector["deadline"], vector["key"])
    assert (names.stream, names.record(vector["key"]), entry) == (there["stream"], there["record"], there["entry"])
    assert names.entry_of(vector["index"], entry) == (vector["deadline"], vector["key"])


@pytest.mark.parametrize("vector", **named("task-names"))
def test_names_of_a_task(vector: Vector) -> None:
    """Subjects, group and key."""
    names, kind = TaskNames(vector["namespace"]), vector["task_type"]
    assert vector["names"] == {
        "state_prefix": names.state_prefix,
        "queue": names.queue(kind, Priority.NORMAL),
        "queue_high": names.queue(kind, Priority.HIGH),
        "queue_low": names.queue(kind, Priority.LOW),
        "progress": names.progress(kind),
        "terminal": names.terminal(kind),
        "group": names.group(kind),
        "record": names.task(kind, vector["task_id"]),
        "reply": names.reply(vector["client_id"]),
        "dead_letters": names.dead_letters,
    }
    assert durable_name(names.group(kind), names.queue(kind, Priority.NORMAL)) == vector["nats_consumer"]


@pytest.mark.parametrize("vector", **named("job-names"))
def test_names_of_a_job(vector: Vector) -> None:
    """Subjects and keys."""
    names, words = JobNames(vector["namespace"]), ("created", "completed", "failed", "cancelled")
    assert vector["names"] == {
        **{word: names.event(vector["job_type"], word) for word in words},
        "record": names.job(vector["job_id"]),
        "plan": names.plan(vector["job_id"]),
        "items": names.items(vector["job_id"], vector["node"], vector["chunk"]),
    }


@pytest.mark.parametrize("vector", **named("deadletter-subject"))
def test_dead_letters_of_a_subject(vector: Vector) -> None:
    """Go to its domain's."""
    assert deadletter_subject(vector["subject"]) == vector["deadletter"]


@pytest.mark.parametrize("vector", **named("record"))
def test_records(vector: Vector) -> None:
    """Read, and written again; also as the body of a message in NATS."""
    fields = {name: in_bytes(value) for name, value in vector["fields"].items()}
    kind, schema = RECORDS[vector["schema"]], SCHEMAS[vector["schema"]]
    assert state_wire.decode(state_wire.encode(fields)) == fields
    assert msgspec.msgpack.decode(state_wire.encode(fields)) == fields
    if vector["case"] == "invalid":
        with pytest.raises(BrokenRecordError) as refusal:
            _read_whole(kind, fields)
        assert (refusal.value.reason, refusal.value.field) == (vector["reason"], vector["path"])
        return
    again = kind.from_fields(fields).to_fields()
    meant = _meant(again, schema) | (_attempts(fields) if kind is TaskRecord else {})
    assert same(without_defaults(meant, schema), without_defaults(vector["record"], schema))
    Draft202012Validator(schema).validate(vector["record"])
    for name, value in vector["record"].items():
        if name not in schema["properties"]:
            assert _line(value, _lines_of(schema)[name]) == fields[name]
    assert {name: again.get(name) for name in fields if name in schema["properties"]} == {
        name: value for name, value in fields.items() if name in schema["properties"]
    }


def _read_whole(kind: Any, fields: dict[str, bytes]) -> None:
    """A record with the JSON in it, which gbe looks at where it is needed."""
    record = kind.from_fields(fields)
    for name, inner in SCHEMAS[f"{'tasks' if kind is TaskRecord else 'jobs'}/record"]["properties"].items():
        value = getattr(record, name)
        if inner["x-stored"] == "json" and isinstance(value, bytes):
            check_json("a task's record", name, value)


def _lines(fields: dict[str, bytes]) -> dict[str, bytes]:
    return {name: value for name, value in fields.items() if name.startswith("attempt_") and name[8].isdigit()}


def _attempts(fields: dict[str, bytes]) -> dict[str, Any]:
    """What became of the attempts, by the names of the schema."""
    found: dict[str, Any] = {}
    for name, value in _lines(fields).items():
        for one in history.read({name: value}):
            values = {"attempt": one.attempt, "at": one.at, "worker": one.worker, "traceparent": one.traceparent}
            if one.word != "started":
                values |= {"how": one.word, "error": one.error}
            found[name] = {field: part for field, part in values.items() if part is not None}
    return found


class _Lines(dict[str, Any]):
    """Schemas of the fields that a record's patterns name."""

    def __missing__(self, name: str) -> Any:
        (found,) = (inner for pattern, inner in self.items() if re.search(pattern, name))
        return found


def _lines_of(schema: Any) -> _Lines:
    return _Lines(schema.get("patternProperties", {}))


def _line(values: dict[str, Any], schema: Any) -> bytes:
    """A line, by the keywords of its schema alone."""
    parts = [str(values.get(name, inner.get("x-absent"))) for name, inner in schema["properties"].items()]
    return " ".join(parts).encode()


LINES = _lines_of(SCHEMAS["tasks/record"])
words = st.text(st.characters(codec="utf-8", exclude_characters=" "), min_size=1, max_size=8)
numbers = st.integers(0, 2**63 - 1)


def test_the_patterns_name_what_gbe_writes_and_reads() -> None:
    """And nothing else: every attempt has its name, and other names are no attempts."""
    move, patterns = moves.Move({}, {"state": b"failed"}), list(LINES)
    for attempt in range(1, 100):
        begun = history.started(move, attempt, now=1, worker="w", traceparent=None)
        ended = history.ended(move, attempt, now=1)
        for written in (begun, ended):
            name = list(written.changes)[-1]
            assert [re.search(pattern, name) is not None for pattern in patterns].count(True) == 1
            assert LINES[name]["x-stored"] == "line"
    numbers = [*map(str, range(50)), *(f"0{number}" for number in range(10)), "", "-1", "+1", "1 ", "a", "٣"]
    for name in [f"attempt_{number}_{word}" for number in numbers for word in ("started", "ended", "begun", "ended\n")]:
        line = b"1 2 failed -"  # is one of both kinds
        is_named = any(re.search(pattern.removesuffix("$") + r"\Z", name) for pattern in patterns)
        assert is_named is bool(history.read({name: line})), name


@example(1, 0, "w", "😀" * history.MAX_ERROR)
@example(2**63 - 1, 1, "w", "😀" * (history.MAX_ERROR + 1))
@example(0, 1, "w", None)
@given(numbers, numbers, words, st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=220)))
def test_a_line_is_read_if_its_schema_allows_its_values(attempt: int, at: int, word: str, rest: str | None) -> None:
    """Both kinds, both ways: what the schema refuses is skipped."""
    for name, key, text in (("attempt_1_started", "worker", "traceparent"), ("attempt_1_ended", "how", "error")):
        for part in (word, *history.ENDINGS):
            values: dict[str, Any] = {"attempt": attempt, "at": at, key: part, text: rest}
            values = {field: value for field, value in values.items() if value is not None}
            line = _line(values, LINES[name])
            read = _attempts({name: line})
            assert bool(read) is Draft202012Validator(LINES[name]).is_valid(values), line
            if read:
                assert _line(read[name], LINES[name]) == line


def test_the_last_attempts_are_kept() -> None:
    """As many as there are names."""
    for pattern in LINES:
        kept = [
            number
            for number in range(1000)
            if re.search(pattern.replace("started", "x").replace("ended", "x"), f"attempt_{number}_x")
        ]
        assert kept == list(range(history.KEPT))


def _meant(fields: dict[str, bytes], schema: Any) -> dict[str, Any]:
    """The values of a record's fields, by what the schema says of how they are stored."""
    return {name: _value(schema["properties"][name]["x-stored"], value) for name, value in fields.items()}


def _value(stored: str, value: bytes) -> Any:
    if stored == "bytes":
        import base64

        return base64.b64encode(value).decode()
    return {"text": bytes.decode, "decimal": int, "json": json.loads}[stored](value)  # type: ignore[operator]


def _fields(vector: Vector, part: str) -> dict[str, bytes | None]:
    return {name: value if value is None else in_bytes(value) for name, value in vector[part].items()}


def _whole(vector: Vector, part: str) -> dict[str, bytes]:
    return {name: value for name, value in _fields(vector, part).items() if value is not None}


@pytest.mark.parametrize("vector", **named("move"))
def test_moves(vector: Vector) -> None:
    """What a writer must find, and what it writes then."""
    if vector["move"] == "announce_later":
        return  # gbe's workers tell of such an end themselves; what becomes of the record is in the next test
    if "record" in vector:
        move = _moved_record(vector["move"], _whole(vector, "record"), vector["arguments"])
    else:
        move = _moved(vector["move"], dict(vector["arguments"]), of_job=vector.get("of_job", False))
    assert [dict(move.expected), dict(move.changes)] == [_fields(vector, part) for part in ("expected", "changes")]
    assert move.ttl == vector["ttl"]


@pytest.mark.parametrize("vector", [one for one in named("move")["argvalues"] if "record" in one])
def test_records_of_moves(vector: Vector) -> None:
    """As it was and as it is then, a record is read and written without loss; one is the other with the changes."""
    before, after = _whole(vector, "record"), _whole(vector, "after")
    for fields in (before, after):
        again = TaskRecord.from_fields(fields).to_fields()
        assert {**again, **_lines(fields)} == fields
        assert len(history.read(fields)) == len(_lines(fields))
    assert {name: before.get(name) for name in vector["expected"]} == _fields(vector, "expected")
    changed = {**before, **_fields(vector, "changes")}
    assert {name: value for name, value in changed.items() if value is not None} == after


def _moved_record(name: str, fields: dict[str, bytes], arguments: dict[str, Any]) -> moves.Move:
    """The move of somebody who looks at the record, as the sweeper and the client make it."""
    record = TaskRecord.from_fields(fields)
    move: moves.Move = getattr(moves, name)(record, **arguments)
    return history.of_record(move, record, now=arguments["now"])


def _moved(name: str, arguments: dict[str, Any], *, of_job: bool) -> moves.Move:
    if of_job:
        traceparent, attempt, now = arguments.pop("traceparent", None), arguments["attempt"], arguments["now"]
        worker = arguments.get("worker", "")
        move = _moved(name, arguments, of_job=False)
        if name == "claim":
            return history.started(move, attempt + 1, now=now, worker=worker, traceparent=traceparent)
        return history.ended(move, attempt, now=now)
    if name == "claim":
        arguments["worker"] = arguments["worker"].encode()
    if name == "complete":
        result = arguments["result"]
        arguments["result"] = {} if result is None else {"result": in_bytes(result)}
    if name == "renew":
        arguments["progress"] = {}
    if name == "announced":
        return moves.announced(TaskState(arguments["state"]), arguments["attempt"], arguments["announce_at"])
    move: moves.Move = getattr(moves, name)(arguments.pop("attempt"), **arguments)
    return move


def test_records_have_the_fields_of_their_schemas() -> None:
    """Names, which of them are required, defaults, and how each is stored."""
    for name, kind in RECORDS.items():
        schema, fields = SCHEMAS[name], {field.name: field for field in dataclasses.fields(kind) if field.compare}
        assert fields.keys() == schema["properties"].keys()  # what is not compared is not stored
        required = {field.name for field in fields.values() if _has_no_default(field)}
        assert required <= set(schema["required"]) | {"state"}
        for field, inner in schema["properties"].items():
            assert _stored(str(fields[field].type)) == inner["x-stored"] or (field, inner["x-stored"]) == (
                "runs",
                "bytes",
            )
            default = fields[field].default
            if default not in (None, dataclasses.MISSING):
                shown = (
                    default.word if isinstance(default, Priority) else default.decode() if default == b"" else default
                )
                assert inner["default"] == shown, (name, field)


def _has_no_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _stored(kind: str) -> str:
    if "dict" in kind or "bytes" in kind:
        return "json"
    return "decimal" if "int" in kind else "text"


def test_the_envelope_has_the_fields_of_its_schema() -> None:
    """And the patterns of the schema are those that the code checks."""
    schema = SCHEMAS["envelope"]
    fields = {field.name: field for field in msgspec.structs.fields(Envelope)}
    assert fields.keys() == schema["properties"].keys()
    assert {name for name, field in fields.items() if field.required} == set(schema["required"])
    from gbe import envelope, ids, subjects

    for field, pattern in (
        ("id", ids._CANONICAL.pattern),
        ("subject", subjects._SUBJECT.pattern),
        ("traceparent", envelope._TRACEPARENT.pattern),
    ):
        plain = schema["properties"][field]["pattern"].replace("(\\.", "(?:\\.")
        assert plain == f"^{pattern.removesuffix(chr(92) + 'Z')}$"
