"""``gbe deadletters`` as a user types it, beside a ``gbe serve`` on the embedded engine."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.tasks.test_command_line import Shell

CONFIG = """
tasks:
  broken:
    command: ["false"]
    max_retries: 0
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """gbe serve, and a worker for a type that always fails."""
    shell = Shell(tmp_path_factory.mktemp("shell"))
    (shell.folder / "gbe.yaml").write_text(CONFIG)
    try:
        shell.start("serve", "--listen", f"127.0.0.1:{shell.port}")
        shell.until_ok("tasks", "types")
        shell.start("worker")
        shell.until_ok("tasks", "types", "broken")
        yield shell
    finally:
        shell.end()


def failing(shell: Shell, count: int) -> list[str]:
    """Ids of letters of tasks that have failed since."""
    before = set(letters(shell))
    for _ in range(count):
        assert shell.run("tasks", "submit", "broken").returncode == 0
    deadline = time.monotonic() + 60
    while len(found := sorted(set(letters(shell)) - before)) < count:
        assert time.monotonic() < deadline, found
    return found


def letters(shell: Shell, *words: str) -> list[str]:
    done = shell.run("deadletters", "list", "--json", *words)
    assert done.returncode == 0, done.stderr
    return [letter["id"] for letter in json.loads(done.stdout)["letters"]]


def test_look_count_redrive_and_discard(shell: Shell) -> None:
    """An operator's way through it."""
    found = failing(shell, 2)
    table = shell.run("deadletters", "list").stdout.splitlines()
    assert table[0].split() == ["id", "status", "redrives", "failed", "subject", "error"]
    (group,) = json.loads(shell.run("deadletters", "groups", "--domain", "tasks", "--json").stdout)["groups"]
    assert (group["count"] >= 2, group["group"]) == (True, "broken-workers")
    assert group["fingerprint"] in shell.run("deadletters", "groups").stdout

    dry = shell.run("deadletters", "redrive", "--fingerprint", group["fingerprint"], "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, f"{group['by_status']['open']} letters would be sent\n"), dry.stderr
    shown = json.loads(shell.run("deadletters", "show", found[0], "--json").stdout)
    assert (shown["status"], shown["task_type"]) == ("open", "broken")
    assert "broken-workers" in shell.run("deadletters", "show", found[0]).stdout

    gone = shell.run("deadletters", "discard", found[0])
    assert (gone.returncode, gone.stdout) == (0, "1 discarded\n"), gone.stderr
    sent = shell.run("deadletters", "redrive", found[1], "--json")
    assert sent.returncode == 0, sent.stderr
    outcome = json.loads(sent.stdout)
    assert (outcome["id"], outcome["result"]) == (found[1], "redriven")
    assert json.loads(shell.run("tasks", "show", outcome["sent_as"], "--json").stdout)["type"] == "broken"
    refused = shell.run("deadletters", "redrive", found[0])
    assert (refused.returncode, "it is discarded" in refused.stderr) == (1, True)
    metrics = httpx.get(f"http://127.0.0.1:{shell.port}/metrics", trust_env=False).text
    assert 'gbe_dead_letters_total{domain="tasks"}' in metrics


def test_http_and_command_line_show_the_same(shell: Shell) -> None:
    """One index for all."""
    failing(shell, 1)
    answer = httpx.get(f"http://127.0.0.1:{shell.port}/v1/deadletters?limit=1000", trust_env=False).json()
    assert {letter["id"] for letter in answer["letters"]} >= set(letters(shell, "--since", "1h"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("redrive",), "say --all"),
        (("discard",), "say --all"),
        (("redrive", "x", "--all"), "not both"),
        (("redrive", "x"), "there is no dead letter"),
        (("redrive", "--all", "--rate", "0"), "letters a second"),
        (("redrive", "--all", "--to", "*"), "to: expected"),
        (("list", "--status", "odd"), "expected one of open"),
        (("list", "--since", "soon"), "such as 2h"),
        (("list", "--limit", "0"), "expected 1 to 1000"),
        (("show", "x"), "there is no dead letter"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(shell: Shell, words: tuple[str, ...], complaint: str) -> None:
    """With exit code 1."""
    done = shell.run("deadletters", *words)
    assert (done.returncode, complaint in done.stderr) == (1, True), done.stderr
    assert done.stderr.splitlines()[-1].startswith("gbe: ")
