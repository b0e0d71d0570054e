"""``gbe jobs`` as a user types it, and ``/v1/jobs``, beside ``gbe serve`` and ``gbe worker`` on the embedded engine."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.tasks.test_command_line import Shell

FILE = """
tasks:
  list: {command: [/bin/sh, -c, "echo '[1,2,3]'"]}
  copy: {command: [/bin/cat]}
  break: {command: [/bin/false], max_retries: 0}
  wait: {command: [/bin/sleep, "600"]}
jobs:
  diamond:
    tasks:
      list: {}
      each: {task: copy, for_each: list, input_from: {n: item}}
      all: {task: copy, input_from: {numbers: each}}
  broken:
    tasks: {break: {}}
  slow:
    tasks: {wait: {}}
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A server with a file, and a worker."""
    shell = Shell(tmp_path_factory.mktemp("jobs"))
    (shell.folder / "gbe.yaml").write_text(FILE)
    try:
        shell.start("serve", "--listen", f"127.0.0.1:{shell.port}")
        shell.until_ok("jobs", "list")
        shell.start("worker")
        yield shell
    finally:
        shell.end()


def test_a_job_is_started_watched_and_drawn(shell: Shell) -> None:
    """The graph shows every task, with where it is."""
    done = shell.run("jobs", "start", "diamond", "--wait", "30s", "--json")
    assert done.returncode == 0, done.stderr
    job_id = json.loads(done.stdout)["id"]
    shown = shell.run("jobs", "show", job_id)
    assert [line.split()[1:4] for line in shown.stdout.splitlines()[1:] if "✔" in line] == [
        ["✔", "list", "completed"],
        ["✔", "each", "completed"],
        ["✔", "all", "completed"],
    ]
    watched = shell.run("jobs", "show", job_id, "--watch")
    assert (watched.returncode, "3 items" in watched.stdout) == (0, True)
    told = shell.run("jobs", "timeline", job_id, "--json")
    transitions = json.loads(told.stdout)["transitions"]
    assert (transitions[0]["what"], transitions[-1]["what"]) == ("created", "completed")
    assert "each[2]" in shell.run("jobs", "timeline", job_id, "--task", "each").stdout
    assert shell.run("jobs", "graph", job_id, "--format", "svg").stdout.startswith("<svg ")
    assert "expected mermaid or svg" in shell.run("jobs", "graph", job_id, "--format", "png").stderr
    assert 'n1[["each<br/>completed, 3 items"]]' in shell.run("jobs", "graph", job_id).stdout
    assert "n0 --> n1" in shell.run("jobs", "graph", "diamond").stdout
    assert job_id in shell.run("jobs", "list", "--type", "diamond", "--state", "completed").stdout


def test_a_failed_job_is_an_error_and_a_refusal_says_why(shell: Shell) -> None:
    """Exit codes are for scripts."""
    failed = shell.run("jobs", "start", "broken", "--wait", "30s")
    assert failed.returncode == 1
    assert "task break: " in failed.stderr
    late = shell.run("jobs", "start", "diamond", "--wait", "1ms")
    assert (late.returncode, "it goes on" in late.stderr) == (3, True)
    (shell.folder / "twice.yaml").write_text("x:\n  tasks:\n    a: {}\n    a: {}\n")
    twice = shell.run("jobs", "validate", "twice.yaml")
    assert (twice.returncode, "line 4: a is there twice" in twice.stderr) == (1, True)
    (shell.folder / "unknown.yaml").write_text("x: {tasks: {nobody: {}}}")
    unknown = shell.run("jobs", "define", "unknown.yaml")
    assert (unknown.returncode, "tasks.nobody.task: unknown task type" in unknown.stderr) == (1, True)


def test_jobs_over_http(shell: Shell) -> None:
    """Define, start once for a key, look, and what cannot be done has the right status."""
    with httpx.Client(base_url=f"http://127.0.0.1:{shell.port}", timeout=30) as http:
        defined = http.put("/v1/job-types/one", json={"tasks": {"copy": {"params": {"a": 1}}}})
        assert defined.status_code == 200, defined.text
        first = http.post("/v1/jobs", json={"type": "one", "idempotency_key": "k"})
        again = http.post("/v1/jobs", json={"type": "one", "idempotency_key": "k"})
        assert (first.status_code, again.json()["id"]) == (201, first.json()["id"])
        shown = http.get(first.headers["location"]).json()
        assert [(task["name"], task["task_type"]) for task in shown["tasks"]] == [("copy", "copy")]
        assert first.json()["id"] in [job["id"] for job in http.get("/v1/jobs?type=one").json()["jobs"]]
        assert {"one", "diamond"} <= {each["name"] for each in http.get("/v1/job-types").json()["types"]}
        assert http.post("/v1/jobs", json={"type": "nobody"}).status_code == 404
        assert http.get("/v1/jobs/nobody").status_code == 404
        told = http.get(f"{first.headers['location']}/timeline").json()
        assert (told["transitions"][0]["what"], told["more"]) == ("created", False)
        assert http.get(f"{first.headers['location']}/timeline?task=nobody").status_code == 400
        cycle = http.put("/v1/job-types/two", json={"tasks": {"copy": {"depends_on": "copy"}}})
        assert (cycle.status_code, "depends on itself" in cycle.text) == (400, True)
        assert http.post(f"/v1/jobs/{first.json()['id']}/retry").status_code == 409
        assert "/v1/jobs/{id}/retry" in http.get("/v1/openapi.json").json()["paths"]


def until(http: httpx.Client, job_id: str, state: str) -> None:
    """Wait until a job is there."""
    deadline = time.monotonic() + 30
    while (job := http.get(f"/v1/jobs/{job_id}").json())["state"] != state:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)


def test_what_is_done_with_jobs_is_audited(shell: Shell) -> None:
    """By command and over HTTP: defined, cancelled and retried; a refusal is no change."""
    (shell.folder / "told.yaml").write_text("told: {tasks: {break: {}}}\n")
    assert shell.run("jobs", "define", "told.yaml").returncode == 0
    failed = json.loads(shell.run("jobs", "start", "told", "--wait", "30s", "--json").stdout)["id"]
    one, other = (shell.run("jobs", "start", "slow").stdout.strip() for _ in range(2))
    assert shell.run("jobs", "cancel", one).returncode == 0
    assert shell.run("jobs", "retry", failed).returncode == 0
    with httpx.Client(base_url=f"http://127.0.0.1:{shell.port}", timeout=30) as http:
        assert http.put("/v1/job-types/told", json={"tasks": {"copy": {}}}).status_code == 200
        assert http.post(f"/v1/jobs/{other}/cancel", json={"reason": "no more"}).status_code == 200
        until(http, other, "cancelled")
        assert http.post(f"/v1/jobs/{other}/cancel", json={"reason": "no more"}).status_code == 409
        until(http, failed, "failed")  # once more
        assert http.post(f"/v1/jobs/{failed}/retry").status_code == 200
    told = shell.run("events", "history", "events.audit.change", "--json").stdout.splitlines()
    targets = {"job-type/told": "type", f"job/{failed}": "failed", f"job/{one}": "one", f"job/{other}": "other"}
    changes = [json.loads(line)["event"] for line in told]
    done = [(each["action"], targets[each["target"]], each["via"]) for each in changes if each["target"] in targets]
    assert done == [
        ("define", "type", "cli"), ("cancel", "one", "cli"), ("retry", "failed", "cli"), ("define", "type", "api"),
        ("cancel", "other", "api"), ("retry", "failed", "api"),
    ]  # fmt: skip
