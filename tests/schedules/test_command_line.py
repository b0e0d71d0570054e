"""``gbe schedules`` as a user types it, beside ``gbe serve`` and ``gbe worker`` on the embedded engine."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.tasks.test_command_line import Shell
from tests.waiting import PATIENCE

FILE = """
tasks:
  copy: {command: [/bin/cat]}
schedules:
  from-file: {task: copy, params: {n: 1}, cron: "@daily", tz: Europe/Berlin}
  on-deploy:
    task: copy
    event: notify.topic.deploys
    event_params: {text: payload.message}
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A server with a file, and a worker."""
    shell = Shell(tmp_path_factory.mktemp("schedules"))
    (shell.folder / "gbe.yaml").write_text(FILE)
    try:
        shell.start("serve", "--listen", f"127.0.0.1:{shell.port}")
        shell.until_ok("schedules", "show", "on-deploy")
        shell.start("worker")
        yield shell
    finally:
        shell.end()


def shown(shell: Shell, name: str) -> dict[str, object]:
    done = shell.run("schedules", "show", name, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_schedules_of_the_file_are_there(shell: Shell) -> None:
    """With what they start, and when."""
    done = shell.run("schedules", "list")
    assert done.returncode == 0, done.stderr
    assert "from-file" in done.stdout
    assert "@daily Europe/Berlin" in done.stdout
    refused = shell.run("schedules", "delete", "from-file")
    assert (refused.returncode, "configuration file" in refused.stderr) == (1, True)


def test_one_is_made_changed_paused_run_and_deleted(shell: Shell) -> None:
    """Its whole life."""
    made = shell.run("schedules", "create", "tick", "n=2", "--task", "copy", "--every", "1h", "--json")
    assert json.loads(made.stdout)["settings"] == {"task": "copy", "params": {"n": 2}, "every": 3600.0}, made.stderr
    changed = shell.run("schedules", "change", "tick", "--cron", "30 2 * * *", "--tz", "Europe/Berlin", "--json")
    assert json.loads(changed.stdout)["settings"]["cron"] == "30 2 * * *", changed.stderr
    reset = shell.run("schedules", "change", "tick", "--reset", "tz", "--json")
    assert "tz" not in json.loads(reset.stdout)["settings"], reset.stderr
    assert shell.run("schedules", "pause", "tick").stdout == "tick paused\n"
    run = shell.run("schedules", "run", "tick", "m=3")
    shell.until_ok("tasks", "show", run.stdout.strip())
    assert shown(shell, "tick")["last_id"] == run.stdout.strip()
    assert shell.run("schedules", "resume", "tick").stdout == "tick resumed\n"
    assert shell.run("schedules", "delete", "tick").stdout == "tick deleted\n"
    gone = shell.run("schedules", "show", "tick")
    assert (gone.returncode, gone.stderr) == (
        1,
        "gbe: there is no schedule 'tick'; `gbe schedules list` shows all\n",
    )


def test_a_notification_that_is_published_with_curl_starts_a_task(shell: Shell) -> None:
    """By its subject, with its message as a parameter."""
    httpx.post(f"http://127.0.0.1:{shell.port}/deploys", content="web 1.2").raise_for_status()
    deadline = time.monotonic() + PATIENCE
    while "last_id" not in (trigger := shown(shell, "on-deploy")):
        assert time.monotonic() < deadline, trigger
    task = json.loads(shell.run("tasks", "show", str(trigger["last_id"]), "--json").stdout)
    assert task["params"] == {"text": "web 1.2"}
    metrics = httpx.get(f"http://127.0.0.1:{shell.port}/metrics").text
    assert 'gbe_schedule_fires_total{outcome="started",trigger="event"} 1.0' in metrics


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "copy", "--cron", "61 * * * *"), "schedule x: cron: '61 * * * *'; expected minute hour"),
        (("--task", "copy", "--cron", "@daily", "--tz", "Berlin"), "schedule x: tz: 'Berlin'; expected an IANA"),
        (("--task", "none", "--cron", "@daily"), "unknown task type 'none'"),
        (("--cron", "@daily"), "name what is started"),
        (("oops", "--task", "copy"), "expected NAME=VALUE"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(shell: Shell, words: tuple[str, ...], said: str) -> None:
    """And nothing is made."""
    done = shell.run("schedules", "create", "x", *words)
    assert (done.returncode, said in done.stderr, done.stderr.count("\n")) == (1, True, 1), done.stderr
