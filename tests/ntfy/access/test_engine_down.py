"""Access control while the engine is away: what was known last counts, and nothing is open that was closed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import httpx
import pytest
from tests.engines import NatsProcess
from tests.ntfy.access.accounts import basic, new_address
from tests.ntfy.server import Loop, Server, eventually, refused
from tests.redis_engines import RedisProcess

from gbe.http.config import HttpConfig
from gbe.notify.access.config import AccessConfig
from gbe.notify.config import NotifyConfig
from gbe.redis.config import RedisConfig
from gbe.state import open as state
from gbe.state.base import StateStore
from gbe.transport.base import Transport
from gbe.transport.nats.config import NatsConfig
from gbe.transport.open import open_nats, open_redis

pytestmark = pytest.mark.fault

HASH = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(10)).decode()
CONFIG = AccessConfig(auth_default_access="deny-all", auth_users=(f"root:{HASH}:admin",))
REQUEST_TIMEOUT = 1.0


@pytest.mark.parametrize("kind", [NatsProcess, RedisProcess], ids=["nats", "redis"])
def test_users_are_known_and_changes_refused_until_the_engine_is_back(
    kind: type[NatsProcess | RedisProcess], loop: Loop, http_client: httpx.Client, tmp_path: Path
) -> None:
    with kind(tmp_path / "engine") as engine, _serving(engine, loop, http_client) as server:
        root = {"Authorization": basic("root")}
        user = {"username": "ann", "password": "correct horse"}
        assert server.request("POST", "/v1/users", json=user, headers=root).status_code == 200
        engine.kill()
        ann = {"Authorization": basic("ann")}
        assert server.get("/v1/config", headers=ann).status_code == 200
        refused(server.get("/ops/auth", headers=ann), 40301)
        refused(server.get("/ops/auth"), 40301)
        refused(server.get("/v1/config", headers={"Authorization": basic("ann", "x"), **new_address()}), 40101)
        refused(server.request("DELETE", "/v1/users", json={"username": "ann"}, headers=root), 50301)
        engine.start()
        entry = {"username": "ann", "topic": "ops", "permission": "rw"}
        eventually(
            lambda: server.request("PUT", "/v1/users/access", json=entry, headers=root).status_code == 200,
            "changes are made again",
        )
        assert server.get("/ops/auth", headers=ann).status_code == 200


@contextmanager
def _serving(engine: NatsProcess | RedisProcess, loop: Loop, http_client: httpx.Client) -> Iterator[Server]:
    def redis() -> RedisConfig:
        return RedisConfig(url=engine.url, request_timeout=REQUEST_TIMEOUT)

    def nats() -> NatsConfig:
        return NatsConfig(urls=(engine.url,), request_timeout=REQUEST_TIMEOUT)

    async def open_transport() -> Transport:
        return await (open_redis(redis()) if isinstance(engine, RedisProcess) else open_nats(nats()))

    async def open_store() -> StateStore:
        return await (state.open_redis(redis()) if isinstance(engine, RedisProcess) else state.open_nats(nats()))

    with Server(
        loop,
        http_client,
        open_transport,
        http=HttpConfig(publish_timeout=1.0, shutdown_timeout=1),
        notify=NotifyConfig(keepalive_interval=5, behind_proxy=True),
        access=CONFIG,
        open_store=open_store,
    ) as server:
        yield server
