"""The configuration file while a program runs."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.waiting import eventually

from gbe.cli.reload import follow_file
from gbe.cli.runtime import in_background
from gbe.config import Settings, load

ONE = "tasks: {one: {max_retries: 1}}"


@asynccontextmanager
async def following(text: str | None, folder: Path) -> AsyncIterator[tuple[Settings, Path]]:
    """A program that has read its file, if there was one."""
    file = folder / "gbe.yaml"
    if text is not None:
        file.write_text(text)
    settings = load(file if text is not None else None, environment={})
    async with in_background(follow_file(settings, asyncio.Event()), "follow"):
        yield settings, file


async def until(settings: Settings, expected: object) -> None:
    async def is_so() -> bool:
        return dict(settings.tasks) == expected

    await eventually(is_so, f"the task types are {expected}", within=20)


async def test_a_change_is_taken_over(tmp_path: Path) -> None:
    """Types come, change and go."""
    async with following(ONE, tmp_path) as (settings, file):
        file.write_text("tasks: {one: {max_retries: 2}, two: {}}")
        await until(settings, {"one": {"max_retries": 2}, "two": {}})
        file.write_text("listen: 127.0.0.1:1")
        await until(settings, {})


async def test_a_file_that_is_replaced_is_read(tmp_path: Path) -> None:
    """By another with the same size, as a link is made to point elsewhere."""
    async with following(ONE, tmp_path) as (settings, file):
        other = tmp_path / "other"
        other.write_text(ONE.replace("1", "7"))
        os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
        other.replace(file)
        await until(settings, {"one": {"max_retries": 7}})


async def test_a_file_that_appears_later_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One need not restart to begin with a file."""
    monkeypatch.chdir(tmp_path)
    async with following(None, tmp_path) as (settings, file):
        file.write_text(ONE)
        await until(settings, {"one": {"max_retries": 1}})


@pytest.mark.parametrize(
    "broken", ["tasks: {one: {max_retries: many}}", "tasks: [", "no_such_key: 1\ntasks: {}", "listen: [1]\ntasks: 7"]
)
async def test_a_broken_file_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str) -> None:
    """The log says why, once; the next file that is right counts."""
    caplog.set_level(logging.ERROR)
    async with following(ONE, tmp_path) as (settings, file):
        file.write_text(broken)

        async def is_refused() -> bool:
            return "the old task types stay" in caplog.text

        await eventually(is_refused, "the file is refused", within=20)
        assert dict(settings.tasks) == {"one": {"max_retries": 1}}
        file.unlink()
        file.write_text("tasks: {two: {}}")
        await until(settings, {"two": {}})
    assert caplog.text.count("the old task types stay") == 1


async def test_a_hangup_has_the_file_read(tmp_path: Path) -> None:
    """At once, and whatever the file's time says."""
    async with following(ONE, tmp_path) as (settings, file):
        await asyncio.sleep(0)  # the handler is there
        moment = file.stat()
        file.write_text(ONE.replace("1", "3"))
        os.utime(file, ns=(moment.st_atime_ns, moment.st_mtime_ns))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(settings, {"one": {"max_retries": 3}})
