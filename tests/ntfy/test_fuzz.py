"""Any request at all: never a fault of the server, never silence, and nothing is left behind that grows.

A small profile of what ``python -m chaos.fuzz`` does for as long as one wants.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.ntfy.access.accounts import CONFIG
from tests.ntfy.conftest import OpenTransport
from tests.ntfy.fuzzing import BASE_URL, FAMILIES, Request, send
from tests.ntfy.server import PATIENCE, Loop, Server

from gbe.notify.access.config import AccessConfig
from gbe.notify.config import NotifyConfig
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.state.memory import MemoryRecords, MemoryStateStore

PROFILE = settings(
    max_examples=80,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=(Phase.generate,),  # a request that is never answered would be tried again and again to make it smaller
)
LARGE = 1 << 40
MIB = 1 << 20


@pytest.fixture(scope="module")
def fuzzed(
    loop: Loop, http_client: httpx.Client, memory_transport: OpenTransport, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with everything switched on that an engine is not needed for; everybody may use every topic."""
    folder, records = tmp_path_factory.mktemp("fuzz"), MemoryRecords()

    async def open_store() -> MemoryStateStore:
        return MemoryStateStore(records)

    async def open_objects() -> ObjectStore:
        return await ObjectStore.open(ObjectsConfig(url=str(folder)))

    notify = NotifyConfig(
        base_url=BASE_URL,
        behind_proxy=True,
        cache_duration=60,
        template_dir=Path(folder),
        visitor_attachment_daily_bandwidth_limit=LARGE,
        visitor_attachment_total_size_limit=LARGE,
        attachment_total_size_limit=LARGE,
        visitor_request_limit_burst=1_000_000,
        visitor_message_daily_limit=1_000_000,
        visitor_topic_creation_limit_burst=1_000_000,
    )
    access = AccessConfig(auth_default_access="read-write", auth_users=CONFIG.auth_users)
    options = {"notify": notify, "access": access, "open_store": open_store, "open_objects": open_objects}
    with Server(loop, http_client, memory_transport, **options) as server:
        yield server


@pytest.mark.parametrize("family", FAMILIES)
def test_every_request_is_answered_and_none_is_a_fault_of_the_server(fuzzed: Server, family: str) -> None:
    """Within the time that anything may take on a machine that others use; ``chaos.fuzz`` asks for a second."""

    @given(FAMILIES[family])
    @PROFILE
    def attempt(request: Request) -> None:
        _, took = send(fuzzed.connect, request)
        assert took < PATIENCE

    attempt()
    assert fuzzed.get("/v1/health").status_code == 200


def test_memory_is_bounded(fuzzed: Server) -> None:
    """The same requests again and again leave nothing that grows."""
    sent: list[Request] = []

    @given(st.one_of(*FAMILIES.values()))
    @PROFILE
    def collect(request: Request) -> None:
        sent.append(request)

    collect()

    def again(times: int) -> int:
        for _ in range(times):
            for request in sent:
                send(fuzzed.connect, request)
        return psutil.Process().memory_info().rss

    before = again(3)
    assert again(6) - before < 16 * MIB
