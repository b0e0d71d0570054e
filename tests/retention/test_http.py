"""``/v1/streams``: look, change, and what is refused."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.retention.conftest import World

from gbe.http.app import build_application
from gbe.sweeper.streams import Streams
from gbe.transport.base import StreamConfig
from gbe.transport.memory import MemoryTransport


def client_of(application: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application, client=("127.0.0.1", 1234))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://gbe")


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server of this deployment."""
    streams = world.streams(max_age=3600.0)
    await streams.ensure()
    application = build_application(world.transport, namespace=world.namespace, streams=streams)
    async with client_of(application) as http:
        yield http
    await application.close()


async def test_streams_show_what_they_hold_and_who_is_behind(world: World, http: httpx.AsyncClient) -> None:
    """All of them in a list, and one by its name or its pattern."""
    subject = f"{world.namespace}.work.a"
    await world.join(f"{world.namespace}.work.*", "slow")
    await world.publish(subject, 3)
    listed = {stream["name"]: stream for stream in (await http.get("/v1/streams")).json()["streams"]}
    assert set(listed) == {"audit", "work", "system"}
    work = listed["work"]
    assert (work["messages"], work["max_age"], work["changed"]) == (3, 3600.0, [])
    assert work["oldest"] > 1_700_000_000_000
    (group,) = work["groups"]
    assert (group["group"], group["pattern"]) == ("slow", f"{world.namespace}.work.*")
    assert (group["pending"], group["unacknowledged"]) == (3, 0)
    assert group["oldest_age"] >= 0
    assert listed["audit"]["oldest"] is None
    assert (await http.get("/v1/streams/work.>")).json()["subjects"] == [f"{world.namespace}.work.>"]


async def test_limits_are_changed_and_taken_back(world: World, http: httpx.AsyncClient) -> None:
    """With units, for all nodes; null goes back to what is configured."""
    changed = (await http.patch("/v1/streams/work", json={"max_age": "7d", "max_bytes": "1G", "max_msgs": 5})).json()
    assert (changed["max_age"], changed["max_bytes"], changed["max_msgs"]) == (604_800.0, 1024**3, 5)
    assert changed["changed"] == ["max_age", "max_bytes", "max_msgs"]
    body = {"max_age": "none", "max_bytes": None, "max_msgs": "default"}
    back = (await http.patch("/v1/streams/work", json=body)).json()
    assert (back["max_age"], back["max_bytes"], back["max_msgs"], back["changed"]) == (None, None, None, ["max_age"])
    elsewhere = world.streams(max_age=3600.0)
    assert (await elsewhere.view(f"{world.namespace}-work")).config.max_age is None


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/streams/nothing", {"max_age": 1}, 404, "there are audit, work, system"),
        ("/v1/streams/work.a.*", {"max_age": 1}, 404, "part of the stream work"),
        ("/v1/streams/work", {"max_age": "soon"}, 400, "a duration"),
        ("/v1/streams/work", {"max_age": -1}, 400, "more than 0"),
        ("/v1/streams/work", {"max_age": True}, 400, "max_age"),
        ("/v1/streams/work", {"max_bytes": [1]}, 400, "a size"),
        ("/v1/streams/work", {"max_bytes": 1 << 60}, 400, "at most"),
        ("/v1/streams/work", {"max_msgs": 1.5}, 400, "a whole number"),
        ("/v1/streams/work", {"storage": "memory"}, 400, "is no limit of a stream"),
        ("/v1/streams/work", [1], 400, "not a JSON object"),
        ("/v1/streams/work", {"max_age": "x" * 5000}, 413, "4096"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_reason(
    http: httpx.AsyncClient, path: str, body: object, status: int, words: str
) -> None:
    """And nothing is changed."""
    answer = await http.patch(path, json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    assert (await http.get("/v1/streams/work")).json()["changed"] == []


async def test_the_document_names_every_field(http: httpx.AsyncClient) -> None:
    """What is answered is what the OpenAPI document says."""
    document = (await http.get("/v1/openapi.json")).json()
    assert {"/v1/streams", "/v1/streams/{stream}"} <= set(document["paths"])
    stream = (await http.get("/v1/streams/work")).json()
    assert set(stream) == set(document["components"]["schemas"]["Stream"]["properties"])


async def test_a_server_in_memory_shows_its_streams_and_changes_none() -> None:
    """There is nowhere to keep a change."""
    async with MemoryTransport() as transport:
        streams = Streams(transport, None, "gbe", [StreamConfig(name="gbe-work", subjects=("gbe.work.>",), max_age=60)])
        await streams.ensure()
        async with client_of(build_application(transport, streams=streams)) as http:
            assert (await http.get("/v1/streams/work")).json()["kept_by"] == "engine"
            assert (await http.patch("/v1/streams/work", json={"max_age": 5})).status_code == 400
