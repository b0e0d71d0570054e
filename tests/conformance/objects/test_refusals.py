"""Stores that cannot be used say so when they are opened, clearly, promptly, and without secrets."""

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gbe.errors import ConfigError, ObjectStoreRefusedError, ObjectUnavailableError
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore


async def refusal(config: ObjectsConfig) -> str:
    with pytest.raises(ObjectStoreRefusedError) as caught:
        await ObjectStore.open(config)
    return str(caught.value)


async def test_a_bucket_that_does_not_exist(s3_config: ObjectsConfig) -> None:
    """It is named, and not made."""
    text = await refusal(replace(s3_config, url="s3://no-such-bucket"))
    assert "no such bucket" in text
    assert "s3://no-such-bucket" in text
    await refusal(replace(s3_config, url="s3://no-such-bucket"))


@pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key"])
async def test_wrong_credentials(s3_config: ObjectsConfig, wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    """They are refused, and nobody reads them in an error or a log."""
    caplog.set_level(logging.DEBUG)
    config = replace(s3_config, **{wrong: "hunter2"})
    text = await refusal(config)
    assert "access is denied" in text
    assert str(s3_config.endpoint) in text
    assert "hunter2" not in caplog.text
    if wrong == "secret_access_key":
        assert "hunter2" not in text + repr(config)


async def test_a_server_that_is_not_there(s3_config: ObjectsConfig) -> None:
    """It may come back: another kind of error."""
    with pytest.raises(ObjectUnavailableError):
        await ObjectStore.open(replace(s3_config, endpoint="http://127.0.0.1:9", timeout=1.0))


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in its place, a place where no folder can be, or no permission."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/gbe-objects")):
        assert str(folder) in await refusal(ObjectsConfig(url=str(folder)))
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        assert str(locked) in await refusal(ObjectsConfig(url=str(locked)))


async def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """Parameters of jobs are nobody else's business."""
    async with await ObjectStore.open(ObjectsConfig(url=str(tmp_path / "objects"))) as store:
        await store.put("a/x", b"1")
    assert (tmp_path / "objects").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"url": "ftp://host/x"}, "expected a folder, memory, or s3://"),
        ({"url": "s3://"}, "expected s3://BUCKET"),
        ({"url": "s3://bucket?x=1"}, "expected s3://BUCKET"),
        ({"url": "s3://gbe:hunter2@bucket"}, "expected s3://BUCKET"),
        ({"url": "s3://bucket/../x"}, "prefix"),
        ({"url": "s3://bucket/a b"}, "prefix"),
        ({"url": "s3://bucket", "endpoint": "localhost:9000"}, "objects.endpoint"),
        ({"url": "s3://bucket", "access_key_id": "gbe"}, "belong together"),
        ({"url": "s3://bucket", "ca_file": Path("/nowhere.pem")}, "there is no file"),
        ({"timeout": 0.0}, "objects.timeout"),
        ({"max_object_size": 10}, "objects.max_object_size"),
        ({"threshold": 10**6}, "objects.threshold"),
    ],
)
def test_bad_settings_name_their_key(settings: dict[str, object], complaint: str) -> None:
    """And never show what may be a password."""
    with pytest.raises(ConfigError, match=complaint) as caught:
        ObjectsConfig(**settings)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_a_short_lived_process_ends_well() -> None:
    """The library's own threads must not abort it at its exit; see gbe.objects.store."""
    code = (
        "import asyncio\n"
        "from gbe.objects.config import ObjectsConfig\n"
        "from gbe.objects.store import ObjectStore\n"
        "async def main():\n"
        "    store = await ObjectStore.open(ObjectsConfig(url='memory'))\n"
        "    await store.put('a', b'x' * 1000)\n"
        "asyncio.run(main())\n"
    )
    for _ in range(12):
        assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
