"""Web push from a subscription to the browser's screen, on every back end, with two nodes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.naming import unique
from tests.ntfy.conftest import OpenTransport
from tests.ntfy.server import KEEPALIVE, Loop, eventually
from tests.ntfy.webpush.browser import Browser, PushService, verify_vapid

from gbe.http.app import Application, build_application
from gbe.http.inner import Answer, ask
from gbe.http.wire import json_line
from gbe.notify.config import NotifyConfig
from gbe.notify.visitors import parse_networks
from gbe.notify.webpush.courier import Courier
from gbe.notify.webpush.encryption import generate_keys
from gbe.notify.webpush.live import LivePusher
from gbe.notify.webpush.pusher import Pusher
from gbe.notify.webpush.subscriptions import Subscriptions
from gbe.redis.config import RedisConfig
from gbe.state import open as state
from gbe.state.base import StateConfig, StateStore
from gbe.transport.base import StreamConfig, Transport
from gbe.transport.nats.config import NatsConfig

PUBLIC, PRIVATE = generate_keys()
LOCALHOST = parse_networks(("127.0.0.1",))


@pytest.fixture(scope="module")
def service(loop: Loop) -> Iterator[PushService]:
    with PushService(loop) as service:
        yield service


@pytest.fixture
def open_state(back_end: str, request: pytest.FixtureRequest) -> Callable[[], Awaitable[StateStore]]:
    """Opens a state store on the engine of the transport."""
    config = StateConfig(bucket="webpush")

    async def open_one() -> StateStore:
        if back_end == "memory":
            return state.open_memory(config)
        if back_end == "nats":
            return await state.open_nats(NatsConfig(urls=(request.getfixturevalue("engine").url,)), config)
        name = "redis_engine" if back_end == "redis" else "redis_cluster"
        return await state.open_redis(RedisConfig(url=request.getfixturevalue(name).user_url), config)

    return open_one


class Deployment:
    """An application that takes subscriptions and messages, and two nodes that push."""

    def __init__(self, loop: Loop, service: PushService, open_transport: OpenTransport, open_state: Any) -> None:
        self.loop, self.service = loop, service
        self._open_transport, self._open_state = open_transport, open_state
        self.namespace = unique("n")
        self.config = NotifyConfig(
            keepalive_interval=KEEPALIVE,
            base_url="https://push.example.net",
            web_push_public_key=PUBLIC,
            web_push_private_key=PRIVATE,
            web_push_email_address="ops@example.net",
            web_push_hosts=(service.host, "push.apple.com"),
        )
        self.results: list[bool] = []
        self.revoked: set[str] = set()
        self.pushers: list[Pusher] = []
        self.store: StateStore
        self.application: Application

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            transport = await stack.enter_async_context(await self._open_transport())
            await transport.ensure_stream(
                StreamConfig(
                    name=f"{self.namespace}-notify-topic",
                    subjects=(f"{self.namespace}.notify.topic.*",),
                    max_age=600.0,
                    dedup_window=30.0,
                )
            )
            self.store = await stack.enter_async_context(await self._open_state())
            self.subscriptions = Subscriptions(self.store, self.namespace, self.config.web_push_expiry_duration)
            self.live = LivePusher(self._courier())
            self.application = build_application(
                transport,
                namespace=self.namespace,
                notify=self.config,
                exempt=LOCALHOST,
                push_subscriptions=self.subscriptions,
                live_pusher=self.live,
            )
            stack.push_async_callback(self.application.close)
            tasks = [self._node(transport) for _ in range(2)]
            tasks.append(asyncio.create_task(self.live.run()))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _courier(self) -> Courier:
        return Courier(
            self.subscriptions,
            self.config,
            json_line,
            self.results.append,
            may_read=lambda user, _topic: user not in self.revoked,
            allow_internal=True,
            tls=self.service.trust,
        )

    def _node(self, transport: Transport) -> asyncio.Task[None]:
        pusher = Pusher(transport, self._courier(), self.namespace, self.config)
        self.pushers.append(pusher)
        return asyncio.create_task(pusher.run())

    def __enter__(self) -> "Deployment":
        self._context = self._running()
        self.loop.call(self._context.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call(self._context.__aexit__(None, None, None))

    def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        given = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        asking = ask(self.application, method, path, headers=given, body=body, client=("127.0.0.1", 1))
        return self.loop.call(asking)

    def subscribe(self, browser: Browser, path: str, topics: list[str]) -> Answer:
        request = {
            "endpoint": f"https://{self.service.host}{path}",
            "auth": browser.auth,
            "p256dh": browser.p256dh,
            "topics": topics,
        }
        return self.ask("POST", "/v1/webpush", json.dumps(request).encode())

    def joined(self, topic: str) -> None:
        """Wait until both nodes know the subscribers of a topic, and both are members of the group."""

        async def known() -> bool:
            return all(each.courier.knows(topic) for each in (*self.pushers, self.live))

        eventually(lambda: self.loop.call(known()), f"the subscribers of {topic} are known")

    def publish(self, topic: str, text: str, **headers: str) -> dict[str, Any]:
        answer = self.ask("POST", f"/{topic}", text.encode(), headers)
        assert answer.status == 200, answer.body
        message: dict[str, Any] = json.loads(answer.body)
        return message


@pytest.fixture
def deployment(
    loop: Loop, service: PushService, open_transport: OpenTransport, open_state: Any, back_end: str
) -> Iterator[Deployment]:
    with Deployment(loop, service, open_transport, open_state) as deployment:
        yield deployment


def test_browsers_are_told_once_of_every_message(deployment: Deployment, service: PushService) -> None:
    """Encrypted for the browser, signed for its service, by one node of two; who leaves hears nothing more."""
    topic, path, other = unique("t"), unique("/push/"), unique("/push/")
    ann, ben = Browser(), Browser()
    assert deployment.subscribe(ann, path, [topic, "else"]).body == b'{"success":true}\n'
    assert deployment.subscribe(ben, other, ["else"]).status == 200
    deployment.joined(topic)
    texts = [f"message {n}" for n in range(10)]
    # the group begins with what comes after it exists
    eventually(lambda: deployment.publish(topic, "warm up") and service.of(path), "the first push arrives")
    for text in texts:
        deployment.publish(topic, text)

    def told() -> list[str]:
        return [ann.decrypt(body)["message"]["message"] for body in service.of(path)]

    eventually(lambda: set(texts) <= set(told()), "all messages are pushed")
    assert sorted(text for text in told() if text != "warm up") == texts
    assert service.of(other) == []

    headers = next(headers for where, headers, _ in service.pushes if where == path)
    claims = verify_vapid(headers["authorization"], PUBLIC, f"https://{service.host}")
    assert claims["sub"] == "mailto:ops@example.net"
    assert (headers["content-encoding"], headers["host"], int(headers["ttl"]) > 0) == ("aes128gcm", service.host, True)
    pushed = ann.decrypt(service.of(path)[-1])
    assert (pushed["event"], pushed["subscription_id"]) == ("message", f"https://push.example.net/{topic}")
    assert pushed["message"]["topic"] == topic

    # a message that does not fit is cut, and the topics of a renewal replace the old ones
    fresh = unique("t")
    assert deployment.subscribe(ann, path, [fresh]).status == 200
    deployment.joined(fresh)
    deployment.publish(topic, "not heard")
    deployment.publish(fresh, 'ä\\"' * 1000)
    eventually(lambda: any(text.endswith("…") for text in told()), "the long message arrives")
    assert "not heard" not in told()

    # what is not stored is pushed too, once, by whoever takes it
    unstored = [f"unstored {n}" for n in range(3)]
    for text in unstored:
        assert deployment.publish(fresh, text, cache="no")["message"] == text
    deployment.publish(fresh, "stored")
    eventually(lambda: {*unstored, "stored"} <= set(told()), "all are pushed")
    assert sorted(text for text in told() if text in unstored) == unstored

    # gone: the service has forgotten the browser, so do we
    service.statuses[path] = [410]
    deployment.publish(fresh, "into the void")
    eventually(lambda: deployment.loop.call(_count(deployment)) == 1, "the subscription is removed")
    body = json.dumps({"endpoint": f"https://{service.host}{other}"}).encode()
    for _ in range(2):
        assert deployment.ask("DELETE", "/v1/webpush", body).status == 200
    assert deployment.loop.call(_count(deployment)) == 0


async def _count(deployment: Deployment) -> int:
    return len([each async for each in deployment.subscriptions.all()])


def test_a_subscription_that_expires_is_warned_once(deployment: Deployment, service: PushService) -> None:
    """Both nodes look, one of them tells."""
    topic, path = unique("t"), unique("/push/")
    ann = Browser()
    deployment.subscribe(ann, path, [topic])
    deployment.joined(topic)

    async def warn(days: float) -> int:
        [subscription] = [each async for each in deployment.subscriptions.all()]
        now = subscription.updated + int(days * 86_400_000)
        return sum(await asyncio.gather(*(pusher.warn(now) for pusher in deployment.pushers)))

    assert deployment.loop.call(warn(54.9)) == 0
    assert deployment.loop.call(warn(55.1)) == 1
    assert deployment.loop.call(warn(56)) == 0
    assert [ann.decrypt(body) for body in service.of(path)] == [{"event": "subscription_expiring"}]


@pytest.mark.parametrize("back_end", ["memory"])
def test_what_may_pass_is_tried_again(deployment: Deployment, service: PushService) -> None:
    """A service that is busy for a moment loses no message; one that refuses does not stop the others."""
    topic, path, other = unique("t"), unique("/push/"), unique("/push/")
    ann, ben = Browser(), Browser()
    deployment.subscribe(ann, path, [topic])
    deployment.subscribe(ben, other, [topic])
    deployment.joined(topic)
    service.statuses.update({path: [429, 503], other: [403]})
    deployment.publish(topic, "x")
    eventually(lambda: sorted(deployment.results) == [False, True], "both pushes are over")
    assert [len(service.of(each)) for each in (path, other)] == [3, 1]


@pytest.mark.parametrize("back_end", ["memory"])
def test_who_may_no_longer_read_a_topic_is_told_nothing_more(deployment: Deployment, service: PushService) -> None:
    """Rights are looked at when a message is pushed."""
    topic, path = unique("t"), unique("/push/")
    ann = Browser()
    deployment.subscribe(ann, path, [topic])
    deployment.joined(topic)
    deployment.revoked.add("")
    deployment.publish(topic, "secret", cache="no")
    deployment.loop.call(asyncio.sleep(0))  # by now it was begun
    deployment.revoked.clear()
    deployment.publish(topic, "back again", cache="no")
    eventually(lambda: service.of(path), "a message arrives")
    texts = [ann.decrypt(body)["message"]["message"] for body in service.of(path)]
    assert "secret" not in texts
    assert "back again" in texts


@pytest.mark.parametrize("back_end", ["memory"])
def test_nothing_goes_to_internal_addresses(
    loop: Loop, service: PushService, open_transport: OpenTransport, open_state: Any
) -> None:
    """Whatever name the list of hosts has: where it leads is looked at when it is used."""
    deployment = Deployment(loop, service, open_transport, open_state)
    with deployment:
        for pusher in deployment.pushers:
            pusher.courier.allow_internal = False
        topic, path = unique("t"), unique("/push/")
        deployment.subscribe(Browser(), path, [topic])
        deployment.joined(topic)
        deployment.publish(topic, "x")
        eventually(lambda: deployment.results == [False], "the push is given up")
    assert service.of(path) == []


@pytest.mark.parametrize("back_end", ["memory"])
def test_what_is_refused(deployment: Deployment) -> None:
    """The errors of section 6.5."""
    browser = Browser()

    def code(**changes: Any) -> int:
        request = {
            "endpoint": f"https://{deployment.service.host}/x",
            "auth": browser.auth,
            "p256dh": browser.p256dh,
            "topics": ["t"],
        }
        answer = deployment.ask("POST", "/v1/webpush", json.dumps(request | changes).encode())
        return 0 if answer.status == 200 else int(json.loads(answer.body)["code"])

    assert code() == 0
    for change in ({"auth": "x"}, {"auth": None}, {"p256dh": browser.auth}, {"p256dh": "B" + "A" * 86}, {"topics": "t"},
                   {"topics": ["a/b"]}, {"endpoint": 5}, {"auth": "\u00e9" * 22}):  # fmt: skip
        assert code(**change) == 40038, change
    for endpoint in (
        "https://evil.example/x.google.com/",
        "http://web.push.apple.com/x",
        "https://push.apple.com.evil/x",
    ):
        assert code(endpoint=endpoint) == 40039
    assert code(topics=[f"t{n}" for n in range(51)]) == 40040
    assert code(topics=[f"t{n}" for n in range(50)]) == 0
    assert code(topics=["docs"]) == 40010
    for body in (b"", b"{", b"[]", b"\xff", b"[" * 10_000):
        assert json.loads(deployment.ask("POST", "/v1/webpush", body).body)["code"] == 40038
    assert json.loads(deployment.ask("POST", "/v1/webpush", b" " * 40_000).body)["code"] == 41303
    assert deployment.ask("GET", "/v1/webpush", b"").status == 404


@pytest.mark.parametrize("back_end", ["memory"])
def test_with_web_push_the_web_app_can_be_installed(deployment: Deployment) -> None:
    """The manifest of section 6.1; every address in it leads somewhere."""
    answer = deployment.ask("GET", "/manifest.webmanifest", b"")
    assert answer.status == 200
    assert answer.headers[b"content-type"] == b"application/manifest+json"
    manifest = json.loads(answer.body)
    expected = {"name", "description", "short_name", "scope", "start_url", "display", "icons"}
    assert expected <= set(manifest)
    assert {key for key in manifest if "color" in key} == {"background_color", "theme_color"}
    assert manifest["icons"][0]["src"].startswith("data:image/svg+xml,")
    assert deployment.ask("GET", manifest["start_url"], b"").status == 200


def test_without_keys_there_is_no_web_push(loop: Loop, memory_transport: OpenTransport) -> None:
    """404, as for any path that is not there."""

    async def status() -> int:
        async with await memory_transport() as transport:
            application = build_application(transport, notify=replace(NotifyConfig()), exempt=LOCALHOST)
            answer = await ask(application, "POST", "/v1/webpush", body=b"{}", client=("127.0.0.1", 1))
            await application.close()
            return answer.status

    assert loop.call(status()) == 404
