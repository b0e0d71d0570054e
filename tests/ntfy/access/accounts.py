"""What the tests of access control have in common."""

import base64
import itertools
from dataclasses import dataclass
from typing import Any

import bcrypt
import httpx
from tests.naming import unique
from tests.ntfy.server import Server, eventually

from gbe.notify.access.config import AccessConfig

ADMIN = "root@ops"
PASSWORD = "correct horse"
TOKEN = "tk_" + "t0k3n" * 5 + "abcd"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10, b"2a")).decode()
CONFIG = AccessConfig(
    auth_default_access="deny-all",
    auth_users=(f"{ADMIN}:{HASH}:admin", f"anna:{HASH}:user", f"bert:{HASH}:user"),
    auth_access=("anna:ops-*:rw", "*:ops-db:deny", "everyone:open-*:read-write", "bert:*:ro", "bert:ops-db:deny"),
    auth_tokens=(f"{ADMIN}:{TOKEN}:for tests",),
    enable_login=True,
    enable_signup=True,
    enable_reservations=True,
)

_addresses = itertools.count(1)


def basic(name: str, password: str = PASSWORD) -> str:
    """The header of a name and a password."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def in_query(header: str) -> str:
    """The same in the query string."""
    return base64.urlsafe_b64encode(header.encode()).decode().rstrip("=")


def new_address() -> dict[str, str]:
    """Headers of a visitor that nobody else is: failures are counted for each."""
    number = next(_addresses)
    return {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}


@dataclass(frozen=True)
class Nodes:
    """Two nodes of one deployment."""

    one: Server
    other: Server

    def admin(self, method: str, path: str, json: object = None, **options: Any) -> httpx.Response:
        """A request of the administrator of the configuration, to the first node."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return self.one.request(method, path, json=json, headers=headers, **options)

    def new_user(self) -> "Account":
        """A user made by the administrator; both nodes know."""
        name = unique("user")
        made = self.admin("POST", "/v1/users", {"username": name, "password": PASSWORD})
        assert made.status_code == 200, made.text
        account = Account(name, basic(name))
        eventually(lambda: account.may(self.other, "/v1/account"), "the other node knows the user")
        return account

    def allow(self, name: str, topic: str, permission: str) -> None:
        """An entry, made on the first node."""
        body = {"username": name, "topic": topic, "permission": permission}
        answer = self.admin("PUT", "/v1/users/access", body)
        assert answer.status_code == 200, answer.text


@dataclass(frozen=True)
class Account:
    """A user and the header that logs in."""

    name: str
    header: str

    def request(self, server: Server, method: str, path: str, **options: Any) -> httpx.Response:
        """A request of this user."""
        headers = {"Authorization": self.header, **options.pop("headers", {})}
        return server.request(method, path, headers=headers, **options)

    def may(self, server: Server, path: str) -> bool:
        """Whether the answer to a GET is 200."""
        return self.request(server, "GET", path).status_code == 200
