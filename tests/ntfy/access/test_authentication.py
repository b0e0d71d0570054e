"""Section 10.1: how credentials are sent, and what wrong ones get, on every route."""

import base64
import time

import pytest
import websockets
from tests.naming import unique
from tests.ntfy.access.accounts import ADMIN, PASSWORD, TOKEN, Nodes, basic, in_query, new_address
from tests.ntfy.server import Server, refused

WAYS = {
    "basic": {"headers": {"Authorization": basic(ADMIN)}},
    "basic in any case": {"headers": {"Authorization": basic(ADMIN).replace("Basic", "bASIC")}},
    "bearer": {"headers": {"Authorization": f"Bearer {TOKEN}"}},
    "a token as password": {"headers": {"Authorization": basic("", TOKEN)}},
    "auth in the query": {"params": {"auth": in_query(basic(ADMIN))}},
    "authorization in the query": {"params": {"authorization": in_query(f"Bearer {TOKEN}")}},
    "the query beats the header": {
        "params": {"auth": in_query(f"Bearer {TOKEN}")},
        "headers": {"Authorization": basic(ADMIN, "wrong")},
    },
}
WRONG = {
    "password": basic(ADMIN, "wrong"),
    "user": basic("nobody"),
    "no password": basic(ADMIN, ""),
    "over 72 bytes, though the first 72 are all that bcrypt sees": basic(ADMIN, PASSWORD + "x" * 80),
    "token": "Bearer tk_" + "x" * 29,
    "bearer in lower case": f"bearer {TOKEN}",
    "not Base64": "Basic ???",
    "no colon": "Basic YWJj",
    "everybody is no user": basic("*", ""),
    "a name that is no UTF-8": "Basic " + base64.b64encode(b"\xd0:pw").decode(),
    "a password that is no UTF-8": "Basic " + base64.b64encode(ADMIN.encode() + b":\xff").decode(),
    "a token that is no UTF-8": "Basic " + base64.b64encode(b":tk_\xff").decode(),
    "very long": "Basic " + "A" * 5000,
}
ROUTES = [
    ("GET", "/v1/health"),
    ("GET", "/"),
    ("GET", "/metrics"),
    ("GET", "/v1/config"),
    ("GET", "/v1/account"),
    ("GET", "/v1/users"),
    ("GET", "/v1/version"),
    ("GET", "/open-x"),
    ("POST", "/open-x"),
    ("PUT", "/open-x/seq"),
    ("GET", "/open-x/publish?message=x"),
    ("PUT", "/open-x/seq/clear"),
    ("DELETE", "/open-x/seq"),
    ("GET", "/open-x/json?poll=1"),
    ("GET", "/open-x/sse?poll=1"),
    ("GET", "/open-x/raw?poll=1"),
    ("GET", "/open-x/auth"),
    ("POST", "/"),
    ("OPTIONS", "/open-x"),
    ("GET", "/no/such/path/at/all"),
]


@pytest.mark.parametrize("way", WAYS, ids=list(WAYS))
def test_credentials_are_taken_in_each_form(memory_nodes: Nodes, way: str) -> None:
    response = memory_nodes.one.get("/v1/account", **WAYS[way])
    assert response.status_code == 200, response.text
    assert (response.json()["username"], response.json()["role"]) == (ADMIN, "admin")


@pytest.mark.parametrize("wrong", WRONG, ids=list(WRONG))
def test_wrong_credentials_are_refused_even_where_everybody_may(memory_nodes: Nodes, wrong: str) -> None:
    error = refused(
        memory_nodes.one.get("/open-x/auth", headers={"Authorization": WRONG[wrong], **new_address()}), 40101
    )
    assert (error["error"], error["link"]) == ("unauthorized", "https://ntfy.sh/docs/publish/#authentication")


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[" ".join(route) for route in ROUTES])
def test_wrong_credentials_are_refused_on_every_route(memory_nodes: Nodes, method: str, path: str) -> None:
    headers = {"Authorization": "Bearer tk_wrong", **new_address()}
    response = memory_nodes.one.request(method, path, headers=headers, content=b'{"topic":"open-x"}')
    refused(response, 40101)
    assert "www-authenticate" not in response.headers


