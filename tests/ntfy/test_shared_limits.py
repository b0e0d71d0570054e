"""Limits that all nodes count together, and figures of the whole deployment (sections 6.1 and 8)."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest
from tests.naming import unique
from tests.ntfy.access.accounts import basic
from tests.ntfy.conftest import OpenStore, StartServer
from tests.ntfy.server import Server, eventually, refused

from gbe.errors import StateUnavailableError
from gbe.notify.access.config import AccessConfig
from gbe.notify.config import NotifyConfig
from gbe.notify.ledger import Bucket
from gbe.notify.shared_limits import SharedLimits
from gbe.state.memory import MemoryRecords, MemoryStateStore

HOUR = 3600.0
StartTwo = Callable[..., tuple[Server, Server]]


@pytest.fixture
def start_two(start: StartServer, open_store: OpenStore) -> StartTwo:
    """Two nodes that count together."""
    namespace = unique("n")

    def start_both(access: AccessConfig | None = None, **limits: float) -> tuple[Server, Server]:
        config = NotifyConfig(visitor_limits="shared", **limits)  # type: ignore[arg-type]
        options = {
            "notify": config, "limits": True, "namespace": namespace, "open_store": open_store, "access": access,
        }  # fmt: skip
        return start(**options), start(**options)

    return start_both


def test_what_is_used_on_one_node_is_missing_on_the_other(start_two: StartTwo, topic: str) -> None:
    """Messages of the day and open streams, soon after; what is given back is there again."""
    one, two = start_two(
        visitor_request_limit_burst=100_000, visitor_message_daily_limit=4, visitor_subscription_limit=2
    )
    for _ in range(4):
        one.publish(topic, "x")
    refused(one.post(f"/{topic}", "x"), 42908)
    eventually(lambda: two.post(f"/{topic}", "x").status_code == 429, "no messages are left on the other node")
    refused(two.post(f"/{topic}", "x"), 42908)
    poll = f"/{topic}/json?poll=1&since=none"
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(one.subscribe(topic)).opened()
        eventually(lambda: two.get(poll).status_code == 429, "no stream is left on the other node")
        refused(two.get(poll), 42903)
    eventually(lambda: two.get(poll).status_code == 200, "closed streams are free on all nodes")


def test_failed_logins_and_new_accounts_are_counted_together(start_two: StartTwo) -> None:
    """Right credentials are locked out on the other node too, and it makes no accounts beyond the third."""
    access = AccessConfig(auth=True, enable_login=True, enable_signup=True)
    one, two = start_two(access=access, visitor_request_limit_burst=100_000)

    def sign_up(server: Server) -> httpx.Response:
        return server.post("/v1/account", json.dumps({"username": unique("user"), "password": "pw"}))

    for _ in range(2):
        assert sign_up(one).status_code == 200
    account = json.dumps({"username": unique("user"), "password": "pw"})
    assert two.post("/v1/account", account).status_code == 200
    refused(eventually(lambda: _if_limited(sign_up(one)), "what the other node has made counts here"), 42906)
    for _ in range(30):
        refused(one.get("/v1/health", headers={"Authorization": "Bearer tk_wrong"}), 40101)
    right = {"Authorization": basic(json.loads(account)["username"], "pw")}
    refused(one.get("/v1/health", headers=right), 42909)
    answer = eventually(lambda: _if_limited(two.get("/v1/health", headers=right)), "the other node knows the failures")
    refused(answer, 42909)


def _if_limited(response: httpx.Response) -> httpx.Response | None:
    return response if response.status_code == 429 else None


def test_statistics_are_of_the_whole_deployment(start_two: StartTwo, topic: str) -> None:
    """Messages of all nodes, ever; who asks first is told them too."""
    one, two = start_two()
    assert one.get("/v1/stats").json() == {"messages": 0, "messages_rate": 0}
    for server, count in ((one, 3), (two, 2)):
        for _ in range(count):
            server.publish(topic, "x")
    eventually(lambda: one.get("/v1/stats").json()["messages"] >= 3, "what was published here counts at once")
    answer = one.get("/v1/stats")
    assert re.fullmatch(rb'\{"messages":\d+,"messages_rate":[\d.]+\}\n', answer.content)
    assert answer.headers["access-control-allow-origin"] == "*"
    two.stop()
    eventually(lambda: one.get("/v1/stats").json()["messages"] == 5, "what another node counted is added")
    assert one.get("/v1/stats").json()["messages_rate"] > 0


class TestExchange:
    """Two processes and a store, without a server."""

    def ledgers(self) -> tuple[SharedLimits, SharedLimits, MemoryRecords]:
        records = MemoryRecords()
        return SharedLimits(MemoryStateStore(records), "n"), SharedLimits(MemoryStateStore(records), "n"), records

    async def test_every_kind_of_use_arrives(self) -> None:
        one, two, _ = self.ledgers()
        for bucket in Bucket:
            for _ in range(2):
                assert one.take("v", bucket, burst=3, replenish=HOUR)
        assert one.take_message("v", day=7, limit=3)
        assert one.take_bytes("v", 60, day=7, limit=100)
        assert one.open_stream("v", limit=2)
        await one.exchange()
        assert two.take("v", Bucket.EMAILS, burst=3, replenish=HOUR)  # what two uses before it knows
        assert two.take_bytes("v", 30, day=7, limit=100)
        await two.exchange()
        assert not two.take("v", Bucket.EMAILS, burst=3, replenish=HOUR)
        assert two.take("v", Bucket.REQUESTS, burst=3, replenish=HOUR)
        assert not two.take("v", Bucket.REQUESTS, burst=3, replenish=HOUR)
        assert two.bytes_spent("v", day=7) == 90
        assert not two.take_bytes("v", 11, day=7, limit=100)
        assert two.open_stream("v", limit=2)
        assert not two.open_stream("v", limit=2)
        one.close_stream("v")
        await one.exchange()
        two.close_stream("v")
        await two.exchange()
        assert two.open_stream("v", limit=1)
        assert two.take_message("v", day=7, limit=2)
        await two.exchange()
        await one.exchange()
        assert one.take_message("v", day=8, limit=1), "another day"
        assert one.bytes_spent("v", day=8) == 0

    async def test_what_is_given_back_is_there_again_everywhere(self) -> None:
        one, two, _ = self.ledgers()
        for _ in range(2):
            assert one.take("v", Bucket.AUTH_FAILURES, burst=2, replenish=HOUR)
        await one.exchange()
        assert two.left("v", Bucket.AUTH_FAILURES, burst=2, replenish=HOUR) == 2, "not asked yet"
        await two.exchange()
        assert two.left("v", Bucket.AUTH_FAILURES, burst=2, replenish=HOUR) == 0
        one.give_back("v", Bucket.AUTH_FAILURES, replenish=HOUR)
        await one.exchange()
        await two.exchange()
        assert two.left("v", Bucket.AUTH_FAILURES, burst=2, replenish=HOUR) == 1

    async def test_what_both_use_at_once_is_added(self) -> None:
        one, two, _ = self.ledgers()
        for ledger in (one, two):
            for _ in range(3):
                assert ledger.take_message("v", day=7, limit=100)
        await asyncio.gather(one.exchange(), two.exchange())
        one.take_message("v", day=7, limit=100)
        await one.exchange()
        two.take_message("v", day=7, limit=100)
        await two.exchange()
        assert not two.take_message("v", day=7, limit=8)
        assert two.take_message("v", day=7, limit=9)

    async def test_while_the_store_is_away_nothing_is_forgotten(self) -> None:
        one, two, records = self.ledgers()
        store = one._store
        one._store = _Away(records)
        assert one.take_message("v", day=7, limit=5)
        with pytest.raises(StateUnavailableError):
            await one.exchange()
        assert one.take_message("v", day=7, limit=5)
        one._store = store
        await one.exchange()
        two.take_message("v", day=7, limit=5)
        await two.exchange()
        assert two.take_message("v", day=7, limit=4)
        assert not two.take_message("v", day=7, limit=4)

    async def test_memory_is_bounded(self) -> None:
        ledger = SharedLimits(MemoryStateStore(MemoryRecords()), "n", size=100)
        for number in range(500):
            ledger.take(f"v{number}", Bucket.REQUESTS, burst=1, replenish=HOUR)
        assert len(ledger) <= 100
        assert len(ledger._pending) <= 100
        await ledger.exchange()
        assert len(ledger._pending) == 0
        assert len(ledger._told) <= 100


class _Away(MemoryStateStore):
    """A store whose engine does not answer."""

    async def _get(self, key: str) -> dict[str, bytes] | None:
        raise StateUnavailableError(f"no answer for {key}")
