"""``gbe archive query``, ``replay`` and ``ddl``: what they print, and what they say when it cannot be done."""

import asyncio
import csv
import json
from pathlib import Path

import pytest
from tests.archive.messages import DAY_MS, batch
from typer.testing import CliRunner, Result

from gbe.archive.object_sink import ObjectSink
from gbe.cli.main import app
from gbe.errors import GbeError
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore


def archive(*words: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, ["archive", *words])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An archive of three messages of 2024-10-04: an object, a text with markup and a control character, bytes."""
    monkeypatch.chdir(tmp_path)

    async def fill() -> None:
        async with await ObjectStore.open(ObjectsConfig(url=str(tmp_path / "archive"))) as objects:
            payloads = [b'{"n": [1, null]}', b'"[red]\\u001b,x"', b"\xff\0"]
            await ObjectSink(objects).write(batch(0, 3, timestamp=DAY_MS * 20_000, payloads=payloads), b"")

    asyncio.run(fill())
    return str(tmp_path / "archive")


def test_rows_are_printed_as_a_table_as_json_and_as_csv(folder: str) -> None:
    """JSON stays JSON, bytes are base64, and nothing reaches the terminal that it would obey."""
    sql = "SELECT position, dt, payload, payload->>'$' AS text, payload_bytes FROM events ORDER BY position LIMIT 3"
    found = archive("query", sql, "--url", folder, "--json")
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [row["payload"] for row in rows] == [{"n": [1, None]}, "[red]\x1b,x", None]
    assert rows[2] == {"position": "3-0", "dt": "2024-10-04", "payload": None, "text": None, "payload_bytes": "/wA="}
    table = list(csv.reader(archive("query", sql, "--url", folder, "--csv").stdout.splitlines()))
    assert [row[0] for row in table] == ["position", "1-0", "2-0", "3-0"]
    shown = archive("query", sql, "--url", folder).stdout
    assert "[red]" in shown
    assert "\x1b" not in shown
    cut = archive("query", "SELECT id FROM events", "--url", folder, "--limit", "2")
    assert "more than 2 rows" in cut.stderr


def test_a_replay_prints_or_counts(folder: str) -> None:
    """One JSON object a line, as in the files."""
    printed = archive("replay", "--subject", "events.audit.*", "--from", "2024-10-04", "--url", folder)
    assert [json.loads(line)["position"] for line in printed.stdout.splitlines()] == ["1-0", "2-0", "3-0"]
    counted = archive("replay", "--subject", "events.>", "--to", "2024-10-04", "--url", folder, "--dry-run")
    assert counted.stdout == "0 messages would be printed\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("query", "SELECT 1", "--json", "--csv"), "exclude each other"),
        (("query", "SELECT 1"), "there is no such folder"),
        (("query", "SELECT nobody FROM events", "--url", "archive"), "nobody"),
        (("query", "DROP VIEW events", "--url", "archive"), "one SELECT"),
        (("query", "SELECT 1", "--memory", "much"), "--memory"),
        (("query", "SELECT 1", "--memory", "1KiB"), "at least 32MiB"),
        (("replay", "--subject", "events..x"), "--subject"),
        (("replay", "--subject", "events.>", "--to-subject", "events.*", "--to", "2026-01-01"), "--to-subject"),
        (("replay", "--subject", "events.>", "--to-own-subjects"), "--to 2026"),
        (("replay", "--subject", "events.>", "--to-own-subjects", "--to", "1h"), "known by its times"),
        (("replay", "--subject", "events.>", "--to-own-subjects", "--to", "2900-01-01"), "still to come"),
        (("replay", "--subject", "events.>", "--from", "yesterday"), "--from"),
        (("replay", "--subject", "events.>", "--from", "2026-01-02", "--to", "2026-01-01"), "not before"),
        (("ddl", "athena"), "s3://BUCKET"),
        (("ddl", "athena", "--url", "s3://b/p", "--first-day", "soon"), "--first-day"),
        (("ddl", "athena", "--url", "s3://b/p", "--table", "a b"), "--table"),
    ],
)
def test_what_cannot_be_done_is_explained(folder: str, words: tuple[str, ...], said: str) -> None:
    """And nothing is made."""
    refused = archive(*words)
    assert isinstance(refused.exception, GbeError)
    assert said in str(refused.exception)
    assert refused.stdout == ""
    assert [path.name for path in Path(folder).parent.iterdir()] == ["archive"]


def test_tables_for_athena_and_postgres() -> None:
    """SQL for other engines over the same archive."""
    athena = archive("ddl", "athena", "--url", "s3://audit/prod/", "--first-day", "2026-01-01").stdout
    for part in (
        "CREATE EXTERNAL TABLE IF NOT EXISTS `gbe_archive`",
        "PARTITIONED BY (`domain` string, `topic` string, `dt` string)",
        "LOCATION 's3://audit/prod/archive/'",
        "'projection.dt.range' = '2026-01-01,NOW'",
        "'storage.location.template' = 's3://audit/prod/archive/domain=${domain}/subject=${topic}/dt=${dt}/'",
    ):
        assert part in athena
    assert "CREATE TABLE gbe_archive (" in archive("ddl", "postgres").stdout
