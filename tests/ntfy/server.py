"""The server under test: the real application on a real socket, in a thread with an event loop of its own.

Tests talk to it as any client does, with blocking calls, and start as many servers as they need.
"""

import asyncio
import contextlib
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import uvloop
from tests.naming import unique
from websockets.sync.client import ClientConnection, connect

from gbe.cli.runtime import in_background
from gbe.http.app import Application, build_application
from gbe.http.config import HttpConfig
from gbe.http.server import listen, serve
from gbe.http.services import now_ms
from gbe.notify.access.access import Access
from gbe.notify.access.config import AccessConfig
from gbe.notify.config import NotifyConfig
from gbe.notify.files import Files
from gbe.notify.ledger import Ledger, LocalLedger
from gbe.notify.shared_limits import SharedLimits
from gbe.notify.visitors import parse_networks
from gbe.objects.store import ObjectStore
from gbe.state.base import StateStore
from gbe.transport.base import StreamConfig, Transport

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that anything may take on a machine that others use too. Only a failing test waits so long."""

LOCALHOST = parse_networks(("127.0.0.1",))
KEEPALIVE = 5.0  # the shortest that the configuration takes


def eventually(condition: Callable[[], T], description: str, *, within: float = PATIENCE) -> T:
    """Ask until the answer is true and return it; fail with ``description`` if that takes too long."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {description} (last answer: {answer!r})")
        time.sleep(0.01)
    return answer


def peers() -> set[Any]:
    """Who is at the other end of the connections of this process."""
    found = set()
    for entry in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                with socket.socket(fileno=os.dup(int(entry.name))) as copy:
                    found.add(copy.getpeername())
    return found


class Loop:
    """A thread that runs an event loop, as production does on uvloop."""

    def __enter__(self) -> Self:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="gbe-servers", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, T], *, within: float = PATIENCE) -> T:
        """Run a coroutine there and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within)


class Server:
    """One running server. A context manager: leaving it stops the server and closes its transport."""

    def __init__(
        self,
        loop: Loop,
        http_client: httpx.Client,
        open_transport: Callable[[], Awaitable[Transport]],
        *,
        namespace: str | None = None,
        http: HttpConfig | None = None,
        notify: NotifyConfig | None = None,
        limits: bool = False,
        open_store: Callable[[], Awaitable[StateStore]] | None = None,
        open_objects: Callable[[], Awaitable[ObjectStore]] | None = None,
        access: AccessConfig | None = None,
    ) -> None:
        self.loop, self._http, self._open = loop, http_client, open_transport
        self.namespace = namespace or unique("n")
        self.http_config = http or HttpConfig()
        self.notify_config = notify or NotifyConfig(keepalive_interval=KEEPALIVE)
        self._limits = limits
        self._open_store, self._open_objects = open_store, open_objects
        self._stack = contextlib.AsyncExitStack()
        self.files: Files | None = None
        self._access_config = access
        self.access: Access | None = None
        self.transport: Transport
        self.application: Application
        self.port = 0

    def __enter__(self) -> Self:
        self.loop.call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _start(self) -> None:
        self.transport = await self._open()
        await self.transport.ensure_stream(
            StreamConfig(
                name=f"{self.namespace}-notify-topic",
                subjects=(f"{self.namespace}.notify.topic.*",),
                max_age=max(self.notify_config.cache_duration, 60.0),
                dedup_window=30.0,
            )
        )
        store = None
        if self._open_store is not None:
            store = await self._stack.enter_async_context(await self._open_store())
        if self._open_objects is not None and store is not None:
            objects = await self._stack.enter_async_context(await self._open_objects())
            self.files = Files(objects, store, self.notify_config, self.namespace)
            await self._stack.enter_async_context(in_background(self.files.run(now_ms), "files"))
        ledger: Ledger = LocalLedger()
        if self.notify_config.visitor_limits == "shared" and store is not None:
            ledger = shared_limits = SharedLimits(store, self.namespace)
            await self._stack.enter_async_context(in_background(shared_limits.run(), "limits"))
        sock = listen("127.0.0.1", 0, backlog=self.http_config.backlog)
        self.port = sock.getsockname()[1]
        if self._access_config is not None and store is not None:
            access = Access(store, self.namespace, self._access_config, ledger)
            self.access = await self._stack.enter_async_context(access)
        self.application = build_application(
            self.transport,
            namespace=self.namespace,
            http=self.http_config,
            notify=self.notify_config,
            exempt=() if self._limits else LOCALHOST,
            files=self.files,
            ledger=ledger,
            state=store,
            access=self.access,
        )
        await self._stack.enter_async_context(in_background(self.application.services.stats.run(), "stats"))
        self._stop = asyncio.Event()
        self._serving = asyncio.create_task(serve(self.application, [sock], self._stop))

    def stop(self) -> None:
        """Stop as SIGTERM does; safe to repeat."""
        self.loop.call(self._end())

    async def _end(self) -> None:
        self._stop.set()
        await self._serving
        await self._stack.aclose()
        await self.transport.close()

    # -- what clients do

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request."""
        return self._http.request(method, self.url + path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, content: bytes | str = b"", **options: Any) -> httpx.Response:
        return self.request("POST", path, content=content, **options)

    def publish(self, topic: str, content: bytes | str = b"", **options: Any) -> dict[str, Any]:
        """``POST /TOPIC``, which must succeed: the message object."""
        response = self.post(f"/{topic}", content, **options)
        assert response.status_code == 200, response.text
        return message_in(response)

    def poll(self, topics: str, *, path: str = "json", **parameters: Any) -> list[dict[str, Any]]:
        """What is stored, oldest first."""
        response = self.get(f"/{topics}/{path}", params={"poll": "1", **parameters})
        assert response.status_code == 200, response.text
        return [json.loads(line) for line in response.text.splitlines()]

    @contextlib.contextmanager
    def subscribe(
        self, topics: str, form: str = "json", headers: Mapping[str, str] | None = None, **parameters: Any
    ) -> Iterator["Stream"]:
        """An open stream, its head received."""
        request = self._http.build_request(
            "GET", f"{self.url}/{topics}/{form}", params=parameters, headers=headers, timeout=PATIENCE
        )
        response = self._http.send(request, stream=True)
        try:
            if response.status_code != 200:
                response.read()
            stream = Stream(response, iter(response.iter_lines()) if response.status_code == 200 else iter(()))
            yield stream  # referred to here, because an iterator that nobody holds closes the response
        finally:
            response.close()

    def websocket(self, topics: str, query: str = "", **options: Any) -> ClientConnection:
        """An upgraded connection."""
        url = f"ws://127.0.0.1:{self.port}/{topics}/ws{query}"
        connection: ClientConnection = connect(url, compression=None, open_timeout=PATIENCE, close_timeout=1, **options)
        return connection

    def connect(self) -> "Raw":
        """A bare TCP connection."""
        return Raw(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE))

    def exchange(self, request: bytes) -> "Answer":
        """Send bytes and read one answer."""
        with self.connect() as raw:
            raw.send(request)
            return raw.answer()


