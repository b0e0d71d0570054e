"""aiontfy, the client that Home Assistant uses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from aiontfy import BroadcastAction, Event, HttpAction, Message, Notification, Ntfy, ViewAction
from aiontfy.exceptions import NtfyBadRequestError, NtfyForbiddenAccessError, NtfyUnauthorizedAuthenticationError
from tests.ntfy.clients.conftest import PASSWORD, USER
from tests.ntfy.server import Server
from tests.waiting import eventually
from yarl import URL

pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")  # aiontfy uses it


@asynccontextmanager
async def listening(client: Ntfy, topics: list[str], **filters: object) -> AsyncIterator[list[Notification]]:
    """What comes on topics while the block runs; entered when the subscription stands."""
    heard: list[Notification] = []
    task = asyncio.create_task(client.subscribe(topics, heard.append, **filters))
    try:
        await eventually(lambda: bool(heard) or task.done(), "the stream is open")
        if task.done():
            await task
        assert heard.pop(0).event is Event.OPEN
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_notification_with_every_option_reaches_a_subscriber_as_it_was_published(
    server: Server, topic: str
) -> None:
    message = Message(
        topic=topic,
        message="The **front** door is open",
        title="Door",
        tags=["door", "warning"],
        priority=4,
        click=URL("https://example.net/door"),
        icon=URL("https://example.net/door.png"),
        markdown=True,
        actions=[
            ViewAction(label="Look", url=URL("https://example.net/cam")),
            HttpAction(
                label="Close", url=URL("https://example.net/close"), method="PUT", headers={"X-A": "b"}, body="{}"
            ),
            BroadcastAction(label="Note", intent="net.example.NOTE", extras={"a": "b"}),
        ],
    )
    async with Ntfy(server.url) as client, listening(client, [topic]) as heard:
        published = await client.publish(message)
        await eventually(lambda: heard, "the notification is heard")
    assert heard == [replace(published, sequence_id=published.id)]  # which a websocket says, and a reply does not
    assert (published.event, published.topic, published.message) == (Event.MESSAGE, topic, message.message)
    assert (published.title, published.tags, published.priority) == ("Door", ["door", "warning"], 4)
    assert (published.click, published.icon, published.content_type) == (message.click, message.icon, "text/markdown")
    # the client takes every action for a view; what is common to all arrives
    assert [action.label for action in published.actions] == ["Look", "Close", "Note"]


async def test_only_what_a_filter_wants_comes_on_any_of_several_topics(server: Server, topic: str) -> None:
    topics = [topic, f"{topic}-b"]
    async with Ntfy(server.url) as client, listening(client, topics, tags=["db"], priority=[4, 5]) as heard:
        await client.publish(Message(topic=topics[0], message="quiet", tags=["db"], priority=1))
        await client.publish(Message(topic=topics[0], message="other", tags=["web"], priority=5))
        await client.publish(Message(topic=topics[1], message="wanted", tags=["db", "x"], priority=5))
        await client.publish(Message(topic=topics[0], message="too", tags=["db"], priority=4))
        await eventually(lambda: len(heard) == 2, "both are heard")
    assert [one.message for one in heard] == ["wanted", "too"]


async def test_a_notification_is_changed_cleared_and_deleted_by_its_sequence(server: Server, topic: str) -> None:
    async with Ntfy(server.url) as client, listening(client, [topic]) as heard:
        await client.publish(Message(topic=topic, message="10 %", sequence_id="download"))
        await client.publish(Message(topic=topic, message="90 %", sequence_id="download"))
        await client.clear(topic, "download")
        await client.delete(topic, "download")
        await eventually(lambda: len(heard) == 4, "all four are heard")
    assert [one.sequence_id for one in heard] == ["download"] * 4
    assert [one.event for one in heard[:2]] == [Event.MESSAGE] * 2
    assert [one.event.value for one in heard[2:]] == ["message_clear", "message_delete"]


async def test_a_refusal_is_the_error_that_the_client_knows(server: Server, topic: str) -> None:
    async with Ntfy(server.url) as client:
        with pytest.raises(NtfyBadRequestError) as caught:
            await client.publish(Message(topic=topic, message="x", delay="never"))
    assert caught.value.code // 100 == 400


async def test_a_user_subscribes_publishes_a_file_and_a_delayed_message(closed: Server, ops: str) -> None:
    async with Ntfy(closed.url) as nobody:
        with pytest.raises(NtfyForbiddenAccessError):
            await nobody.can_subscribe([ops])
    async with Ntfy(closed.url, username=USER, password="wrong") as stranger:
        with pytest.raises(NtfyUnauthorizedAuthenticationError):
            await stranger.publish(Message(topic=ops, message="x"))
    async with Ntfy(closed.url, username=USER, password=PASSWORD) as client, listening(client, [ops]) as heard:
        sent = await client.publish(Message(topic=ops, filename="a.bin"), attachment=bytes(range(256)) * 30)
        await client.publish(Message(topic=ops, message="later", delay="1h", sequence_id="job"))
        await client.publish(Message(topic=ops, message="now"))
        await eventually(lambda: len(heard) == 2, "the file and the message are heard")
    assert [one.message for one in heard][1] == "now"
    assert sent.attachment is not None
    assert (sent.attachment.name, sent.attachment.size) == ("a.bin", 7680)
    assert heard[0].attachment == sent.attachment


async def test_an_account_makes_a_token_which_opens_what_the_account_may(closed: Server, ops: str) -> None:
    async with Ntfy(closed.url, username=USER, password=PASSWORD) as client:
        account = await client.account()
        made = await client.generate_token("for a test")
        assert account.username == USER
    async with Ntfy(closed.url, token=made.token) as by_token:
        assert (await by_token.publish(Message(topic=ops, message="x"))).topic == ops
        assert (await by_token.stats()).messages >= 0
