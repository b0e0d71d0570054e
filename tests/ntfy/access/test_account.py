"""Section 6.3: what users do with their own account."""

import json
import time

import pytest
from tests.naming import unique
from tests.ntfy.access.accounts import PASSWORD, Nodes, basic, new_address
from tests.ntfy.server import Server, eventually, refused

LOGIN_NEEDED = [
    ("DELETE", "/v1/account"),
    ("POST", "/v1/account/password"),
    ("POST", "/v1/account/token"),
    ("PATCH", "/v1/account/token"),
    ("DELETE", "/v1/account/token"),
    ("PATCH", "/v1/account/settings"),
    ("POST", "/v1/account/subscription"),
    ("PATCH", "/v1/account/subscription"),
    ("DELETE", "/v1/account/subscription"),
    ("POST", "/v1/account/reservation"),
    ("DELETE", "/v1/account/reservation/t"),
]


@pytest.mark.parametrize(("method", "path"), LOGIN_NEEDED)
def test_nobody_in_particular_has_no_account_to_change(
    memory_nodes: Nodes, memory_server: Server, method: str, path: str
) -> None:
    refused(memory_nodes.one.request(method, path, content=b"{}"), 40101)
    refused(memory_server.request(method, path, content=b"{}"), 40401)


def test_anonymous_callers_see_their_limits(memory_nodes: Nodes, memory_server: Server) -> None:
    account = memory_nodes.one.get("/v1/account").json()
    assert (account["username"], account["role"]) == ("*", "anonymous")
    assert account["limits"]["basis"] == "ip"
    assert account["limits"]["messages"] == 17280
    assert account["stats"]["messages_remaining"] == 17280 - account["stats"]["messages"]
    refused(memory_server.get("/v1/account"), 40401)


def test_signing_up(memory_nodes: Nodes) -> None:
    name = unique("user")
    body = {"username": name, "password": "pw"}
    address = new_address()
    assert memory_nodes.one.post("/v1/account", json.dumps(body), headers=address).json() == {"success": True}
    refused(memory_nodes.one.post("/v1/account", json.dumps(body), headers=address), 40901)
    me = {"Authorization": basic(name, "pw")}
    eventually(
        lambda: memory_nodes.other.get("/v1/account", headers=me).status_code == 200, "the other node knows the user"
    )
    refused(memory_nodes.one.post("/v1/account", json.dumps(body), headers=me), 40101)
    refused(memory_nodes.one.post("/v1/account", '{"username":"x y","password":"p"}', headers=address), 40046)


def test_an_address_makes_three_accounts_a_day(memory_nodes: Nodes) -> None:
    address = new_address()
    for number in range(4):
        body = json.dumps({"username": unique("user"), "password": "pw"})
        response = memory_nodes.one.post("/v1/account", body, headers=address)
        if number < 3:
            assert response.status_code == 200
        else:
            refused(response, 42906)


def test_changing_the_password(memory_nodes: Nodes) -> None:
    user = memory_nodes.new_user()

    def change(**body: str) -> object:
        return user.request(memory_nodes.one, "POST", "/v1/account/password", json=body, headers=new_address())

    refused(change(password="wrong", new_password="next"), 40026)
    refused(change(password=PASSWORD), 40000)
    refused(change(password=PASSWORD, new_password="x" * 73), 40000)
    assert change(password=PASSWORD, new_password="next").status_code == 200
    refused(user.request(memory_nodes.one, "GET", "/v1/account", headers=new_address()), 40101)
    headers = {"Authorization": basic(user.name, "next")}
    eventually(
        lambda: memory_nodes.other.get("/v1/account", headers=headers).status_code == 200, "the new password counts"
    )
    provisioned = {"Authorization": basic("anna")}
    body = json.dumps({"password": PASSWORD, "new_password": "next"})
    refused(memory_nodes.one.post("/v1/account/password", body, headers=provisioned), 40905)


def test_guessing_the_password_of_an_open_session_counts_as_failed_logins(memory_nodes: Nodes) -> None:
    user, address = memory_nodes.new_user(), new_address()
    token = user.request(memory_nodes.one, "POST", "/v1/account/token", json={}).json()["token"]
    headers = {"Authorization": f"Bearer {token}", **address}
    for _ in range(28):
        refused(memory_nodes.one.get("/v1/health", headers={"Authorization": "Bearer x", **address}), 40101)
    codes = [
        memory_nodes.one.request("DELETE", "/v1/account", headers=headers, json={"password": f"no{n}"}).json()["code"]
        for n in range(3)
    ]
    assert codes == [40026, 40026, 42909]


