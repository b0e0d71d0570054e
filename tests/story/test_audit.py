"""Audit events, told with real processes: published with curl, followed, archived, queried and played again."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tests.story.gbe import PATIENCE, Gbe, eventually, run


def test_from_curl_to_a_query_of_the_archive(tmp_path: Path) -> None:
    """The embedded default: what was published is followed, lies in the archive, and answers SQL and a replay."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    query = "SELECT payload->>'actor' AS actor, count(*) AS n FROM events GROUP BY actor ORDER BY actor"
    wanted = [{"actor": "ann", "n": 2}, {"actor": "bob", "n": 1}]
    with Gbe(tmp_path, GBE_ARCHIVE_BATCH_TIMEOUT="300ms", GBE_ARCHIVE_TERM="1s") as gbe:
        gbe.ready()
        for number, actor in enumerate(("ann", "bob", "ann")):
            event = {"actor": actor, "action": "update", "target": f"invoice/{number}"}
            _curl(f"{gbe.url}/v1/events/events.audit.change", json.dumps(event))
        tail = run(tmp_path, "events", "tail", "events.audit.change", "--since", "1h", "-n", "3", "--json")
        assert tail.stdout.count('"actor"') == 3

        def is_archived() -> bool:
            found = run(tmp_path, "archive", "query", query, "--json")
            return [json.loads(line) for line in found.stdout.splitlines()] == wanted

        eventually(is_archived, "the archive has all three")
        span = ("--subject", "events.audit.change", "--to", str(time.time_ns() // 1_000_000))
        replay = ("archive", "replay", *span, "--to-subject", "events.audit.again")
        assert "3 messages published, 0 had been" in run(tmp_path, *replay).stdout
        assert "0 messages published, 3 had been" in run(tmp_path, *replay).stdout
        again = run(tmp_path, "events", "history", "events.audit.again", "--json").stdout.splitlines()
        assert [f'"invoice/{number}"' in line for number, line in enumerate(again)] == [True] * 3
        assert gbe.terminate() == 0


def _curl(url: str, body: str) -> None:
    command = ["curl", "-sf", "--noproxy", "*", "-H", "Content-Type: application/json", "-d", body, url]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
