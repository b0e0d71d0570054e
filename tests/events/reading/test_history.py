"""``GET /v1/events/{patterns}/history``."""

import json
from typing import Any

import httpx
import pytest
from tests.events.reading.conftest import Component
from tests.ntfy.server import Server

from gbe.ids import new_ulid


def read(server: Server, component: Component, **parameters: Any) -> httpx.Response:
    answer = server.get(f"/v1/events/{component.pattern}/history", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer


def instances(answer: httpx.Response) -> list[str]:
    return [record["event"]["instance"] for record in answer.json()["events"]]


def test_pages_by_cursor_and_by_link(server: Server, component: Component) -> None:
    """In the order of storing, over all subjects of the pattern."""
    for number in range(5):
        component.say(str(number), ("started", "stopped")[number % 2])
    first = read(server, component, limit=2)
    assert instances(first) == ["0", "1"]
    second = read(server, component, limit=2, cursor=first.json()["cursor"])
    assert instances(second) == ["2", "3"]
    third = server.get(second.links["next"]["url"])
    assert (instances(third), third.json()["cursor"], third.links) == (["4"], None, {})


def test_where_it_begins(server: Server, component: Component) -> None:
    """Everything, unless ``since`` says otherwise."""
    ids = [component.say(name)["id"] for name in "abc"]
    assert instances(read(server, component)) == ["a", "b", "c"]
    assert instances(read(server, component, since=ids[0])) == ["b", "c"]
    assert instances(read(server, component, since="1h")) == ["a", "b", "c"]
    assert instances(read(server, component, since=new_ulid())) == ["a", "b", "c"]
    assert instances(read(server, component, since="latest")) == []


def test_filters_look_as_far_as_it_takes(server: Server, component: Component) -> None:
    """A page is empty only at the end."""
    for number in range(12):
        component.say(str(number), details={"parity": number % 2, "last": number == 11})
    assert instances(read(server, component, filter="details.parity=1", limit=4)) == ["1", "3"]
    last = read(server, component, filter="details.last=true", limit=2)
    assert instances(last) == ["11"]
    assert last.json()["cursor"] is None


def test_a_batch_of_cloudevents(server: Server, component: Component) -> None:
    """With the next page in its ``Link``."""
    for name in "ab":
        component.say(name)
    answer = read(server, component, format="cloudevents", limit=1)
    assert answer.headers["content-type"] == "application/cloudevents-batch+json"
    assert [event["data"]["instance"] for event in answer.json()] == ["a"]
    following = server.get(answer.links["next"]["url"])
    assert [event["data"]["instance"] for event in following.json()] == ["b"]


def test_a_page_can_be_posted_again(server: Server, component: Component) -> None:
    """What was read as CloudEvents is taken as CloudEvents, and is then the same event."""
    component.say("a")
    page = read(server, component, format="cloudevents")
    subject = f"events.lifecycle.{component.name}.degraded"
    headers = {"content-type": page.headers["content-type"]}
    assert server.post(f"/v1/events/{subject}", page.content, headers=headers).status_code == 201
    again = server.get(f"/v1/events/{subject}/history", params={"format": "cloudevents"})
    assert json.loads(again.content) == page.json()


@pytest.mark.parametrize("back_end", ["memory"])
@pytest.mark.parametrize(
    ("rest", "status", "field"),
    [
        ("events.audit.*/history?limit=0", 400, "limit"),
        ("events.audit.*/history?limit=1001", 400, "limit"),
        ("events.audit.*/history?limit=x", 400, "limit"),
        ("events.audit.*/history?cursor=x", 400, "cursor"),
        ("events.audit.*/history?poll=1", 400, "poll"),
        ("events.nobody-keeps-this.*/history", 404, None),
        ("notify.topic.*/history", 404, None),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(server: Server, rest: str, status: int, field: str | None) -> None:
    answer = server.get(f"/v1/events/{rest}")
    assert answer.status_code == status, answer.text
    assert field is None or answer.json()["error"]["field"] == field