@pytest.mark.parametrize("header", ["", "Digest abc", "Basic", "Bearer", "Token x"])
def test_other_schemes_count_as_none(memory_nodes: Nodes, header: str) -> None:
    response = memory_nodes.one.get("/v1/account", headers={"Authorization": header})
    assert response.json()["username"] == "*"


@pytest.mark.parametrize("value", ["???", "a", "YQ==", "%2B/"])
def test_a_query_that_is_not_base64_is_an_error_of_the_server(memory_nodes: Nodes, value: str) -> None:
    refused(memory_nodes.one.get(f"/open-x/auth?auth={value}"), 50001)


def test_an_upgrade_is_refused_with_a_status_alone(memory_nodes: Nodes) -> None:
    for header, status in ((f"Bearer tk_{'x' * 29}", 401), (basic("anna"), 403), ("", 403)):
        headers = new_address() | ({"Authorization": header} if header else {})
        with (
            pytest.raises(websockets.exceptions.InvalidStatus) as error,
            memory_nodes.one.websocket("closed", additional_headers=headers),
        ):
            pass
        assert (error.value.response.status_code, error.value.response.body or b"") == (status, b"")


def test_a_websocket_opens_with_credentials_in_the_query(memory_nodes: Nodes) -> None:
    with memory_nodes.one.websocket("closed", f"?auth={in_query(basic(ADMIN))}") as socket:
        assert '"event":"open"' in str(socket.recv(timeout=30))


class TestFailures:
    """Section 8.3: 30 failed logins, then one more a minute."""

    def test_too_many_lock_right_credentials_out_too_but_no_one_else(self, memory_nodes: Nodes) -> None:
        address = new_address()
        wrong = {"Authorization": "Bearer tk_wrong", **address}
        for _ in range(30):
            refused(memory_nodes.one.get("/v1/health", headers=wrong), 40101)
        refused(memory_nodes.one.get("/v1/health", headers=wrong), 42909)
        refused(memory_nodes.one.get("/v1/health", headers={"Authorization": f"Bearer {TOKEN}", **address}), 42909)
        refused(memory_nodes.one.get("/v1/health", headers={"Authorization": basic(ADMIN), **address}), 42909)
        assert memory_nodes.one.get("/v1/health", headers=address).status_code == 200
        other = {"Authorization": f"Bearer {TOKEN}", **new_address()}
        assert memory_nodes.one.get("/v1/health", headers=other).status_code == 200

    def test_right_passwords_never_count(self, memory_nodes: Nodes) -> None:
        headers = {"Authorization": basic("anna"), **new_address()}
        for _ in range(40):
            assert memory_nodes.one.get("/v1/health", headers=headers).status_code == 200


def test_a_token_expires(memory_nodes: Nodes) -> None:
    user = memory_nodes.new_user()
    made = user.request(memory_nodes.one, "POST", "/v1/account/token", json={"expires": int(time.time()) + 3600}).json()
    bearer = {"Authorization": f"Bearer {made['token']}", **new_address()}
    assert memory_nodes.one.get("/v1/account", headers=bearer).json()["username"] == user.name
    past = {"token": made["token"], "expires": int(time.time()) - 1}
    assert user.request(memory_nodes.one, "PATCH", "/v1/account/token", json=past).status_code == 200
    refused(memory_nodes.one.get("/v1/account", headers=bearer), 40101)


def test_without_access_control_credentials_are_ignored(memory_server: Server) -> None:
    for options in ({"headers": {"Authorization": "Bearer tk_wrong"}}, {"params": {"auth": "???"}}):
        assert memory_server.get(f"/{unique('t')}/auth", **options).status_code == 200
