"""``gbe streams``, as typed, beside a server with its own engine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.serving import serving as run_server
from tests.waiting import eventually

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GBE_LISTEN": "127.0.0.1:0",
    "GBE_EMBEDDED_DURABILITY": "interval",
    "GBE_SWEEPER_RETAIN_EVERY": "200ms",
    "GBE_ARCHIVE_BATCH_TIMEOUT": "200ms",
}


def gbe(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this folder."""
    command = [sys.executable, "-m", "gbe.cli.main", *words]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server in a folder of its own."""
    folder = tmp_path_factory.mktemp("serving")
    with run_server(folder, ENVIRONMENT):
        yield folder


async def address(folder: Path) -> str:
    """Where the server listens, once it says so."""

    def said() -> str | None:
        words = (folder / "log").read_text().split()
        return words[words.index("listening") + 1] if "listening" in words else None

    found = await eventually(said, "the server's address")
    assert found is not None
    return found


async def test_streams_are_listed_shown_and_changed(serving: Path) -> None:
    """The defaults are those of the design; a change is seen by the server at once."""
    folder = serving
    url = await address(folder)
    listed = gbe(folder, "streams", "list")
    assert listed.returncode == 0, listed.stderr
    kept = {line.split()[0]: line for line in listed.stdout.splitlines()[1:]}
    assert "3d" in kept["notify-topic"]
    assert all("7d" in kept[name] for name in ("notify", "events", "events-audit", "deadletter"))
    assert "3d" in kept["events-api"]
    assert "1d" in kept["tasks"]

    changed = gbe(folder, "streams", "set", "events.api.*", "--max-age", "1d", "--max-bytes", "1G")
    assert changed.returncode == 0, changed.stderr
    assert "1d, 1GiB" in changed.stdout
    async with httpx.AsyncClient(base_url=url) as http:
        stream = (await http.get("/v1/streams/events-api")).json()
    assert (stream["max_age"], stream["max_bytes"], stream["changed"]) == (86_400, 1024**3, ["max_age", "max_bytes"])

    shown = gbe(folder, "streams", "show", "events-audit")
    assert "the sweeper removes the rest" in shown.stdout
    assert "gbe.events.audit.*: removed once it is in the archive" in shown.stdout
    assert "archiver" in shown.stdout
    assert "do it with --yes" in gbe(folder, "archive", "release").stdout
    assert "the sweeper removes" in gbe(folder, "streams", "show", "events-audit").stdout
    assert gbe(folder, "archive", "release", "--yes").returncode == 0
    assert "the engine removes" in gbe(folder, "streams", "show", "events-audit").stdout
    as_json = gbe(folder, "streams", "set", "events-api", "--max-age", "default", "--max-bytes", "default", "--json")
    assert json.loads(as_json.stdout)["changed"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "nothing"), "there are notify-topic"),
        (("set", "events.audit.change", "--max-age", "1d"), "part of the stream events-audit"),
        (("set", "tasks", "--max-age", "soon"), "a duration"),
        (("set", "tasks", "--max-msgs", "0"), "more than 0"),
        (("set", "tasks"), "at least one of"),
    ],
)
async def test_what_cannot_be_is_one_line_and_an_exit_code(serving: Path, words: tuple[str, ...], said: str) -> None:
    """Which says what would be accepted."""
    folder = serving
    await address(folder)
    result = gbe(folder, "streams", *words)
    assert result.returncode != 0
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
