"""The first hour with gbe, told with real processes: start, publish, subscribe, crash, restart, stop."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from tests.story.gbe import PATIENCE, Gbe, events, eventually, free_port, lives, run
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def test_publish_and_subscribe_then_survive_a_crash(tmp_path: Path) -> None:
    """An empty folder, one command, curl: and what was confirmed is there after kill -9 of everything."""
    with Gbe(tmp_path) as gbe:
        gbe.ready()
        for said in ("started in", f"listening http://localhost:{gbe.port}", "gbe-data", "curl -sN", "Ctrl-C"):
            assert said in gbe.output
        stored = [gbe.publish("t", "hi")]
        assert gbe.poll("t") == stored
        with (
            httpx.stream("GET", f"{gbe.url}/t/sse", trust_env=False, timeout=PATIENCE) as sse,
            connect(f"ws://127.0.0.1:{gbe.port}/t/ws", open_timeout=PATIENCE) as websocket,
        ):
            lines = sse.iter_lines()
            assert next(lines) == "event: open"
            assert [next(lines)[:5], next(lines)] == ["data:", ""]
            assert json.loads(websocket.recv(PATIENCE))["event"] == "open"
            stored.append(gbe.publish("t", "live"))
            assert json.loads(next(lines).removeprefix("data: ")) == stored[-1]
            assert json.loads(websocket.recv(PATIENCE))["message"] == "live"
        assert len(gbe.tree()) == 2
        gbe.kill_tree()

    with Gbe(tmp_path) as gbe:
        gbe.ready()
        assert gbe.poll("t") == stored
        stored.append(gbe.publish("t", "and on"))
        assert gbe.poll("t") == stored
        assert gbe.terminate() == 0


def test_a_second_server_on_the_same_data(tmp_path: Path) -> None:
    """It refuses, and says who is there."""
    with Gbe(tmp_path) as gbe:
        gbe.ready()
        second = run(tmp_path, "serve", "--listen", f"127.0.0.1:{free_port()}")
        assert second.returncode == 1
        (line,) = second.stderr.splitlines()
        assert line.startswith("gbe: data directory ")
        assert f"gbe-data is in use by process {gbe.process.pid} " in line
        assert f"listening on 127.0.0.1:{gbe.port}" in line
        gbe.publish("t", "the first one goes on")


def test_stopping_with_subscribers(tmp_path: Path) -> None:
    """SIGTERM: streams end as they should, the engine stops, exit code 0."""
    with Gbe(tmp_path) as gbe:
        gbe.ready()
        engine = gbe.engine()
        with (
            httpx.stream("GET", f"{gbe.url}/t/json", trust_env=False, timeout=PATIENCE) as stream,
            httpx.stream("GET", f"{gbe.url}/t/sse?since=all", trust_env=False, timeout=PATIENCE) as sse,
            connect(f"ws://127.0.0.1:{gbe.port}/t/ws", open_timeout=PATIENCE) as websocket,
        ):
            lines, sse_lines = stream.iter_lines(), sse.iter_lines()
            assert json.loads(next(lines))["event"] == "open"
            assert next(sse_lines) == "event: open"
            websocket.recv(PATIENCE)
            os.kill(gbe.process.pid, signal.SIGTERM)
            assert list(lines) == []  # an end in the middle of a response would raise
            list(sse_lines)
            with pytest.raises(ConnectionClosed) as closed:
                websocket.recv(PATIENCE)
            assert closed.value.rcvd is not None
        assert gbe.terminate() == 0
        assert not lives(engine)
        assert "Traceback" not in gbe.output
        assert not (tmp_path / "gbe-data" / "attach.json").exists()


def test_interrupting(tmp_path: Path) -> None:
    """Ctrl-C stops it the same way."""
    with Gbe(tmp_path, "--transport", "memory") as gbe:
        gbe.ready()
        os.kill(gbe.process.pid, signal.SIGINT)
        eventually(lambda: not lives(gbe.process), "it stops")
        assert gbe.terminate() == 0


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """One line that names it, before anything else is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        failed = run(tmp_path, "serve", "--listen", address)
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [f"gbe: listen: cannot listen on {address}: Address already in use"]
    assert not (tmp_path / "gbe-data").exists()


def test_in_memory(tmp_path: Path) -> None:
    """Nothing is written, nothing is kept."""
    with Gbe(tmp_path, "--transport", "memory") as gbe:
        gbe.ready()
        message = gbe.publish("t", "hi")
        assert gbe.poll("t") == [message]
        assert len(gbe.tree()) == 1
        assert gbe.terminate() == 0
    assert not (tmp_path / "gbe-data").exists()


