"""Section 6.4: ``/v1/users`` and ``/v1/users/access``, and how soon other nodes know."""

import bcrypt
import pytest
from tests.naming import unique
from tests.ntfy.access.accounts import ADMIN, PASSWORD, TOKEN, Nodes, basic, new_address
from tests.ntfy.server import Server, eventually, refused

ROUTES = [
    ("GET", "/v1/users"),
    ("POST", "/v1/users"),
    ("PUT", "/v1/users"),
    ("DELETE", "/v1/users"),
    ("PUT", "/v1/users/access"),
    ("POST", "/v1/users/access"),
    ("DELETE", "/v1/users/access"),
    ("GET", "/v1/version"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_only_administrators_may(memory_nodes: Nodes, memory_server: Server, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": basic("anna")}):
        refused(memory_nodes.one.request(method, path, headers=headers), 40101)
    refused(memory_server.request(method, path), 40401)


def test_users_are_made_listed_changed_and_deleted_on_every_node(nodes: Nodes) -> None:
    name, header = unique("user"), ""
    assert nodes.admin("POST", "/v1/users", {"username": name, "password": "pw"}).json() == {"success": True}
    refused(nodes.admin("POST", "/v1/users", {"username": name, "password": "pw"}), 40901)
    nodes.allow(name, "ops", "write-only")
    nodes.allow(name, "a_*", "ro")
    expected = {
        "username": name,
        "role": "user",
        "grants": [{"topic": "a_*", "permission": "read-only"}, {"topic": "ops", "permission": "write-only"}],
    }

    def listed(server: Server) -> list[dict[str, object]]:
        users = server.get("/v1/users", headers={"Authorization": f"Bearer {TOKEN}"}).json()
        return [user for user in users if user["username"] == name]

    assert listed(nodes.one) == [expected]
    eventually(lambda: listed(nodes.other) == [expected], "the other node lists the user")
    header = basic(name, "pw")
    assert nodes.other.post("/ops", "x", headers={"Authorization": header}).status_code == 200
    refused(nodes.other.get("/ops/json?poll=1", headers={"Authorization": header}), 40301)

    assert nodes.admin("DELETE", "/v1/users/access", {"username": name, "topic": "ops"}).status_code == 200
    eventually(
        lambda: nodes.other.post("/ops", "x", headers={"Authorization": header}).status_code == 403, "it may no more"
    )
    assert nodes.admin("PUT", "/v1/users", {"username": name, "password": "new"}).status_code == 200
    eventually(
        lambda: nodes.other.get("/v1/account", headers={"Authorization": basic(name, "new")}).status_code == 200,
        "the new password counts",
    )
    refused(nodes.other.get("/v1/account", headers={"Authorization": header, **new_address()}), 40101)
    assert nodes.admin("DELETE", "/v1/users", {"username": name}).status_code == 200
    eventually(lambda: listed(nodes.other) == [], "the other node has no such user")
    refused(nodes.admin("DELETE", "/v1/users", {"username": name}), 40031)


def test_the_list_has_administrators_first_and_everybody_last(memory_nodes: Nodes) -> None:
    users = memory_nodes.admin("GET", "/v1/users").json()
    assert users[0] == {"username": ADMIN, "role": "admin"}
    assert users[-1]["username"] == "*"
    assert {"topic": "open-*", "permission": "read-write"} in users[-1]["grants"]


@pytest.mark.parametrize("prefix", [b"2a", b"2b"])
def test_a_user_may_come_with_a_hash(memory_nodes: Nodes, prefix: bytes) -> None:
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(10, prefix)).decode()
    for form in (hashed, hashed.replace("$2b$", "$2y$")):
        name = unique("user")
        made = memory_nodes.admin("POST", "/v1/users", {"username": name, "hash": form})
        assert made.status_code == 200, made.text
        answer = memory_nodes.one.get("/v1/account", headers={"Authorization": basic(name, "secret")})
        assert answer.status_code == 200


REFUSED = [
    ("POST", "/v1/users", {"password": "x"}, 40000),
    ("POST", "/v1/users", {"username": "zoe"}, 40000),
    ("POST", "/v1/users", {"username": "zoe", "password": "x" * 73}, 40000),
    ("POST", "/v1/users", {"username": "zoe", "password": "ä" * 37}, 40000),
    ("POST", "/v1/users", {"username": "zoe", "hash": "$2a$10$tooshort"}, 40000),
    ("POST", "/v1/users", {"username": "zoe", "hash": "$2a$31$" + "a" * 53}, 40000),
    ("POST", "/v1/users", {"username": "zoe", "hash": "$2a$04$" + "a" * 53}, 40000),
    ("POST", "/v1/users", {"username": "z e", "password": "x"}, 40000),
    ("PUT", "/v1/users", {"username": "z e", "password": "x"}, 40000),
    ("POST", "/v1/users", {"username": "everyone", "password": "x"}, 40000),
    ("POST", "/v1/users", {"username": "zoe", "password": "x", "tier": "pro"}, 40030),
    ("POST", "/v1/users", {"username": "anna", "password": "x"}, 40901),
    ("PUT", "/v1/users", {"username": "zoe"}, 40000),
    ("PUT", "/v1/users", {"username": ADMIN, "password": "x"}, 40301),
    ("PUT", "/v1/users", {"username": "anna", "password": "x"}, 40905),
    ("DELETE", "/v1/users", {"username": ADMIN}, 40101),
    ("DELETE", "/v1/users", {"username": "anna"}, 40905),
    ("DELETE", "/v1/users", {"username": "zoe"}, 40031),
    ("PUT", "/v1/users/access", {"username": "zoe", "topic": "t", "permission": "rw"}, 40031),
    ("PUT", "/v1/users/access", {"username": "anna", "topic": "t", "permission": "maybe"}, 40025),
    ("PUT", "/v1/users/access", {"username": "anna", "topic": "t t", "permission": "rw"}, 40009),
    ("PUT", "/v1/users/access", {"username": "anna", "topic": "ops-*", "permission": "ro"}, 40905),
    ("POST", "/v1/users", ["no object"], 40024),
]


@pytest.mark.parametrize(("method", "path", "body", "code"), REFUSED)
def test_what_cannot_be_is_refused(memory_nodes: Nodes, method: str, path: str, body: object, code: int) -> None:
    refused(memory_nodes.admin(method, path, body), code)


def test_bodies_are_bounded(memory_nodes: Nodes) -> None:
    refused(memory_nodes.admin("POST", "/v1/users", {"username": "x" * 131_072}), 41303)


def test_users_and_failed_logins_are_counted(memory_nodes: Nodes) -> None:
    def figures() -> tuple[float, float]:
        lines = memory_nodes.one.get("/metrics").text.splitlines()
        found = [next(line for line in lines if line.startswith(name)).split()[1] for name in names]
        return float(found[0]), float(found[1])

    names = ("ntfy_users_total ", "gbe_notify_auth_failures_total ")
    users, failures = figures()
    memory_nodes.new_user()
    refused(memory_nodes.one.get("/v1/health", headers={"Authorization": "Bearer x", **new_address()}), 40101)
    assert figures() == (users + 1, failures + 1)


def test_everybody_has_entries_too(memory_nodes: Nodes) -> None:
    topic = unique("t")
    for name in ("*", "everyone"):
        memory_nodes.allow(name, topic, "read-only")
        assert memory_nodes.one.get(f"/{topic}/auth").status_code == 200
        memory_nodes.admin("DELETE", "/v1/users/access", {"username": name, "topic": topic})
        refused(memory_nodes.one.get(f"/{topic}/auth"), 40301)


def test_a_password_of_72_bytes_counts_to_the_last(memory_nodes: Nodes) -> None:
    name = unique("user")
    assert memory_nodes.admin("POST", "/v1/users", {"username": name, "password": "x" * 72}).status_code == 200
    for password, status in (("x" * 72, 200), ("x" * 71 + "y", 401), ("x" * 73, 401), (PASSWORD, 401)):
        headers = {"Authorization": basic(name, password), **new_address()}
        assert memory_nodes.one.get("/v1/account", headers=headers).status_code == status
