"""``gbe events``, and what ``gbe serve``, ``gbe worker`` and ``gbe tasks`` tell of themselves, as a user types them."""

import json
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.tasks.test_command_line import Shell
from tests.waiting import eventually

import gbe

CHANGE = ("actor=ann", "action=update", "target=invoice/17")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """gbe serve, for all tests of this file."""
    shell = Shell(tmp_path_factory.mktemp("shell"))
    try:
        shell.start("serve", "--listen", f"127.0.0.1:{shell.port}")
        shell.until_ok("tasks", "types")
        yield shell
    finally:
        shell.end()


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def stored(shell: Shell, pattern: str, *filters: str, count: int = 1) -> list[dict[str, Any]]:
    """The first events of a pattern; waits until there are so many."""
    words = [word for one in filters for word in ("--filter", one)]
    return lines(shell.run("events", "tail", pattern, "--since", "all", "-n", str(count), "--json", *words))


def test_an_event_is_published_and_tailed(shell: Shell) -> None:
    """The id for people, all of it for scripts; a value may be JSON."""
    message_id = shell.run("events", "publish", "events.audit.change", *CHANGE, 'after={"paid": true}').stdout.strip()
    (event,) = stored(shell, "events.audit.change", "target=invoice/17")
    assert (event["id"], event["event"]["after"]) == (message_id, {"paid": True})
    done = lines(shell.run("events", "publish", "gbe.events.system.deploy", "--event",
                           '{"id": "d-1", "service": "api", "version": "1.2.3"}', "--json"))  # fmt: skip
    again = lines(shell.run("events", "publish", "events.system.deploy", "service=api", "version=1.2.4", "id=d-1",
                            "--json"))  # fmt: skip
    assert done == again
    assert (done[0]["event_id"], done[0]["subject"]) == ("d-1", "gbe.events.system.deploy")


def test_a_tail_goes_on_behind_a_message(shell: Shell) -> None:
    """And shows readable lines that cannot move a terminal's cursor."""
    words = ("events", "publish", "events.audit.access", "actor=bob")
    ids = [shell.run(*words, f"target=t{n}", "reason=\x1b[2Jto see").stdout.strip() for n in range(3)]
    done = shell.run("events", "tail", "events.audit.access", "--since", ids[0], "--count", "2")
    assert done.returncode == 0, done.stderr
    assert [line.split("  ", 1)[1] for line in done.stdout.splitlines()] == [
        f'events.audit.access  actor=bob target=t{n} reason="\\u001b[2Jto see"' for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("publish", "events.audit.change", "actor=ann"), "events.audit.change: action: missing"),
        (("publish", "events.nonsense.x"), "no schema covers"),
        (("tail", "events.>", "--since", "soon"), "--since: 'soon'; expected all"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(shell: Shell, words: tuple[str, ...], complaint: str) -> None:
    """With exit code 1, and nothing on standard output."""
    done = shell.run("events", *words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert complaint in done.stderr


def test_what_operators_do_on_the_command_line_is_an_audit_event(shell: Shell) -> None:
    """Who, what, and how."""
    with (shell.folder / "gbe.yaml").open("w") as file:
        file.write("tasks:\n  told:\n    command: [/bin/true]\n")
    task_id = shell.run("tasks", "submit", "told").stdout.strip()
    assert shell.run("tasks", "cancel", task_id).returncode == 0
    again = shell.run("tasks", "retry", task_id).stdout.strip()
    assert shell.run("tasks", "pause", "told").returncode == 0
    assert shell.run("tasks", "resume", "told").returncode == 0
    assert shell.run("tasks", "types", "told", "--set", "max_retries=9").returncode == 0
    events = [one["event"] for one in stored(shell, "events.audit.change", "via=cli", count=5)]
    assert [(one["action"], one["target"], one.get("after")) for one in events] == [
        ("cancel", f"task/{task_id}", None),
        ("retry", f"task/{task_id}", {"task_id": again}),
        ("pause", "task-type/told", None),
        ("resume", "task-type/told", None),
        ("change", "task-type/told", {"max_retries": "9"}),
    ]
    assert all(one["actor"].startswith("cli") for one in events)


def test_programs_tell_when_they_start_and_stop(shell: Shell) -> None:
    """The server, workers and sweepers."""
    (server,) = stored(shell, "events.lifecycle.serve.started")
    assert "http" in server["event"]["details"]["roles"]
    for component, words in (("worker", ("worker", "tests.tasks.program:app")), ("sweeper", ("sweeper",))):
        process = shell.start(*words)
        instance = f"instance={socket.gethostname()[:40]}-{process.pid}"
        (started,) = stored(shell, f"events.lifecycle.{component}.started", instance)
        process.terminate()
        assert process.wait(30) == 0
        (stopped,) = stored(shell, f"events.lifecycle.{component}.stopped", instance)
        assert started["event"]["version"] == stopped["event"]["version"] == gbe.__version__
        assert (stopped["event"]["uptime_ms"] >= 0, stopped["event"]["message"]) == (True, None)


async def test_a_worker_counts_what_its_handlers_do(shell: Shell) -> None:
    """On the address of ``--metrics``, by group and outcome."""
    (shell.folder / "handlers.py").write_text(
        "from gbe import App, Event\n"
        "app = App()\n"
        '@app.on("events.system.counted", group="counters")\n'
        "def count(event: Event) -> None: ...\n"
    )
    shell.start("worker", "handlers:app", "--metrics", f"127.0.0.1:{shell.metrics_port}")
    expected = 'gbe_event_deliveries_total{group="counters",outcome="ok"} '

    async def counted() -> bool:
        published = shell.run("events", "publish", "events.system.counted")
        assert published.returncode == 0, published.stderr
        try:
            async with httpx.AsyncClient() as http:
                page = (await http.get(f"http://127.0.0.1:{shell.metrics_port}/metrics")).text
        except httpx.TransportError:
            return False  # it starts
        return expected in page and 'gbe_event_handle_seconds_count{group="counters"}' in page

    await eventually(counted, "the metrics of the handler")
