"""``gbe notify …`` as typed, beside a server with two worker processes and its own engine."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import httpx
import pytest
from tests.ntfy.access.accounts import basic
from tests.ntfy.server import eventually
from tests.serving import serving
from typer.testing import CliRunner

from gbe.cli.main import app

HASH = bcrypt.hashpw(b"configured", bcrypt.gensalt(10, b"2a")).decode()
CONFIGURATION = f"""
notify:
  auth_default_access: deny-all
  auth_users: ["phil:{HASH}:admin", "ben:{HASH}:user"]
  auth_access: ["ben:alerts:ro", "everyone:announcements:ro"]
  auth_tokens: ["phil:tk_{"p" * 29}:laptop"]
"""
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GBE_LISTEN": "127.0.0.1:0",
    "GBE_WORKERS": "2",
    "GBE_EMBEDDED_DURABILITY": "interval",
}


@dataclass
class Place:
    """A folder with a configuration, and the server that runs on it."""

    folder: Path
    url: str

    def gbe(self, *words: str, status: int = 0, **environment: str) -> str:
        """Run ``gbe notify WORDS``; what it printed, or what it complained about."""
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(app, ["notify", *words], env=ENVIRONMENT | environment)
        assert done.exit_code == status, (done.output, done.exception)
        return f"{done.exception} {done.stderr}" if status else done.stdout

    def status(self, path: str, header: str = "", method: str = "GET") -> set[int]:
        """What some requests get, each on a connection of its own, so that both workers are asked."""
        headers = {"Authorization": header} if header else {}
        return {httpx.request(method, self.url + path, headers=headers, timeout=30).status_code for _ in range(6)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    (folder / "gbe.yaml").write_text(CONFIGURATION)
    with serving(folder, ENVIRONMENT) as log_file:
        words = eventually(
            lambda: "listening http" in log_file.read_text() and log_file.read_text(), "its address"
        ).split()
        place = Place(folder, words[words.index("listening") + 1].rstrip(","))
        eventually(lambda: _answers(place.url), "the server answers")
        yield place


def _answers(url: str) -> bool:
    try:
        return httpx.get(url + "/v1/health", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def test_users_access_and_tokens_from_the_first_to_the_last(place: Place) -> None:
    assert place.gbe("user", "add", "ann", NTFY_PASSWORD="pw") == "user ann added with role user\n"
    assert "already exists" in place.gbe("user", "add", "ann", NTFY_PASSWORD="pw", status=1)
    assert "exists already" in place.gbe("user", "add", "--ignore-exists", "ann", NTFY_PASSWORD="pw")
    ann = basic("ann", "pw")
    eventually(lambda: place.status("/v1/account", ann) == {200}, "both workers know the user")
    assert place.status("/ops/auth", ann) == {403}
    place.gbe("access", "ann", "op*", "rw")
    eventually(lambda: place.status("/ops/auth", ann) == {200}, "both workers know the entry")
    assert place.status("/ops", ann, "POST") == {200}
    place.gbe("access", "everyone", "open", "read")
    eventually(lambda: place.status("/open/auth") == {200}, "both workers know what everybody may")

    made = json.loads(place.gbe("token", "add", "--expires", "2d", "--label", "phone", "--json", "ann"))
    bearer = f"Bearer {made['token']}"
    eventually(lambda: place.status("/ops/auth", bearer) == {200}, "both workers know the token")
    listed = json.loads(place.gbe("token", "list", "--json", "ann"))["tokens"]
    assert [token["label"] for token in listed] == ["phone"]
    assert made["token"] not in str(listed)
    place.gbe("token", "remove", "ann", listed[0]["token"])
    eventually(lambda: place.status("/ops/auth", bearer) == {401}, "the token is gone")

    place.gbe("access", "--reset", "ann")
    eventually(lambda: place.status("/ops/auth", ann) == {403}, "the entry is gone")
    place.gbe("user", "change-role", "ann", "admin")
    eventually(lambda: place.status("/ops/auth", ann) == {200}, "ann is an administrator")
    place.gbe("user", "change-pass", "ann", NTFY_PASSWORD_HASH=HASH)
    eventually(lambda: place.status("/ops/auth", basic("ann", "configured")) == {200}, "the new password counts")
    place.gbe("user", "del", "ann")
    eventually(lambda: place.status("/ops/auth", basic("ann", "configured")) == {401}, "ann is gone")


def test_the_configuration_makes_users_that_only_it_can_change(place: Place) -> None:
    assert place.status("/alerts/auth", basic("ben", "configured")) == {200}
    assert place.status("/v1/users", f"Bearer tk_{'p' * 29}") == {200}
    table = place.gbe("user", "list")
    assert [line.split()[:2] for line in table.splitlines()[1:3]] == [["phil", "admin"], ["ben", "user"]]
    assert "from the configuration" in table
    assert "deny-all (default)" in table
    assert HASH not in table
    assert "provisioned" in place.gbe("user", "del", "phil", status=1)
    assert "does not exist" in place.gbe("user", "change-pass", "zoe", NTFY_PASSWORD="x", status=1)
    assert "provisioned" in place.gbe("token", "remove", "phil", "tk_" + "p" * 29, status=1)


def test_what_cannot_be_is_refused_with_a_reason(place: Place) -> None:
    assert "72 bytes" in place.gbe("user", "add", "zoe", NTFY_PASSWORD="x" * 73, status=1)
    assert "bcrypt hash of cost 10 to 14" in place.gbe("user", "add", "zoe", NTFY_PASSWORD_HASH="x", status=1)
    assert "permission" in place.gbe("access", "ben", "ops", "all", status=1)
    assert "user, a topic and a permission" in place.gbe("access", "ben", "ops", status=2)


def test_hashes_and_tokens_for_the_configuration(place: Place) -> None:
    hashed = place.gbe("user", "hash", NTFY_PASSWORD="pw").strip()
    assert bcrypt.checkpw(b"pw", hashed.encode())
    token = place.gbe("token", "generate").strip()
    assert (token[:3], len(token)) == ("tk_", 32)
