"""Users, entries and tokens of the configuration, when it has changed between two starts (section 9)."""

from collections.abc import Callable

import bcrypt
import httpx
import pytest
from tests.naming import unique
from tests.ntfy.access.accounts import Account, basic
from tests.ntfy.conftest import OpenStore, StartServer
from tests.ntfy.server import Server, refused

from gbe.notify.access.config import AccessConfig

HASHES = {word: bcrypt.hashpw(word.encode(), bcrypt.gensalt(10, b"2a")).decode() for word in ("old", "new")}
TOKENS = ["tk_" + letter * 29 for letter in "ab"]
Restart = Callable[..., Server]


@pytest.fixture
def restart(start: StartServer, open_store: OpenStore) -> Restart:
    """Stops the server, if there is one, and starts it with these users, entries and tokens on the same store."""
    namespace, running = unique("c"), list[Server]()

    def again(users: list[str], access: tuple[str, ...] = (), tokens: tuple[str, ...] = ()) -> Server:
        for server in running:
            server.stop()
        config = AccessConfig(
            auth=True,
            enable_reservations=True,
            auth_default_access="deny-all",
            auth_users=tuple(users),
            auth_access=access,
            auth_tokens=tokens,
        )
        running[:] = [start(access=config, open_store=open_store, namespace=namespace)]
        return running[0]

    return again


def _status(server: Server, path: str, header: str) -> int:
    return server.get(path, headers={"Authorization": header}).status_code


def test_a_new_start_has_what_the_configuration_says_now(restart: Restart) -> None:
    """Roles, passwords, entries and tokens; whoever is taken out is gone, with tokens made at run time."""
    root, ann = f"root:{HASHES['old']}:admin", f"ann:{HASHES['old']}:user"
    server = restart([root, ann], ("ann:ops:rw", "everyone:open:ro"), (f"ann:{TOKENS[0]}",))
    account = Account("ann", basic("ann", "old"))
    assert [_status(server, path, account.header) for path in ("/ops/auth", "/else/auth", "/v1/users")] == [
        200,
        403,
        401,
    ]
    made = account.request(server, "POST", "/v1/account/token", json={}).json()["token"]
    assert _status(server, "/ops/auth", f"Bearer {TOKENS[0]}") == 200

    # another role, password, entry and token
    server = restart([root, f"ann:{HASHES['new']}:user"], ("ann:else:ro",), (f"ann:{TOKENS[1]}",))
    assert _status(server, "/else/auth", account.header) == 401
    header = basic("ann", "new")
    assert [_status(server, path, header) for path in ("/ops/auth", "/else/auth")] == [403, 200]
    assert server.get("/open/auth").status_code == 403
    assert [_status(server, "/else/auth", f"Bearer {token}") for token in (*TOKENS, made)] == [401, 200, 200]
    server = restart([root, f"ann:{HASHES['new']}:admin"])
    assert [_status(server, path, header) for path in ("/ops/auth", "/v1/users")] == [200, 200]

    # taken out: user and tokens are gone, and the name is free for somebody else
    server = restart([root])
    for gone in (header, f"Bearer {TOKENS[1]}", f"Bearer {made}"):
        assert _status(server, "/v1/health", gone) == 401
    admin = {"Authorization": basic("root", "old")}
    assert "ann" not in {user["username"] for user in server.get("/v1/users", headers=admin).json()}
    body = {"username": "ann", "password": "old"}
    assert server.request("POST", "/v1/users", json=body, headers=admin).status_code == 200
    assert _status(server, "/ops/auth", account.header) == 403
    assert _status(server, "/v1/health", f"Bearer {made}") == 401


def test_a_user_of_the_store_who_enters_the_configuration_is_its_from_then_on(restart: Restart) -> None:
    """Role and password are the configuration's; what the user had made stays."""
    root = f"root:{HASHES['old']}:admin"
    server = restart([root])
    admin = {"Authorization": basic("root", "old")}
    body = {"username": "ann", "password": "old"}
    assert server.request("POST", "/v1/users", json=body, headers=admin).status_code == 200
    ann = Account("ann", basic("ann", "old"))
    made = ann.request(server, "POST", "/v1/account/token", json={}).json()["token"]
    before = ann.request(server, "GET", "/v1/account").json()

    server = restart([root, f"ann:{HASHES['new']}:user"], ("ann:ops:ro",))
    assert _status(server, "/v1/health", ann.header) == 401
    ann = Account("ann", basic("ann", "new"))
    after: dict[str, object] = ann.request(server, "GET", "/v1/account").json()
    assert after["sync_topic"] == before["sync_topic"]
    assert after["provisioned"] is True
    assert _status(server, "/ops/auth", f"Bearer {made}") == 200
    change: httpx.Response = ann.request(
        server, "POST", "/v1/account/password", json={"password": "new", "new_password": "x"}
    )
    refused(change, 40905)


def test_a_reservation_goes_with_a_user_who_is_taken_out_of_the_configuration(restart: Restart) -> None:
    """Nobody is denied a topic for somebody who is not there; who comes back has it again, unless it was given away."""
    root, ann = f"root:{HASHES['old']}:admin", f"ann:{HASHES['old']}:user"
    open_to_all = ("everyone:*:rw",)

    def reserve(name: str, topic: str) -> httpx.Response:
        body = {"topic": topic, "everyone": "deny-all"}
        return Account(name, basic(name, "old")).request(server, "POST", "/v1/account/reservation", json=body)

    def may(name: str, topic: str) -> bool:
        return Account(name, basic(name, "old")).may(server, f"/{topic}/auth")

    def reserved(name: str) -> list[str]:
        account = Account(name, basic(name, "old")).request(server, "GET", "/v1/account").json()
        return sorted(entry["topic"] for entry in account.get("reservations", []))

    server = restart([root, ann], open_to_all)
    admin = {"Authorization": basic("root", "old")}
    body = {"username": "ben", "password": "old"}
    assert server.request("POST", "/v1/users", json=body, headers=admin).status_code == 200
    for topic in ("kept", "given"):
        assert reserve("ann", topic).status_code == 200
        assert not may("ben", topic)
    refused(reserve("ben", "given"), 40902)

    server = restart([root], open_to_all)
    assert may("ben", "kept")
    assert server.get("/kept/auth").status_code == 200
    listed = {user["username"]: user for user in server.get("/v1/users", headers=admin).json()}
    assert [grant["topic"] for grant in listed["*"]["grants"]] == ["*"]
    assert reserve("ben", "given").status_code == 200
    assert may("ben", "given")
    assert server.get("/given/auth").status_code == 403

    server = restart([root, ann], open_to_all)
    assert (reserved("ann"), reserved("ben")) == (["kept"], ["given"])
    assert [may("ann", "kept"), may("ben", "kept"), may("ann", "given"), may("ben", "given")] == [
        True,
        False,
        False,
        True,
    ]