def test_several_workers(tmp_path: Path) -> None:
    """Each serves, what one takes all others show, and the death of any of them is nobody's end."""
    with Gbe(tmp_path, "--workers", "2") as gbe, ExitStack() as stack:
        gbe.ready()
        eventually(lambda: len(gbe.workers()) == 2, "two workers run")
        streams = [_open_stream(gbe, stack) for _ in range(12)]
        eventually(lambda: all(_connections(w) for w in gbe.workers()), "connections are spread over both")
        sent = [gbe.publish("t", str(number)) for number in range(8)]
        for stream in streams:
            assert [next(stream) for _ in sent] == sent
        assert gbe.poll("t") == sent

        victim, other = gbe.workers()
        victim.kill()
        eventually(lambda: len(gbe.workers()) == 2 and not lives(victim), "the dead worker is replaced")
        assert lives(other)
        for number in range(8):
            sent.append(gbe.publish("t", f"again {number}"))
            assert gbe.poll("t") == sent
        again = [_open_stream(gbe, stack) for _ in range(8)]
        live = gbe.publish("t", "live")
        for stream in again:
            assert next(stream) == live

        family = gbe.tree()
        assert len(family) >= 4
        gbe.process.kill()
        eventually(lambda: not any(map(lives, family)), "without their parent, workers and engine end by themselves")

    with Gbe(tmp_path, "--workers", "2") as gbe:
        gbe.ready()
        assert gbe.poll("t") == [*sent, live]
        with httpx.stream("GET", f"{gbe.url}/t/json", trust_env=False, timeout=PATIENCE) as response:
            lines = response.iter_lines()
            assert json.loads(next(lines))["event"] == "open"
            assert gbe.terminate() == 0
            assert list(lines) == []
        eventually(lambda: not gbe.tree(), "nothing of it is left")


def _open_stream(gbe: Gbe, stack: ExitStack) -> Iterator[dict[str, object]]:
    response = stack.enter_context(httpx.stream("GET", f"{gbe.url}/t/json", trust_env=False, timeout=PATIENCE))
    lines = response.iter_lines()
    assert json.loads(next(lines))["event"] == "open"
    return events(lines)


def _connections(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return sum(1 for c in process.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED and c.laddr)
    return 0


class TestConfiguration:
    """``gbe.yaml``, the environment, flags; and the two commands that look at them."""

    def test_an_engine_that_is_not_there(self, tmp_path: Path) -> None:
        failed = run(tmp_path, "serve", GBE_TRANSPORT=f"nats://127.0.0.1:{free_port()}", GBE_NATS_CONNECT_TIMEOUT="1s")
        assert failed.returncode == 1
        assert failed.stderr.splitlines()[-1].startswith("gbe: ")
        assert "Traceback" not in failed.stderr

    def test_a_key_with_a_typo(self, tmp_path: Path) -> None:
        (tmp_path / "gbe.yaml").write_text("notify:\n  keepalive_intervall: 30s\n")
        for command in (("serve",), ("config", "check"), ("config", "show")):
            failed = run(tmp_path, *command)
            assert failed.returncode == 1
            (line,) = failed.stderr.splitlines()
            assert line == (
                "gbe: gbe.yaml: unknown key notify.keepalive_intervall; did you mean notify.keepalive_interval?"
            )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("listen: 8080\n", "listen is '8080'; expected ADDRESS:PORT"),
            ("workers: 0\n", "workers is 0"),
            ("workers: many\n", "workers is 'many'; expected a whole number"),
            ("transport: kafka://x\n", "transport is 'kafka://x'; expected"),
            ("notify: [1\n", "gbe.yaml is not YAML"),
            ("notify:\n  keepalive_interval: 1s\n", "keepalive_interval is 1.0; accepted: at least 5 seconds"),
            ("embedded:\n  durability: never\n", "embedded.durability must be fsync or interval"),
        ],
    )
    def test_values_that_cannot_be(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "gbe.yaml").write_text(text)
        failed = run(tmp_path, "serve")
        assert failed.returncode == 1
        assert failed.stderr.startswith("gbe: ")
        assert said in failed.stderr
        assert "Traceback" not in failed.stderr

    def test_show_and_check(self, tmp_path: Path) -> None:
        (tmp_path / "gbe.yaml").write_text(
            "transport: nats://ann:hunter1@127.0.0.1:4222\nnats:\n  password: hunter2\nnotify:\n  cache_duration: 12h\n"
        )
        shown = run(tmp_path, "config", "show", GBE_NATS_TOKEN="hunter3", GBE_WORKERS="3")
        assert shown.returncode == 0, shown.stderr
        assert "hunter" not in shown.stdout
        values = yaml.safe_load(shown.stdout)
        assert values["notify"]["cache_duration"] == 43200
        assert (values["workers"], values["listen"]) == (3, "127.0.0.1:8080")
        checked = run(tmp_path, "config", "check")
        assert (checked.returncode, checked.stdout.startswith("configuration is fine")) == (0, True)

    def test_what_is_shown_is_a_configuration(self, tmp_path: Path) -> None:
        shown = run(tmp_path, "config", "show")
        (tmp_path / "gbe.yaml").write_text(shown.stdout)
        again = run(tmp_path, "config", "show")
        assert (again.returncode, again.stdout) == (0, shown.stdout), again.stderr

    def test_the_environment_beats_the_file_and_flags_beat_both(self, tmp_path: Path) -> None:
        (tmp_path / "gbe.yaml").write_text("transport: embedded\nnotify:\n  message_size_limit: 10\n")
        environment = {"GBE_TRANSPORT": "nats://127.0.0.1:1", "GBE_NOTIFY_MESSAGE_SIZE_LIMIT": "20"}
        with Gbe(tmp_path, "--transport", "memory", **environment) as gbe:
            gbe.ready()
            gbe.publish("t", "x" * 19)
            assert httpx.post(f"{gbe.url}/t", content="x" * 20, trust_env=False).json()["code"] == 40014
