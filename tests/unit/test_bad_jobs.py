"""Jobs and schedules that cannot be: in gbe.yaml and in a definition file, the error names the place and the fix."""

from pathlib import Path

import pytest

from gbe.cli.jobs import read_file
from gbe.config import load
from gbe.errors import GbeError

JOBS = [
    ("a: {depends_on: b}, b: {depends_on: a}", "tasks.a.depends_on", "a → b → a"),
    ("fetch: {}, b: {depends_on: fech}", "tasks.b.depends_on", "did you mean fetch"),
    ("a: {}, b: {input_from: {x: 'nobody.data'}}", "tasks.b.input_from.x", "nobody"),
    ("a: {input_from: {x: 'a b'}}", "tasks.a.input_from.x", "expected a reference"),
    ("a: {max_retry: 1}", "tasks.a.max_retry", "did you mean max_retries"),
    ("a: {}, a: {}", "line 3", "a is there twice; rename or remove one"),
    (", ".join(f"t{number}: {{}}" for number in range(2_001)), "tasks", "at most 2000"),
]

SCHEDULES = [
    ("nightly: {job: one, cron: '61 * * * *'}", "nightly", "cron"),
    ("nightly: {job: one, cron: '0 3 * * *', tz: Europe/Berlim}", "nightly", "Europe/Berlim"),
    ("nightly: {job: one, cron: '@daily'}\n  nightly: {job: one, cron: '@hourly'}", "line 3", "nightly is there twice"),
]


@pytest.mark.parametrize(("tasks", "place", "words"), JOBS)
def test_a_bad_job_is_refused_wherever_it_stands(tasks: str, place: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "gbe.yaml"
    file.write_text(f"jobs:\n  bad:\n    tasks: {{{tasks}}}\n")
    for reading in (lambda: load(file, environment={}), lambda: read_file(file)):
        with pytest.raises(GbeError) as caught:
            reading()
        for part in ("gbe.yaml", place, words):
            assert part in str(caught.value)


@pytest.mark.parametrize(("schedule", "place", "words"), SCHEDULES)
def test_a_bad_schedule_is_refused(schedule: str, place: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "gbe.yaml"
    file.write_text(f"schedules:\n  {schedule}\n")
    with pytest.raises(GbeError) as caught:
        load(file, environment={})
    for part in ("gbe.yaml", place, words):
        assert part in str(caught.value)
