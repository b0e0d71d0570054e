"""Task types of the configuration: commands and addresses."""

import asyncio
import contextlib
import gzip
import sys
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import cast

import pytest
import uvloop
from tests.deployments import QUICK, Deployment

from gbe import App
from gbe.errors import TaskFailedError
from gbe.outbound import is_public, resolve
from gbe.tasks.calls import CommandCall
from gbe.tasks.config import WorkerConfig
from gbe.tasks.context import TaskContext
from gbe.tasks.registry import TypeRegistry

SHOUT = "import sys, json; print(json.dumps({'said': sys.argv[1].upper(), 'given': json.load(sys.stdin)}))"
LOCAL = WorkerConfig(concurrency=5, lease=2.0, renew_every=0.2, allow_internal_http=True)


class ConfiguredApp(App):
    """A program with a ``tasks:`` section."""

    section: Mapping[str, Mapping[str, object]] = {}

    def _configured(self) -> Mapping[str, Mapping[str, object]]:
        return self.section


async def configured(deployment: Deployment, **section: Mapping[str, object]) -> App:
    app = ConfiguredApp(backend=await deployment.backend())
    app.section = section
    deployment._stack.push_async_callback(app.close)
    assert isinstance((await app.client()).types, TypeRegistry)
    return app


async def test_a_command_runs_with_its_parameters(deployment: Deployment) -> None:
    """As words and on standard input; what it prints is the result."""
    app = await configured(deployment, shout={"command": [sys.executable, "-c", SHOUT, "{text}"]})
    async with deployment.working(app):
        task = await app.submit("shout", text="hi; echo $HOME")
        assert await task.result(timeout=30) == {"said": "HI; ECHO $HOME", "given": {"text": "hi; echo $HOME"}}
        braces = await app.submit("shout", text="{a}{text}", a="no")
        assert (await braces.result(timeout=30))["said"] == "{A}{TEXT}"
        option = await app.submit("shout", text="--help")
        with pytest.raises(TaskFailedError, match="taken for an option"):
            await option.result(timeout=30)
        missing = await app.submit("shout")
        with pytest.raises(TaskFailedError, match="text: missing"):
            await missing.result(timeout=30)


async def test_a_command_that_fails_or_hangs(deployment: Deployment) -> None:
    """Its complaint is the error; one that takes too long is killed."""
    app = await configured(
        deployment,
        bad={"command": [sys.executable, "-c", "import sys; sys.exit('no disk')"], "max_retries": 0},
        slow={"command": [sys.executable, "-c", "input() and __import__('time').sleep(600)"], "max_retries": 0},
        none={"command": ["/no/such/program"]},
    )
    async with deployment.working(app):
        for name, words in (("bad", "ended with 1: no disk"), ("slow", "step timeout"), ("none", "cannot be started")):
            task = await app.submit(name, step_timeout="500ms" if name == "slow" else None)
            with pytest.raises(TaskFailedError, match=words):
                await task.result(timeout=30)


@contextlib.asynccontextmanager
async def web(answers: list[bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives these answers, one after the other, and remembers the requests."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        requests.append(head + await reader.readexactly(length))
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", requests


async def test_an_address_gets_the_parameters(deployment: Deployment) -> None:
    """A 5xx is tried again, a 4xx is final, and the body of a 2xx is the result."""
    answers = [
        b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"ok":tru}'.replace(b"tru}", b"1}  "),
        b"HTTP/1.1 422 No\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 302 Away\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
    ]
    async with web(answers) as (url, requests):
        app = await configured(deployment, hook={"http": url, "backoff": "none"})
        async with deployment.working(app, LOCAL):
            task = await app.submit("hook", order=17)
            assert await task.result(timeout=30) == {"ok": 1}
            for words in ("422: nope", "answered with 302"):
                with pytest.raises(TaskFailedError, match=words):
                    await (await app.submit("hook", order=18)).result(timeout=30)
    assert requests[0].endswith(b'{"order":17}')
    assert task.id.encode() in requests[0]
    assert len(requests) == 4


async def test_an_answer_is_not_unpacked(deployment: Deployment) -> None:
    """A small one might become a large one: none is asked for, and what comes all the same is refused."""
    bomb = gzip.compress(bytes(10_000_000))
    answers = [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(bomb), bomb)]
    async with web(answers) as (url, requests):
        app = await configured(deployment, hook={"http": url})
        async with deployment.working(app, LOCAL):
            with pytest.raises(TaskFailedError, match="in encoding gzip, which was not asked for"):
                await (await app.submit("hook")).result(timeout=30)
    assert b"accept-encoding: identity" in requests[0].lower()


async def test_an_internal_address_is_refused(deployment: Deployment) -> None:
    """Unless the configuration allows it, nothing is sent."""
    async with web([]) as (url, requests):
        app = await configured(deployment, hook={"http": url})
        async with deployment.working(app, QUICK):
            with pytest.raises(TaskFailedError, match="internal address"):
                await (await app.submit("hook")).result(timeout=30)
    assert requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "0", "[::1]", "localhost", "::1"])
async def test_no_way_to_write_this_machine_leads_to_it(host: str) -> None:
    """What the resolver reads as an address of this machine is refused; the rest is no address."""
    with pytest.raises(OSError):  # noqa: PT011 - "internal", or unknown to this resolver
        await resolve(host, 443)


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a..example", ".example"])
async def test_what_can_be_no_name_is_unknown(host: str) -> None:
    """An ``OSError`` as of any other name that nobody knows."""
    with pytest.raises(OSError, match="is no name of a host"):
        await resolve(host, 443)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("2002:7f00:1::", False),
        ("::127.0.0.1", False),
        ("::ffff:0:127.0.0.1", False),
        ("64:ff9b::10.0.0.1", False),  # by a gateway to IPv4
        ("64:ff9b::5db8:d822", True),
        ("64:ff9b:1::10.0.0.1", False),
        ("fec0::1", False),
        ("192.0.0.192", False),  # metadata of a cloud
        ("100.100.100.200", False),  # of another one
        ("fd00:ec2::254", False),
        ("2130706433", False),  # not an address, whatever some programs make of it
        ("0177.0.0.1", False),
        ("nonsense", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    """Also those that hide an internal address within another."""
    assert is_public(address) is public


def test_a_command_need_not_read_what_it_is_given() -> None:
    """It may have ended before anything is written to it; on the loop that workers run on."""
    context = cast("TaskContext", SimpleNamespace(task_id="t", attempt=1))

    async def many() -> list[bytes]:
        call = CommandCall("hasty", ["true"])
        return [await call.function(context, {"text": "x" * 100_000}) for _ in range(50)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert set(runner.run(many())) == {b""}