@dataclass
class Stream:
    """A ``/json``, ``/sse`` or ``/raw`` stream, line by line."""

    response: httpx.Response
    lines: Iterator[str]

    def line(self) -> str:
        """The next line, without its end."""
        return next(self.lines)

    def event(self) -> dict[str, Any]:
        """The next event of a ``/json`` stream."""
        event: dict[str, Any] = json.loads(self.line())
        return event

    def message(self) -> dict[str, Any]:
        """The next event that is no keepalive."""
        while (event := self.event())["event"] == "keepalive":
            pass
        return event

    def opened(self) -> Self:
        """Expect the open event."""
        assert self.event()["event"] == "open"
        return self


@dataclass
class Answer:
    """A response as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


class Raw:
    """A connection on which a test says what it wants to say."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._file = sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers; status 0 if the connection ends before."""
        line = self._read_line()
        if not line:
            return 0, {}
        status = int(line.split(b" ")[1])
        headers: dict[str, str] = {}
        while (line := self._read_line().rstrip(b"\r\n")) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def publish(self, topic: str, text: str, query: str = "") -> "Answer":
        """``POST /TOPIC`` on this connection, which is quicker than a client for many."""
        body = text.encode()
        head = f"POST /{topic}{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        self.send(head.encode() + body)
        return self.answer()

    def answer(self, *, bodiless: bool = False) -> Answer:
        """The next response; its body must have a length unless the connection closes behind it."""
        status, headers = self.head()
        if bodiless or not status:
            return Answer(status, headers, b"")
        if "chunked" in headers.get("transfer-encoding", ""):
            return Answer(status, headers, self._chunks())
        length = headers.get("content-length")
        return Answer(status, headers, self._file.read(int(length)) if length is not None else self._file.read())

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int(self._file.readline() or b"0", 16):
            parts.append(self._file.read(size))
            self._file.readline()
        self._file.readline()
        return b"".join(parts)

    def _read_line(self) -> bytes:
        try:
            return self._file.readline()
        except ConnectionResetError:
            return b""

    def is_closed(self, *, within: float = PATIENCE) -> bool:
        """Whether the server ends the connection; what it still sends is thrown away."""
        self.socket.settimeout(within)
        try:
            while self._file.read1(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            pass
        return True


def message_in(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a reply."""
    value: dict[str, Any] = response.json()
    return value


def refused(response: httpx.Response | Answer, code: int) -> dict[str, Any]:
    """The error object of a reply that must be this refusal, in the shape of section 7."""
    status = response.status_code if isinstance(response, httpx.Response) else response.status
    body = response.content if isinstance(response, httpx.Response) else response.body
    assert status == code // 100, body
    error: dict[str, Any] = json.loads(body)
    assert list(error) in (["code", "http", "error"], ["code", "http", "error", "link"]), body
    assert (error["code"], error["http"]) == (code, code // 100), body
    assert body.endswith(b"}\n")
    assert body.count(b"\n") == 1
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    return error