def test_deleting_the_account(memory_nodes: Nodes) -> None:
    user = memory_nodes.new_user()
    refused(user.request(memory_nodes.one, "DELETE", "/v1/account", json={}), 40000)
    refused(
        user.request(memory_nodes.one, "DELETE", "/v1/account", json={"password": "x"}, headers=new_address()), 40026
    )
    assert user.request(memory_nodes.one, "DELETE", "/v1/account", json={"password": PASSWORD}).status_code == 200
    eventually(
        lambda: user.request(memory_nodes.other, "GET", "/v1/account", headers=new_address()).status_code == 401, "gone"
    )


def test_tokens_are_made_used_changed_and_removed(nodes: Nodes) -> None:
    user = nodes.new_user()
    made = user.request(nodes.one, "POST", "/v1/account/token", json={"label": "phone"}).json()
    assert len(made["token"]) == 32
    assert made["label"] == "phone"
    assert abs(made["expires"] - time.time() - 72 * 3600) < 60
    bearer = {"Authorization": f"Bearer {made['token']}", **new_address()}
    eventually(lambda: nodes.other.get("/v1/account", headers=bearer).status_code == 200, "the other node knows it")
    forever = nodes.one.request("PATCH", "/v1/account/token", headers=bearer, json={"expires": 0, "label": "tv"}).json()
    assert (forever["expires"], forever["label"]) == (0, "tv")
    extended = nodes.one.request("PATCH", "/v1/account/token", headers=bearer, json={}).json()
    assert extended["expires"] > time.time() + 71 * 3600
    assert nodes.one.request("PATCH", "/v1/account/token", headers=bearer).status_code == 200  # all of it is optional

    mine = nodes.one.get("/v1/account", headers=bearer).json()["tokens"]
    assert [token["token"] for token in mine] == [made["token"]]  # the one that is used, in full
    assert mine[0]["last_origin"] == bearer["X-Forwarded-For"]
    others = user.request(nodes.one, "GET", "/v1/account").json()["tokens"]
    assert others[0]["token"].startswith(made["token"][:11])
    assert made["token"] not in str(others)  # only its hash is kept

    shown = {"X-Token": others[0]["token"]}
    assert user.request(nodes.one, "DELETE", "/v1/account/token", headers=shown).status_code == 200
    eventually(lambda: nodes.other.get("/v1/account", headers=bearer).status_code == 401, "the token is gone")
    refused(user.request(nodes.one, "DELETE", "/v1/account/token"), 40023)


def test_a_token_needs_no_body(memory_nodes: Nodes) -> None:
    """``curl -u ann:pw -X POST …/v1/account/token`` makes one for three days."""
    user = memory_nodes.new_user()
    made = user.request(memory_nodes.one, "POST", "/v1/account/token").json()
    assert abs(made["expires"] - time.time() - 72 * 3600) < 60
    refused(user.request(memory_nodes.one, "POST", "/v1/account/token", content=b"{"), 40024)
    refused(user.request(memory_nodes.one, "POST", "/v1/account/password"), 40024)


def test_a_user_cannot_touch_the_tokens_of_another(memory_nodes: Nodes) -> None:
    user, other = memory_nodes.new_user(), memory_nodes.new_user()
    token = user.request(memory_nodes.one, "POST", "/v1/account/token", json={}).json()["token"]
    other.request(memory_nodes.one, "DELETE", "/v1/account/token", headers={"X-Token": token})
    refused(other.request(memory_nodes.one, "PATCH", "/v1/account/token", json={"token": token, "expires": 0}), 40101)
    bearer = {"Authorization": f"Bearer {token}"}
    assert memory_nodes.one.get("/v1/account", headers=bearer).json()["username"] == user.name


def test_a_user_has_60_tokens_and_the_oldest_fall_away(memory_nodes: Nodes) -> None:
    user = memory_nodes.new_user()
    made = [user.request(memory_nodes.one, "POST", "/v1/account/token", json={}).json()["token"] for _ in range(61)]
    kept = user.request(memory_nodes.one, "GET", "/v1/account").json()["tokens"]
    assert len(kept) == 60
    assert made[60][:11] in {token["token"][:11] for token in kept}


