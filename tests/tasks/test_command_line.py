"""``gbe serve``, ``gbe worker`` and ``gbe tasks`` as a user types them, on the embedded engine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.engines import die_with_parent, free_port

from gbe.tasks.client import MAX_PARAMS

ROOT = Path(__file__).parents[2]


class Shell:
    """A folder in which gbe is served, and commands are run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.metrics_port = folder, free_port(), free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "gbe.cli.main", *words],
                cwd=self.folder,
                env=self.environment(),
                stdout=out,
                stderr=out,
                preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock is taken
            )
        self._processes.append(process)
        return process

    def run(self, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gbe.cli.main", *words],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            input=text,
            text=True,
            timeout=60,
        )

    def until_ok(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command until it succeeds."""
        deadline = time.monotonic() + 60
        while (done := self.run(*words)).returncode != 0:
            assert time.monotonic() < deadline, done.stderr + (self.folder / "log").read_text()
        return done

    def until_logged(self, text: str, times: int) -> None:
        """Wait until our processes have said so, that often in all."""
        deadline = time.monotonic() + 30
        while (log := (self.folder / "log").read_text()).count(text) < times:
            assert time.monotonic() < deadline, log
            time.sleep(0.1)

    def end(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(30)

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "GBE_WORKER_GRACE": "1s", "TZ": "UTC"}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """gbe serve and a worker, for all tests of this file."""
    shell = Shell(tmp_path_factory.mktemp("shell"))
    try:
        shell.start("serve", "--listen", f"127.0.0.1:{shell.port}")
        shell.until_ok("tasks", "types")
        shell.start("worker", "tests.tasks.program:app", "--metrics", f"127.0.0.1:{shell.metrics_port}")
        shell.until_ok("tasks", "types", "work")
        yield shell
    finally:
        shell.end()


def test_a_task_is_submitted_and_its_result_printed(shell: Shell) -> None:
    """With ``--wait``; without, its id."""
    done = shell.run("tasks", "submit", "work", "number=7", "--wait", "30s")
    assert (done.returncode, done.stdout.strip()) == (0, "7"), done.stderr
    task_id = shell.run("tasks", "submit", "work", "--params", '{"number": 8}').stdout.strip()
    shown = json.loads(shell.run("tasks", "show", task_id, "--follow", "--json").stdout)
    assert (shown["state"], shown["result"], shown["params"]) == ("completed", 8, {"number": 8})


def test_who_follows_late_sees_how_far_a_task_is(shell: Shell) -> None:
    """Said before anybody looked, or ended since; a script's JSON stays JSON."""
    task_id = shell.run("tasks", "submit", "steps", "seconds=600").stdout.strip()
    deadline = time.monotonic() + 30
    while json.loads(shell.run("tasks", "show", task_id, "--json").stdout).get("step") != 1:
        assert time.monotonic() < deadline, "no progress in the record"
    following = subprocess.Popen(
        [sys.executable, "-m", "gbe.cli.main", "tasks", "show", task_id, "--follow"],
        cwd=shell.folder,
        env=shell.environment(),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock is taken
    )
    with following:
        assert following.stdout is not None
        assert following.stdout.readline() == "1/3 the first\n"
        assert shell.run("tasks", "cancel", task_id).returncode == 0
        assert following.wait(30) == 0
    ended = json.loads(shell.run("tasks", "submit", "steps", "seconds=0", "--wait", "30s", "--json").stdout)["id"]
    shown = shell.run("tasks", "show", ended, "--follow")
    assert shown.stdout.splitlines()[0] == "3/3 the last"
    scripted = shell.run("tasks", "show", ended, "--follow", "--json")
    assert (json.loads(scripted.stdout)["state"], scripted.stderr) == ("completed", "3/3 the last\n")


def test_what_an_operator_does_is_audited(shell: Shell) -> None:
    """Each command that changed something, with its target; those that could not are none."""
    task_id = shell.run("tasks", "submit", "where", "seconds=600").stdout.strip()
    for words in (
        ["cancel", task_id],
        ["cancel", task_id],
        ["retry", task_id],
        ["pause", "where"],
        ["resume", "where"],
    ):
        shell.run("tasks", *words)
    shell.run("tasks", "types", "where", "--set", "max_retries=50")
    told = shell.run("events", "history", "events.audit.change", "--json").stdout.splitlines()
    changes = [json.loads(line)["event"] for line in told]
    done = [(one["action"], one["via"]) for one in changes if one["target"] in (f"task/{task_id}", "task-type/where")]
    assert done == [(action, "cli") for action in ("cancel", "retry", "pause", "resume", "change")]
    again = next(one["after"]["task_id"] for one in changes if one["target"] == f"task/{task_id}" and one.get("after"))
    assert shell.run("tasks", "cancel", again).returncode == 0


def test_lists_are_for_people_and_for_scripts(shell: Shell) -> None:
    """A table, or JSON with a cursor."""
    ids = [shell.run("tasks", "submit", "work", f"number={n}", "--wait", "30s", "--json").stdout for n in range(3)]
    assert shell.run("tasks", "list", "--type", "work").stdout.splitlines()[0].split()[:3] == ["id", "type", "state"]
    page = json.loads(shell.run("tasks", "list", "--json", "--limit", "2").stdout)
    assert (len(page["tasks"]), page["tasks"][0]["id"]) == (2, json.loads(ids[-1])["id"])
    rest = json.loads(shell.run("tasks", "list", "--json", "--cursor", page["cursor"]).stdout)
    assert not {task["id"] for task in rest["tasks"]} & {task["id"] for task in page["tasks"]}


def test_cancel_and_retry(shell: Shell) -> None:
    """A cancel that is too late fails."""
    task_id = shell.run("tasks", "submit", "where", "seconds=600").stdout.strip()
    assert shell.run("tasks", "cancel", task_id).returncode == 0
    late = shell.run("tasks", "cancel", task_id)
    assert (late.returncode, "is cancelled: cancel is not possible" in late.stderr) == (1, True)
    again = shell.run("tasks", "retry", task_id).stdout.strip()
    assert json.loads(shell.run("tasks", "show", again, "--json").stdout)["retry_of"] == task_id
    assert shell.run("tasks", "cancel", again).returncode == 0


def test_types_are_changed_and_paused(shell: Shell) -> None:
    """While the worker runs."""
    assert shell.run("tasks", "types", "work", "--set", "max_retries=9").returncode == 0
    assert shell.run("tasks", "pause", "work").returncode == 0
    settings = json.loads(shell.run("tasks", "types", "work", "--json").stdout)["work"]
    assert (settings["max_retries"], settings["paused"]) == (9, True)
    waiting = shell.run("tasks", "submit", "work", "number=1", "--wait", "1s")
    assert (waiting.returncode, "it goes on" in waiting.stderr) == (3, True)
    assert shell.run("tasks", "resume", "work").returncode == 0
    assert shell.run("tasks", "submit", "work", "number=1", "--wait", "30s").returncode == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("submit", "wrok", "number=1"), "unknown task type 'wrok'"),
        (("submit", "work"), "number: missing"),
        (("submit", "work", "number=x"), "number: expected integer, got string"),
        (("submit", "work", "number=1", "nmuber=2"), "no such parameter"),
        (("submit", "work", "number"), "expected NAME=VALUE"),
        (("submit", "work", "--params", "{"), "not JSON"),
        (("submit", "work", "number=1", "--delay", "soon"), "such as 1h30m"),
        (("submit", "work", "number=1", "--priority", "top"), "high, normal or low"),
        (("show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"), "there is no task"),
        (("cancel", "nonsense"), "there is no task"),
        (("list", "--state", "odd"), "expected one of pending"),
        (("types", "work", "--set", "max_retries=many"), "a whole number"),
        (("types", "work", "--set", "command=rm"), "configuration only"),
        (("pause", "wrok"), "unknown task type"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(shell: Shell, words: tuple[str, ...], complaint: str) -> None:
    """With exit code 1, and nothing on standard output."""
    done = shell.run("tasks", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_is_refused_changes_nothing(shell: Shell) -> None:
    """A cancel that comes too late, and whatever else cannot be: exit code 1, a line of its reason, no trace."""
    done = json.loads(shell.run("tasks", "submit", "work", "number=1", "--wait", "30s", "--json").stdout)

    def tasks() -> object:
        return json.loads(shell.run("tasks", "list", "--type", "work", "--json", "--limit", "1000").stdout)["tasks"]

    before = tasks()
    for words, complaint in (
        (("submit", "wrok", "number=1"), "unknown task type 'wrok'"),
        (("submit", "work", "number=x"), "number: expected integer"),
        (("submit", "work", "number=1", "--delay", "soon"), "such as 1h30m"),
        (("cancel", "01ARZ3NDEKTSV4RRFFQ69G5FAV"), "there is no task"),
        (("retry", "01ARZ3NDEKTSV4RRFFQ69G5FAV"), "there is no task"),
        (("cancel", done["id"]), "is completed: cancel is not possible"),
        (("retry", done["id"]), "is completed: retry is not possible"),
    ):
        refused = shell.run("tasks", *words)
        assert (refused.returncode, refused.stdout) == (1, ""), words
        assert complaint in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    assert tasks() == before


def test_parameters_that_are_too_large_are_refused(shell: Shell) -> None:
    """Without reading more of them than may be."""
    before = shell.run("tasks", "list", "--type", "work", "--json").stdout
    large = '{"number": "' + "x" * MAX_PARAMS + '"}'
    done = shell.run("tasks", "submit", "work", "--params", "-", text=large)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"over {MAX_PARAMS} bytes" in done.stderr
    assert shell.run("tasks", "list", "--type", "work", "--json").stdout == before


def test_metrics_are_served(shell: Shell) -> None:
    """Those of attempts by the worker."""
    shell.run("tasks", "submit", "work", "number=1", "--wait", "30s")
    page = httpx.get(f"http://127.0.0.1:{shell.metrics_port}/metrics").text
    assert 'gbe_task_ends_total{outcome="completed",type="work"}' in page


def test_several_processes_answer_for_all(shell: Shell) -> None:
    """One address, one page; what each of them counted is added up, and a bad address is told at once."""
    refused = shell.run("worker", "tests.tasks.program:app", "--processes", "2", "--metrics", "nowhere")
    assert (refused.returncode, "ADDRESS:PORT" in refused.stderr) == (1, True)
    port = free_port()
    workers = shell.start("worker", "tests.tasks.counted:app", "--processes", "2", "--metrics", f"127.0.0.1:{port}")
    try:
        shell.until_ok("tasks", "types", "counted")
        assert shell.run("tasks", "submit", "counted", "--wait", "30s").returncode == 0
        page, deadline = "", time.monotonic() + 30
        wanted = (
            'gbe_task_starts_total{type="counted"} 2.0',
            'gbe_task_ends_total{outcome="completed",type="counted"} 1.0',
            'gbe_task_ends_total{outcome="retried",type="counted"} 1.0',
            'gbe_task_retries_total{type="counted"} 1.0',
            'gbe_task_run_seconds_count{type="counted"} 2.0',
            'gbe_task_wait_seconds_count{type="counted"} 2.0',
            'gbe_tasks_submitted_total{type="work"} 1.0',
        )
        while not all(line in page for line in wanted):
            assert time.monotonic() < deadline, page
            time.sleep(0.1)
            page = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    finally:
        workers.terminate()
        workers.wait(30)


def test_the_service_shows_queues_and_submits(shell: Shell) -> None:
    """Per type: what waits, for how long, and what was submitted over HTTP and cancelled."""
    with httpx.Client(base_url=f"http://127.0.0.1:{shell.port}", timeout=60) as http:
        task = http.post("/v1/tasks", json={"type": "where", "delay": "1h"}).json()
        assert http.post(f"/v1/tasks/{task['id']}/cancel").status_code == 200
        page, deadline = "", time.monotonic() + 30
        wanted = (
            'gbe_tasks_submitted_total{type="where"}',
            'gbe_task_ends_total{outcome="cancelled",type="where"}',
            'gbe_task_queue_depth{type="where"}',
            'gbe_task_oldest_pending_seconds{type="where"}',
        )
        while not all(line in page for line in wanted):
            assert time.monotonic() < deadline, page
            time.sleep(0.2)
            page = http.get("/metrics").text


def test_the_same_over_http(shell: Shell) -> None:
    """``gbe serve`` answers for tasks beside topics."""
    with httpx.Client(base_url=f"http://127.0.0.1:{shell.port}", timeout=60) as http:
        task = http.post("/v1/tasks", json={"type": "work", "params": {"number": 3}}).json()
        assert http.get(f"/v1/tasks/{task['id']}?wait=30s").json()["result"] == 3


@pytest.mark.parametrize("target", ["nonsense", "tests.tasks.program:nothing", "no.such.module:app", "os:path"])
def test_a_worker_without_an_app_says_so(shell: Shell, target: str) -> None:
    """One line, exit code 1."""
    done = shell.run("worker", target)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_the_configuration_file_is_followed(shell: Shell) -> None:
    """A new type runs, settings change everywhere; a file that cannot be used changes nothing, and the log says why."""
    file = shell.folder / "gbe.yaml"
    with httpx.Client(base_url=f"http://127.0.0.1:{shell.port}", timeout=60) as http:

        def until_retries_are(expected: int) -> None:
            deadline = time.monotonic() + 30
            while http.get("/v1/task-types/greet").json().get("settings", {}).get("max_retries") != expected:
                assert time.monotonic() < deadline, (shell.folder / "log").read_text()
                time.sleep(0.1)

        def greeting() -> str:
            task = http.post("/v1/tasks", json={"type": "greet", "params": {"name": "you"}}).json()
            return str(http.get(f"/v1/tasks/{task['id']}?wait=30s").json()["result"])

        try:
            file.write_text('tasks: {greet: {command: [echo, "hello {name}"], max_retries: 5}}')
            until_retries_are(5)
            assert greeting() == "hello you"
            file.write_text("tasks: {greet: {max_retries: many}}")
            shell.until_logged("max_retries is 'many'; expected a whole number", times=2)  # serve, and the worker
            assert greeting() == "hello you"
            file.write_text('tasks: {greet: {command: [echo, "good day {name}"], max_retries: 6}}')
            until_retries_are(6)
            deadline = time.monotonic() + 30
            while greeting() != "good day you":  # the worker may be a moment behind the service
                assert time.monotonic() < deadline, (shell.folder / "log").read_text()
        finally:
            file.unlink(missing_ok=True)
