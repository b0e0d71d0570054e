"""Giving a reserved topic up (section 6.3): with ``X-Delete-Messages`` nobody who gets it next finds anything in it."""

import json

import pytest
from tests.ntfy.access.accounts import CONFIG, Account, basic
from tests.ntfy.conftest import BASE_URL, OpenObjects, OpenStore, StartServer
from tests.ntfy.server import Server, eventually, message_in, refused

from gbe.notify.config import NotifyConfig

RESERVATION = "/v1/account/reservation"
ANNA, BERT = Account("anna", basic("anna")), Account("bert", basic("bert"))


@pytest.fixture
def server(start: StartServer, open_store: OpenStore, open_objects: OpenObjects) -> Server:
    notify = NotifyConfig(base_url=BASE_URL)
    return start(notify=notify, access=CONFIG, open_store=open_store, open_objects=open_objects)


def reserve(server: Server, owner: Account, topic: str) -> None:
    answer = owner.request(server, "POST", RESERVATION, json={"topic": topic, "everyone": "deny-all"})
    assert answer.status_code == 200, answer.text


def release(server: Server, owner: Account, topic: str, **headers: str) -> int:
    return owner.request(server, "DELETE", f"{RESERVATION}/{topic}", headers=headers).status_code


def stored(server: Server, reader: Account, topic: str) -> list[str]:
    answer = reader.request(server, "GET", f"/{topic}/json?poll=1&scheduled=1")
    assert answer.status_code == 200, answer.text
    return [json.loads(line)["message"] for line in answer.text.splitlines()]


def test_messages_files_and_what_waits_go_if_their_owner_says_so(server: Server, topic: str) -> None:
    """And nothing else: neither another topic, nor a file that a message only links to."""
    other = f"{topic}-other"
    for name in (topic, other):
        reserve(server, ANNA, name)
    kept = message_in(ANNA.request(server, "POST", f"/{other}", content=b"\xff\x01"))
    kept_path = kept["attachment"]["url"].removeprefix(BASE_URL)
    gone = message_in(ANNA.request(server, "POST", f"/{topic}", content=b"\xff\x00" * 2000))
    gone_path = gone["attachment"]["url"].removeprefix(BASE_URL)
    link = {"Attach": kept["attachment"]["url"]}
    assert ANNA.request(server, "POST", f"/{topic}", content="a link", headers=link).status_code == 200
    assert ANNA.request(server, "POST", f"/{topic}", content="waits", headers={"Delay": "1h"}).status_code == 200
    assert ANNA.request(server, "POST", f"/{topic}", content="text").status_code == 200
    assert len(stored(server, ANNA, topic)) == 4

    refused(BERT.request(server, "DELETE", f"{RESERVATION}/{topic}", headers={"X-Delete-Messages": "yes"}), 40301)
    assert len(stored(server, ANNA, topic)) == 4
    assert server.get(gone_path).status_code == 200

    assert release(server, ANNA, topic, **{"X-Delete-Messages": "true"}) == 200
    reserve(server, BERT, topic)
    eventually(lambda: BERT.may(server, f"/{topic}/auth"), "the next owner may read it")
    assert stored(server, BERT, topic) == []
    refused(server.get(gone_path), 40401)
    assert server.get(kept_path).content == b"\xff\x01"
    assert len(stored(server, ANNA, other)) == 1
    sizes = ANNA.request(server, "GET", "/v1/account").json()["stats"]
    assert sizes["attachment_total_size"] == 2

    assert BERT.request(server, "POST", f"/{topic}", content="new").status_code == 200
    assert stored(server, BERT, topic) == ["new"]


@pytest.mark.parametrize("word", [None, "no", "0", "maybe"])
def test_otherwise_they_stay(server: Server, topic: str, word: str | None) -> None:
    reserve(server, ANNA, topic)
    assert ANNA.request(server, "POST", f"/{topic}", content="stays").status_code == 200
    assert release(server, ANNA, topic, **({} if word is None else {"X-Delete-Messages": word})) == 200
    reserve(server, BERT, topic)
    eventually(lambda: BERT.may(server, f"/{topic}/auth"), "the next owner may read it")
    assert stored(server, BERT, topic) == ["stays"]