def test_logging_in_with_the_body(memory_nodes: Nodes) -> None:
    user = memory_nodes.new_user()
    body = json.dumps({"username": user.name, "password": PASSWORD})
    token = memory_nodes.one.post("/v1/account/login", body).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert memory_nodes.one.get("/v1/account", headers=headers).json()["username"] == user.name
    wrong = json.dumps({"username": user.name, "password": "x"})
    refused(memory_nodes.one.post("/v1/account/login", wrong, headers=new_address()), 40101)


def test_settings_and_subscriptions_are_the_same_on_every_device(nodes: Nodes) -> None:
    user = nodes.new_user()
    sync = user.request(nodes.one, "GET", "/v1/account").json()["sync_topic"]
    with nodes.other.subscribe(sync, headers={"Authorization": user.header}) as device:
        device.opened()

        def change(method: str, path: str, **options: object) -> object:
            answer = user.request(nodes.one, method, path, **options)
            assert answer.status_code == 200, answer.text
            assert device.message()["message"] == '{"event":"sync"}'
            return answer.json()

        change("PATCH", "/v1/account/settings", json={"language": "de", "notification": {"sound": "ding"}})
        change("PATCH", "/v1/account/settings", json={"notification": {"min_priority": 3}, "time_format": "24h"})
        wanted = {"base_url": "https://x.net", "topic": "ops", "display_name": "Operations"}
        assert change("POST", "/v1/account/subscription", json=wanted) == wanted
        refused(user.request(nodes.one, "POST", "/v1/account/subscription", json=wanted), 40903)
        change("PATCH", "/v1/account/subscription", json={**wanted, "display_name": "Ops"})
        refused(user.request(nodes.one, "PATCH", "/v1/account/subscription", json={**wanted, "topic": "x"}), 40401)
    account = user.request(nodes.one, "GET", "/v1/account").json()
    assert (account["language"], account["time_format"]) == ("de", "24h")
    assert account["notification"] == {"sound": "ding", "min_priority": 3}
    assert account["subscriptions"] == [{**wanted, "display_name": "Ops"}]
    gone = {"X-BaseURL": "https://x.net", "X-Topic": "ops"}
    assert user.request(nodes.one, "DELETE", "/v1/account/subscription", headers=gone).status_code == 200
    assert "subscriptions" not in user.request(nodes.one, "GET", "/v1/account").json()


def test_a_topic_is_reserved_by_one_user_only(nodes: Nodes) -> None:
    owner, other, topic = nodes.new_user(), nodes.new_user(), unique("t")

    def reserve(user: object, **body: str) -> object:
        return user.request(nodes.one, "POST", "/v1/account/reservation", json=body)

    assert reserve(owner, topic=topic, everyone="read-only").status_code == 200
    refused(reserve(other, topic=topic, everyone="deny-all"), 40902)
    refused(reserve(other, topic=unique("t"), everyone="maybe"), 40025)
    eventually(lambda: other.may(nodes.other, f"/{topic}/auth"), "the other node knows the reservation")
    refused(other.request(nodes.other, "POST", f"/{topic}"), 40301)
    assert owner.request(nodes.other, "POST", f"/{topic}").status_code == 200
    account = owner.request(nodes.one, "GET", "/v1/account").json()
    assert account["reservations"] == [{"topic": topic, "everyone": "read-only"}]
    refused(other.request(nodes.one, "DELETE", f"/v1/account/reservation/{topic}"), 40301)
    assert owner.request(nodes.one, "DELETE", f"/v1/account/reservation/{topic}").status_code == 200
    eventually(lambda: not other.may(nodes.other, f"/{topic}/auth"), "it is free again")
    assert reserve(other, topic=topic, everyone="deny-all").status_code == 200


def test_reservations_are_limited(memory_nodes: Nodes) -> None:
    user = memory_nodes.new_user()
    for number in range(4):
        body = {"topic": unique("t"), "everyone": "deny"}
        answer = user.request(memory_nodes.one, "POST", "/v1/account/reservation", json=body)
        if number < 3:
            assert answer.status_code == 200
        else:
            refused(answer, 42907)


def test_the_web_app_is_told_what_is_on(memory_nodes: Nodes, memory_server: Server) -> None:
    on, off = memory_nodes.one.get("/v1/config").json(), memory_server.get("/v1/config").json()
    for key in ("enable_login", "enable_signup", "enable_reservations"):
        assert (on[key], off[key]) == (True, False)
    script = memory_nodes.one.get("/config.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cache-control"] == "no-cache"
    comment, assignment = script.text.splitlines()
    assert comment.startswith("//")
    assert json.loads(assignment.removeprefix("var config = ").removesuffix(";")) == on
