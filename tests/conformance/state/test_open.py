"""The functions that open a store, and engines that cannot be one."""

import socket
from pathlib import Path

import pytest
from tests.engines import NatsProcess
from tests.nats_cluster import Server
from tests.redis_engines import MEMORYDB_RULES, RedisProcess

from gbe.errors import ConfigError, StateError, StateUnavailableError, UnsupportedEngineError
from gbe.redis.config import RedisConfig
from gbe.state.base import StateConfig, StateStore
from gbe.state.open import open_memory, open_nats, open_redis
from gbe.transport.nats.config import NatsConfig


async def works(state: StateStore) -> None:
    async with state:
        await state.put("gbe.a", {"n": b"1"})
        assert await state.get("gbe.a") == {"n": b"1"}


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_each_engine_opens(tmp_path: Path) -> None:
    """Two stores of different names on one engine do not see one another."""
    await works(open_memory())
    with NatsProcess(tmp_path / "nats") as nats:
        config = NatsConfig(urls=(nats.url,))
        await works(await open_nats(config))
        async with await open_nats(config, StateConfig(bucket="other")) as other:
            assert await other.get("gbe.a") is None
            assert [record async for record in other.scan("gbe")] == []
    with RedisProcess(tmp_path / "redis") as redis:
        await works(await open_redis(RedisConfig(url=redis.url)))
        async with await open_redis(RedisConfig(url=redis.url), StateConfig(bucket="other")) as other:
            assert await other.get("gbe.a") is None
            assert [record async for record in other.scan("gbe")] == []


async def test_wrong_credentials_are_refused_and_stay_secret(tmp_path: Path) -> None:
    """By both kinds of server, at once."""
    async with Server(tmp_path / "nats", {"authorization": {"user": "gbe", "password": "right"}}) as server:
        with pytest.raises(StateError) as caught:
            await open_nats(NatsConfig(urls=(server.url,), user="gbe", password="hunter2"))
        assert "authorization" in str(caught.value).lower()
        assert "hunter2" not in str(caught.value)
    with RedisProcess(tmp_path / "redis", acl=MEMORYDB_RULES) as redis:
        with pytest.raises(UnsupportedEngineError) as refused:
            await open_redis(RedisConfig(url=redis.url, user="gbe", password="hunter2"))
        assert "refuses the credentials" in str(refused.value)
        assert "hunter2" not in str(refused.value)


async def test_an_engine_that_is_not_there() -> None:
    """Within the time for connecting; the address is named."""
    port = unused_port()
    with pytest.raises(StateUnavailableError, match=str(port)):
        await open_nats(NatsConfig(urls=(f"nats://127.0.0.1:{port}",), connect_timeout=0.5))
    with pytest.raises(StateUnavailableError, match=str(port)):
        await open_redis(RedisConfig(url=f"redis://127.0.0.1:{port}", connect_timeout=0.5))


async def test_a_server_without_jetstream(tmp_path: Path) -> None:
    """It cannot hold a state store."""
    async with Server(tmp_path, {"jetstream": None}) as server:
        with pytest.raises(UnsupportedEngineError, match="JetStream"):
            await open_nats(NatsConfig(urls=(server.url,), request_timeout=1.0))


async def test_a_server_that_takes_only_small_messages(tmp_path: Path) -> None:
    """The error names both sizes and the key."""
    async with Server(tmp_path, {"max_payload": 65_536}) as server:
        with pytest.raises(UnsupportedEngineError, match=r"65536 bytes.*state\.max_record_size"):
            await open_nats(NatsConfig(urls=(server.url,)))


async def test_a_redis_store_of_another_layout(tmp_path: Path) -> None:
    """Its records would be looked for in other places."""
    with RedisProcess(tmp_path / "redis") as redis:
        redis.call("SET", "{gbe-state:0}:mark", "gbe state 1, 16 buckets")
        with pytest.raises(UnsupportedEngineError, match="16 buckets"):
            await open_redis(RedisConfig(url=redis.url))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"bucket": "a.b"}, "state.bucket"),
        ({"bucket": "b" * 33}, "state.bucket"),
        ({"indexes": ("a.b",)}, "state.indexes"),
        ({"max_record_size": 100}, "state.max_record_size"),
        ({"max_record_size": 10**9}, "state.max_record_size"),
    ],
)
def test_bad_settings_name_their_key(settings: dict[str, object], complaint: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigError, match=complaint):
        StateConfig(**settings)  # type: ignore[arg-type]
