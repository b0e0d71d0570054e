"""A domain of one's own from the first command to the first event, as the page on schemas tells it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engines import NatsProcess

BIN = Path(sys.executable).parent


def run(folder: Path, *command: str, url: str = "") -> subprocess.CompletedProcess[str]:
    """A command in the folder of the new domain, on the given engine."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GBE_")}
    if url:
        environment["GBE_TRANSPORT"] = url
    return subprocess.run(
        [BIN / command[0], *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )


@pytest.mark.timeout(300)
def test_a_new_domain_is_published_read_changed_and_checked(tmp_path: Path) -> None:
    """What is scaffolded runs as it is; what does not fit its schema is refused with the field."""
    created = run(tmp_path, "gbe", "schema", "new", "billing")
    assert created.returncode == 0, created.stderr
    assert run(tmp_path, "gbe", "schema", "check").stdout.startswith("nothing is broken (1 schemas, 6 vectors")
    with NatsProcess(tmp_path / "engine") as engine:
        published = run(tmp_path, "python", "billing_events.py", url=engine.url)
        assert published.returncode == 0, published.stderr
        history = run(tmp_path, "gbe", "events", "history", "billing.recorded", "--json", url=engine.url)
        record = json.loads(history.stdout)
        assert (record["id"], record["event"]["item"]) == (published.stdout.strip(), "invoice/17")
        refused = run(tmp_path, "gbe", "events", "publish", "billing.recorded", "actor=ann", url=engine.url)
        assert refused.returncode == 1
        assert "item: missing" in refused.stderr
    schema = tmp_path / "schemas" / "json" / "billing" / "recorded.json"
    assert run(tmp_path, "gbe", "schema", "release").returncode == 0
    document = json.loads(schema.read_text())
    del document["properties"]["note"]
    schema.write_text(json.dumps(document))
    broken = run(tmp_path, "gbe", "schema", "check")
    assert broken.returncode == 1
    assert "billing/recorded.json: note: removed-field: " in broken.stdout
    unreadable = run(tmp_path, "gbe", "schema", "check", "nowhere")
    assert (unreadable.returncode, unreadable.stdout) == (1, "")
    assert unreadable.stderr.startswith("gbe: there is no schema in nowhere/json")
