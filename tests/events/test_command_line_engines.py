"""``gbe events`` on every engine that a deployment may have."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines import NatsProcess
from tests.naming import unique

from gbe.cli.events import Wanted, history, parse_event, publish, tail
from gbe.config import Settings, load
from gbe.errors import ConfigError, InvalidEventError, InvalidSubjectError, UnknownEventError

CHANGE = ["actor=ann", "action=update"]


@pytest.fixture(scope="module")
def nats_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsProcess]:
    engine = NatsProcess(tmp_path_factory.mktemp("nats") / "nats")
    engine.start()
    yield engine
    engine.kill()


@pytest.fixture(params=["nats_engine", "redis_engine", "redis_cluster"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The configuration of a deployment that no other test has."""
    engine = request.getfixturevalue(request.param)
    url = getattr(engine, "user_url", engine.url)
    namespace = unique("c")
    return load(environment={}, flags={"transport": url, "namespace": namespace, "data_dir": tmp_path})


def test_what_is_published_is_tailed_from_the_beginning_and_from_behind_a_message(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over several subjects, each in order; filtered."""
    for number in range(3):
        for subject in ("events.audit.change", "events.audit.access"):
            document = parse_event(subject, [*CHANGE, f"target=t{number}"], None)
            publish(settings, subject, document, idempotency_key=None, json=True)
    published = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    tail(settings, Wanted.parse("events.audit.*", "all", [], 6), json=True)
    tailed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(one["id"] for one in tailed) == sorted(one["id"] for one in published)
    for subject in ("change", "access"):
        full = f"{settings.namespace}.events.audit.{subject}"
        assert [one["event"]["target"] for one in tailed if one["subject"] == full] == ["t0", "t1", "t2"]
    first = published[0]["id"]
    tail(settings, Wanted.parse("events.audit.change", first, ["target=t2"], 1), json=False)
    assert capsys.readouterr().out.endswith("events.audit.change  actor=ann action=update target=t2\n")


def test_history_is_printed_in_parts_and_ends(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Over several subjects, in the order of storing; the end of a part says where the next one begins."""
    for number in range(5):
        subject = f"events.audit.{('change', 'access')[number % 2]}"
        publish(settings, subject, parse_event(subject, [*CHANGE, f"target=t{number}"], None),
                idempotency_key=None, json=False)  # fmt: skip
    capsys.readouterr()
    history(settings, Wanted.parse("events.audit.*", "all", [], 2), json=True)
    first = capsys.readouterr()
    assert [json.loads(line)["event"]["target"] for line in first.out.splitlines()] == ["t0", "t1"]
    cursor = first.err.split()[-1]
    history(settings, Wanted.parse("events.audit.*", cursor, [], 100), json=True)
    rest = capsys.readouterr()
    assert [json.loads(line)["event"]["target"] for line in rest.out.splitlines()] == ["t2", "t3", "t4"]
    assert rest.err == ""
    history(settings, Wanted.parse("events.audit.*", "1h", ["target=t3"], 100), json=False)
    assert capsys.readouterr().out.endswith("events.audit.access  actor=ann action=update target=t3\n")
    history(settings, Wanted.parse("events.system.*,events.auth.*", "all", [], 100), json=True)
    assert capsys.readouterr() == ("", "")


def test_a_repetition_is_stored_once_and_a_bad_event_not_at_all(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The field is named."""
    document = parse_event("events.audit.change", [*CHANGE, "target=x"], None)
    for _ in range(2):
        publish(settings, "events.audit.change", document, idempotency_key="once", json=False)
    first, again = capsys.readouterr().out.split()
    assert first == again
    with pytest.raises(InvalidEventError, match="target: missing"):
        publish(settings, "events.audit.change", parse_event("x", CHANGE, None), idempotency_key=None, json=False)
    with pytest.raises(InvalidSubjectError):
        publish(settings, "events.audit.*", document, idempotency_key=None, json=False)
    with pytest.raises(UnknownEventError):
        tail(settings, Wanted.parse("tasks.>", "all", [], 1), json=False)


def test_a_transport_in_memory_has_no_events_for_other_programs() -> None:
    settings = load(environment={}, flags={"transport": "memory"})
    with pytest.raises(ConfigError, match="lives in one process"):
        tail(settings, Wanted.parse("events.>", "all", [], 1), json=False)
