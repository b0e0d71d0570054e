"""The permissions that docs/state.md asks for are enough, and what is not permitted is said at once."""

import asyncio
import re
from pathlib import Path

import pytest
from tests.nats_cluster import Server
from tests.waiting import first

from gbe.errors import StateError
from gbe.state.base import Changed
from gbe.state.lease import Lease
from gbe.state.nats.store import NatsStateStore
from gbe.transport.nats.config import NatsConfig

pytestmark = pytest.mark.fault


def documented() -> dict[str, list[str]]:
    """The table of docs/state.md, as the server's configuration takes it."""
    text = (Path(__file__).parents[2] / "docs" / "state.md").read_text()
    table = text[text.index("| what a client of the account must be allowed") :].partition("\n\n")[0]
    permissions: dict[str, list[str]] = {"publish": [], "subscribe": []}
    for row in table.splitlines()[2:]:
        _, _, publish, subscribe, _ = row.split("|")
        permissions["publish"] += re.findall(r"`([^`]+)`", publish)
        permissions["subscribe"] += re.findall(r"`([^`]+)`", subscribe)
    return permissions


def user_with(permissions: dict[str, list[str]]) -> dict[str, object]:
    allowed = {kind: {"allow": subjects} for kind, subjects in permissions.items()}
    return {"authorization": {"users": [{"user": "gbe", "password": "s3cret", "permissions": allowed}]}}


def config(server: Server) -> NatsConfig:
    return NatsConfig(urls=(server.url,), user="gbe", password="s3cret", request_timeout=10.0)


async def test_what_the_documentation_asks_for_is_enough(tmp_path: Path) -> None:
    """Each operation once, twice opened: the second time the bucket is there."""
    async with Server(tmp_path, user_with(documented())) as server:
        for _ in range(2):
            async with await NatsStateStore.open(config(server)) as store, store.watch("gbe") as watch:
                await store.put("gbe.a", {"n": b"1", "timeout_at": b"5"}, ttl=60)
                assert await first(aiter(watch)) == Changed("gbe.a", {"n": b"1", "timeout_at": b"5"})
                assert await store.update_if("gbe.a", {"n": b"1"}, {"timeout_at": b"9"})
                assert [record.key for record in await store.due("timeout_at", 9)] == ["gbe.a"]
                assert [record.key async for record in store.scan("gbe")] == ["gbe.a"]
                async with Lease(store, "gbe.lease").held():
                    pass
                assert await store.delete("gbe.lease")
                assert await store.delete("gbe.a")
                assert await store.due("timeout_at", 9) == []
                await store.ping()


async def test_what_is_not_permitted_is_said(tmp_path: Path) -> None:
    """At once, with the subject, not after a timeout."""
    permissions = documented()
    permissions["publish"].remove("$KV.gbe-state.>")
    permissions["publish"].remove("$JS.API.DIRECT.GET.KV_gbe-state.>")
    async with Server(tmp_path, user_with(permissions)) as server, await NatsStateStore.open(config(server)) as store:
        async with asyncio.timeout(5):
            with pytest.raises(StateError, match=r"permissions"):
                await store.put("gbe.a", {"n": b"1"})
            with pytest.raises(StateError, match=r"permissions"):
                await store.get("gbe.a")
