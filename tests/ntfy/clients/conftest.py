"""A server with users and attachments on each engine, which the tests of a file share."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.ntfy.access.accounts import PASSWORD, TOKEN
from tests.ntfy.access.conftest import CONFIG
from tests.ntfy.conftest import OpenStore, OpenTransport
from tests.ntfy.server import KEEPALIVE, Loop, Server, unique

from gbe.notify.config import NotifyConfig
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore

USER = "anna"
__all__ = ["PASSWORD", "TOKEN", "USER"]


class SharedServers:
    """One of each back end, started when the first test wants it."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._servers: dict[str, Server] = {}

    def get(
        self, back_end: str, loop: Loop, client: httpx.Client, open_transport: OpenTransport, open_store: OpenStore
    ) -> Server:
        """Started, with an address of its own as its base URL."""
        if back_end not in self._servers:

            async def open_folder() -> ObjectStore:
                return await ObjectStore.open(ObjectsConfig(url=str(self._folder / back_end)))

            server = Server(
                loop,
                client,
                open_transport,
                namespace=unique("c"),
                notify=NotifyConfig(base_url="https://push.example.net", keepalive_interval=KEEPALIVE),
                access=CONFIG,
                open_store=open_store,
                open_objects=open_folder,
            )
            self._servers[back_end] = self._stack.enter_context(server)
        return self._servers[back_end]


@pytest.fixture(scope="module")
def shared_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServers]:
    with ExitStack() as stack:
        yield SharedServers(stack, tmp_path_factory.mktemp("files"))


@pytest.fixture
def closed(
    back_end: str,
    shared_servers: SharedServers,
    loop: Loop,
    http_client: httpx.Client,
    open_transport: OpenTransport,
    open_store: OpenStore,
) -> Server:
    """A server that lets nobody in without a user; ``anna`` may use topics that begin with ``ops-``."""
    return shared_servers.get(back_end, loop, http_client, open_transport, open_store)


@pytest.fixture
def ops() -> str:
    """A topic of ``anna``'s that no other test has."""
    return unique("ops-")
