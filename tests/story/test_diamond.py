"""The example of docs/jobs.md on the embedded engine: started by hand, by an event, by a call and over HTTP."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.ntfy.server import eventually
from tests.tasks.test_command_line import Shell

EXAMPLE = Path(__file__).parents[2] / "examples" / "diamond"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A server and a worker in a copy of the example."""
    shell = Shell(tmp_path)
    for file in EXAMPLE.glob("*.*"):
        shutil.copy(file, tmp_path)
    try:
        shell.start("serve", "--listen", f"127.0.0.1:{shell.port}")
        shell.until_ok("jobs", "list")
        shell.start("worker", "parts:app")
        yield shell
    finally:
        shell.end()


def test_the_diamond_runs_however_it_is_started(shell: Shell) -> None:
    by_hand = shell.until_ok("jobs", "start", "diamond", "--wait", "45s")  # its worker knows the tasks, and may be late
    assert by_hand.stdout.split()[1] == "completed", by_hand.stderr
    told = json.loads(shell.run("jobs", "timeline", by_hand.stdout.split()[0], "--json").stdout)["transitions"]
    seventh = [one["what"] for one in told if (one.get("task"), one.get("item")) == ("square", 7)]
    assert (seventh.count("started"), seventh.count("retried"), seventh[-1]) == (3, 2, "completed")
    assert [one["what"] for one in told if one.get("task") == "report"] == ["submitted", "started", "completed"]

    with httpx.Client(base_url=f"http://127.0.0.1:{shell.port}", timeout=30) as http:
        assert http.post("/numbers", content="go").status_code == 200
        assert http.post("/v1/schedules/every-minute/run").status_code in (200, 201, 202)
        assert http.post("/v1/jobs", json={"type": "diamond", "params": {"count": 5}}).status_code == 201

        def completed() -> int:
            return len(http.get("/v1/jobs?type=diamond&state=completed").json()["jobs"])

        eventually(lambda: completed() >= 4, "all four are done", within=60)
